"""The Cohorts page and marks on faces without a browser: logic, URL, files, hostile names."""

import csv
import io
import json
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from audit_folder import write_audit_folder
from dashboard_app import visit_dashboard, words
from example_result import example_faces

from audit.lines import append_line
from audit.marked import new_mark, read_marks
from audit.words import count
from reports import cohorts_page, kept
from reports.cohort_names import LONGEST, fault_of

ROOT = Path(__file__).parents[1]
HOSTILE = "<img src=x onerror=alert(1)>"
BLACK = {"name": "Black faces", "where": {"race": ["Black"]}}
WOMEN = {"name": "women", "where": {"gender_true": ["female"]}}


@pytest.fixture
def audit(tmp_path):
    folder = tmp_path / "audit"
    return folder, write_audit_folder(folder, n=600, pictures=0)


@pytest.fixture
def visit(monkeypatch):
    return partial(visit_dashboard, monkeypatch, page="cohorts")


@pytest.fixture
def read_only(monkeypatch):
    """Folders in which nothing can be written; whoever runs the tests may be root."""

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(kept, "append_line", refuse)


def keep(folder, *records):
    for record in records:
        append_line(folder / "user" / "cohorts.jsonl", record)


def name(app, words):
    app.text_input(key="name of a cohort").set_value(words)
    next(b for b in app.button if b.label == "Keep").click()
    return app.run()


# Cohorts -------------------------------------------------------------------------------------


def test_without_a_cohort_the_page_says_what_to_do(audit, visit):
    app = visit(audit[0])
    assert not app.exception
    assert "No cohort has been named yet" in words(app)


def test_without_faces_the_page_says_why(audit, visit):
    (audit[0] / "predictions.parquet").unlink()
    assert "There are no faces to compare" in words(visit(audit[0]))


def test_a_filter_that_is_named_is_kept_in_a_file_and_compared(audit, visit):
    folder, faces = audit
    app = name(visit(folder, page="", race="Black"), "  Black   faces ")
    assert not app.exception
    assert "“Black faces” is a cohort now. It is kept in user/cohorts.jsonl" in words(app)
    (line,) = (folder / "user" / "cohorts.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line) | {"time": ""} == {"time": "", **BLACK}
    app.button(key="compare").click().run()
    assert not app.exception
    assert "Cohorts</h1>" in words(app)
    assert app.selectbox(key="first cohort").value == "Black faces"
    n = int((faces.race == "Black").sum())
    assert f"{count(n)} faces" in words(app)
    assert f"{count(600 - n)} faces" in words(app)


def test_the_choice_lives_in_the_url(audit, visit):
    folder, _ = audit
    keep(folder, BLACK, WOMEN)
    app = visit(folder, first="women", second="Black faces")
    assert app.selectbox(key="first cohort").value == "women"
    assert app.selectbox(key="second cohort").value == "Black faces"
    app.selectbox(key="second cohort").select("everyone").run()
    assert app.query_params == {"first": "women", "second": "everyone"}
    assert "faces in both cohorts: counted in both" in words(app)
    app.selectbox(key="first cohort").select("Black faces").run()
    assert app.query_params == {"second": "everyone"}, "a page written on arrival stops Back"
    again = visit(folder, first="gone", second=HOSTILE)
    assert not again.exception
    assert again.selectbox(key="second cohort").value == "everyone else"
    assert "no first cohort “gone” here" in words(again)
    assert "no second cohort “" in words(again)


def test_the_figures_are_those_of_the_comparison(audit, visit):
    folder, faces = audit
    keep(folder, BLACK)
    text = words(visit(folder))
    mae = faces.error.abs().groupby(faces.race == "Black").mean()
    assert f"<b>{mae[True]:.1f}</b>" in text
    assert f"<b>{mae[False]:.1f}</b>" in text
    assert f"<b>{mae[True] - mae[False]:+.1f} years</b>" in text
    assert "Verdicts are corrected (Holm)" in text


def test_the_filter_in_force_can_be_compared_without_a_name(audit, visit):
    app = visit(audit[0], race="Black")
    assert app.selectbox(key="first cohort").value == "the filter above"
    assert app.query_params["race"] == "Black"
    assert 'class="counts cohorts"' in words(app)


def test_faces_chosen_by_what_the_model_did_are_not_tested_and_it_is_said(audit, visit):
    text = words(visit(audit[0], gender_call="wrong"))
    assert "chosen by what the model did (gender call)" in text
    assert "difference found" not in text


@pytest.mark.parametrize(
    ("query", "by"),
    [
        ({"error": "5..200"}, "error"),
        ({"area": "age_true,age_pred,0 0,120 0,120 60"}, "age pred"),
    ],
)
def test_spans_and_outlines_of_what_the_model_did_are_not_tested_either(audit, visit, query, by):
    text = words(visit(audit[0], **query))
    assert "chosen by what the model did" in text
    assert by in text
    assert "difference found" not in text


def test_a_span_that_is_named_is_the_same_cohort_after_a_reload(audit, visit):
    folder, faces = audit
    keep(folder, {"name": "grown up", "where": {"age_true": ["18..120"]}})
    text = words(visit(folder, first="grown up", second="everyone else"))
    n = int((faces.age_true >= 18).sum())
    assert f"{count(n)} faces" in text
    assert "true age, years <b>18 to" in text


@pytest.mark.parametrize(
    ("where", "second", "said"),
    [
        ({"race": ["unknown"]}, "everyone else", "Fewer than 30 people in the first cohort"),
        ({"race": ["Martian"]}, "everyone else", "Nobody is in the first cohort"),
        ({"race": ["Martian"]}, "odd", "Nobody is in the first cohort"),
        ({"race": ["Black"]}, "odd", "Both cohorts hold the same faces"),
        ({"race": ["Black", "White", "Asian", "Indian", "Other"]}, "everyone", "too few to tell"),
    ],
)
def test_what_cannot_be_compared_is_said(audit, visit, where, second, said):
    folder, _ = audit
    keep(folder, {"name": "odd", "where": where})
    app = visit(folder, first="odd", second=second)
    assert not app.exception
    assert said in words(app)
    assert "<b>difference found" not in words(app)


def test_a_cohort_can_be_set_as_filter_seen_and_forgotten(audit, visit):
    folder, faces = audit
    keep(folder, BLACK, WOMEN)
    app = visit(folder)
    app.button(key="show 1").click().run()
    assert app.multiselect(key="filter gender_true").value == ["female"]
    app.button(key="forget 0").click().run()
    assert list(cohort_options(app)) == ["the filter above", "women"]
    app.selectbox(key="first cohort").select("women").run()
    app.button(key="see first cohort").click().run()
    assert f"<b>{(faces.gender_true == 'female').sum()}</b> of 600 faces" in words(app)
    assert "Errors</h1>" in words(app)
    lines = (folder / "user" / "cohorts.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[-1])["where"] is None


def cohort_options(app):
    return app.selectbox(key="first cohort").options


def test_where_nothing_can_be_written_cohorts_live_in_the_url_and_it_is_said(
    audit, visit, read_only
):
    folder, _ = audit
    app = name(visit(folder, page="", race="Black"), "Black faces")
    assert "kept in this page's address only" in words(app).replace("&#x27;", "'")
    assert not (folder / "user").exists()
    text = app.query_params["cohort"]
    assert json.loads(text) == BLACK
    again = visit(folder, cohort=text)  # a reload, in a session of its own
    assert list(cohort_options(again)) == ["Black faces"]
    again.button(key="forget 0").click().run()
    assert "cohort" not in again.query_params
    assert "No cohort has been named yet" in words(again)


def test_what_the_url_brings_is_no_more_than_names_and_levels(audit, visit):
    bad = ["{", "[]", '{"name": "x"}', '{"name": "x", "where": {"race": "Black"}}', '{"where": 3}']
    app = visit(audit[0], cohort=bad)
    assert not app.exception
    assert "No cohort has been named yet" in words(app)


def test_damaged_lines_and_strange_columns_are_passed_over_and_said(audit, visit):
    folder, _ = audit
    keep(folder, BLACK, {"name": "hair", "where": {HOSTILE: ["red"]}})
    with (folder / "user" / "cohorts.jsonl").open("a", encoding="utf-8") as handle:
        handle.write('{"name": 3}\nnonsense\n')
    app = visit(folder)
    assert not app.exception
    assert "Line 4 of cohorts.jsonl is passed over: it is not JSON." in words(app)
    assert "“hair” is passed over: this audit does not know" in words(app)
    assert HOSTILE not in words(app)
    assert list(cohort_options(app)) == ["Black faces"]


@pytest.mark.parametrize(
    "words", ["", "x" * (LONGEST + 1), "everyone", "Everyone else", "two\nlines", "a\x1b[31m"]
)
def test_names_that_cannot_be_had(words):
    assert fault_of(words)


def test_a_name_that_cannot_be_had_is_said_and_not_kept(audit, visit):
    app = name(visit(audit[0], page="", race="Black"), "Everyone")
    assert "is a word of this page" in words(app)
    assert not (audit[0] / "user").exists()


def test_a_name_that_is_taken_is_not_taken_over(audit, visit):
    folder, _ = audit
    keep(folder, BLACK)
    app = name(visit(folder, page="", race="White"), "Black faces")
    assert "There is a cohort “Black faces”" in words(app)
    assert len((folder / "user" / "cohorts.jsonl").read_text(encoding="utf-8").splitlines()) == 1


def test_names_are_text_never_markup_nor_formulas(audit, visit, monkeypatch):
    folder, faces = audit
    faces.loc[0, "sample_id"] = "=1+1"
    faces.to_parquet(folder / "predictions.parquet", index=False)
    keep(folder, {"name": HOSTILE, "where": {"race": ["Black", "White", "Asian"]}})
    given = {}
    monkeypatch.setattr(
        cohorts_page.st, "download_button", lambda *_, data, key, **__: given.update({key: data})
    )
    app = visit(folder, second="everyone")
    assert not app.exception
    assert HOSTILE not in words(app)
    assert "&lt;img src=x" in words(app)
    text = given["faces second cohort"]().decode("utf-8-sig")
    cells = [cell for line in csv.reader(io.StringIO(text)) for cell in line]
    assert "'=1+1" in cells
    assert "=1+1" not in cells
    listed = pd.read_csv(io.BytesIO(given["faces first cohort"]()))
    assert set(listed.race) == {"Black", "White", "Asian"}


def test_a_folder_with_a_part_of_the_faces_lists_them_and_compares_none(audit, visit):
    folder, faces = audit
    keep(folder, BLACK)
    faces[:300].to_parquet(folder / "predictions.parquet", index=False)
    app = visit(folder)
    assert not app.exception
    assert "their figures would not be true of all" in words(app)


def test_the_calibration_pages_choices_are_not_forgotten_on_the_cohorts_page(audit, visit):
    keep(audit[0], BLACK)
    app = visit(audit[0], page="calibration", part="Threshold", threshold="0.80")
    app.session_state["page asked for"] = "cohorts"
    app.run()
    assert app.query_params == {}
    app.session_state["page asked for"] = "calibration"
    app.run()
    assert app.slider(key="threshold").value == 0.8
    assert app.query_params == {"part": "Threshold", "threshold": "0.80"}


# Marks ---------------------------------------------------------------------------------------


def open_face(visit, folder, face):
    return visit(folder, page="errors", face=face)


def mark(app, kind, why):
    """Mark the opened face."""
    next(r for r in app.radio if r.label == "It is").set_value(kind)
    next(t for t in app.text_input if t.label == "Why").set_value(why)
    next(b for b in app.button if b.label == "Mark").click()
    return app.run()


def test_a_face_is_marked_listed_and_taken_back(audit, visit):
    folder, _ = audit
    app = mark(open_face(visit, folder, "s00003"), "out of scope", HOSTILE)
    assert not app.exception
    assert "Marked <b>out of scope</b>: &lt;img src=x" in words(app)
    assert HOSTILE not in words(app)
    file = folder / "user" / "marks.jsonl"
    assert {i: (m.kind, m.reason) for i, m in read_marks(file).items()} == {
        "s00003": ("out of scope", HOSTILE)
    }
    data = visit(folder, page="data")
    assert "1 marked" in words(data)
    assert HOSTILE not in words(data)
    data.button(key="see mark 0").click().run()
    assert "Marked <b>out of scope</b>" in words(data)
    data.button(key="unmark").click().run()
    assert "Marked" not in words(data)
    assert read_marks(file) == {}
    assert len(file.read_text(encoding="utf-8").splitlines()) == 2, "nothing is ever erased"


def test_marks_are_taken_back_in_the_list_too(audit, visit):
    folder, _ = audit
    for face in ("s00001", "s00002"):
        append_line(
            folder / "user" / "marks.jsonl", new_mark(face, "mislabelled", "=HYPERLINK()").record()
        )
    app = visit(folder, page="data")
    assert "2 marked" in words(app)
    app.button(key="take back 0").click().run()  # the last one set stands first
    assert list(read_marks(folder / "user" / "marks.jsonl")) == ["s00001"]


def test_where_nothing_can_be_written_marks_live_in_the_session_and_it_is_said(
    audit, visit, read_only
):
    folder, _ = audit
    app = mark(open_face(visit, folder, "s00003"), "mislabelled", "a boy")
    assert "Marked <b>mislabelled</b>: a boy" in words(app)
    assert "marks are kept in this session only" in words(app)
    assert not (folder / "user").exists()
    app.button(key="unmark").click().run()
    assert "Marked <b>" not in words(app)


def test_damaged_marks_are_passed_over_and_said(audit, visit):
    folder, _ = audit
    (folder / "user").mkdir()
    (folder / "user" / "marks.jsonl").write_text("{\n", encoding="utf-8")
    app = visit(folder, page="data")
    assert not app.exception
    assert "Line 1 of marks.jsonl is passed over: it is not JSON." in words(app)


def test_a_cohort_of_an_age_only_audit_is_compared_on_age(tmp_path, visit):
    faces = example_faces(400)
    folder = tmp_path / "audit"
    write_audit_folder(folder, faces=faces, pictures=0)
    faces.drop(columns=[c for c in faces if c.startswith("gender")]).to_parquet(
        folder / "predictions.parquet"
    )
    keep(folder, BLACK)
    app = visit(folder)
    assert not app.exception
    assert "Mean absolute age error" in words(app)
    assert "Gender accuracy" not in words(app)


def test_a_file_in_the_place_of_the_folder_loses_nothing(audit, visit):
    folder, _ = audit
    (folder / "user").write_text("not a folder")
    app = mark(open_face(visit, folder, "s00003"), "mislabelled", "a boy")
    assert "Marked <b>mislabelled</b>: a boy" in words(app)
    assert "marks are kept in this session only" in words(app)
    app = name(visit(folder, page="", race="Black"), "Black faces")
    assert not app.exception
    assert json.loads(app.query_params["cohort"]) == BLACK
