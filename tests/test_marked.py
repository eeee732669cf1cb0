"""Marked faces left out of an audit: counted, said, refused where the file is damaged."""

import json

import pandas as pd
import pytest

from audit import AuditSettings, InputError, run_audit
from audit.cli import main
from audit.lines import append_line
from audit.marked import KINDS, LONGEST, TAKEN_BACK, new_mark, read_marks
from audit.synthetic import synthetic_predictions

HOSTILE = "'); DROP TABLE raw; --"


@pytest.fixture(scope="module")
def table():
    faces = synthetic_predictions(400, seed=3).astype({"sample_id": "str"})
    faces.loc[0, "sample_id"] = HOSTILE
    return faces


def marks_file(folder, *marks):
    """A file of (sample_id, kind) in order."""
    path = folder / "marks.jsonl"
    for sample_id, kind in marks:
        append_line(path, new_mark(sample_id, kind, "because").record())
    path.touch()
    return path


def audited(table, path, **settings):
    chosen = AuditSettings(by=("race", "gender_true"), depth=1, **settings)
    return run_audit(table, settings=chosen.replace(without_marked=path and str(path)))


def body(result):
    whole = json.loads(result.to_json())
    whole["info"].pop("run")
    return whole


def test_marked_faces_are_left_out_for_a_named_reason_and_the_counts_add_up(table, tmp_path):
    path = marks_file(
        tmp_path,
        (HOSTILE, "mislabelled"),
        ("7", "out of scope"),
        ("8", "mislabelled"),
        ("8", TAKEN_BACK),
        ("9", "mislabelled"),
        ("9", "out of scope"),
        ("nobody", "mislabelled"),
    )
    result = audited(table, path)
    info = result.info
    assert info["rows_left_out"] == {"marked mislabelled": 1, "marked out of scope": 2}
    assert (info["rows_read"], info["rows_audited"]) == (400, 397)
    assert any("left out by hand: 1 marked mislabelled, 2 marked" in n for n in info["notes"])
    assert "1 marked face is not in this table." in info["notes"]
    rest = audited(table[~table.sample_id.isin([HOSTILE, "7", "9"])], None)
    pd.testing.assert_frame_equal(result.subgroups, rest.subgroups)


def test_a_file_without_a_mark_in_force_changes_no_byte(table, tmp_path):
    path = marks_file(tmp_path, ("8", "mislabelled"), ("8", TAKEN_BACK))
    assert body(audited(table, path)) == body(audited(table, None))


def test_a_row_that_is_left_out_anyway_keeps_its_reason_and_strict_lets_marks_pass(table, tmp_path):
    path = marks_file(tmp_path, ("7", "mislabelled"), ("8", "mislabelled"))
    parts = table.assign(split=["train" if i == 7 else "test" for i in range(400)])
    info = audited(parts, path, strict=True).info
    assert info["rows_left_out"] == {"marked mislabelled": 1, "split is train": 1}
    assert not any("not in this table" in note for note in info["notes"])


def test_rows_named_by_their_number_can_be_marked_too(table, tmp_path):
    source = tmp_path / "faces.csv"
    table.drop(columns="sample_id").to_csv(source, index=False)
    path = marks_file(tmp_path, ("faces.csv 3", "mislabelled"))
    assert audited(source, path).info["rows_left_out"] == {"marked mislabelled": 1}


def test_an_audit_of_nothing_but_marked_faces_is_refused(table, tmp_path):
    path = marks_file(tmp_path, *((i, "mislabelled") for i in table.sample_id[:5]))
    with pytest.raises(InputError, match="none of the 5 rows can be audited"):
        audited(table[:5], path)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"sample_id": "1", "kind": "mislabelled", "reason": ""}', "has no time"),
        (
            '{"time": "", "sample_id": 1, "kind": "mislabelled", "reason": ""}',
            "has a sample_id that is no text",
        ),
        (
            '{"time": "", "sample_id": "1", "kind": "ugly", "reason": ""}',
            "has the kind 'ugly'; there are: 'mislabelled', 'out of scope', 'taken back'",
        ),
        (
            '{"time": "", "sample_id": "", "kind": "mislabelled", "reason": ""}',
            "has an empty sample_id",
        ),
    ],
)
def test_a_damaged_line_is_refused_with_file_and_line(table, tmp_path, capsys, line, why):
    path = marks_file(tmp_path, ("8", "mislabelled"))
    with path.open("a", encoding="utf-8") as handle:
        handle.write(line + "\n")
    source = tmp_path / "faces.csv"
    table.to_csv(source, index=False)
    command = ["audit", str(source), "--out", str(tmp_path / "out"), "--without-marked", str(path)]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"faceaudit: {path}, line 2: it {why}")
    assert said.count("\n") == 1


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="no marks at"):
        read_marks(tmp_path / "none.jsonl")


def test_a_reason_is_one_line_of_text_and_never_too_long():
    mark = new_mark("1", KINDS[0], "not\nhis\tage \x00\x1b[31m" + "x" * 999)
    assert mark.reason.startswith("not his age [31mx")
    assert len(mark.reason) == LONGEST
