"""Which faces are asked for: levels, spans and outlines, in the bar and in the URL."""

from shutil import copy2

import numpy as np
import pytest
import streamlit as st
from audit_folder import write_audit_folder
from dashboard_app import SCRIPT, words
from example_result import example_faces, example_result
from streamlit.testing.v1 import AppTest

from audit.rows import open_rows
from reports.asking import Filter, filters_of
from reports.ranges import plain_label


def test_every_feature_in_the_rows_is_a_filter_and_what_went_wrong_too(tmp_path):
    write_audit_folder(tmp_path / "audit", n=80, pictures=0)
    found = filters_of(example_result(), open_rows(tmp_path / "audit"))
    assert [f.column for f in found] == [
        *("race", "gender_true", "age_group", "age_group_pred", "age_reading", "gender_call"),
        *("gender_pred", "age_true", "age_pred", "gender_score", "error"),
    ]


@pytest.mark.parametrize("name", ["sort", "page", "face", "pictures", "embed"])
def test_a_column_named_as_a_setting_keeps_the_setting_intact(name):
    assert Filter(name, name, ()).param != name
    assert Filter("race", "race", ()).param == "race"


def test_the_url_sets_the_filter_and_the_bar_says_how_many_remain(audit, visit):
    folder, faces = audit
    app = visit(folder, page="errors", race=["Black", "Asian"], gender_true="female")
    remaining = int((faces.race.isin(["Black", "Asian"]) & (faces.gender_true == "female")).sum())
    assert f"<b>{remaining}</b> of 600 faces" in words(app)
    assert app.multiselect(key="filter race").value == ["Black", "Asian"]


def test_what_the_url_asks_for_in_vain_is_told_until_something_else_is_asked(audit, visit):
    vain = {"sort": "best", "by": "race", "hair": "red"}
    app = visit(audit[0], page="errors", race=["Martian", "<b>"], **vain)
    assert not app.exception
    assert "All 600 faces" in words(app)
    assert "asks for what is not here: race “Martian”; race “&lt;b&gt;”; " in words(app)
    assert "; by “race”; hair “red”; order “best”." in words(app)
    app = visit(audit[0], page="errors", age_true="50..20", error="old", area="age_true,age_pred,1")
    assert "All 600 faces" in words(app)
    for what in ("“50..20”", "“old”", "the outline."):
        assert what in words(app)
    app.multiselect(key="filter race").select("Black").run()
    assert "not here" not in words(app)


@pytest.mark.parametrize(("page", "said"), [("nopage", "page “nopage”."), ("data", ""), ("", "")])
def test_a_page_that_is_not_there_is_told(audit, visit, monkeypatch, page, said):
    monkeypatch.setattr(type(st.context), "url", f"http://127.0.0.1:8501/{page}")
    told = words(visit(audit[0]))
    assert ("asks for what is not here" in told) == bool(said)
    assert said in told


def test_what_is_asked_for_in_vain_is_told_where_there_are_no_rows_and_no_bar(
    audit, visit, tmp_path
):
    copy2(audit[0] / "result.json", tmp_path)
    assert "not here: race “Black”." in words(visit(tmp_path, race="Black"))


def test_a_page_of_faces_that_cannot_be_is_told(audit, monkeypatch):
    monkeypatch.setattr("sys.argv", ["streamlit_app.py", str(audit[0])])
    app = AppTest.from_file(str(SCRIPT), default_timeout=120)
    app.query_params["page"] = "-4"
    assert "not here: page “-4” of the faces." in words(app.run())


def test_choosing_a_level_narrows_writes_the_url_and_clear_takes_it_back(audit, visit):
    folder, faces = audit
    app = visit(folder)
    app.multiselect(key="filter race").select("Black").run()
    assert f"<b>{int((faces.race == 'Black').sum())}</b> of 600 faces" in words(app)
    assert app.query_params == {"race": "Black"}
    app.button(key="clear_filters").click().run()
    assert "All 600 faces" in words(app)
    assert app.query_params == {}


def test_the_filter_holds_on_every_page(audit, visit):
    for page in ("", "calibration", "data"):
        app = visit(audit[0], page=page, race="Black")
        assert app.multiselect(key="filter race").value == ["Black"]
        assert "race <b>Black</b>" in words(app)


def test_figures_say_that_they_show_the_whole_audit_while_a_filter_is_set(audit, visit):
    assert "Figures show the whole audit" in words(visit(audit[0], page="subgroups", race="Black"))
    assert "Figures show the whole audit" not in words(visit(audit[0], page="subgroups"))


def test_a_filter_that_keeps_no_face_says_what_to_do(audit, visit):
    folder, _ = audit
    app = visit(folder, page="errors", race="unknown", age_group="70+", gender_call="wrong")
    assert "No face fits this filter" in words(app)


def test_spans_and_outlines_live_in_the_url_and_narrow_the_faces(audit, visit):
    folder, faces = audit
    area = "age_true,error,0 5,120 5,120 200,0 200"
    app = visit(folder, page="errors", age_pred="20..40.5", area=area)
    wanted = int((faces.age_pred.between(20, 40.5) & (faces.error > 5)).sum())
    assert f"<b>{wanted}</b> of 600 faces" in words(app)
    assert app.query_params["age_pred"] == "20..40.5"
    app.button(key="chip area").click().run()
    assert f"<b>{faces.age_pred.between(20, 40.5).sum()}</b> of 600 faces" in words(app)
    app.button(key="chip age_pred").click().run()
    assert "All 600 faces" in words(app)
    assert app.query_params == {}


@pytest.mark.parametrize(
    "query",
    [
        {"age_pred": "x..3"},
        {"age_pred": "40..20"},
        {"age_pred": "nan..nan"},
        {"area": "age_true,error,1 1,2 2"},
        {"area": "age_true,race,1 1,2 2,3 3"},
        {"area": "age_true,error,1 1,2 2,inf 3"},
        {"area": ","},
    ],
)
def test_a_span_or_an_outline_that_is_none_is_ignored(audit, visit, query):
    app = visit(audit[0], page="errors", **query)
    assert not app.exception
    assert "All 600 faces" in words(app)


def test_a_slider_asks_for_a_span_and_its_whole_width_for_all(audit, visit):
    folder, faces = audit
    app = visit(folder, page="errors")
    box = app.slider(key="slider filter error")
    assert (box.step, box.proto.format) == (0.1, "%.1f"), "years with one decimal"
    low, high = box.value
    box.set_value((0.0, high)).run()
    assert f"<b>{(faces.error >= 0).sum()}</b> of 600 faces" in words(app)
    app.slider(key="slider filter error").set_value((low, high)).run()
    assert "All 600 faces" in words(app)


def test_conditions_that_the_audit_did_not_name_are_filters_all_the_same(tmp_path, visit):
    folder = tmp_path / "audit"
    faces = example_faces(100)
    faces["picture_brightness"] = np.linspace(0, 1, 100)
    faces["picture_copy"] = ["near"] * 10 + ["none"] * 90
    write_audit_folder(folder, faces=faces, pictures=0)
    app = visit(folder, page="errors", picture_brightness="0..0.5", picture_copy="near")
    assert "<b>10</b> of 100 faces: picture copy <b>near</b>" in words(app)
    assert "picture brightness <b>0 to 0.5</b>" in words(app)


def test_chips_say_names_from_the_data_as_text():
    said = plain_label("[a](javascript:x) <b>_*`$1$ :red[x]")
    for sign in "[]()<>_*`$:":
        assert said.count("\\" + sign) == "[a](javascript:x) <b>_*`$1$ :red[x]".count(sign)
