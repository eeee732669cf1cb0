"""Rows of an audit's tables as findings are made of, and the findings of them."""

from audit.findings import find
from audit.metrics import METRICS
from audit.result import COLUMNS, table


def gap(feature, metric, group, difference, *, half=0.5, verdict="disparity", **more):
    return dict.fromkeys(COLUMNS["disparities"]) | {
        "feature": feature,
        "metric": metric,
        "difference": abs(difference),
        "lowest_group": "a",
        "highest_group": group,
        "margin": METRICS[metric].margin,
        "p_adjusted": 0.001 if verdict == "disparity" else 0.4,
        "verdict": verdict,
        "detectable": 1.26 if metric == "age_mae" else 0.021,
        "outlying_group": group,
        "outlying_difference": difference,
        "outlying_low": difference - half,
        "outlying_high": difference + half,
        **more,
    }


def told(disparities, *, slices=(), scores=(), coverage=(), values=None, **info):
    groups = {
        (r["feature"], g, r["metric"])
        for r in disparities
        for g in (r["lowest_group"], r["highest_group"], r["outlying_group"])
        if g
    }
    figures = {"value": 2.0, "low": 1.0, "high": 3.0, "n": 50, "status": "ok"}
    subgroups = [
        dict.fromkeys(COLUMNS["subgroups"])
        | dict(zip(("feature", "group", "metric"), key, strict=True))
        | figures
        | {"value": (values or {}).get(key[1], 2.0)}
        for key in sorted(groups)
    ]
    tables = {name: table(name, []) for name in COLUMNS}
    tables |= {"disparities": table("disparities", disparities)}
    tables |= {"subgroups": table("subgroups", subgroups), "slices": table("slices", list(slices))}
    tables |= {"scores": table("scores", list(scores))}
    tables |= {"coverage": table("coverage", list(coverage))}
    settings = {"alpha": 0.05}
    return find(tables, {"rows_read": 1000, "rows_left_out": {}, "settings": settings} | info)


def weak(**more):
    return dict.fromkeys(COLUMNS["slices"]) | {
        "feature": "race × age_group × light",
        "group": "B × 70+ × dim",
        "metric": "gender_accuracy",
        "value": 0.6,
        "complement_value": 0.9,
        "difference": -0.3,
        "low": -0.4,
        "high": -0.2,
        "n": 90,
        "n_confirm": 44,
        "p_adjusted": 0.002,
        "confirmed": True,
        **more,
    }


def off(feature, group, error, p):
    keys = ("feature", "group", "n", "ece", "ece_null", "l2", "l2_p_adjusted")
    values = (feature, group, 400, error, 0.02, error**2, p)
    return dict.fromkeys(COLUMNS["scores"]) | dict(zip(keys, values, strict=True))
