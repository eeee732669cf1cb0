"""The dashboard's logic without a browser: cards, thumbnails, filters, and each page by AppTest."""

import csv
import io
import json
import os
import re
import socket
import tarfile
from functools import partial
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import streamlit.config
from audit_folder import write_audit_folder
from dashboard_app import visit_dashboard, words
from example_result import example_faces, example_result
from PIL import EpsImagePlugin, Image

from audit import AuditSettings, run_audit
from audit.errors import InputError
from audit.merging import merge_sites
from audit.result import AuditResult
from audit.rows import draw_points, open_rows, quantiles
from audit.sites import tally_site
from audit.synthetic import Plant, synthetic_predictions
from audit.tally_file import write_tally
from audit.where import Area, Span
from audit.words import count, score
from reports import charts, pages, serve, thumbnails
from reports.asking import Filter, filters_of
from reports.face_map import MAPS, scatter_of, selected
from reports.faces_page import PAGE_SIZE
from reports.figures import SECTIONS
from reports.gallery import age_words, card, error_words, gender_words, spoken
from reports.pointing import Pointed, levels_of, pointed_at
from reports.ranges import MOST_CORNERS, area_url, plain_label, read_area
from reports.tables import as_csv, file_name
from reports.thumbnails import images_folder, picture_path
from reports.thumbnails import thumbnails as make_thumbnails

ROOT = Path(__file__).parents[1]
HOSTILE = "<img src=x onerror=alert(1)>"


# Cards ---------------------------------------------------------------------------------------

FACE = {
    "sample_id": "s1",
    "age_true": 23.0,
    "age_pred": 31.25,
    "error": 8.25,
    "age_low": 20.0,
    "age_high": 45.0,
    "gender_true": "female",
    "gender_pred": "male",
    "gender_score": 0.12,
    "race": "Black",
}


def drawn_card(face, **options):
    return card(face, picture=None, features=["race"], missing="no picture", **options)


def test_a_card_says_truth_reading_error_call_and_score():
    shown = drawn_card(FACE)
    assert (shown["age"], shown["error"]) == ("23 → 31.2", "+8.2")
    assert (shown["gender"], shown["score"], shown["wrong"]) == ("female → male", ".120", True)
    assert shown["groups"] == "Black"


def test_the_interval_stands_in_percent_of_its_axis_and_says_whether_it_holds_the_truth():
    assert drawn_card(FACE)["interval"] == [20.0, 45.0, 23.0]
    assert drawn_card(FACE)["covered"]
    assert not drawn_card(FACE | {"age_true": 60.0})["covered"]
    assert drawn_card(FACE, oldest=125.0)["interval"] == [16.0, 36.0, 18.4]


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_card_leaves_out_what_a_row_lacks(missing):
    bare = {"sample_id": "s1"} | dict.fromkeys([c for c in FACE if c != "sample_id"], missing)
    shown = drawn_card(bare)
    assert (shown["age"], shown["error"], shown["gender"], shown["score"]) == ("", "", "", "")
    assert shown["interval"] is None
    assert spoken(bare) == "Face s1"


def test_a_card_is_a_sentence_for_those_who_hear_it():
    assert spoken(FACE) == (
        "Face s1; aged 23, read 31.2, 8.2 years too old; gender female called male, wrong; "
        "P(female) .120"
    )
    right = spoken({"sample_id": "s1", "age_true": 23.0, "age_pred": 23.0, "error": 0.0})
    assert right == "Face s1; aged 23, read 23.0, right to a tenth"


@pytest.mark.parametrize(("label", "wrong"), [("female", False), ("male", True), ("other", False)])
def test_a_call_is_wrong_only_against_one_of_two_labels(label, wrong):
    assert gender_words({"gender_true": label, "gender_pred": "female"})[1] is wrong


def test_minus_signs_are_minus_signs():
    assert error_words({"error": -8.0}) == "−8.0"
    assert age_words({"age_true": 1.5, "age_pred": -3.0}) == "1.5 → −3.0"


def test_the_gallery_sets_words_as_text_never_as_markup():
    script = files("reports").joinpath("gallery.js").read_text(encoding="utf-8")
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"):
        assert way not in script


# Thumbnails ----------------------------------------------------------------------------------


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "faces"
    folder.mkdir()
    Image.new("RGB", (400, 300), (200, 30, 30)).save(folder / "a.jpg")
    Image.new("RGB", (40, 40)).save(tmp_path / "secret.jpg")
    return folder


@pytest.mark.parametrize(
    "name", ["../secret.jpg", "a.jpg/../../secret.jpg", "x\0.jpg", "x" * 300, ".", "", "none.jpg"]
)
def test_a_picture_outside_the_folder_is_not_shown(images, name):
    assert picture_path(images, name) is None
    assert make_thumbnails(images, [name], cache=None) == [None]


def test_neither_a_whole_path_nor_a_link_leads_out_of_the_folder(images):
    secret = images.parent / "secret.jpg"
    (images / "link.jpg").symlink_to(secret)
    assert picture_path(images, str(secret)) is None
    assert picture_path(images, "link.jpg") is None
    assert picture_path(images, "a.jpg") == images / "a.jpg"


@pytest.mark.parametrize("name", ["ünï—cødé 😀.jpg", "new\nline.jpg", "<b>&.jpg", "sub/é.jpg"])
def test_a_picture_may_bear_any_name(images, name):
    (images / name).parent.mkdir(exist_ok=True)
    (images / name).write_bytes((images / "a.jpg").read_bytes())
    assert make_thumbnails(images, [name], cache=None)[0].startswith("data:image/jpeg;base64,")


def test_a_thumbnail_is_made_once_and_read_from_the_cache_ever_after(images, tmp_path, monkeypatch):
    cache = tmp_path / "audit" / "cache"
    first = make_thumbnails(images, ["a.jpg"], cache=cache)
    assert len(list(cache.rglob("*.jpg"))) == 1
    thumbnails._kept.cache_clear()  # another process
    monkeypatch.setattr(thumbnails, "_encode", lambda *_: pytest.fail("encoded again"))
    assert make_thumbnails(images, ["a.jpg"], cache=cache) == first


def test_a_changed_picture_has_a_new_thumbnail(images, tmp_path):
    first = make_thumbnails(images, ["a.jpg"], cache=tmp_path / "cache")
    Image.new("RGB", (400, 300), (0, 0, 250)).save(images / "a.jpg")
    os.utime(images / "a.jpg", (1, 1))
    assert make_thumbnails(images, ["a.jpg"], cache=tmp_path / "cache") != first


def test_a_folder_that_cannot_be_written_costs_only_the_cache(images, tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert make_thumbnails(images, ["a.jpg"], cache=tmp_path / "file" / "cache")[0]


def test_broken_and_huge_pictures_are_no_pictures(images, monkeypatch):
    (images / "cut.jpg").write_bytes((images / "a.jpg").read_bytes()[:400])
    (images / "empty.jpg").write_bytes(b"")
    (images / "text.jpg").write_text("not a picture")
    names = ["cut.jpg", "empty.jpg", "text.jpg"]
    assert make_thumbnails(images, names, cache=None) == [None] * 3
    (images / "script.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("was run"))
    assert make_thumbnails(images, ["script.jpg"], cache=None) == [None]
    with tarfile.open(images / "faces.tar", "w") as tar:
        tar.add(images / "a.jpg", "a.jpg")
    assert make_thumbnails(images, ["faces.tar/a.jpg"], cache=None)[0]
    thumbnails._kept.cache_clear()
    monkeypatch.setattr(thumbnails, "MAX_BYTES", 100)  # told by the tar, before it is unpacked
    assert make_thumbnails(images, ["faces.tar/a.jpg"], cache=None) == [None]
    monkeypatch.setattr(thumbnails, "MOST_PIXELS", 100)
    thumbnails._kept.cache_clear()
    assert make_thumbnails(images, ["a.jpg"], cache=None) == [None]


def test_a_turned_picture_stands_upright_and_carries_no_metadata(images):
    picture = Image.new("RGB", (80, 40), (250, 250, 250))
    picture.paste((0, 0, 0), (0, 0, 40, 40))  # left half black
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned a quarter to the right: black on top
    picture.save(images / "turned.jpg", exif=exif)
    data = thumbnails._encode(images / "turned.jpg", 80)
    (images / "out.jpg").write_bytes(data)
    with Image.open(images / "out.jpg") as shown:
        assert shown.size == (40, 80)
        assert max(shown.getpixel((20, 10))) < 40
        assert min(shown.getpixel((20, 70))) > 200
        assert not shown.getexif()


# Filters -------------------------------------------------------------------------------------


def test_a_crossing_is_taken_apart_by_the_levels_there_are_not_by_splitting():
    result = example_result()
    result.info["features"][0]["levels"].append("Black × Asian")
    group = "Black × Asian × female"
    found = levels_of(result, "race × gender_true", group)
    assert found == {"race": "Black × Asian", "gender_true": "female"}
    assert levels_of(result, "race", "Black") == {"race": "Black"}
    assert levels_of(result, "overall", "overall") == {}
    assert levels_of(result, "race", "Martian") is None
    assert levels_of(result, "site × race", "A × Black") is None


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


# Clicks --------------------------------------------------------------------------------------


def figure_of(result, key):
    return next(d for s in SECTIONS for d in s.figures(result) if d.key == key)


@pytest.mark.parametrize(
    ("key", "point", "pointed"),
    [
        ("forest-race-age_mae", {"customdata": "Black"}, ("race", "Black", "age_mae")),
        (
            "crossing-race × gender_true-age_mae",
            {"customdata": ["Black × female"]},
            ("race × gender_true", "Black × female", "age_mae"),
        ),
        ("age-age_me", {"customdata": "70+", "curve_number": 0}, ("age_group", "70+", "age_me")),
        (
            "age-age_me",
            {"customdata": "70+", "curve_number": 1},
            ("age_group_pred", "70+", "age_me"),
        ),
    ],
)
def test_a_click_points_at_a_group_by_name(key, point, pointed):
    assert pointed_at(figure_of(example_result(), key), point) == Pointed(*pointed)


def test_a_click_beside_a_group_points_at_nothing():
    assert pointed_at(figure_of(example_result(), "forest-race-age_mae"), {"x": 1.0}) is None


@pytest.mark.parametrize("key", ["forest-race-age_mae", "crossing-race × gender_true-age_mae"])
def test_every_group_of_a_figure_can_be_pointed_at(key):
    drawn = figure_of(example_result(), key)
    named = {n for t in drawn.figure.data if t.customdata is not None for n in t.customdata}
    shown = drawn.table.group[drawn.table.value.notna()]
    assert set(shown) <= named


def test_every_section_of_the_report_stands_on_one_page_of_the_dashboard():
    placed = [key for keys in pages.PAGE_SECTIONS.values() for key in keys]
    assert sorted(placed) == sorted(s.key for s in SECTIONS)


# Serving -------------------------------------------------------------------------------------


def test_the_options_are_ones_that_streamlit_knows():
    known = set(streamlit.config._config_options_template)
    assert set(serve.settings(8501)) <= known


def test_the_options_keep_the_dashboard_on_this_machine():
    options = serve.settings(8501)
    assert options["server.address"] == "127.0.0.1"
    assert options["server.allowedHosts"] == ["localhost", "127.0.0.1"]
    assert options["browser.gatherUsageStats"] is False
    assert options["client.showErrorDetails"] == "none"


def test_a_folder_without_a_result_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(InputError, match=r"no result\.json"):
        serve.serve(tmp_path, port=None, browser=False)


@pytest.fixture
def taken():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_a_given_port_in_use_is_named(taken):
    with pytest.raises(InputError, match=f"port {taken} is in use"):
        serve._free_port(taken)


def test_without_a_port_the_next_free_one_is_taken(taken, monkeypatch):
    monkeypatch.setattr(serve, "FIRST_PORT", taken)
    assert taken < serve._free_port(None) < taken + 100


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_number_that_is_no_port_is_refused(port):
    with pytest.raises(InputError, match="is no port"):
        serve._free_port(port)


# Pages ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dashboard") / "audit"
    return folder, write_audit_folder(folder)


@pytest.fixture
def visit(monkeypatch):
    """Run the dashboard on a folder, with a query, at a page; the URL's path chooses the page."""
    return partial(visit_dashboard, monkeypatch)


@pytest.mark.parametrize("page", ["", "subgroups", "calibration", "errors", "data"])
def test_every_page_draws_without_an_exception(audit, visit, page):
    app = visit(audit[0], page=page)
    assert not app.exception
    title = {"": "Audit of example network"}.get(page, page.capitalize())
    assert f">{title}</h1>" in words(app)


@pytest.mark.parametrize(
    ("kind", "page"),
    [
        ("untested", ""),
        ("untested", "subgroups"),
        ("age only", "errors"),
        ("no pictures", "errors"),
        ("no rows", "errors"),
        ("no rows", "data"),
        ("no groups", "subgroups"),
        ("no groups", "calibration"),
    ],
)
def test_every_page_draws_what_an_audit_has(tmp_path, visit, kind, page):
    folder = tmp_path / "audit"
    faces = write_audit_folder(folder, n=300, pictures=0, tested=kind != "untested")
    if kind == "age only":
        faces.drop(columns=[c for c in faces if c.startswith("gender")]).to_parquet(
            folder / "predictions.parquet"
        )
    if kind == "no rows":
        (folder / "predictions.parquet").unlink()
    if kind in ("no pictures", "no groups"):
        whole = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        whole["info"]["run"]["paths"]["images"] = None
        if kind == "no groups":
            for table in ("subgroups", "calibration", "coverage", "histograms", "findings"):
                whole[table] = [r for r in whole[table] if r["feature"] in ("overall", None)]
            whole["disparities"], whole["info"]["features"] = [], []
        (folder / "result.json").write_text(json.dumps(whole), encoding="utf-8")
    app = visit(folder, page=page)
    assert not app.exception
    assert "<h1" in words(app)


def test_pictures_are_found_beside_the_audit_and_where_it_was_run(tmp_path, monkeypatch):
    result = SimpleNamespace(info={"run": {"paths": {"images": "out/faces"}}})
    monkeypatch.chdir(tmp_path)
    assert images_folder(result, tmp_path / "out") is None
    run_here = tmp_path / "out" / "faces"
    run_here.mkdir(parents=True)
    assert images_folder(result, Path("out")).resolve() == run_here
    beside = tmp_path / "out" / "out" / "faces"
    beside.mkdir(parents=True)
    assert images_folder(result, tmp_path / "out") == beside


def test_the_slices_page_stands_where_there_are_slices_and_leads_to_their_faces(tmp_path, visit):
    folder = tmp_path / "audit"
    faces = write_audit_folder(folder, n=300, pictures=0)
    whole = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    found = {
        "feature": "race × gender_true",
        "group": "Black × female",
        "metric": "age_mae",
        "value": 9.1,
        "complement_value": 5.2,
        "difference": 3.9,
        "low": 2.5,
        "high": 5.3,
        "n": 60,
        "n_confirm": 30,
        "p_adjusted": 0.001,
    }
    whole["slices"] = [found | {"confirmed": c} for c in (True, False)]
    (folder / "result.json").write_text(json.dumps(whole), encoding="utf-8")
    app = visit(folder, page="slices")
    assert not app.exception
    ends = '<span class="whole">[+2.5, +5.3]</span>'
    assert f"9.1 years, 5.2 for everyone else: a difference of +3.9 years {ends}" in words(app)
    app.button(key="slice 0").click().run()
    wanted = ((faces.race == "Black") & (faces.gender_true == "female")).sum()
    assert f"<b>{wanted}</b> of 300 faces" in words(app)
    assert cards_of(app)
    whole["slices"] = [found | {"confirmed": False}]
    (folder / "result.json").write_text(json.dumps(whole), encoding="utf-8")
    app = visit(folder, page="slices")
    assert "0 of 1 nominated subgroups are confirmed" in words(app)
    assert not app.dataframe


WEAK = Plant({"race": "Black", "gender_true": "female"}, age_scale=2)


def test_of_a_slice_the_faces_are_told_whose_figure_it_is(tmp_path, visit):
    folder = tmp_path / "audit"
    audit_of(folder, synthetic_predictions(4000, seed=3, planted=[WEAK]))
    [row, *_] = [r for r in AuditResult.load(folder).slices.to_dict("records") if r["confirmed"]]
    told = f"tested on {count(row['n_confirm'])} of its {count(row['n'])} faces"
    assert told in words(visit(folder, page="slices"))


def audit_of(folder, table, **settings):
    """A true audit, as the command leaves it."""
    return run_audit(table, settings=AuditSettings(**settings), out=folder)


def test_a_table_of_genders_alone_is_asked_nothing_about_ages(tmp_path, visit):
    table = synthetic_predictions(400, seed=1)
    audit_of(tmp_path, table[["sample_id", "race", "gender_true", "gender_score"]])
    rows = open_rows(tmp_path)
    assert not {"error", "age_pred", "age_group_pred"} & {*rows.columns}
    app = visit(tmp_path, page="errors")
    assert not app.exception
    assert cards_of(app)
    assert "predicted age" not in words(app)


def test_a_feature_of_tiny_groups_says_why_nothing_is_drawn(tmp_path, visit):
    audit_of(tmp_path, synthetic_predictions(12, seed=1), by=("race",))
    app = visit(tmp_path, page="subgroups")
    assert not app.exception
    assert "No group of race has 10 people." in words(app)


@pytest.mark.parametrize("part", ["Gender scores", "Age intervals"])
def test_a_table_of_nine_faces_says_why_nothing_of_its_calibration_is_drawn(tmp_path, visit, part):
    audit_of(tmp_path, synthetic_predictions(9, seed=1), by=("race",))
    app = visit(tmp_path, page="calibration", part=part)
    assert not app.exception
    assert "too few people for any figure of this part" in words(app)


def test_comparisons_are_counted_alike_wherever_they_are_told(tmp_path, visit):
    table = synthetic_predictions(900, seed=1, planted=[WEAK])
    table["site"] = np.where(np.arange(900) < 880, "large", "small")  # no two groups of 30
    result = audit_of(tmp_path, table, by=("race", "gender_true", "site"))
    verdicts = result.disparities.verdict
    assert result.disparities.difference.isna().any()
    undecided = int((verdicts == "insufficient evidence").sum())
    assert f"{undecided} cannot be decided" in words(visit(tmp_path))
    shown = words(visit(tmp_path, page="subgroups"))
    assert f"{len(verdicts)} comparisons: " in shown
    assert f"{undecided} insufficient evidence" in shown


def test_a_finding_without_a_figure_is_a_sentence_all_the_same(tmp_path, visit):
    folder = tmp_path / "audit"
    write_audit_folder(folder, n=100, pictures=0)
    whole = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    bare = dict.fromkeys(whole["findings"][0]) | {"kind": "calibration", "severity": 2}
    whole["findings"] += [bare | {"sentence": f"Something {i} stands out."} for i in range(9)]
    (folder / "result.json").write_text(json.dumps(whole), encoding="utf-8")
    app = visit(folder)
    assert not app.exception
    assert "Something 0 stands out." in words(app)
    assert "Something 8 stands out." not in words(app)  # folded away


def test_without_rows_the_errors_page_says_what_to_do(tmp_path, visit):
    write_audit_folder(tmp_path / "audit", n=100, pictures=0)
    (tmp_path / "audit" / "predictions.parquet").unlink()
    assert "run the audit again" in words(visit(tmp_path / "audit", page="errors"))


def test_the_url_sets_the_filter_and_the_bar_says_how_many_remain(audit, visit):
    folder, faces = audit
    app = visit(folder, page="errors", race=["Black", "Asian"], gender_true="female")
    remaining = int((faces.race.isin(["Black", "Asian"]) & (faces.gender_true == "female")).sum())
    assert f"<b>{remaining}</b> of 600 faces" in words(app)
    assert app.multiselect(key="filter race").value == ["Black", "Asian"]


def test_what_the_url_asks_for_in_vain_is_told_until_something_else_is_asked(audit, visit):
    app = visit(audit[0], page="errors", race=["Martian", "<b>"], sort="best", hair="red")
    assert not app.exception
    assert "All 600 faces" in words(app)
    assert "asks for what is not here: race “Martian”; race “&lt;b&gt;”; hair “red”." in words(app)
    app.multiselect(key="filter race").select("Black").run()
    assert "not here" not in words(app)


def test_choosing_a_level_narrows_writes_the_url_and_clear_takes_it_back(audit, visit):
    folder, faces = audit
    app = visit(folder)
    app.multiselect(key="filter race").select("Black").run()
    assert f"<b>{int((faces.race == 'Black').sum())}</b> of 600 faces" in words(app)
    assert app.query_params == {"race": "Black"}
    app.button(key="clear_filters").click().run()
    assert "All 600 faces" in words(app)
    assert app.query_params == {}


def test_no_two_headings_of_the_subgroups_page_are_alike(audit, visit):
    shown = words(visit(audit[0], page="subgroups"))
    headings = re.findall(r"<h[12]>(.*?)</h[12]>", shown)
    assert headings[:2] == ["Subgroups", "By race"]
    assert len(set(headings)) == len(headings)


def test_the_heading_of_an_opened_face_can_be_heard(audit, visit):
    folder, faces = audit
    first = faces.iloc[0]
    shown = words(visit(folder, page="errors", face=first.sample_id))
    [heard] = re.findall(r'<h1 class="reading" aria-label="([^"]*)">', shown)
    assert heard.startswith(f"Face {first.sample_id}; aged {first.age_true:g}, read ")
    assert heard.endswith(f"P(female) {score(first.gender_score)}")


def test_the_filter_holds_on_every_page(audit, visit):
    for page in ("", "calibration", "data"):
        app = visit(audit[0], page=page, race="Black")
        assert app.multiselect(key="filter race").value == ["Black"]
        assert "race <b>Black</b>" in words(app)


def test_figures_say_that_they_show_the_whole_audit_while_a_filter_is_set(audit, visit):
    assert "Figures show the whole audit" in words(visit(audit[0], page="subgroups", race="Black"))
    assert "Figures show the whole audit" not in words(visit(audit[0], page="subgroups"))


def cards_of(app):
    """The cards of the one gallery on the page."""
    (gallery,) = app.main.get("bidi_component")
    return json.loads(gallery.proto.json)["cards"]


def test_the_gallery_lists_a_page_of_faces_the_most_wrong_first(audit, visit):
    folder, faces = audit
    order = faces.assign(size=-faces.error.abs()).sort_values(["size", "sample_id"]).sample_id
    app = visit(folder, page="errors")
    assert [c["id"] for c in cards_of(app)] == order[:PAGE_SIZE].tolist()
    app.button(key="next_top").click().run()
    assert [c["id"] for c in cards_of(app)] == order[PAGE_SIZE : 2 * PAGE_SIZE].tolist()
    assert app.query_params["page"] == "2"


def test_a_change_of_order_begins_at_the_first_page(audit, visit):
    app = visit(audit[0], page="errors")
    app.button(key="next_top").click().run()
    app.selectbox(key="sort").select("old").run()
    assert app.session_state["page"] == 1
    assert all(c["error"].startswith("+") for c in cards_of(app))


def test_a_page_past_the_end_is_the_last_one(audit, visit):
    app = visit(audit[0], page="errors", race="Other")
    app.session_state["page"] = 99
    app.run()
    assert cards_of(app)


def test_pictures_are_shown_and_can_be_hidden_everywhere(audit, visit):
    folder, _ = audit
    shown = cards_of(visit(folder, page="data"))
    assert any(c["picture"] for c in shown)
    app = visit(folder, page="data", pictures="hidden")
    assert app.toggle(key="hide pictures").value
    assert {c["picture"] for c in cards_of(app)} == {None}
    assert {c["missing"] for c in cards_of(app)} == {"picture hidden"}


def test_the_overview_shows_no_face(audit, visit):
    app = visit(audit[0])
    assert not app.main.get("bidi_component")
    assert "image/jpeg" not in words(app)


def test_an_opened_face_says_all_of_its_row(audit, visit):
    folder, faces = audit
    face = faces.iloc[5]
    app = visit(folder, page="errors")
    app.session_state["face"] = face.sample_id
    text = words(app.run())
    assert f">{age_words(face)} ({error_words(face)})</h1>" in text
    for value in (face.race, face.sample_id, face.image, face.gender_true):
        assert str(value) in text
    app.button(key="face_back").click().run()
    assert len(cards_of(app)) == PAGE_SIZE


def test_a_face_that_is_not_there_is_said_not_shown(audit, visit):
    app = visit(audit[0], page="errors")
    app.session_state["face"] = HOSTILE
    text = words(app.run())
    assert "No face in this audit has the id" in text
    assert HOSTILE not in text


def test_a_filter_that_keeps_no_face_says_what_to_do(audit, visit):
    folder, _ = audit
    app = visit(folder, page="errors", race="unknown", age_group="70+", gender_call="wrong")
    assert "No face fits this filter" in words(app)


@pytest.mark.parametrize("page", ["", "subgroups", "errors", "data"])
def test_names_from_the_data_are_text_never_markup(tmp_path, visit, page):
    faces = example_faces(300).replace({"race": {"Black": HOSTILE}})
    faces["image"] = HOSTILE
    folder = tmp_path / "audit"
    write_audit_folder(folder, faces=faces, pictures=0, tested=False)
    app = visit(folder, page=page, race=HOSTILE)
    assert not app.exception
    assert HOSTILE not in words(app)


@pytest.mark.parametrize("fault", ["gone", "cut", "other version"])
def test_an_audit_that_cannot_be_read_gives_a_message_and_a_way_back(tmp_path, visit, fault):
    folder = tmp_path / "audit"
    write_audit_folder(folder, n=100, pictures=0)
    app = visit(folder)
    whole = (folder / "result.json").read_text(encoding="utf-8")
    broken = {"cut": whole[: len(whole) // 2], "other version": '{"schema": 99}'}
    if fault == "gone":
        (folder / "result.json").unlink()
    else:
        (folder / "result.json").write_text(broken[fault], encoding="utf-8")
    app.run()
    assert not app.exception
    assert "This audit cannot be read" in words(app)
    (folder / "result.json").write_text(whole, encoding="utf-8")
    app.button(key="reload").click().run()
    assert "Audit of example network" in words(app)


def test_a_click_on_a_figure_of_an_audit_that_has_gone_ends_in_the_same_message(tmp_path, visit):
    folder = tmp_path / "audit"
    write_audit_folder(folder, n=100, pictures=0)
    app = visit(folder)
    button = next(b for b in app.button if b.label == "See the faces")
    folder.rename(tmp_path / "elsewhere")
    button.click().run()
    assert not app.exception
    assert "This audit cannot be read" in words(app)


def test_an_audit_written_again_is_shown_anew_and_said(tmp_path, visit):
    folder = tmp_path / "audit"
    write_audit_folder(folder, n=100, pictures=0)
    app = visit(folder)
    assert "written again" not in words(app)
    write_audit_folder(folder, n=120, pictures=0)
    app.run()
    assert "written again" in words(app)
    assert "All 120 faces" in words(app)


# Calibration ---------------------------------------------------------------------------------


def cells_of(app, *, column):
    """Group -> number in a column of the first table of counts."""
    (table, *_) = [h.proto.body for h in app.main.get("html") if 'class="counts"' in h.proto.body]
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</th>(.*?)</tr>", table)
    cells = {group: re.findall(r"<td>(.*?)</td>", rest) for group, rest in rows}
    return {group: row[column] for group, row in cells.items()}


def turn_to(app, part):
    """Choose a part of the Calibration page."""
    app.session_state["part of calibration"] = part
    return app.run()


@pytest.mark.parametrize("threshold", [0.05, 0.5, 0.93])
def test_the_counts_at_a_threshold_are_those_of_the_faces(audit, visit, threshold):
    folder, faces = audit
    app = visit(folder, page="calibration", part="Threshold")
    app.slider(key="threshold").set_value(threshold).run()
    assert not app.exception
    called = faces.gender_score >= threshold
    wanted = {
        1: called & (faces.gender_true == "female"),
        2: ~called & (faces.gender_true == "female"),
        5: called & (faces.gender_true == "male"),
        6: ~called & (faces.gender_true == "male"),
    }
    for column, hits in wanted.items():
        found = cells_of(app, column=column)
        assert found["all faces"] == count(hits.sum())
        assert found["Black"] == count((hits & (faces.race == "Black")).sum())


def test_the_threshold_the_groups_and_the_limit_live_in_the_url(audit, visit):
    app = visit(audit[0], page="calibration")
    assert app.query_params == {}
    app.multiselect(key="groups calibration").select("Black").select("Asian").run()
    turn_to(app, "Threshold").slider(key="threshold").set_value(0.8).run()
    turn_to(app, "Age limit").number_input(key="limit").set_value(21).run()
    wanted = {"groups": ["Black", "Asian"], "threshold": "0.80", "limit": "21"}
    assert app.query_params == wanted | {"part": "Age limit"}
    again = visit(audit[0], page="calibration", groups=["Black", "Asian"], threshold="0.80")
    assert again.multiselect(key="groups calibration").value == ["Black", "Asian"]
    titles = re.findall(r'class="figure-title">([^<]*) faces: MCB', words(again))
    assert [t.split(",")[0] for t in titles] == ["All faces", "Black", "Asian"]
    assert turn_to(again, "Threshold").slider(key="threshold").value == 0.8


def test_what_the_url_asks_of_the_calibration_page_in_vain_is_ignored(audit, visit):
    asked = {"groups": ["Martian", "Black"], "threshold": "7", "limit": "x", "by": "hair"}
    app = visit(audit[0], page="calibration", **asked, judged="beauty", part="Weather")
    assert not app.exception
    assert app.multiselect(key="groups calibration").value == ["Black"]
    assert app.query_params == {"groups": "Black"}
    assert turn_to(app, "Threshold").slider(key="threshold").value == 0.5
    assert turn_to(app, "Age limit").number_input(key="limit").value == 18
    assert app.query_params == {"groups": "Black", "part": "Age limit"}


def test_what_was_chosen_stays_while_one_looks_at_another_page(audit, visit):
    app = visit(audit[0], page="calibration", part="Threshold")
    app.slider(key="threshold").set_value(0.8).run()
    app.session_state["page asked for"] = "data"
    app.run()
    assert "threshold" not in app.query_params
    app.session_state["page asked for"] = "calibration"
    app.run()
    assert turn_to(app, "Threshold").slider(key="threshold").value == 0.8
    assert app.query_params["threshold"] == "0.80"


def test_another_feature_forgets_the_groups_of_the_last(audit, visit):
    app = visit(audit[0], page="calibration", groups="Black")
    app.button_group(key="by calibration").set_value("gender_true").run()
    assert app.multiselect(key="groups calibration").value == []
    assert "is not split by labelled gender" in words(app)
    assert app.query_params["by"] == "gender_true"


def test_the_counts_at_an_age_limit_are_those_of_the_faces(audit, visit):
    folder, faces = audit
    app = visit(folder, page="calibration", part="Age limit", limit="25")
    bodies = [h.proto.body for h in app.main.get("html") if "false acceptance" in h.proto.body]
    (first, *_) = re.findall(r'<th scope="row">all faces</th>(.*?)</tr>', bodies[0])
    found = re.findall(r"<td>([^<]*)", first)
    under, read = faces.age_true < 25, faces.age_pred < 25
    assert found[:2] == [count(under.sum()), count((under & ~read).sum())]
    assert found[3:5] == [count((~under).sum()), count((~under & read).sum())]


@pytest.mark.parametrize(
    ("without", "part", "said"),
    [
        (("coverage",), "Age intervals", "they need columns age_low and age_high"),
        (("scores", "reliability", "thresholds"), "Gender scores", "needs a column gender_score"),
        (("proposals",), "Corrections", "No correction was tried"),
        (
            ("scores", "reliability", "thresholds", "coverage", "age_thresholds"),
            *("", "states no prob"),
        ),
    ],
)
def test_what_an_audit_lacks_is_said_with_what_to_do(tmp_path, visit, without, part, said):
    folder = tmp_path / "audit"
    write_audit_folder(folder, n=200, pictures=0)
    whole = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    whole |= {name: [] for name in without}
    whole["calibration"] = [] if "coverage" in without else whole["calibration"]
    (folder / "result.json").write_text(json.dumps(whole), encoding="utf-8")
    app = visit(folder, page="calibration", part=part)
    assert not app.exception
    assert said in words(app)


def test_calibration_of_ages_alone_opens_with_their_intervals(visit, tmp_path):
    table = synthetic_predictions(300, seed=4).drop(columns="gender_score")
    run_audit(table, settings=AuditSettings(by=("race",)), out=tmp_path)
    app = visit(tmp_path, page="calibration")
    assert not app.exception
    tabs = [tab.label for tab in app.tabs]
    assert (tabs[0], tabs[-1]) == ("Age intervals", "Gender scores")
    assert "part=" not in str(app.query_params)
    assert "states no P(female)" not in words(app)


def test_a_table_to_download_holds_the_stored_numbers_and_no_formula():
    table = pd.DataFrame(
        {"group": ["=1+1", "Black", "@x", " -2", "+3"], "=value": [0.1, -0.25, 3, 4, 5]}
    )
    text = as_csv(table).decode("utf-8-sig")
    back = pd.read_csv(io.StringIO(text))
    assert back.iloc[:, 1].tolist() == table["=value"].tolist(), "numbers stay numbers"
    assert back.iloc[:, 0].tolist() == ["'=1+1", "Black", "'@x", "' -2", "'+3"]
    risky = ("=", "+", "-", "@")
    named = [cell for line in csv.reader(io.StringIO(text)) for cell in line]
    assert [c for c in named if c.strip().startswith(risky)] == ["-0.25"]
    assert file_name("calls at 0.50 by <img src=x>/..") == "calls-at-0-50-by-img-src-x"


@pytest.mark.parametrize(
    ("part", "table"),
    [
        ("Gender scores", "csv scores-race"),
        ("Threshold", "csv calls at 0.50 by race"),
        ("Age intervals", "csv age-interval_coverage"),
        ("Age limit", "csv age limit 18 by race"),
        ("Corrections", "csv proposal-overall-gender_brier"),
    ],
)
def test_every_figure_of_the_calibration_page_offers_its_table(
    audit, visit, monkeypatch, part, table
):
    given = {}
    monkeypatch.setattr(
        charts.st, "download_button", lambda *_, data, key, **__: given.update({key: data()})
    )
    app = visit(audit[0], page="calibration", groups="Black", part=part)
    for fold in app.main.get("expander"):
        if fold.label == "The numbers":
            key = "numbers" + fold.proto.id.partition("numbers")[2]
            app.session_state[key] = True
    app.run()
    assert table in given
    assert all(b"\n" in table for table in given.values())


@pytest.mark.parametrize("page", ["", "subgroups", "calibration", "errors", "data"])
def test_an_audit_of_counts_draws_every_page_and_says_where_its_faces_are(counted, visit, page):
    app = visit(counted, page=page)
    assert not app.exception
    assert "<h1" in words(app)
    if page in ("errors", "data"):
        assert "only counts were handed over" in words(app)
        assert "faceaudit audit" in words(app)


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counted")
    by = AuditSettings(by=("race", "gender_true", "age_group"))
    table = synthetic_predictions(600, seed=4)
    parts = {f"{i}": tally_site(table[i::2], by) for i in (0, 1)}
    run_audit(write_tally(merge_sites(parts), folder / "all.parquet"), out=folder / "audit")
    return folder / "audit"


# Spans, outlines, chips ----------------------------------------------------------------------


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


def test_a_lasso_is_thinned_until_it_fits_and_a_box_is_two_spans():
    turn = np.linspace(0, 2 * np.pi, 300, endpoint=False)
    drawn = {"lasso": [{"x": 50 + 20 * np.cos(turn), "y": 50 + 20 * np.sin(turn)}]}
    area = selected(MAPS["ages"], drawn)["area"]
    assert len(area.corners) == MOST_CORNERS
    assert read_area(area_url(area), ["age_true", "age_pred"]) == area
    box = {"box": [{"x": [3, 1], "y": [0.5, 2]}]}
    wanted = {"gender_score": Span(1, 3), "error": Span(0.5, 2)}
    assert selected(MAPS["scores"], box) == wanted
    assert selected(MAPS["ages"], {"points": []}) == {}


def test_a_column_s_name_is_no_markdown_on_any_page(tmp_path, visit):
    name = "![x](http://elsewhere/x.png)"
    table = synthetic_predictions(400, seed=1).rename(columns={"race": name})
    table["![y](http://elsewhere/y.png)"] = np.arange(400) % 17 + 0.5  # a slider
    audit_of(tmp_path, table.assign(site=np.arange(400) % 2), depth=1)
    for page in ("errors", "subgroups", "calibration"):
        app = visit(tmp_path, page=page)
        assert not app.exception
        kinds = (app.multiselect, app.slider, app.get("button_group"), app.button)
        labels = [words for kind in kinds for one in kind for words in labels_of(one)]
        told = [label for label in labels if "elsewhere" in label]
        assert told
        assert all(r"\!\[" in label for label in told)


def labels_of(widget):
    """What Streamlit reads as Markdown: a widget's label, the names of its buttons."""
    options = getattr(widget.proto, "options", ())
    return [widget.proto.label, *(one.content for one in options if hasattr(one, "content"))]


def test_chips_say_names_from_the_data_as_text():
    said = plain_label("[a](javascript:x) <b>_*`$1$ :red[x]")
    for sign in "[]()<>_*`$:":
        assert said.count("\\" + sign) == "[a](javascript:x) <b>_*`$1$ :red[x]".count(sign)


def test_the_scatter_draws_the_faces_and_what_is_asked_of_them(audit):
    rows = open_rows(audit[0])
    points = draw_points(rows, "age_true", "age_pred")
    where = {"area": Area("age_true", "age_pred", ((0, 0), (1, 0), (0, 1))), "age_true": Span(1, 2)}
    figure = scatter_of(points, MAPS["ages"], where).figure
    assert len(figure.data[0].x) == 600
    assert [s.type for s in figure.checked.layout.shapes] == ["path", "rect"]


@pytest.mark.parametrize(
    ("key", "curve", "point"),
    [
        ("confusion-gender", 1, {"customdata": "female × male"}),
        ("confusion-age", 1, {"customdata": ["20-29 × 30-39"]}),
        ("coverage-race", 0, {"customdata": "Black"}),
    ],
)
def test_cells_of_calls_and_bars_of_coverage_lead_to_their_faces(key, curve, point):
    result = example_result()
    found = pointed_at(figure_of(result, key), point | {"curve_number": curve})
    assert levels_of(result, found.feature, found.group) is not None


def test_a_bar_of_scores_and_a_point_of_the_curve_point_at_a_span_of_scores():
    drawn = figure_of(example_result(), "reliability-overall-overall")
    curve, bars = 3, 4
    assert (drawn.figure.data[curve].mode, drawn.figure.data[bars].type) == ("lines", "bar")
    bar = pointed_at(drawn, {"curve_number": bars, "x": 0.125})
    assert bar.score == Span(0.1, 0.149999)
    assert pointed_at(drawn, {"curve_number": bars, "x": 0.975}).score.high == 1
    assert pointed_at(drawn, {"curve_number": curve, "x": 0.5}).score == Span(0.495, 0.504999)


def test_a_bin_of_equal_mass_leads_to_its_share_of_the_faces(audit):
    folder, faces = audit
    drawn = figure_of(AuditResult.load(folder), "reliability-race-Black")
    at = 3
    found = pointed_at(drawn, {"curve_number": 2, "point_index": at, "x": 0.1})
    n = drawn.table.n.tolist()
    assert found.ranks == (sum(n[:at]) / sum(n), sum(n[: at + 1]) / sum(n))
    scores = faces.gender_score[faces.race == "Black"]
    low, high = quantiles(
        open_rows(folder), "gender_score", found.ranks, where={"race": ("Black",)}
    )
    assert abs(scores.between(low, high).sum() - n[at]) <= 2
