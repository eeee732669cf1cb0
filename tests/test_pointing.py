"""What a click, a box or a lasso on a figure points at."""

import numpy as np
import pytest
from example_result import example_result

from audit.result import AuditResult
from audit.rows import draw_points, open_rows, quantiles
from audit.where import Area, Span
from reports.face_map import MAPS, scatter_of, selected
from reports.figures import SECTIONS
from reports.pointing import Pointed, levels_of, pointed_at
from reports.ranges import MOST_CORNERS, area_url, read_area


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


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("coverage", ""),
        ("misses", "Misses of age intervals"),
        ("winkler", "Winkler score"),
        ("z2", "Squared z of ages"),
    ],
)
def test_every_dot_of_the_figures_of_intervals_names_its_group_and_what_it_shows(kind, what):
    result = example_result()
    drawn = figure_of(result, f"{kind}-race")
    traces = enumerate(drawn.figure.data)
    dots = [(i, t.customdata) for i, t in traces if t.mode == "markers" and t.hoverinfo == "text"]
    assert dots
    for curve, groups in dots:
        for group in groups:
            found = pointed_at(drawn, {"curve_number": curve, "customdata": group})
            assert found.what == what
            wanted = {} if group == "overall" else {"race": group}
            assert levels_of(result, found.feature, found.group) == wanted


def test_a_bar_of_scores_and_a_point_of_the_curve_point_at_a_span_of_scores():
    drawn = figure_of(example_result(), "reliability-overall-overall")
    curve, bars = 3, 4
    assert drawn.figure.data[curve].mode == "lines+markers"  # a click on a line alone is not told
    assert drawn.figure.data[bars].type == "bar"
    bar = pointed_at(drawn, {"curve_number": bars, "x": 0.125})
    assert bar.score == Span(0.1, 0.149999)
    assert pointed_at(drawn, {"curve_number": bars, "x": 0.975}).score.high == 1
    assert pointed_at(drawn, {"curve_number": curve, "x": 0.5}).score == Span(0.495, 0.504999)


def test_a_bin_of_equal_mass_leads_to_its_share_of_the_faces(audit):
    folder, faces = audit
    drawn = figure_of(AuditResult.load(folder), "reliability-race-Black")
    scores = faces.gender_score[faces.race == "Black"]
    counted = []
    for at in range(len(drawn.table)):
        found = pointed_at(drawn, {"curve_number": 2, "point_index": at, "x": 0.1})
        low, high = quantiles(
            open_rows(folder), "gender_score", found.ranks, where={"race": ("Black",)}
        )
        counted.append(scores.between(low, high).sum())
    assert counted == drawn.table.n.tolist()
