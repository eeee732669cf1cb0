import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import convolve1d
from tiny_training import tiny_faces, tiny_settings

import model.epochs
from audit.errors import InputError
from model.balance import (
    Balance,
    balance_for,
    equal_chances,
    groups_of,
    weights_of_years,
    worst_group_loss,
)
from model.batches import faces_in_order
from model.losses import face_losses, two_headed_loss
from model.material import prepare
from model.run_folder import load_checkpoint
from model.settings import TrainSettings
from model.train import _open_folder, train


def faces_with(races, ages):
    """A face table of these races and ages, and the ages as a training holds them."""
    genders = ["female", "male"] * len(races)
    table = pd.DataFrame({"race": races, "age": ages, "gender": genders[: len(races)]})
    return table, np.asarray(ages, dtype=np.float32)


# Balanced sampling ---------------------------------------------------------------------------


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60))
def test_every_group_is_drawn_with_the_same_chance(cells):
    cells = np.unique(cells, return_inverse=True)[1]
    chances = equal_chances(cells)
    assert np.allclose(np.bincount(cells, weights=chances), 1 / (cells.max() + 1))


def job_of(chances, rows):
    material = type("Material", (), {"rows": {"train": rows}})()
    settings = tiny_settings()
    return type("Job", (), {"material": material, "settings": settings, "balance": chances})()


def test_a_group_of_one_in_twenty_is_drawn_every_second_time():
    rows = np.arange(100, 2100)
    rare = np.arange(2000) < 100
    balance = Balance(chances=equal_chances(rare.astype(np.int64)))
    drawn = np.concatenate([faces_in_order(job_of(balance, rows), epoch) for epoch in range(10)])
    share = (drawn < 200).mean()
    assert abs(share - 0.5) < 4 * 0.5 / len(drawn) ** 0.5, "n = 20,000 draws, four standard errors"
    plain = faces_in_order(job_of(Balance(), rows), 0)
    assert sorted(plain) == list(rows), "without the option each face comes once"


def test_a_face_s_group_is_the_crossing_of_the_features_and_a_missing_level_is_unknown():
    faces, age = faces_with(["Black", None, "White"], [2.5, 70, 3])
    group, names = groups_of(
        faces, ("race", "age_group"), age=age, train=np.array([0, 1, 2]), option="--balance"
    )
    assert [names[g] for g in group] == ["Black × 0-2", "unknown × 70+", "White × 3-9"]
    group, names = groups_of(faces, ("gender_true",), age=age, train=np.array([0]), option="-")
    assert names == ("female",)
    assert list(group) == [0, -1, 0], "nobody learns from a group without training faces"


def test_features_that_the_faces_lack_or_that_cut_them_to_pieces_are_refused_by_name():
    faces, age = faces_with([str(k) for k in range(300)], list(range(100)) * 3)
    for feature, words in (("skin", "--balance skin: .* no such column"), ("race", "300 groups")):
        with pytest.raises(InputError, match=words):
            balance_for(
                faces, age=age, train=np.arange(300), settings=TrainSettings(balance=(feature,))
            )


# Label distribution smoothing ----------------------------------------------------------------


def their_weights(ages, *, root):
    """`_prepare_weights` of Yang et al.'s published code, with their kernel by scipy."""
    counts = np.bincount(ages, minlength=121).astype(float)
    counts = np.sqrt(counts) if root else np.clip(counts, 5, 1000)
    kernel = np.exp(-((np.arange(5) - 2.0) ** 2) / (2 * 2.0**2))
    per_face = convolve1d(counts, kernel / kernel.max(), mode="constant")[ages]
    return len(ages) / np.sum(1 / per_face) / per_face


@pytest.mark.parametrize("how", ["root", "inverse"])
def test_the_weights_of_ages_are_those_of_the_paper_s_code(how):
    ages = np.random.default_rng(0).poisson(30, 2000).clip(0, 120)
    ages[:200] = 1  # a crowded age beside empty ones
    ours = weights_of_years(ages.astype(np.float32), how=how)[ages]
    assert np.allclose(ours, their_weights(ages, root=how == "root"), rtol=1e-12)
    assert ours.mean() == pytest.approx(1)


def test_rare_ages_weigh_more_and_a_rare_age_beside_crowded_ones_less_so():
    ages = np.repeat([20, 21, 22, 60], [500, 5, 500, 5]).astype(np.float32)
    weights = weights_of_years(ages, how="inverse")
    assert weights[60] > 5 * weights[21], "neighbours teach what 21 looks like"
    assert weights[21] < 3 * weights[20]
    soft = weights_of_years(ages, how="root")
    assert 1 < soft[60] / soft[20] < weights[60] / weights[20]


def test_weights_multiply_the_age_loss_alone():
    torch.manual_seed(0)
    out = torch.randn(4, 121), torch.randn(4), torch.tensor([3.0, 20, 40, 80]), torch.ones(4)
    plain, _ = face_losses(*out)
    none, _ = face_losses(*out, age_weight=torch.zeros(4))
    double, _ = face_losses(*out, age_weight=torch.full((4,), 2.0))
    assert torch.allclose(double - plain, plain - none)
    assert (none > 0).all(), "gender is still learned"
    assert torch.allclose(plain.mean(), two_headed_loss(*out)[0])


# Group DRO -----------------------------------------------------------------------------------


def test_the_shares_follow_the_paper_s_update():
    losses = torch.tensor([1.0, 3.0, 5.0, 9.0], requires_grad=True)
    group = torch.tensor([0, 0, 1, 1])
    loss, shares = worst_group_loss(losses, group, shares=[0.5, 0.25, 0.25], rate=0.1)
    grown = np.array([0.5 * np.exp(0.2), 0.25 * np.exp(0.7), 0.25])
    assert np.allclose(shares, grown / grown.sum())
    assert loss.item() == pytest.approx(shares[0] * 2 + shares[1] * 7, rel=1e-6)
    loss.backward()
    assert np.allclose(losses.grad, np.repeat(shares[:2], 2) / 2, rtol=1e-6)


def test_over_many_steps_the_pull_goes_to_the_group_with_the_largest_loss():
    shares = [1 / 3] * 3
    for step in range(400):
        noise = torch.from_numpy(np.random.default_rng(step).normal(0, 0.2, 30)).float()
        group = torch.arange(30) % 3
        losses = torch.tensor([1.0, 2.0, 1.5])[group] + noise
        _, shares = worst_group_loss(losses, group, shares=shares, rate=0.05)
    assert shares[1] > 0.99
    assert sum(shares) == pytest.approx(1)


# In a training -------------------------------------------------------------------------------

OPTIONS = {"balance": ("age_group",), "group_dro": ("race", "gender_true"), "dro_rate": 0.1}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return tiny_faces(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="module")
def finished(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    return train(table, out=out, settings=tiny_settings(**OPTIONS))


def test_a_training_with_groups_that_is_stopped_resumes_to_the_same_weights(
    finished, table, tmp_path, monkeypatch
):
    plain, taken = model.epochs._step, []

    def stop_at_ten(*args):
        taken.append(plain(*args))
        if len(taken) == 10:
            raise SystemError
        return taken[-1]

    with monkeypatch.context() as patched:
        patched.setattr(model.epochs, "_step", stop_at_ten)
        with pytest.raises(SystemError):
            train(table, out=tmp_path / "run", settings=tiny_settings(**OPTIONS))
    shares = load_checkpoint(tmp_path / "run")["group_shares"]
    assert len(shares) == 10
    assert len(set(shares)) > 1
    out = train(table, out=tmp_path / "run", settings=tiny_settings(**OPTIONS), resume=True)
    assert load_checkpoint(out)["group_shares"] == load_checkpoint(finished)["group_shares"]
    assert (out / "model.safetensors").read_bytes() == (finished / "model.safetensors").read_bytes()
    stored = json.loads((out / "settings.json").read_text())
    assert stored["group_dro"] == ["race", "gender_true"]


@pytest.mark.parametrize(
    "changed", [{"balance": ("race",)}, {"age_weights": "root"}, {"group_dro": ("race",)}]
)
def test_each_option_changes_what_is_learned(changed, finished, table, tmp_path):
    out = train(table, out=tmp_path / "run", settings=tiny_settings(epochs=1, **changed))
    plain = train(table, out=tmp_path / "plain", settings=tiny_settings(epochs=1))
    assert (out / "model.safetensors").read_bytes() != (plain / "model.safetensors").read_bytes()


def test_other_races_on_resume_are_other_faces_where_groups_were_made_of_them(table, tmp_path):
    settings = tiny_settings(**OPTIONS)
    names = [prepare(table, out=tmp_path / "a", settings=settings, progress=False).digest]
    table.faces["race"] = table.faces["race"].to_numpy()[::-1].copy()
    names.append(prepare(table, out=tmp_path / "a", settings=settings, progress=False).digest)
    assert names[0] != names[1]


def test_a_group_dro_among_several_processes_is_refused():
    place = type("World", (), {"size": 2, "first": True})()
    with pytest.raises(InputError, match=r"--group-dro.*without torchrun"):
        _open_folder(None, settings=tiny_settings(**OPTIONS), place=place, resume=False)


def test_the_same_correction_twice_is_refused():
    with pytest.raises(InputError, match=r"--age-weights root.*--balance age_group"):
        TrainSettings(balance=("race", "age_group"), age_weights="root")
