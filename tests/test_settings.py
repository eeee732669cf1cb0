import argparse
import subprocess
import sys

import pytest

from audit.errors import InputError
from model.options import add_train_options, train_settings_from
from model.settings import (
    NETWORKS,
    Augmentation,
    TrainSettings,
    settings_for,
    write_settings,
)


def parsed(*words, out):
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=type(out), default=out)
    add_train_options(parser)
    return parser.parse_args(words)


def test_without_options_the_compact_recipe_is_taken(tmp_path):
    assert train_settings_from(parsed(out=tmp_path)) == settings_for("compact")


def test_single_options_change_single_settings(tmp_path):
    words = ["--network", "notebook", "--epochs", "7", "--seed", "3", "--holdout", "0.3"]
    settings = train_settings_from(parsed(*words, out=tmp_path))
    assert settings == settings_for("notebook", epochs=7, seed=3, test=0.3)


def test_quick_is_a_shorter_recipe_of_every_network():
    for network in NETWORKS:
        assert settings_for(network, quick=True).epochs < settings_for(network).epochs


def test_the_notebook_s_recipe_is_the_notebook_s():
    settings = settings_for("notebook")
    assert (settings.epochs, settings.batch, settings.learning_rate) == (300, 64, 0.01)
    assert settings.average == settings.clip == settings.weight_decay == 0
    assert settings.augment.flip == 0.5
    assert settings.augment.rotate == settings.augment.erase == 0


def test_changes_grow_in_a_straight_line_from_the_first_epoch_to_the_last():
    first, last = Augmentation(rotate=0.0, erase=0.2), Augmentation(rotate=20.0, erase=0.6)
    settings = settings_for("compact", epochs=5, augment=first, augment_last=last)
    assert [settings.augment_at(epoch).rotate for epoch in range(5)] == [0, 5, 10, 15, 20]
    assert settings.augment_at(2).erase == pytest.approx(0.4)
    assert settings.augment_at(0) == first
    alike = settings_for("compact", epochs=5, augment=first, augment_last=None)
    assert alike.augment_at(4) == first
    assert settings_for("compact", epochs=1).augment_at(0) == settings_for("compact").augment


def test_settings_survive_json():
    ends = TrainSettings(augment_last=Augmentation(rotate=3.0))
    assert TrainSettings.from_dict(ends.to_dict()) == ends
    for network in NETWORKS:
        settings = settings_for(network, quick=True, seed=5)
        assert TrainSettings.from_dict(settings.to_dict()) == settings


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"network": "vgg"}, "--network vgg"),
        ({"size": 50}, "--size 50"),
        ({"dropout": 1.0}, r"dropout 1\.0"),
        ({"drop_block": -0.1}, r"drop_block -0\.1"),
        ({"epochs": 0}, "--epochs 0"),
        ({"batch": 1}, "--batch 1"),
        ({"learning_rate": 0}, "--learning-rate 0"),
        ({"test": 1.5}, "--holdout 1.5"),
        ({"valid": 0.0}, "--valid 0.0"),
        ({"precision": "int8"}, "--precision int8"),
        ({"pretrained": True, "weights": "a.pth"}, "--pretrained with --weights"),
    ],
)
def test_wrong_settings_are_refused_by_the_option_s_name(wrong, words):
    with pytest.raises(InputError, match=words):
        TrainSettings(**wrong)


def test_resume_takes_the_settings_of_the_stopped_training(tmp_path):
    stored = settings_for("compact", epochs=9, seed=4)
    write_settings(stored, tmp_path)
    assert train_settings_from(parsed("--resume", out=tmp_path)) == stored
    assert train_settings_from(parsed("--resume", "--epochs", "9", out=tmp_path)) == stored
    with pytest.raises(InputError, match=r"--batch 8 \(was 64\)"):
        train_settings_from(parsed("--resume", "--batch", "8", out=tmp_path))


@pytest.mark.parametrize("network", ["compact", "notebook", "resnet18"])
def test_quick_on_resume_is_refused_where_the_long_recipe_was_begun(network, tmp_path):
    write_settings(settings_for(network), tmp_path)
    with pytest.raises(InputError, match=r"--quick \(was not given\)"):
        train_settings_from(parsed("--resume", "--quick", out=tmp_path))
    for changed in ({}, {"epochs": 3}):
        begun = settings_for(network, quick=True, **changed)
        write_settings(begun, tmp_path)
        assert train_settings_from(parsed("--resume", "--quick", out=tmp_path)) == begun
        assert train_settings_from(parsed("--resume", out=tmp_path)) == begun


def test_changed_settings_are_named_as_they_are_typed(tmp_path):
    write_settings(settings_for("compact"), tmp_path)
    words = ["--resume", "--balance", "race", "age_group", "--threads", "2"]
    said = r"--balance race age_group \(was not given\); --threads 2 \(was not given\)"
    with pytest.raises(InputError, match=said):
        train_settings_from(parsed(*words, out=tmp_path))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda whole: whole[:90], r"is not whole \(line \d+\)"),
        (lambda whole: b'{"epochs": 3}', "not what this version's training writes"),
        (lambda whole: b"[1, 2]", "not what this version's training writes"),
        (lambda whole: b"null", "not what this version's training writes"),
        (
            lambda whole: whole.replace(b'"epochs": 46', b'"epochs": "46"'),
            "not what this version's",
        ),
        (lambda whole: whole.replace(b'"epochs": 46', b'"epochs": 0'), "--epochs 0: must be"),
    ],
)
def test_damaged_settings_are_named_in_words_of_ours(tmp_path, change, words):
    write_settings(settings_for("compact"), tmp_path)
    path = tmp_path / "settings.json"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=rf"settings\.json:? {words}.*train anew") as refused:
        train_settings_from(parsed("--resume", out=tmp_path))
    assert not any(word in str(refused.value) for word in ("NoneType", "sequence", "(char", "str'"))


def test_the_options_can_be_listed_without_loading_torch():
    code = "import model.settings, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
