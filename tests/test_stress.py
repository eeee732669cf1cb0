"""Stress: a planted harm is named, an equal loss is not, and nothing is said without its faces."""

import json
import os
import re

import numpy as np
import pandas as pd
import pytest
from browser import open_browser, show_as_printed
from stressed_table import stressed_table

from audit.config import AuditSettings
from audit.errors import InputError
from audit.readings import open_readings
from audit.run import run_audit
from audit.stress import COMPARED, StressResult, established, run_stress
from reports.html import write_report
from reports.stress import OVER_ALL, render_stress


@pytest.fixture(scope="module")
def harmed():
    return run_stress(stressed_table(harmed=1.5))


@pytest.fixture(scope="module")
def equal():
    return run_stress(stressed_table(harmed=0.0))


def test_the_harmed_group_is_named_with_what_was_planted(harmed):
    found = established(harmed.comparisons)
    assert set(zip(found.corruption, found.feature, found.group, strict=True)) == {
        ("darkness", "race", "B")
    }
    first = found[found.metric == "age_mae"].iloc[0]
    assert first.severity == 4
    assert first.low < 1.5 * 0.8 * 4 < first.high  # 4.8 years on top of everyone's loss
    assert first.gap - first.gap_clean == pytest.approx(first.harm)
    assert first.change - first.rest_change == pytest.approx(first.harm)
    assert first.sentence.startswith(
        "Under darkness of severity 4, mean absolute age error of B (race) rises"
    )


def test_an_equal_loss_is_no_harm_even_for_the_group_that_is_read_worse(equal):
    assert established(equal.comparisons).empty
    worse = equal.curves.query("group == 'C' and metric == 'age_mae' and severity == 4")
    assert (worse["gap_low"] > 1).all()
    assert ((worse["harm_low"] < 0) & (worse["harm_high"] > 0)).all()


def test_in_ten_tables_without_harm_at_most_one_claims_any():
    claims = [
        len(established(run_stress(stressed_table(seed, n=500, severities=(3,))).comparisons)) > 0
        for seed in range(100, 110)
    ]
    assert sum(claims) <= 1


def test_photos_of_one_person_are_no_further_evidence():
    single = stressed_table(5, n=300, harmed=0.6, severities=(2,))
    clean_ids = single["sample_id"]
    double = pd.concat([single, single.assign(sample_id=clean_ids + " again")], ignore_index=True)
    one, two = run_stress(single), run_stress(double)
    columns = ["low", "high", "change_low", "change_high", "gap_low", "gap_high"]
    means = one.curves["metric"] == "age_mae"
    assert two.curves.loc[means, columns].to_numpy(float) == pytest.approx(
        one.curves.loc[means, columns].to_numpy(float), nan_ok=True
    )
    assert (two.curves["n"] == 2 * one.curves["n"]).all()
    assert (two.curves["n_subjects"] == one.curves["n_subjects"]).all()


def test_clean_figures_are_those_of_an_audit_of_the_clean_readings(harmed):
    table = stressed_table(harmed=1.5)
    clean = table[table["corruption"] == "clean"].drop(columns=["corruption", "severity"])
    audited = run_audit(
        clean, settings=AuditSettings(by=("race", "gender_true", "age_group"), depth=1)
    )
    keys = ["feature", "group", "metric"]
    mine = harmed.curves[harmed.curves["corruption"] == "clean"].set_index(keys)
    theirs = audited.subgroups.set_index(keys).loc[mine.index]
    shown = mine["value"].notna()
    assert mine.loc[shown, "value"].to_numpy(float) == pytest.approx(
        theirs.loc[shown, "value"].to_numpy(float)
    )
    means = shown & (mine.index.get_level_values("metric") == "age_mae")
    for end in ("low", "high"):
        assert mine.loc[means, end].astype(float).to_numpy() == pytest.approx(
            theirs.loc[means, end].to_numpy(), rel=0.02
        )


def test_a_group_of_few_people_is_shown_and_not_compared(harmed):
    few = harmed.curves.query("group == 'D' and metric == 'age_mae'")
    assert set(few["status"]) <= {"few", "suppressed"}
    assert few["harm"].isna().all()
    assert "D" not in set(harmed.comparisons["group"])


def test_the_signed_error_is_shown_and_never_compared(harmed):
    assert "age_me" in set(harmed.curves["metric"])
    assert set(harmed.comparisons["metric"]) == set(COMPARED)


def test_rows_in_any_order_give_the_same_bytes(harmed):
    shuffled = stressed_table(harmed=1.5).sample(frac=1, random_state=1)
    assert run_stress(shuffled).to_json() == harmed.to_json()
    loaded = json.loads(harmed.to_json())
    assert loaded["schema"] == 1
    assert len(loaded["curves"]) == len(harmed.curves)


@pytest.mark.parametrize("kind", [int, float])
def test_faces_named_by_numbers_are_those_named_by_the_same_words(kind):
    table = stressed_table(n=100, severities=(3,))
    numbers = table["sample_id"].str.removeprefix("face ").astype(kind)
    words = run_stress(table.assign(sample_id=numbers.astype(int).astype(str)))
    assert len(words.curves)
    assert run_stress(table.assign(sample_id=numbers)).to_json() == words.to_json()


@pytest.mark.parametrize(
    "ids",
    [
        lambda i: 1 + i / 2,
        lambda i: f"{i}.0",
        lambda i: f"{i}.0" if i < 99 else f"face {i}",  # after those that the rule looks at
        lambda i: i if i % 2 else f"face {i}",
    ],
)
def test_readings_are_found_by_the_ids_of_the_audited_rows(ids):
    table = stressed_table(n=200, severities=(3,))
    numbers = pd.Series(pd.factorize(table["sample_id"])[0])
    readings = open_readings(table.assign(sample_id=numbers.map(ids)), AuditSettings())
    assert readings.losses["age_mae"].valid.all()


def test_columns_of_other_names_are_read_under_every_corruption():
    table = stressed_table(n=100, severities=(3,))
    theirs = table.rename(columns={"age_pred": "their_age", "sample_id": "file"})
    settings = AuditSettings(columns={"age_pred": "their_age", "sample_id": "file"})
    found = run_stress(theirs.assign(age_pred=0.0), settings=settings)
    assert found.curves.equals(run_stress(table).curves)


def test_a_column_named_in_vain_is_refused():
    with pytest.raises(InputError, match="their_age"):
        run_stress(
            stressed_table(n=40, severities=(3,)),
            settings=AuditSettings(columns={"age_pred": "their_age"}),
        )


def test_the_correction_is_over_every_comparison_made(harmed):
    assert harmed.info["comparisons"] == 2 * 3 * 3  # corruptions × features × metrics
    p = harmed.comparisons["p_value"].min()
    assert harmed.comparisons["p_adjusted"].min() == pytest.approx(p * 18)


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        (lambda t: t[t["corruption"] != "clean"], "no reading is 'clean'"),
        (lambda t: t[t["corruption"] == "clean"], "no other is there"),
        (lambda t: t.drop(index=t.index[-1]), "blur at severity 4 has 799 readings of 800 faces"),
        (lambda t: t.drop(columns="severity"), "lacks severity"),
    ],
)
def test_a_table_that_lacks_readings_is_refused(breaks, words):
    table = stressed_table(corruptions=("darkness", "blur"))
    with pytest.raises(InputError, match=words):
        run_stress(breaks(table))


def test_a_feature_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match="did you mean 'race'"):
        run_stress(stressed_table(n=100), settings=AuditSettings(by=("raze",)))


# The page -------------------------------------------------------------------------------------


def test_the_page_says_what_was_found_and_draws_every_corruption(harmed):
    page = render_stress(harmed, examples={})
    sentence = established(harmed.comparisons)["sentence"].iloc[0]
    assert sentence.replace("'", "&#39;") in page
    assert page.count('class="panel"') == 2 * 4 + 2 * 3 * 3
    assert "<script" not in page
    assert "://" not in page
    assert "unequal harm by darkness" in page


def test_the_page_of_an_equal_loss_claims_nothing(equal):
    page = render_stress(equal, examples={})
    assert "0 of 18 comparisons show a group harmed more than others" in page
    assert 'class="sure"' not in page


def test_the_page_of_too_few_people_says_that_nothing_was_tested():
    result = run_stress(stressed_table(n=20, severities=(2,)))
    page = render_stress(result, examples={})
    assert "there are not two groups of 30 people or more" in page
    assert "0 of 0" not in page


def test_names_of_groups_stay_text_on_the_page():
    table = stressed_table(n=300, severities=(2,))
    table["race"] = table["race"].replace({"B": "<img src=x onerror=alert(1)>"})
    page = render_stress(run_stress(table), examples={})
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_the_page_is_the_same_for_the_same_result(harmed):
    again = run_stress(stressed_table(harmed=1.5))
    assert render_stress(harmed, examples={}) == render_stress(again, examples={})


@pytest.mark.browser
def test_on_paper_the_page_unfolds_what_is_folded(harmed, tmp_path):
    page = tmp_path / "stress.html"
    page.write_text(render_stress(harmed, examples={}), encoding="utf-8")
    with open_browser() as browser:
        browser.get(page.as_uri())
        show_as_printed(browser)
        heights = browser.execute_script(
            "return [...document.querySelectorAll('details:not([open]) table')]"
            ".map(e => e.checkVisibility({contentVisibilityAuto: true}) && e.clientHeight)"
        )
    assert heights
    assert min(heights) > 0


def test_every_number_of_the_page_s_tables_has_its_interval(harmed):
    page = render_stress(harmed, examples={})
    cells = re.findall(r'<td class="num">([^<]*)</td>', page)
    values = [c for c in cells if "[" in c]
    assert len(values) > 200
    assert not [c for c in cells if "nan" in c.lower()]
    assert np.isfinite(harmed.comparisons["p_adjusted"]).all()


def test_the_audit_s_report_gets_a_section_with_the_same_verdict(harmed, tmp_path):
    table = stressed_table(harmed=1.5)
    audit = run_audit(table[table["corruption"] == "clean"], out=tmp_path)
    plain = write_report(audit, tmp_path).read_text(encoding="utf-8")
    assert 'id="stress"' not in plain
    harmed.save(tmp_path)
    page = write_report(audit, tmp_path).read_text(encoding="utf-8")
    part = page[page.index('<section id="stress">') : page.index('<section id="worst">')]
    for line in harmed.told[:3]:
        assert line.replace("'", "&#39;") in part
    shown = [m for m in OVER_ALL if m in set(harmed.curves["metric"])]
    figures = len(shown) + len(harmed.info["features"])
    assert part.count('class="panel"') == figures * len(harmed.info["corruptions"])
    assert write_report(audit, tmp_path).read_text(encoding="utf-8") == page
    for text, what in (("{", r"is not whole \(line 1\)"), ("[1]", "is none of `faceaudit stress`")):
        (tmp_path / "stress.json").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=rf"{what}: run `faceaudit stress` again"):
            write_report(audit, tmp_path)


@pytest.mark.parametrize("audited", [True, False])
def test_no_page_of_earlier_readings_stands_beside_new_ones(harmed, tmp_path, audited):
    pages = {"stress.html", "report.html"}
    for name in [*pages, *(["result.json"] if audited else [])]:
        (tmp_path / name).write_text("of the earlier ones")
    harmed.save(tmp_path)
    left = {p.name for p in tmp_path.iterdir()} & pages
    assert left == (set() if audited else {"report.html"})  # which nobody would draw again


def test_what_is_read_back_is_what_was_written(harmed, tmp_path):
    harmed.save(tmp_path)
    again = StressResult.load(tmp_path)
    assert again.to_json() == harmed.to_json()
    assert render_stress(again, examples={}) == render_stress(harmed, examples={})
    assert StressResult.load(tmp_path / "elsewhere") is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in this system's folders")
def test_nobody_waits_for_a_pipe_in_the_place_of_the_result(tmp_path):
    os.mkfifo(tmp_path / "stress.json")
    assert StressResult.load(tmp_path) is None
