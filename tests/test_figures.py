"""Figures draw the stored numbers, name every group, and say in words what they show."""

import json
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import pandas as pd
import pytest
from example_result import AGES, example_faces, example_result, renamed
from hypothesis import example, given
from hypothesis import strategies as st

from audit.metrics import METRICS
from audit.result import COLUMNS, AuditResult, table
from audit.words import count, counted_faces, in_unit, p_value, score
from reports import lookup
from reports.age_limits import LIMITS, age_limits, age_sweep, read_at
from reports.curves import error_by_age, learning_curves, within_years
from reports.curves_svg import learning_curves_svg, round_ticks
from reports.figures import SECTIONS
from reports.forest import MOST, forest, small_forest
from reports.groups import faces_by_group
from reports.heatmap import confusion, crossing
from reports.intervals import (
    coverage_by_age,
    coverage_figures,
    interval_coverage,
)
from reports.pit import pit_histograms
from reports.proposals import group_proposals, overall_proposals
from reports.reliability import MOST as MOST_CURVES
from reports.reliability import furthest_off, reliability, score_figures
from reports.theme import DARKENED, LIGHT, PALETTE, axis_of, dark, plain, text, told_apart
from reports.thresholds import called_at, sweeps

RESULT = example_result()
UNTESTED = example_result(tested=False, trained=False)
DRAWN = [(s, d) for s in SECTIONS for d in s.figures(RESULT)]
WITH_FIGURE = [d for _, d in DRAWN if d.figure is not None]
FORESTS = [
    (feature, metric)
    for feature in ("race", "gender_true", "age_group")
    for metric in ("age_mae", "age_me", "gender_accuracy")
]


def rows_of(feature, metric, result=RESULT):
    return result.subgroups.query("feature == @feature and metric == @metric")


def dots(figure):
    """Group -> (value, low, high, symbol) of every dot drawn."""
    found = {}
    for trace in figure.data:
        for i, group in enumerate(trace.customdata):
            value, bars = trace.x[i], trace.error_x
            ends = value - bars.arrayminus[i], value + bars.array[i]
            found[group] = (value, *ends, trace.marker.symbol)
    return found


def changed(result, name, **where_to):
    """The result with `value` of one record of a table set to another number."""
    frame, value = getattr(result, name).copy(), where_to.pop("value")
    hit = pd.concat([frame[k] == v for k, v in where_to.items()], axis=1).all(axis=1)
    assert hit.sum() == 1
    frame.loc[hit, "value"] = value
    return replace(result, **{name: frame})


@pytest.mark.parametrize(("section", "drawn"), DRAWN, ids=[d.key for _, d in DRAWN])
def test_every_figure_has_title_reading_help_alt_text_and_table(section, drawn):
    assert section.how.endswith(".")
    assert drawn.title
    assert re.search(r"\d", drawn.alt), "an alt text carries the numbers"
    assert len(drawn.table) > 0
    assert "nan" not in (drawn.title + drawn.alt).lower().replace("unknown", "")


def test_keys_of_figures_are_unique():
    keys = [d.key for _, d in DRAWN]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("drawn", WITH_FIGURE, ids=[d.key for d in WITH_FIGURE])
def test_a_figure_is_plain_json_of_known_height_without_a_template(drawn):
    whole = plain(drawn.figure)
    words = json.dumps(whole, allow_nan=False)
    assert "template" not in whole["layout"]
    assert "bdata" not in words
    assert drawn.height == whole["layout"]["height"] > 50


@pytest.mark.parametrize(("feature", "metric"), FORESTS)
def test_a_forest_plot_draws_the_stored_values_and_interval_ends(feature, metric):
    drawn = dots(forest(RESULT, feature=feature, metric=metric).figure)
    for row in rows_of(feature, metric).itertuples():
        if row.status == "suppressed":
            assert row.group not in drawn
        else:
            assert drawn[row.group][:3] == pytest.approx((row.value, row.low, row.high))


@pytest.mark.parametrize(("feature", "metric"), FORESTS)
def test_a_forest_plot_names_every_group_and_writes_its_n_at_the_right_edge(feature, metric):
    figure = forest(RESULT, feature=feature, metric=metric).figure
    named = dict(zip(figure.layout.yaxis.ticktext, figure.layout.yaxis.tickvals, strict=True))
    written = {a.y: a.text for a in figure.layout.annotations if a.xref == "paper" and a.y > 1}
    for row in rows_of(feature, metric).itertuples():
        place = named[row.group]
        if place > 1:  # the lowest row has y 1, as the headings have
            assert written[place] == count(row.n)
    assert count(rows_of(feature, metric).n.iloc[-1]) in [a.text for a in figure.layout.annotations]


def test_the_dot_moves_when_the_stored_value_does():
    where = {"feature": "race", "group": "Asian", "metric": "age_mae"}
    moved = changed(RESULT, "subgroups", **where, value=55.5)
    assert dots(forest(moved, feature="race", metric="age_mae").figure)["Asian"][0] == 55.5


def test_few_are_hollow_and_the_worst_compared_group_is_a_diamond():
    few = RESULT.subgroups.query("feature == 'race × age_group' and status == 'few'")
    row = few[few.metric == "age_mae"].iloc[0]
    drawn = dots(forest(RESULT, feature="race", metric="age_mae").figure)
    worst = RESULT.disparities.query("feature == 'race' and metric == 'age_mae'").highest_group
    assert [g for g, d in drawn.items() if d[3] == "diamond"] == [worst.item()]
    alone = replace(RESULT, subgroups=few[few.group == row.group])
    hollow = dots(forest(alone, feature="race × age_group", metric="age_mae").figure)
    assert hollow[row.group][3] == "circle-open"


def test_an_ordered_feature_keeps_its_order_and_others_go_from_worst_to_best():
    ages = forest(RESULT, feature="age_group", metric="gender_accuracy").figure.layout.yaxis
    by_place = [n for _, n in sorted(zip(ages.tickvals, ages.ticktext, strict=True), reverse=True)]
    assert by_place == [a for a in AGES if a in by_place]
    races = forest(RESULT, feature="race", metric="gender_accuracy").figure.layout.yaxis.ticktext
    values = rows_of("race", "gender_accuracy").set_index("group").value
    known = [values[g] for g in races if not math.isnan(values[g])]
    assert known == sorted(known)


def test_groups_of_few_are_never_ranked_among_the_compared():
    frame = RESULT.subgroups.copy()
    frame.loc[(frame.feature == "race") & (frame.group == "Other"), "status"] = "few"
    frame.loc[(frame.feature == "race") & (frame.group == "Other"), "value"] = 0.01
    drawn = forest(replace(RESULT, subgroups=frame), feature="race", metric="gender_accuracy")
    assert drawn.figure.layout.yaxis.ticktext[-2:] == ("Other", "unknown")
    small = small_forest(
        replace(RESULT, subgroups=frame), feature="race", metric="gender_accuracy", group=None
    )
    names = [t.text for t in ET.fromstring(str(small)).iter("text") if "name" in t.get("class", "")]
    assert names[-2:] == ["Other", "unknown"]


def test_a_crossing_of_many_groups_draws_compared_ones_only_and_tables_all():
    drawn = forest(RESULT, feature="race × age_group", metric="age_mae")
    shown = dots(drawn.figure)
    rows = rows_of("race × age_group", "age_mae").set_index("group")
    assert len(rows) > MOST >= len(shown)
    assert set(rows.status[list(shown)]) == {"ok"}
    assert len(drawn.table) == len(rows)


def test_signed_errors_say_on_the_axis_which_way_is_too_old():
    for drawn in (
        forest(RESULT, feature="race", metric="age_me").figure.layout.xaxis,
        error_by_age(RESULT, metric="age_me").figure.layout.yaxis,
    ):
        assert drawn.title.text == "← too young · years · too old →"
    assert (
        "years" in forest(RESULT, feature="race", metric="age_mae").figure.layout.xaxis.title.text
    )


@pytest.mark.parametrize(
    ("feature", "metric"),
    [("race × gender_true", "age_me"), ("race × age_group", "gender_accuracy")],
)
def test_a_heat_map_writes_every_value_in_its_own_cell(feature, metric):
    figure = crossing(RESULT, feature=feature, metric=metric).figure
    words = next(t for t in figure.data if t.type == "scatter")
    columns, rows = figure.layout.xaxis.ticktext, figure.layout.yaxis.ticktext
    found = {
        frozenset((columns[x], rows[y])): said
        for x, y, said in zip(words.x, words.y, words.text, strict=True)
    }
    metric_ = METRICS[metric]
    for row in rows_of(feature, metric).itertuples():
        said = found[frozenset(row.group.split(" × "))].removesuffix(" •")
        wanted = in_unit(row.value, metric_.unit, signed=metric_.better == "zero")
        assert said == ("" if math.isnan(row.value) else wanted.removesuffix("\u00a0%"))


def test_a_heat_map_hatches_exactly_the_groups_that_are_not_compared():
    figure = crossing(RESULT, feature="race × age_group", metric="age_mae").figure
    hatched = next(t for t in figure.data if t.type == "bar")
    assert hatched.marker.pattern.shape == "/"
    assert len(hatched.x) == (rows_of("race × age_group", "age_mae").status != "ok").sum()


def test_a_heat_map_puts_a_dot_where_a_difference_is_established():
    claim = dict.fromkeys(COLUMNS["slices"]) | {
        "feature": "race × gender_true",
        "group": "Asian × male",
        "metric": "age_mae",
        "confirmed": True,
    }
    rejected = claim | {"group": "White × male", "confirmed": False}
    disparity = dict.fromkeys(COLUMNS["disparities"]) | {
        "feature": "race × gender_true",
        "metric": "age_mae",
        "verdict": "disparity",
        "outlying_group": "Black × male",
        "outlying_low": 0.2,
        "outlying_high": 3.0,
    }
    open_ = disparity | {"outlying_group": "White × female", "outlying_low": -0.2}
    within = disparity | {"outlying_group": "Other × male", "control": "age_group"}
    result = replace(
        RESULT,
        slices=table("slices", [claim, rejected]),
        disparities=table("disparities", [disparity, open_, within]),
        findings=RESULT.findings.head(0),  # which tell only the foremost
    )
    figure = crossing(result, feature="race × gender_true", metric="age_mae").figure
    words = next(t for t in figure.data if t.type == "scatter")
    marked = [g for g, said in zip(words.customdata, words.text, strict=True) if "•" in said]
    assert sorted(marked) == ["Asian × male", "Black × male"]


def test_zero_has_no_sign_on_an_axis_where_other_numbers_have_one():
    axes = error_by_age(RESULT, metric="age_me").figure.layout.yaxis, axis_of("age_me")
    for axis in axes:
        assert axis["tickformat"] == "+"
        assert dict(axis["labelalias"]) == {"+0": "0"}


def test_only_a_signed_metric_gets_a_diverging_scale_and_it_is_centred_on_zero():
    signed = crossing(RESULT, feature="race × gender_true", metric="age_me").figure.data[0]
    assert signed.zmin == -signed.zmax
    assert signed.colorscale[1] == (0.5, LIGHT["paper"])
    for metric, end in (("age_mae", 1), ("gender_accuracy", 0)):
        plain_ = crossing(RESULT, feature="race × gender_true", metric=metric).figure.data[0]
        assert len(plain_.colorscale) == 2
        assert plain_.colorscale[end][1] == LIGHT["tint"], "the worse end is the darker one"


def test_the_confusion_matrix_writes_the_counts_and_reconciles_with_the_accuracy():
    drawn = confusion(RESULT, head="gender")
    words = next(t for t in drawn.figure.data if t.type == "scatter")
    assert sorted(words.text) == sorted(count(n) for n in drawn.table.n)
    right = drawn.table[drawn.table.true == drawn.table.predicted].n.sum() / drawn.table.n.sum()
    assert f"{100 * right:.1f}" in drawn.title
    assert confusion(replace(RESULT, confusion=RESULT.confusion.head(0)), head="age") is None


def test_error_by_age_lays_true_and_predicted_age_on_one_scale():
    figure = error_by_age(RESULT, metric="age_mae").figure
    true, read = figure.data
    assert (true.name, read.name) == ("by true age", "by predicted age")
    assert (true.yaxis, read.yaxis) == (None, None), "one axis for both"
    bins = RESULT.calibration.query("head == 'age'").set_index("bin").mae
    assert dict(zip(read.customdata, read.y, strict=True)) == pytest.approx(dict(bins))
    values = rows_of("age_group", "age_mae").set_index("group").value.dropna()
    assert dict(zip(true.customdata, true.y, strict=True)) == pytest.approx(dict(values))
    assert (true.line.dash, true.marker.symbol) != (read.line.dash, read.marker.symbol)


def test_error_by_age_works_with_either_half_missing():
    no_bins = replace(RESULT, calibration=RESULT.calibration.head(0))
    assert [t.name for t in error_by_age(no_bins, metric="age_me").figure.data] == ["by true age"]
    no_ages = replace(RESULT, subgroups=rows_of("race", "age_mae"))
    assert [t.name for t in error_by_age(no_ages, metric="age_me").figure.data] == [
        "by predicted age"
    ]
    neither = replace(no_bins, subgroups=rows_of("race", "age_mae"))
    assert error_by_age(neither, metric="age_me") is None


def test_reliability_shares_its_axes_and_draws_the_isotonic_step_its_band_and_the_scores():
    multiples = reliability(RESULT, feature="race")
    assert len(multiples) == 5  # `unknown` has seven faces
    axes = {(*d.figure.layout.xaxis.range, *d.figure.layout.yaxis.range) for d in multiples}
    assert len(axes) == 1
    for drawn in multiples:
        band, _, bins, step, scores = drawn.figure.data
        curve = drawn.data
        assert band.fillcolor == LIGHT["band"]
        ends = [*curve.band_high, *reversed(curve.band_low.tolist())]
        assert list(band.y) == pytest.approx(ends, abs=6e-4)
        assert list(step.y) == pytest.approx(curve.fitted.tolist(), abs=6e-4)
        assert list(bins.y) == pytest.approx(drawn.table.observed.tolist(), abs=6e-4)
        ends = [y - minus for y, minus in zip(bins.y, bins.error_y.arrayminus, strict=True)]
        assert ends == pytest.approx(drawn.table.low.tolist(), abs=2e-3)
        assert scores.type == "bar"
        assert count(drawn.table.n.sum()) in drawn.title


def test_a_reliability_title_says_each_error_beside_what_chance_shows():
    row = RESULT.scores.set_index("group").loc["White"]
    (drawn,) = reliability(RESULT, feature="race", groups=["White"])
    for words in (
        f"MCB {score(row.miscalibration)} (chance {score(row.miscalibration_null)})",
        p_value(row.miscalibration_p),
        f"ECE {score(row.ece)} (chance {score(row.ece_null)})",
    ):
        assert words in drawn.title.replace("\u00a0", " ")


def test_errors_beyond_chance_are_filled_and_named_and_others_hollow():
    errors, parts = score_figures(RESULT, feature="race")
    rows = RESULT.scores
    beyond = rows[rows.miscalibration > rows.miscalibration_null].group
    assert errors.title == "Miscalibration (MCB) beyond what chance shows: all faces, White"
    assert beyond.tolist() == ["overall", "White"]
    dots_ = errors.figure.data[1]
    assert list(dots_.x) == rows.miscalibration.tolist()
    filled = [c == LIGHT["accent"] for c in dots_.marker.color]
    assert filled == (rows.miscalibration > rows.miscalibration_null).tolist()
    chance = errors.figure.data[0]
    assert list(chance.x) == pytest.approx(rows.miscalibration_null.tolist(), abs=1e-6)
    total = parts.table.mcb - parts.table.discrimination + parts.table.uncertainty
    assert total.tolist() == pytest.approx(parts.table.brier.tolist())
    assert score_figures(replace(RESULT, scores=RESULT.scores.head(0)), feature="race") == []


def test_of_many_groups_those_furthest_off_are_drawn_in_their_own_order_and_all_are_tabled():
    one = RESULT.scores[RESULT.scores.group == "White"]
    many = [
        one.assign(group=f"g{i}", l2=(7 * i % 20) / 1e4, miscalibration_p=0.5) for i in range(20)
    ]
    result = replace(RESULT, scores=pd.concat([RESULT.scores.head(1), *many]))
    found = furthest_off(result, "race")
    assert found == [f"g{i}" for i in range(20) if 7 * i % 20 >= 20 - MOST_CURVES]
    errors, parts = score_figures(result, feature="race")
    assert len(errors.table) == len(parts.table) == 21
    few = replace(RESULT, scores=RESULT.scores.assign(n=99))
    assert furthest_off(few, "race") == []


# Thresholds and age limits -----------------------------------------------------------------------


def stored(frame, **where):
    """The one record of a table that has these values."""
    hit = pd.concat([frame[k] == v for k, v in where.items()], axis=1).all(axis=1)
    (row,) = lookup.each(frame[hit])
    return row


@pytest.mark.parametrize("threshold", [0.01, 0.37, 0.5, 0.99])
def test_counts_at_a_threshold_add_up_and_move_the_mark(threshold):
    rows = called_at(RESULT, feature="race", threshold=threshold)
    assert set(rows.threshold) == {threshold}
    assert (rows.tp + rows.fn).tolist() == rows.female_n.tolist()
    assert (rows.fp + rows.tn).tolist() == rows.male_n.tolist()
    assert ((rows.tp + rows.fp) / rows.n).tolist() == pytest.approx(rows.selection.tolist())
    rates, selection, roc = sweeps(RESULT, feature="race", groups=["Black"], threshold=threshold)
    for drawn in (rates, selection):
        (mark,) = drawn.figure.layout.shapes
        assert mark.x0 == mark.x1 == pytest.approx(math.log(threshold / (1 - threshold)))
        assert f"at {threshold:.2f}" in drawn.title
    row = stored(RESULT.thresholds, group="Black", threshold=threshold)
    (dot,) = [t for t in roc.figure.data if t.mode == "markers" and "Black" in t.hovertext[0]]
    assert (dot.x[0], dot.y[0]) == (row.fpr, row.tpr)
    assert dot.y[0] - dot.error_y.arrayminus[0] == pytest.approx(row.tpr_low)
    assert dot.x[0] + dot.error_x.array[0] == pytest.approx(row.fpr_high)


def test_a_sweep_draws_the_stored_rates_of_the_groups_asked_for_inside_their_bands():
    rates, selection, _ = sweeps(RESULT, feature="race", groups=["Asian", "Black"])
    lines = [t for t in rates.figure.data if t.fill is None]
    names = ["all faces", "Asian", "Black"]
    assert [t.name for t in lines] == names * 2  # females above, males below
    assert len({(t.line.color, t.line.dash) for t in lines}) == 3
    for line, (rate, group) in zip(lines, product(("tpr", "fpr"), names), strict=True):
        for at, y, said in zip(line.text, line.y, line.customdata, strict=True):
            where = {"group": group.replace("all faces", "overall"), "threshold": float(at)}
            row = stored(RESULT.thresholds, **where)
            wanted = [getattr(row, f"{rate}{end}") for end in ("", "_low", "_high")]
            assert y == pytest.approx(wanted[0], abs=6e-4)
            assert [share / 100 for share in said] == pytest.approx(wanted, abs=6e-4)
        assert list(line.y) == sorted(line.y, reverse=True), "a higher threshold calls fewer"
    assert set(selection.data.group) == {"overall", "Asian", "Black"}
    assert sweeps(replace(RESULT, thresholds=RESULT.thresholds.head(0)), feature="race") == []


def test_a_sweep_without_groups_asked_for_shows_those_furthest_from_all_faces():
    now = RESULT.thresholds[(RESULT.thresholds.threshold == 0.5)]
    whole = now[now.group == "overall"].tpr.item()
    far = now[now.feature == "race"].assign(off=lambda t: (t.tpr - whole).abs())
    wanted = set(far.sort_values("off").group.tail(4))
    (rates, *_) = sweeps(RESULT, feature="race")
    assert {t.name for t in rates.figure.data if t.name} == {"all faces", *wanted}


def test_long_names_of_lines_fit_in_the_legend_and_are_told_apart():
    long = {x: f"Eastern Coastal department of {x} and registry 1{x}" for x in ("Asian", "Black")}
    renamed = replace(RESULT, thresholds=RESULT.thresholds.replace({"group": long}))
    for drawn in sweeps(renamed, feature="race", groups=list(long.values())):
        names = {t.name for t in drawn.figure.data if t.name and t.showlegend is not False}
        assert len(names) == 3
        assert max(map(len, names)) <= 24, "cut off, 10 and 11 were both 1"


def test_titles_of_intervals_name_no_group_where_all_are_alike():
    rows = RESULT.coverage.assign(coverage=1.0, below=0.0, above=0.0, winkler=21.0)
    bins = RESULT.calibration.assign(coverage=1.0)
    result = replace(RESULT, coverage=rows, calibration=bins)
    drawn = [*coverage_figures(result, feature="race")[:3], coverage_by_age(result)]
    titles = [one.title.replace("\u00a0", " ") for one in drawn]
    assert titles == [
        "By race: 100.0 % in every compared group",
        "No true age lies outside its interval",
        "Winkler score: 21.0 years in every compared group",
        "Intervals hold 100.0 % in every compared age group",
    ]


def test_age_limits_draw_each_side_at_each_limit_with_its_interval():
    for drawn, rate in zip(
        age_limits(RESULT, feature="race"), ("accepted", "rejected"), strict=True
    ):
        assert [t.name for t in drawn.figure.data] == [f"at {t}" for t in LIMITS]
        for limit, trace in zip(LIMITS, drawn.figure.data, strict=True):
            for group, x, minus in zip(
                trace.customdata, trace.x, trace.error_x.arrayminus, strict=True
            ):
                row = stored(
                    RESULT.age_thresholds,
                    feature="race" if group != "overall" else group,
                    group=group,
                    threshold=limit,
                )
                assert x == getattr(row, rate)
                assert x - minus == pytest.approx(getattr(row, f"{rate}_low"))
    assert age_limits(RESULT, feature="age_group") == []


def test_an_age_limit_counts_faces_and_marks_itself_on_the_curves():
    rows = read_at(RESULT, feature="race", limit=40)
    assert (rows.accepted_n / rows.below_n).tolist() == pytest.approx(rows.accepted.tolist())
    drawn = age_sweep(RESULT, feature="race", groups=["Black"], limit=40)
    assert [d.figure.layout.shapes[0].x0 for d in drawn] == [40, 40]
    black = next(t for t in drawn[0].figure.data if t.name == "Black")
    own = RESULT.age_thresholds[RESULT.age_thresholds.group == "Black"]
    assert list(black.y) == pytest.approx(own.accepted.tolist(), abs=6e-4)


# Intervals and corrections -----------------------------------------------------------------------


def test_misses_stand_left_and_right_of_zero_and_squared_z_beside_one():
    _, misses, winkler, squared = coverage_figures(RESULT, feature="race")
    below, above = (t for t in misses.figure.data if t.mode == "markers")
    assert [-x for x in below.x] == misses.table.below.tolist()
    assert list(above.x) == misses.table.above.tolist()
    assert [s.x0 for s in misses.figure.layout.shapes] == pytest.approx([-0.05, 0.05])
    assert list(winkler.figure.data[0].x) == winkler.table.winkler.tolist()
    assert [s.x0 for s in squared.figure.layout.shapes] == [1]
    bare = RESULT.coverage.assign(below=math.nan, above=math.nan, winkler=math.nan, z2=math.nan)
    (only,) = coverage_figures(replace(RESULT, coverage=bare), feature="race")
    assert only.key == "coverage-race"


def test_coverage_by_predicted_age_stands_beside_that_by_true_age_with_the_reason():
    drawn = coverage_by_age(RESULT)
    true, read = drawn.figure.data
    assert (true.name, read.name) == ("by true age", "by predicted age")
    bins = RESULT.calibration.query("head == 'age'").set_index("bin").coverage
    assert dict(zip(read.customdata, read.y, strict=True)) == pytest.approx(dict(bins))
    assert "By true age" in drawn.why
    alone = coverage_by_age(replace(RESULT, calibration=RESULT.calibration.head(0)))
    assert alone.why == ""
    assert len(alone.figure.data) == 1


def test_no_title_of_coverage_ranks_a_group_of_fewer_than_thirty_faces():
    rows = RESULT.coverage.copy()
    hit = (rows.feature == "race") & (rows.group == "Other")
    rows.loc[hit, ["n", "std_n", "coverage", "below"]] = [29, 29, 0.01, 0.9]
    rows.loc[hit, ["winkler", "z2"]] = [999.0, 99.0]
    for drawn in coverage_figures(replace(RESULT, coverage=rows), feature="race"):
        assert "Other" not in drawn.title
        assert "Other" in drawn.alt


def test_a_histogram_of_quantiles_counts_what_lies_outside_its_band():
    for drawn in pit_histograms(RESULT, feature="race"):
        band, step = drawn.figure.data
        low, high = min(band.y), max(band.y)
        outside = sum(not low <= y <= high for y in step.y)
        assert f": {outside} of 20" in drawn.title
        assert sum(step.y) == pytest.approx(1, abs=1e-3)
        assert [said[2] for said in step.customdata] == [*map(counted_faces, drawn.data.n)]


def test_a_correction_goes_from_hollow_to_filled_with_its_change_at_the_right():
    for drawn in overall_proposals(RESULT):
        _, before, after = drawn.figure.data
        assert (before.marker.symbol, after.marker.symbol) == ("circle-open", "circle")
        assert list(before.x) == drawn.table.before.tolist()
        assert list(after.x) == drawn.table.after.tolist()
        said = [a.text for a in drawn.figure.layout.annotations][1:]
        assert len(said) == len(drawn.table)
        named = {"age_mae": " years,", "interval_coverage": " points,"}
        if unit := named.get(drawn.key.rpartition("-")[2]):
            assert all(unit in label for label in after.hovertext)
    brier = stored(
        RESULT.proposals, group="overall", method="platt", scope="race", metric="gender_brier"
    )
    (drawn,) = [d for d in overall_proposals(RESULT) if d.key.endswith("gender_brier")]
    words = f"{brier.change:+.4f} [{brier.low:+.4f}, {brier.high:+.4f}]"
    wanted = words.replace("0.", ".").replace("-", "\u2212")
    assert wanted in [a.text for a in drawn.figure.layout.annotations]


def test_intervals_proposed_where_none_were_stated_are_dots_without_a_before():
    rows = RESULT.proposals.copy()
    hit = rows["head"] == "interval"
    rows.loc[hit, ["before", "change", "low", "high"]] = math.nan
    extra = rows[hit & (rows.group == "overall")].head(1)
    extra = extra.assign(metric="interval_gap", feature="race", after=0.03)
    result = replace(RESULT, proposals=pd.concat([rows, extra]))
    drawn = {d.key.rpartition("-")[2]: d for d in overall_proposals(result)}
    for metric in ("interval_coverage", "interval_width", "interval_gap"):
        _, after = drawn[metric].figure.data
        assert list(after.x) == drawn[metric].table.after.tolist()
        assert "none stated before" in drawn[metric].alt
    assert "by race" in drawn["interval_gap"].alt
    assert not re.search(r"\bnan\b", "".join(d.title + d.alt for d in drawn.values()))


def test_a_group_that_fell_back_says_so_in_words():
    fallen = RESULT.proposals[RESULT.proposals.fell_back.astype(bool)]
    assert set(fallen.group) == {"Other"}
    for drawn in group_proposals(RESULT, feature="race"):
        assert (
            drawn.alt.count("fell back to the map of all people")
            == (drawn.table.fitted_on != "").sum()
            > 0
        )
        stars = [n for n in drawn.figure.layout.yaxis.ticktext if n.endswith("*")]
        assert len(stars) == (drawn.table.fitted_on != "").sum()


def test_groups_are_mended_by_the_method_that_helps_all_faces_most():
    (brier, mae, coverage) = group_proposals(RESULT, feature="race")
    rows = RESULT.proposals[RESULT.proposals.group == "overall"]
    best = rows[rows.metric == "gender_brier"].sort_values("after").method.iloc[0]
    assert set(brier.data.method) == {best}
    assert set(coverage.data.method) == {"conformal", "mondrian"}
    assert set(mae.data.group) == {"White", "Black", "Asian", "Indian", "Other"}


def test_coverage_is_drawn_against_what_was_stated():
    drawn = interval_coverage(RESULT, feature="race")
    assert [s.x0 for s in drawn.figure.layout.shapes] == [0.9]
    assert list(drawn.figure.data[0].x) == drawn.table.coverage.tolist()
    least = drawn.table[drawn.table.group != "overall"].set_index("group").coverage.idxmin()
    assert f"{least} least" in drawn.title
    assert interval_coverage(RESULT, feature="absent") is None


def test_curves_of_errors_rise_and_show_the_group_beside_all_faces():
    for drawn in within_years(RESULT, feature="race"):
        band, whole, group = drawn.figure.data
        assert list(group.y) == sorted(group.y)
        assert len(whole.x) == len(group.x) == 31
        assert whole.line.dash != group.line.dash
        assert len(band.x) == 2 * 31


def test_a_longer_history_gives_no_other_figures_and_an_empty_one_gives_none():
    assert [d.key for d in learning_curves(RESULT.history)] == [
        "learning-loss",
        "learning-age_mae",
        "learning-gender_accuracy",
    ]
    assert learning_curves(UNTESTED.history) == []
    assert learning_curves(pd.DataFrame({"epoch": [1, 2], "seconds": [3.0, 4.0]})) == []


def test_curves_are_labelled_in_the_words_and_units_of_their_metric():
    group = within_years(RESULT, feature="race")[0].figure.data[2]
    assert "within 1 year: " in group.hovertext[1]
    assert "within 2 years: " in group.hovertext[2]
    loss, error, gender = learning_curves(RESULT.history)
    for drawn, form in ((loss, r"\d+\.\d\d"), (error, r"\d+\.\d years"), (gender, r"\d+\.\d.%")):
        labels = [label for line in drawn.figure.data for label in line.hovertext]
        assert labels
        assert all(re.fullmatch(rf"(training|validation), epoch \d+: {form}", x) for x in labels)


def test_a_learning_curve_names_the_best_validation_epoch():
    history = RESULT.history.copy()
    history.loc[6, ["loss_valid", "age_mae_valid"]] = 0.5
    history.loc[6, "gender_accuracy_valid"] = 0.999
    assert all("at epoch 7" in d.title for d in learning_curves(history))


@pytest.mark.parametrize(
    "without",
    [
        ("age", "interval"),
        ("gender", "score"),
        ("score",),
        ("interval",),
        ("age", "interval", "score"),
    ],
)
def test_every_section_draws_what_is_left_when_a_head_is_missing(without):
    keep = RESULT.subgroups.metric.map(lambda m: METRICS[m].head not in without)
    heads = RESULT.calibration["head"].map(lambda h: "score" if h == "gender" else h)
    kinds = RESULT.histograms["kind"].map(
        {"age_cs": "age", "age_pit": "interval", "gender_score": "score"}
    )
    of_head = RESULT.proposals["head"].map({"gender": "score"}).fillna(RESULT.proposals["head"])
    result = replace(
        RESULT,
        subgroups=RESULT.subgroups[keep],
        disparities=RESULT.disparities.head(0),
        calibration=RESULT.calibration[~heads.isin(without)],
        coverage=RESULT.coverage.head(0) if "interval" in without else RESULT.coverage,
        **{
            name: getattr(RESULT, name).head(0) if head in without else getattr(RESULT, name)
            for head, names in (
                ("score", ("scores", "reliability", "thresholds")),
                ("age", ("age_thresholds",)),
            )
            for name in names
        },
        proposals=RESULT.proposals[~of_head.isin(without)],
        confusion=RESULT.confusion[~RESULT.confusion["head"].isin(without)],
        histograms=RESULT.histograms[~kinds.isin(without)],
    )
    drawn = [d for s in SECTIONS for d in s.figures(result)]
    assert drawn
    shown = {d.table.metric.iloc[0] for d in drawn if "metric" in d.table and len(d.table) > 9}
    assert not {m for m in shown if METRICS[m].head in without}


def test_nothing_at_all_draws_nothing_at_all():
    empty = AuditResult(RESULT.info, **{name: table(name, []) for name in COLUMNS})
    assert [d for s in SECTIONS for d in s.figures(empty)] == []


def test_untested_comparisons_are_called_not_tested():
    section = next(s for s in SECTIONS if s.key == "disparities")
    (drawn,) = section.figures(UNTESTED)
    assert f"{len(UNTESTED.disparities)} not tested" in drawn.title
    assert "0 disparity" not in drawn.title


def test_names_from_the_data_stay_text_in_every_figure():
    hostile = '<img src=x onerror="alert(1)">'
    result = renamed(RESULT, {"Asian": hostile, "Black": "</script><b>"})
    assert hostile in set(result.subgroups.group)
    for section in SECTIONS:
        for drawn in section.figures(result):
            if drawn.figure is not None:
                shown = plain(drawn.figure)
                for trace in shown["data"]:
                    trace.pop("customdata", None)  # given to a click, never shown
                words = json.dumps(shown)
                assert "<img" not in words
                assert "</script" not in words
    small = small_forest(result, feature="race", metric="age_mae", group=hostile)
    texts = [t.text for t in ET.fromstring(str(small)).iter() if t.tag == "text"]
    assert any(t.startswith("<img") for t in texts)


@given(st.text(max_size=200))
@example("0" * 38 + "\u0590")  # Hebrew: isolated, by two signs that take no room
def test_a_name_is_shown_short_without_markup_or_line_breaks(name):
    shown = text(name).replace("\u2068", "").replace("\u2069", "")
    assert "<" not in shown
    assert "\n" not in shown
    assert len(shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")) <= 40


def test_the_small_forest_plot_shows_the_chosen_group_among_at_most_nine():
    rows = rows_of("race × age_group", "age_mae")
    for group in rows[rows.status == "ok"].group:
        drawn = small_forest(RESULT, feature="race × age_group", metric="age_mae", group=group)
        root = ET.fromstring(str(drawn))
        names = [t for t in root.iter("text") if "name" in t.get("class", "")]
        assert len(names) == 9
        assert [t.text for t in names if "chosen" in t.get("class")] == [
            group if len(group) <= 17 else group[:16] + "…"
        ]
    nothing = small_forest(RESULT, feature="absent", metric="age_mae", group=None)
    assert str(nothing) == ""


def test_the_palette_is_that_of_the_page():
    css = (Path(__file__).parents[1] / "reports" / "base.html").read_text(encoding="utf-8")
    light, night = re.findall(r":root[^{]*\{(.*?)\}", css, re.DOTALL)[:2]
    for name, pair in PALETTE.items():
        for theme, colour in zip((light, night), pair, strict=True):
            assert f"--{name}: {colour};" in theme


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    """Contrast ratio of WCAG 2.2."""
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_has_contrast_aa_and_marks_three_to_one(theme):
    colour = {name: pair[theme] for name, pair in PALETTE.items()}
    for ink in ("ink", "quiet"):
        for ground in ("paper", "surface"):
            assert contrast(colour[ink], colour[ground]) >= 4.5
    for ground in ("tint", "tint-group", "band"):
        assert contrast(colour["ink"], colour[ground]) >= 4.5
    marks = (
        ("accent", "group", "third", "rule")
        if theme == 0
        else (*("accent", "group", "third", "fourth", "rule"),)
    )
    for mark in marks:
        assert contrast(colour[mark], colour["paper"]) >= 3


def test_dark_changes_the_colours_and_nothing_else():
    for drawn in WITH_FIGURE[:12]:
        before = json.dumps(plain(drawn.figure), sort_keys=True)
        after = json.dumps(plain(dark(drawn.figure)), sort_keys=True)
        assert not [c for c in DARKENED if c in after and c not in DARKENED.values()]
        back = after
        for light, night in DARKENED.items():
            back = back.replace(night, light)
        assert back == before
    assert LIGHT["line"] not in json.dumps(dark(WITH_FIGURE[0].figure).to_dict(), default=str)


@given(
    st.floats(-1e4, 1e4, allow_nan=False),
    st.floats(1e-3, 1e4, allow_nan=False),
)
def test_round_ticks_hold_the_range_in_few_even_steps(low, width):
    ticks = round_ticks(low, low + width)
    assert 2 <= len(ticks) <= 5
    assert ticks[0] <= low + 1e-6
    assert ticks[-1] >= low + width - 1e-6
    steps = [b - a for a, b in pairwise(ticks)]
    assert max(steps) == pytest.approx(min(steps))


def test_the_svg_of_learning_curves_has_a_line_per_column_and_stays_the_same():
    svg = learning_curves_svg(RESULT.history)
    root = ET.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    lines = [p.get("d") for p in root.iter(f"{space}path") if p.get("d").count("L") == 23]
    assert len(lines) == 6
    assert svg == learning_curves_svg(RESULT.history.copy())
    assert learning_curves_svg(RESULT.history[["epoch", "loss_train"]]).count("<path") == 2
    ET.fromstring(learning_curves_svg(pd.DataFrame({"epoch": [1]})))


def test_the_svg_of_learning_curves_skips_epochs_without_a_figure():
    history = RESULT.history.copy()
    history.loc[3, "loss_valid"] = float("nan")
    assert "nan" not in learning_curves_svg(history)


def test_lookups_name_the_group_on_the_bad_side():
    assert lookup.worst_group(RESULT, "race", "age_mae") == "Black"
    worst = lookup.worst_group(RESULT, "age_group", "age_me")
    values = rows_of("age_group", "age_me").set_index("group").value
    assert abs(values[worst]) == values.abs().max()
    assert lookup.worst_group(RESULT, "race", "gender_selection") is None
    assert lookup.worst_group(RESULT, "absent", "age_mae") is None


def test_faces_of_one_race_leave_nothing_to_compare_and_say_so():
    faces = example_faces(400)
    faces["race"] = "White"
    result = example_result(faces=faces, races=("White", "unknown"), tested=False)
    drawn = forest(result, feature="race", metric="age_mae")
    assert "no two groups large enough to compare" in drawn.title


def test_limits_of_a_table_of_adults_are_drawn_from_the_first_limit_that_anybody_is_under():
    rows = RESULT.age_thresholds
    adults = rows[(rows.threshold > 18) | rows.accepted.isna()].assign(
        accepted=lambda t: t.accepted.where(t.threshold > 18)
    )
    drawn = age_limits(replace(RESULT, age_thresholds=adults), feature="race")
    assert [d.key for d in drawn] == ["accepted-race", "rejected-race"]
    assert drawn[0].title.startswith("Under 21 and read as 21 or older")
    nobody = rows.assign(accepted=float("nan"))
    drawn = age_limits(replace(RESULT, age_thresholds=nobody), feature="race")
    assert [d.key for d in drawn] == ["rejected-race"]


def test_who_was_audited_is_counted_by_group_and_small_groups_are_hollow():
    drawn = {d.key: d for d in faces_by_group(RESULT)}
    assert set(drawn) == {f"groups-{name}" for name in lookup.features(RESULT)}
    race = drawn["groups-race"]
    [bars] = race.figure.data
    faces = dict(zip(bars.customdata, bars.x, strict=True))
    assert sum(faces.values()) == RESULT.info["rows_audited"]
    assert race.title == f"By race: fewest are race unknown, {faces['unknown']} faces"
    paper = LIGHT["paper"]
    hollow = [g for g, c in zip(bars.customdata, bars.marker.color, strict=True) if c == paper]
    assert hollow == [g for g, n in faces.items() if n < 30]


def test_long_names_show_the_words_in_which_they_differ():
    series = [f"Camera model number {i:02} of the long series" for i in (7, 8)]
    assert told_apart(series, 15) == ["…07…", "…08…"]
    assert told_apart(["A", "B"], 15) == ["A", "B"]
    [one] = told_apart(["a very long name of one group alone"], 15)
    assert 12 < len(one) <= 15
    assert one.startswith("a very")
    assert one.endswith("alone")
    crossed = told_apart(["Asian × b × female", "White × b × female"], 15)
    assert crossed == ["Asian…", "White…"]
    assert told_apart([*series, "unknown"], 15) == ["…07…", "…08…", "unknown"]


def test_groups_of_few_are_hollow_and_named_in_no_title():
    rows = RESULT.coverage.copy()
    few = (rows.feature == "race") & (rows.group == rows.group[rows.feature == "race"].iloc[0])
    rows.loc[few, ["coverage", "low", "high", "n"]] = [0.2, 0.1, 0.3, 12]
    drawn = interval_coverage(replace(RESULT, coverage=rows), feature="race")
    name = rows.group[few].iloc[0]
    assert name not in drawn.title
    symbols = drawn.figure.data[0].marker.symbol
    held = drawn.figure.data[0].customdata
    assert [g for g, s in zip(held, symbols, strict=True) if s.endswith("open")] == [name]
    rows.loc[rows.feature == "race", "n"] = 12
    drawn = interval_coverage(replace(RESULT, coverage=rows), feature="race")
    assert drawn.title == "Coverage: no group of 30 faces or more"


def test_a_correction_that_harms_is_no_headline():
    rows = RESULT.proposals.copy()
    hit = (rows.metric == "gender_brier") & (rows.group == "overall")
    rows.loc[hit, ["before", "after", "change", "low", "high"]] = [0.03, 0.04, 0.01, 0.008, 0.012]
    drawn = overall_proposals(replace(RESULT, proposals=rows))
    [title] = [d.title for d in drawn if d.key.endswith("-gender_brier")]
    assert title == "Brier score: no correction is established to mend it"
    rows.loc[rows.index[hit][:1], ["after", "change", "low", "high"]] = [
        0.02,
        -0.01,
        -0.012,
        -0.008,
    ]
    drawn = overall_proposals(replace(RESULT, proposals=rows))
    [title] = [d.title for d in drawn if d.key.endswith("-gender_brier")]
    assert ".030 → .020" in title


@pytest.mark.parametrize(
    ("metric", "better", "worse"),
    [
        ("gender_ece", [0.1, 0.01, -0.09], [0.01, 0.1, 0.09]),
        ("interval_gap", [0.09, 0.01, -0.08], [0.01, 0.09, 0.08]),
    ],
)
def test_what_has_no_interval_or_is_better_near_zero_is_told_by_its_side(metric, better, worse):
    rows = RESULT.proposals[RESULT.proposals.group == "overall"].head(1).assign(metric=metric)
    for numbers, words in ((better, "→"), (worse, "no correction is seen to mend it")):
        rows[["before", "after", "change"]] = [numbers]
        rows[["low", "high"]] = math.nan
        [drawn] = overall_proposals(replace(RESULT, proposals=rows))
        assert words in drawn.title


def test_labels_at_the_pointer_write_percent_and_faces_as_everywhere_else():
    drawn = [d for s in SECTIONS for d in s.figures(RESULT) if d.figure is not None]
    made = [t for d in drawn for t in d.figure.data if t.hovertemplate]
    assert len(made) > 10
    for trace in made:
        assert "%}" not in trace.hovertemplate  # plotly's own percent leaves no space
        assert "} faces" not in trace.hovertemplate  # of one face it would say faces
    (whole,) = [d for d in drawn if d.key == "reliability-overall-overall"]
    (curve,) = [t for t in whole.figure.data if t.hovertemplate and "stated" in t.hovertemplate]
    (share,) = [x for x, y in zip(curve.customdata, curve.x, strict=True) if y == 0.5]
    assert share[0] == 50
    assert share[1] == pytest.approx(100 * curve.y[list(curve.x).index(0.5)], abs=0.051)
