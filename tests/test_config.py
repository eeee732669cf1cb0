"""Settings: what can be said, and what is refused with words that help."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from audit.config import AuditSettings
from audit.errors import InputError
from audit.metrics import METRICS


def load(tmp_path, text):
    path = tmp_path / "audit.toml"
    path.write_text(text, encoding="utf-8")
    return AuditSettings.load(path)


def test_every_field_can_be_set_from_toml(tmp_path):
    settings = load(
        tmp_path,
        """
        by = ["race", "age_group"]
        control = "site"
        depth = 1
        age_groups = [0, 18, 65]
        split = "test"
        threshold = 0.4
        max_groups = 90
        check_ids = true
        strict = true
        seed = 3
        alpha = 0.1
        model = "one"
        threads = 2
        without_marked = "marks.jsonl"
        cuts = { ita = [-30, 10.5] }
        columns = { age_pred = "years" }
        margins = { age_mae = 2 }
        """,
    )
    assert settings.by == ("race", "age_group")
    assert settings.control == ("site",)
    assert settings.cuts == {"ita": (-30.0, 10.5)}
    assert settings.columns == {"age_pred": "years"}
    assert settings.margin("age_mae") == 2
    default = AuditSettings()
    for field in dataclasses.fields(settings):
        assert getattr(settings, field.name) != getattr(default, field.name), field.name


def test_an_empty_file_gives_the_defaults(tmp_path):
    assert load(tmp_path, "") == AuditSettings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("age_grops = [0, 18]", "no setting 'age_grops'; did you mean 'age_groups'"),
        ("zzz = 1", "no setting 'zzz'; there are: by, control"),
        ("margins = { age_mea = 1 }", "'age_mea', not a metric; did you mean 'age_m"),
        ("margins = { age_mae = 0 }", "margin of age_mae is 0.0; it must be above 0"),
        ("depth = 4", "depth is 4; it can be 1, 2 or 3"),
        ("depth = 2.5", "depth is 2.5, not a whole number"),
        ("seed = true", "seed is True, not a whole number"),
        ("strict = 1", "strict is 1, not true or false"),
        ("age_groups = [0, 18, 18]", "age_groups are 0,18,18; they must rise"),
        ("age_groups = [18, 0]", "they must rise"),
        ("age_groups = [18, 65]", "must start at 0"),
        ("age_groups = [0, 200]", "end above 120"),
        ("age_groups = []", "no edge given"),
        ('age_groups = "0,18"', "not a list of whole numbers"),
        ("cuts = { ita = [2, 1] }", "cuts of 'ita' are 2,1; they must rise"),
        ("cuts = [1]", "cuts must be a table"),
        ('split = "tests"', "split is 'tests'; it can be train"),
        ("threshold = 0.0", "lies in"),
        ("alpha = 0.5", "lies between"),
        ("max_groups = 1", "at least 2"),
        ("threads = 0", "from 1 to 1024"),
        ("threads = 10000", "from 1 to 1024"),
        ("seed = 4294967296", "from 0 to 4294967295"),
        ("by = []", "names no feature"),
        ('by = ["race", "race"]', "names 'race' twice"),
        ("by = [", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_name_and_key(tmp_path, text, words):
    with pytest.raises(InputError) as error:
        load(tmp_path, text)
    assert words in str(error.value)
    assert "audit.toml" in str(error.value)
    assert "\n" not in words


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        AuditSettings.load(tmp_path / "none.toml")


def test_age_labels_cover_all_ages_and_name_single_years():
    assert AuditSettings().age_labels[:3] == ("0-2", "3-9", "10-19")
    assert AuditSettings(age_groups=(0, 1, 18)).age_labels == ("0", "1-17", "18+")


def test_threads_and_the_path_of_marks_never_enter_the_result():
    assert AuditSettings(threads=1).as_json() == AuditSettings(threads=8).as_json()
    assert set(AuditSettings().as_json()) == {f.name for f in dataclasses.fields(AuditSettings)} - {
        "threads",
        "without_marked",
        "given",
    }


def test_a_config_cannot_say_what_was_given(tmp_path):
    path = tmp_path / "audit.toml"
    path.write_text('given = ["depth"]\n', encoding="utf-8")
    with pytest.raises(InputError, match="there is no setting 'given'"):
        AuditSettings.load(path)
    assert AuditSettings().replace(depth=2).given == {"depth"}
    assert AuditSettings().replace(depth=2) == AuditSettings()


def test_every_metric_has_a_margin():
    assert all(AuditSettings().margin(key) > 0 for key in METRICS)


def test_replace_refuses_an_unknown_field():
    with pytest.raises(InputError, match="did you mean 'depth'"):
        AuditSettings().replace(dept=1)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("depth", "2", "depth is '2', not a whole number"),
        ("threshold", None, "threshold is None, not a number"),
        ("margins", None, r"margins must be a table"),
        ("margins", {"age_mae": "1"}, "margins.age_mae is '1', not a number"),
        ("cuts", {"race": 1}, "cuts.race is 1, not a list of numbers"),
        ("seed", 1.5, "seed is 1.5, not a whole number"),
        ("max_groups", 2.5, "max_groups is 2.5, not a whole number"),
        ("strict", 1, "strict is 1, not true or false"),
        ("by", {"race", "site"}, "not a list of names"),
        ("alpha", 10**400, "alpha is too large a number"),
    ],
)
def test_a_setting_of_another_type_is_refused_from_python_too(field, value, words):
    with pytest.raises(InputError, match=words):
        AuditSettings(**{field: value})


def test_a_single_name_is_one_feature_and_numbers_of_numpy_are_numbers():
    settings = AuditSettings(by="race", control=["site"], seed=np.int64(3), alpha=np.float64(0.1))
    assert (settings.by, settings.control, settings.seed) == (("race",), ("site",), 3)
    assert AuditSettings(cuts={"ita": np.array([1, 2])}).cuts == {"ita": (1.0, 2.0)}
    assert AuditSettings(margins={"age_mae": 2}).as_json()["margins"] == {"age_mae": 2.0}
    assert AuditSettings(without_marked=Path("a") / "b").without_marked == str(Path("a/b"))
