import math

import pytest
import torch

from model.schedule import FLOOR, Plateau, notebook_plateaus, warmup_cosine
from model.settings import settings_for
from model.state import fresh_state, update_average


def test_the_rate_rises_to_its_peak_and_falls_to_a_hundredth():
    rates = [warmup_cosine(s, steps=1000, warmup=0.05, peak=2e-3) for s in range(1000)]
    assert rates[:50] == sorted(rates[:50])
    assert max(rates) == rates[49] == pytest.approx(2e-3)
    assert rates[50:] == sorted(rates[50:], reverse=True)
    assert rates[-1] == pytest.approx(2e-5, rel=0.01)
    assert rates[524] == pytest.approx((2e-3 + 2e-5) / 2, rel=0.01), "half-way down at half-time"


def test_the_notebook_s_four_schedules_are_as_stated():
    stated = [(p.monitor, p.factor, p.patience) for p in notebook_plateaus()]
    assert stated == [
        ("loss_train", 0.98, 1),
        ("loss_train", 0.95, 3),
        ("loss_train", 0.80, 7),
        ("loss_valid", 0.50, 20),
    ]


def test_a_plateau_waits_its_patience_and_counts_anew():
    plateau, rate, rates = Plateau("loss_train", 0.5, 3), 1.0, []
    for loss in (5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 4.0, 4.0):
        rate = plateau.next_rate(rate, loss)
        rates.append(rate)
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_an_improvement_below_a_ten_thousandth_does_not_count():
    plateau = Plateau("loss_train", 0.5, 1)
    assert plateau.next_rate(1.0, 2.0) == 1.0
    assert plateau.next_rate(1.0, 2.0 - 5e-5) == 0.5
    assert plateau.next_rate(1.0, 2.0 - 2e-4) == 1.0


def test_stacked_plateaus_multiply_and_stop_at_the_floor():
    plateaus, rate = notebook_plateaus(), 0.01
    for epoch in range(1, 8):  # from the second epoch on nothing improves
        for plateau in plateaus:
            rate = plateau.next_rate(rate, 1.0)
        factor_98 = 0.98 ** (epoch - 1)
        factor_95 = 0.95 ** ((epoch - 1) // 3)
        assert rate == pytest.approx(0.01 * factor_98 * factor_95)
    for _ in range(2000):
        for plateau in plateaus:
            rate = plateau.next_rate(rate, 1.0)
    assert rate == FLOOR


def test_the_notebook_recipe_uses_adam_and_the_compact_one_decays_weights_only():
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    notebook = fresh_state(
        network, settings=settings_for("notebook"), precision="float32", threads=1
    )
    assert type(notebook.optimizer) is torch.optim.Adam
    assert notebook.optimizer.param_groups[0]["lr"] == 0.01
    assert notebook.average is None
    compact = fresh_state(network, settings=settings_for(), precision="float32", threads=1)
    decayed, plain = compact.optimizer.param_groups
    assert [p.shape for p in decayed["params"]] == [(2, 3)]
    assert decayed["weight_decay"] > 0
    assert len(plain["params"]) == 3
    assert plain["weight_decay"] == 0


def test_the_running_average_forgets_its_random_start_and_settles():
    ours, theirs = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    torch.nn.init.constant_(ours.weight, 1000.0)
    torch.nn.init.constant_(theirs.weight, 3.0)
    for step in range(1, 100):
        update_average(ours, theirs, decay=0.998, steps=step)
    assert math.isclose(ours.weight.item(), 3.0, abs_tol=0.01)
    torch.nn.init.constant_(theirs.weight, 4.0)
    update_average(ours, theirs, decay=0.998, steps=10**6)
    assert ours.weight.item() == pytest.approx(3.002, abs=2e-3)
