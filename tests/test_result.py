"""result.json: written and read without loss, never NaN, never another schema."""

import json

import numpy as np
import pandas as pd
import pytest

from audit.errors import InputError
from audit.result import COLUMNS, INFO, AuditResult, table

RECORD = {
    "feature": "race", "group": "Black", "metric": "age_mae", "value": 1 / 3, "low": 0.1,
    "high": np.nan, "n": 12.0, "n_subjects": 12.0, "shrunken": None, "status": "few",
}  # fmt: skip


def a_result(**tables):
    empty = {name: table(name, []) for name in COLUMNS}
    info = dict.fromkeys(INFO) | {"rows_read": np.int64(12), "run": {"created": "today"}}
    info["x"] = float("inf")
    return AuditResult(info, **(empty | tables))


def test_numbers_are_json_numbers_or_null():
    raw = json.loads(a_result(subgroups=table("subgroups", [RECORD])).to_json())
    record = raw["subgroups"][0]
    assert (record["n"], record["high"], record["shrunken"]) == (12, None, None)
    assert isinstance(record["n"], int)
    assert record["value"] == 0.3333333333
    assert raw["info"]["x"] is None


def test_the_text_is_what_json_itself_writes_at_indent_1():
    words = {"sentence": 'a "b"\n\u2028 × é\\', "kind": None, "severity": 2.0, "value": -1e-12}
    record = RECORD | {"n": 1e15, "low": float("-inf"), "status": True, "value": 12345678901.25}
    history = pd.DataFrame({"epoch": [1, 2], "loss": [np.float32(0.1), None], "ok": [True, False]})
    slices = table("slices", [dict.fromkeys(COLUMNS["slices"]) | {"confirmed": np.True_}])
    result = a_result(
        subgroups=table("subgroups", [record, RECORD]),
        findings=table("findings", [dict.fromkeys(COLUMNS["findings"]) | words]),
        slices=slices,
        history=history,
    )
    text = result.to_json()
    raw = json.loads(text)
    assert text == json.dumps(raw, ensure_ascii=False, indent=1) + "\n"
    assert list(raw) == ["schema", "info", *COLUMNS]
    assert raw["findings"][0]["sentence"] == words["sentence"]
    assert [raw["slices"][0]["confirmed"], raw["history"][0]["ok"]] == [True, True]
    assert raw["subgroups"][0]["n"] == 10**15


def test_a_result_survives_the_way_to_disk_and_back(tmp_path):
    result = a_result(subgroups=table("subgroups", [RECORD]))
    result.save(tmp_path)
    again = AuditResult.load(tmp_path)
    assert again.to_json() == result.to_json()
    for name in COLUMNS:
        pd.testing.assert_frame_equal(
            getattr(again, name), getattr(result, name), check_dtype=False, rtol=1e-9
        )


def test_the_rows_of_a_feature_and_metric_are_those_that_bear_both_names_in_their_order():
    pairs = [("race", "age_mae"), ("race", "age_me"), ("sex", "age_mae"), ("race", "age_mae")]
    rows = [RECORD | {"feature": f, "metric": m, "n": i} for i, (f, m) in enumerate(pairs)]
    result = a_result(subgroups=table("subgroups", rows))
    for feature, metric in [*pairs, ("sex", "age_me"), ("age", "x")]:
        kept = [(f, m) == (feature, metric) for f, m in pairs]
        wanted = result.subgroups[kept]
        pd.testing.assert_frame_equal(result.subgroups_of(feature, metric), wanted)
    assert a_result().subgroups_of("race", "age_mae").empty


def test_an_empty_table_keeps_its_columns():
    assert list(a_result().disparities.columns) == list(COLUMNS["disparities"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not whole"),
        ('{"schema": 2}', "schema 2"),
        ("[]", "schema None"),
        ('{"schema": 1, "info": {}}', "lacks subgroups"),
    ],
)
def test_a_foreign_or_cut_file_is_refused_with_what_to_do(text, words, tmp_path):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(InputError, match=words) as refused:
        AuditResult.load(tmp_path)
    assert "run the audit again" in str(refused.value)


def test_a_folder_without_a_result_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match="faceaudit audit"):
        AuditResult.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw: raw["info"].pop("model"), "lacks info.model"),
        (lambda raw: raw.update(info=[]), "another info than an audit"),
        (lambda raw: raw.update(info=None), "another info than an audit"),
        (lambda raw: raw["info"].update(run=None), "another info than an audit"),
        (lambda raw: raw.update(subgroups=7), "another subgroups than an audit"),
        (lambda raw: raw.update(slices={"a": 1}), "another slices than an audit"),
        (lambda raw: raw.update(worst=[1, 2]), "something else than tables"),
        (
            lambda raw: raw.update(subgroups=[RECORD, RECORD | {"value": "x"}]),
            "words where numbers belong, or the other way round, in subgroups.value",
        ),
    ],
)
def test_a_result_of_another_shape_is_refused_in_one_line(change, words):
    raw = json.loads(a_result().to_json())
    change(raw)
    with pytest.raises(InputError, match=words):
        AuditResult.from_json(json.dumps(raw))


def test_a_result_nested_without_end_is_refused():
    with pytest.raises(InputError, match="nested too deeply"):
        AuditResult.from_json("[" * 200_000)


def test_a_result_with_a_flipped_bit_is_refused(tmp_path):
    path = a_result().save(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"schema", b"sch\xe5ma"))
    with pytest.raises(InputError, match=r"result\.json is not whole .*run the audit again"):
        AuditResult.load(tmp_path)


def test_a_notebook_shows_a_result_in_a_line_and_may_compare_it(tmp_path):
    result = a_result(subgroups=table("subgroups", [RECORD]))
    assert len(repr(result)) < 400
    assert "subgroups 1" in repr(result)
    assert result in [result]
    assert result not in [a_result()]
    assert len({result, result}) == 1
    assert result.save(str(tmp_path)).is_file()
    assert len(AuditResult.load(str(tmp_path)).subgroups) == 1
