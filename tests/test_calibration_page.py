"""The Calibration page: its parts, what is chosen on them, and their tables."""

import csv
import io
import json
import re

import pandas as pd
import pytest
from audit_folder import audit_of, write_audit_folder
from dashboard_app import words

from audit import AuditSettings, run_audit
from audit.synthetic import synthetic_predictions
from audit.words import count
from reports import charts
from reports.downloads import as_csv, file_name


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


def test_what_the_url_asks_of_the_calibration_page_in_vain_is_told(audit, visit):
    asked = {"groups": ["Martian", "Black"], "threshold": "7", "limit": "x", "by": "hair"}
    app = visit(audit[0], page="calibration", **asked, judged="beauty", part="Weather")
    assert not app.exception
    assert (
        "not here: by “hair”; groups “Martian”; part “Weather”; judged “beauty”; "
        "threshold “7” (from 0.01 to 0.99); limit “x” (from 5 to 80)." in words(app)
    )
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


@pytest.mark.parametrize("part", ["Gender scores", "Age intervals"])
def test_a_table_of_nine_faces_says_why_nothing_of_its_calibration_is_drawn(tmp_path, visit, part):
    audit_of(tmp_path, synthetic_predictions(9, seed=1), by=("race",))
    app = visit(tmp_path, page="calibration", part=part)
    assert not app.exception
    assert "too few people for any figure of this part" in words(app)
