"""The dashboard by AppTest, without a browser: what each page draws, and says where it cannot."""

import json
import re
import shutil

import numpy as np
import pytest
from audit_folder import audit_of, write_audit_folder
from dashboard_app import HOSTILE, cards_of, words
from example_result import example_faces

from audit import AuditSettings, run_audit
from audit.merging import merge_sites
from audit.result import AuditResult
from audit.rows import open_rows
from audit.sites import tally_site
from audit.synthetic import Plant, synthetic_predictions
from audit.tally_file import write_tally
from audit.words import count
from reports import pages
from reports.figures import SECTIONS


def test_every_section_of_the_report_stands_on_one_page_of_the_dashboard():
    placed = [key for keys in pages.PAGE_SECTIONS.values() for key in keys]
    assert sorted(placed) == sorted(s.key for s in SECTIONS)


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


@pytest.mark.parametrize(("metric", "gender"), [("gender_tpr", "female"), ("gender_fpr", "male")])
def test_a_rate_of_one_labelled_gender_leads_to_the_faces_it_counts(
    tmp_path, visit, metric, gender
):
    folder = tmp_path / "audit"
    faces = write_audit_folder(folder, n=300, pictures=0)
    whole = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    found = {"feature": "race", "group": "Black", "metric": metric, "value": 0.6, "low": -0.3}
    found |= {"complement_value": 0.8, "difference": -0.2, "high": -0.1, "n": 60, "n_confirm": 30}
    whole["slices"] = [found | {"p_adjusted": 0.001, "confirmed": True}]
    (folder / "result.json").write_text(json.dumps(whole), encoding="utf-8")
    app = visit(folder, page="slices")
    app.button(key="slice 0").click().run()
    wanted = ((faces.race == "Black") & (faces.gender_true == gender)).sum()
    assert f"<b>{wanted}</b> of 300 faces" in words(app)


WEAK = Plant({"race": "Black", "gender_true": "female"}, age_scale=2)


def test_of_a_slice_the_faces_are_told_whose_figure_it_is(tmp_path, visit):
    folder = tmp_path / "audit"
    audit_of(folder, synthetic_predictions(4000, seed=3, planted=[WEAK]))
    [row, *_] = [r for r in AuditResult.load(folder).slices.to_dict("records") if r["confirmed"]]
    told = f"tested on {count(row['n_confirm'])} of its {count(row['n'])} faces"
    assert told in words(visit(folder, page="slices"))


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


def test_no_two_headings_of_the_subgroups_page_are_alike(audit, visit):
    shown = words(visit(audit[0], page="subgroups"))
    headings = re.findall(r"<h[12]>(.*?)</h[12]>", shown)
    assert headings[:2] == ["Subgroups", "By race"]
    assert len(set(headings)) == len(headings)


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


def test_faces_of_another_audit_are_not_shown_beside_its_figures(tmp_path, visit):
    folder, other = (tmp_path / name for name in ("audit", "other"))
    for seed, place in enumerate((folder, other)):
        audit_of(place, synthetic_predictions(300, seed=seed), by=("race",))
    app = visit(folder, page="errors")
    assert "All 300 faces" in words(app)
    shutil.copy(other / "predictions.parquet", folder)
    app.run()
    assert not app.exception
    assert "is not of the audit in result.json beside it" in words(app)
    shutil.copy(other / "result.json", folder)
    assert "All 300 faces" in words(app.run())


@pytest.mark.parametrize("page", ["", "subgroups", "calibration", "errors", "data"])
def test_an_audit_of_counts_draws_every_page_and_says_where_its_faces_are(counted, visit, page):
    app = visit(counted, page=page)
    assert not app.exception
    assert "<h1" in words(app)
    if page in ("errors", "data"):
        assert "only counts were handed over" in words(app)
        assert "<code>faceaudit audit" in words(app)
    assert "`" not in words(app)


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counted")
    by = AuditSettings(by=("race", "gender_true", "age_group"))
    table = synthetic_predictions(600, seed=4)
    parts = {f"{i}": tally_site(table[i::2], by) for i in (0, 1)}
    run_audit(write_tally(merge_sites(parts), folder / "all.parquet"), out=folder / "audit")
    return folder / "audit"


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
