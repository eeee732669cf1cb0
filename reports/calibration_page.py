"""The dashboard's Calibration page: groups side by side, a threshold and an age limit to move."""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import streamlit as st

from audit.result import AuditResult
from audit.words import count
from reports import lookup
from reports.age_limits import age_sweep, read_at
from reports.asking import label_of, widget_label
from reports.charts import download, draw_section, in_theme, section
from reports.counts_table import call_words, counts_table, limit_words
from reports.faces_page import empty
from reports.filters import asked_of, keep_in_url, say_unknown, write_url
from reports.intervals import coverage_by_age, coverage_figures
from reports.pit import pit_histograms
from reports.proposals import group_proposals, label_unit, metrics_mended, overall_proposals
from reports.reliability import furthest_off, reliability, score_figures
from reports.theme import Drawn
from reports.thresholds import called_at, outermost, sweeps
from reports.view import View

PAGE = "calibration"
SIDE_BY_SIDE = 5  # groups that lines on one figure still tell apart, beside all faces
YOUNGEST, OLDEST = 5, 80  # age limits of the audit, years
_BY, _GROUPS, _PART, _THRESHOLD, _LIMIT, _JUDGED = (
    *("by calibration", "groups calibration", "part of calibration"),
    *("threshold", "limit", "judged by"),
)
_PART_SEEN = "part of calibration seen"  # tabs forget theirs while another page is shown
_ADD = "Add them to the predictions table and run the audit again."


def calibration_page(view: View) -> None:
    """Whether what the model states is what is observed, for the groups one asks for."""
    st.html("<h1>Calibration</h1>")
    result = view.result
    if not (len(result.scores) or len(result.coverage) or len(result.age_thresholds)):
        empty(
            "The model states no probability and no interval.",
            "Calibration needs a column gender_score (the model's P(female)), or age_low and "
            f"age_high. {_ADD}",
        )
        return
    _take_over(result)
    feature, groups = _choose(result)
    _parts(view, feature, groups)
    _remember(view)


# What is chosen ------------------------------------------------------------------------------


def in_force(result: AuditResult) -> float:
    """The threshold that the audit called females by, as the slider can say it."""
    return min(max(round(float(result.info["settings"].get("threshold", 0.5)), 2), 0.01), 0.99)


def _take_over(result: AuditResult) -> None:
    """Set the page's widgets to what the URL asks for; else keep what they were."""
    asked = asked_of(PAGE)
    usual: dict[str, Any] = {
        _BY: "",
        _GROUPS: [],
        _PART: st.session_state.get(_PART_SEEN, ""),
        _THRESHOLD: in_force(result),
        _LIMIT: 18,
        _JUDGED: "",
    }
    if asked is not None:
        say_unknown(_in_vain(result, asked))
        usual[_BY] = asked.get("by", [""])[-1]
        usual[_GROUPS] = asked.get("groups", [])
        usual[_PART] = asked.get("part", [""])[-1]
        threshold = _number(asked.get("threshold"), usual[_THRESHOLD], 0.01, 0.99)
        usual[_THRESHOLD] = round(threshold, 2)
        usual[_LIMIT] = int(_number(asked.get("limit"), 18, YOUNGEST, OLDEST))
        usual[_JUDGED] = asked.get("judged", [""])[-1]
    for key, value in usual.items():
        if asked is not None or key not in st.session_state:
            st.session_state[key] = value


def _in_vain(result: AuditResult, asked: Mapping[str, list[str]]) -> list[str]:
    """What is asked for and not here, in words."""
    named = lookup.features(result)
    by = [name for name in asked.get("by", [])[-1:] if name in named] or named[:1]
    here = {
        "by": named,
        "groups": result.subgroups.group[result.subgroups.feature.isin(by)].tolist(),
        "part": _parts_of(result),
        "judged": metrics_mended(result),
    }
    told = [
        f"{name} “{word}”"
        for name, known in here.items()
        for word in asked.get(name, [])
        if word not in known
    ]
    ends = {"threshold": (0.01, 0.99), "limit": (YOUNGEST, OLDEST)}
    told += [
        f"{name} “{asked[name][-1]}” (from {low} to {high})"
        for name, (low, high) in ends.items()
        if name in asked and _number(asked[name], -1, low, high) < low
    ]
    return told


def _number(words: list[str] | None, usual: float, low: float, high: float) -> float:
    try:
        found = float(words[-1]) if words else usual
    except ValueError:
        return usual
    return found if low <= found <= high else usual


def _choose(result: AuditResult) -> tuple[str, list[str] | None]:
    """The feature to split by, and its groups asked for (None: the furthest off are shown)."""
    named = lookup.features(result)
    if not named:
        return lookup.OVERALL, None
    if st.session_state[_BY] not in named:
        st.session_state[_BY] = named[0]
    if len(named) > 1:
        st.segmented_control(
            "By",
            named,
            key=_BY,
            format_func=widget_label,
            required=True,
            on_change=_forget_groups,
            persist_state="session",
        )
    feature = str(st.session_state[_BY])
    rows = result.subgroups
    options = list(dict.fromkeys(map(str, rows.group[rows.feature == feature])))
    chosen = [g for g in st.session_state[_GROUPS] if g in options][:SIDE_BY_SIDE]
    st.session_state[_GROUPS] = chosen
    st.multiselect(
        f"Groups side by side, up to {SIDE_BY_SIDE}",
        options,
        key=_GROUPS,
        max_selections=SIDE_BY_SIDE,
        placeholder="None chosen: those furthest off are shown",
        persist_state="session",
    )
    return feature, list(st.session_state[_GROUPS]) or None


def _forget_groups() -> None:
    st.session_state[_GROUPS] = []


def _remember(view: View) -> None:
    """Say in the URL what differs from the usual, so that a reload or a link shows it again."""
    state = st.session_state
    named = lookup.features(view.result)
    url: dict[str, list[str]] = {}
    if named and state[_BY] != named[0]:
        url["by"] = [str(state[_BY])]
    if state[_GROUPS]:
        url["groups"] = list(state[_GROUPS])
    if state[_PART] not in ("", _parts_of(view.result)[0]):
        url["part"] = [str(state[_PART])]
    if state[_THRESHOLD] != in_force(view.result):
        url["threshold"] = [f"{state[_THRESHOLD]:.2f}"]
    if state[_LIMIT] != 18:
        url["limit"] = [str(state[_LIMIT])]
    mended = metrics_mended(view.result)
    if state[_JUDGED] in mended[1:]:
        url["judged"] = [str(state[_JUDGED])]
    keep_in_url(PAGE, url)
    write_url(view.filters, page=PAGE)


# Parts ---------------------------------------------------------------------------------------


def _parts_of(result: AuditResult) -> list[str]:
    """The parts, those last that can only say what the table lacks: the first is opened."""
    rows = {
        "Gender scores": len(result.scores),
        "Threshold": len(result.thresholds),
        "Age intervals": len(result.coverage),
        "Age limit": len(result.age_thresholds),
        "Corrections": len(result.proposals),
    }
    told = [part for part in _PARTS if rows[part] or part not in ("Threshold", "Age limit")]
    return sorted(told, key=lambda part: not rows[part])


def _parts(view: View, feature: str, groups: list[str] | None) -> None:
    """One part at a time: a page of twenty figures takes a browser two seconds to draw."""
    named = _parts_of(view.result)
    if st.session_state[_PART] not in named:
        st.session_state[_PART] = named[0]
    st.session_state[_PART_SEEN] = st.session_state[_PART]
    for part, tab in zip(named, st.tabs(named, key=_PART, on_change="rerun"), strict=True):
        if tab.open:
            with tab:
                _PARTS[part](view, feature, groups)


def _scores(view: View, feature: str, groups: list[str] | None) -> None:
    """Reliability of the groups beside that of all faces; then every error beside chance."""
    result = view.result
    whole = reliability(result, feature=lookup.OVERALL, groups=[lookup.OVERALL])
    if not len(result.scores):
        _heading("calibration")
        _note(f"The model states no P(female). Calibration needs a column gender_score. {_ADD}")
        return
    drawn = whole
    if not (result.scores.feature == feature).any():
        _heading("calibration")
        _note(
            f"P(female) is not split by {label_of(feature)}: within one labelled gender even a "
            "perfect score looks wrong. All faces are shown; choose another feature above."
        )
        drawn += score_figures(result, feature=lookup.OVERALL)
        draw_section(view, "calibration", in_theme(drawn), headed=False)
        return
    shown = furthest_off(result, feature, most=SIDE_BY_SIDE) if groups is None else groups
    if feature != lookup.OVERALL:
        drawn += reliability(result, feature=feature, groups=shown)
    drawn += score_figures(result, feature=feature, groups=groups)
    _draw(view, "calibration", drawn)
    small = [g for g in shown if not any(d.key == f"reliability-{feature}-{g}" for d in drawn)]
    if small:
        _note(f"Too few faces for a curve: {', '.join(small)}.")


@st.fragment
def _threshold(view: View, feature: str, groups: list[str] | None) -> None:
    """A threshold to move, the calls it makes in every group, and the rates over all of them."""
    _heading("thresholds")
    st.slider(
        "Threshold on P(female)",
        0.01,
        0.99,
        step=0.01,
        format="%.2f",
        key=_THRESHOLD,
        persist_state="session",
    )
    threshold = float(st.session_state[_THRESHOLD])
    rows = called_at(view.result, feature=feature, threshold=threshold)
    whole = rows[rows.feature == lookup.OVERALL].iloc[0]
    st.html(
        f'<p class="counted" role="status">At {threshold:.2f}, <b>{count(whole.tp)}</b> of '
        f"{count(whole.female_n)} faces labelled female and <b>{count(whole.fp)}</b> of "
        f"{count(whole.male_n)} labelled male are called female.</p>"
    )
    counts_table(
        call_words(rows),
        [
            "Females",
            "called female",
            "called male",
            "of females",
            "Males",
            "called female",
            "called male",
            "of males",
            "of all called female",
        ],
    )
    download(rows, name=f"calls at {threshold:.2f} by {feature}")
    drawn = sweeps(view.result, feature=feature, groups=groups, threshold=threshold)
    with st.container(key="sweeps"):  # whose titles keep their height while the words change
        draw_section(view, "thresholds", in_theme(drawn), headed=False)
    _remember(view)


def _intervals(view: View, feature: str, groups: list[str] | None) -> None:
    """Coverage by age, then of the groups asked for, then where true ages fall."""
    result = view.result
    if not len(result.coverage):
        _heading("coverage")
        _note(f"The model states no intervals: they need columns age_low and age_high. {_ADD}")
        return
    by_age = coverage_by_age(result)
    drawn = [] if by_age is None else [by_age]
    drawn += coverage_figures(result, feature=feature, groups=groups)
    drawn += pit_histograms(result, feature=lookup.OVERALL)
    if feature != lookup.OVERALL:
        drawn += pit_histograms(result, feature=feature, groups=groups)
    _draw(view, "coverage", drawn)


@st.fragment
def _age_limit(view: View, feature: str, groups: list[str] | None) -> None:
    """An age limit to set, who passes it wrongly and who is turned away, in every group."""
    _heading("age_limits")
    if not (view.result.age_thresholds.feature == feature).any():
        _note(
            f"Not split by {label_of(feature)}: the limit is itself an age. All faces are shown; "
            "choose another feature above."
        )
    st.number_input(
        "Age limit, years", YOUNGEST, OLDEST, step=1, key=_LIMIT, width=160, persist_state="session"
    )
    limit = int(st.session_state[_LIMIT])
    rows = read_at(view.result, feature=feature, limit=limit)
    counts_table(
        limit_words(rows),
        [
            *(f"Under {limit}", f"read as {limit} or older", "false acceptance"),
            *(f"{limit} or older", f"read as under {limit}", "false rejection"),
        ],
    )
    download(rows, name=f"age limit {limit} by {feature}")
    shown = outermost(rows, rate="accepted", n="below_n") if groups is None else groups
    drawn = age_sweep(view.result, feature=feature, groups=shown, limit=limit)
    draw_section(view, "age_limits", in_theme(drawn), headed=False)
    _remember(view)


@st.fragment
def _corrections(view: View, feature: str, groups: list[str] | None) -> None:
    """Before and after, by one metric at a time: over all faces, then of the groups."""
    _heading("proposals")
    mended = metrics_mended(view.result)
    if not mended:
        _note(
            "No correction was tried: it needs P(female) or a predicted age, and people enough to "
            "fit on one half and judge on the other."
        )
        return
    if st.session_state[_JUDGED] not in mended:
        st.session_state[_JUDGED] = mended[0]
    st.segmented_control(
        "Judged by",
        mended,
        key=_JUDGED,
        format_func=lambda m: label_unit(m)[0],
        required=True,
        persist_state="session",
    )
    metric = str(st.session_state[_JUDGED])
    shown = f"proposal-{lookup.OVERALL}-{metric}"
    drawn = [d for d in overall_proposals(view.result) if d.key == shown]
    if feature != lookup.OVERALL:
        every = None if groups is None else list(dict.fromkeys(view.result.proposals.method))
        drawn += group_proposals(
            view.result, feature=feature, metrics=[metric], methods=every, groups=groups
        )
    draw_section(view, "proposals", in_theme(drawn), headed=False)
    _remember(view)


_PARTS: Mapping[str, Callable[[View, str, list[str] | None], None]] = {
    "Gender scores": _scores,
    "Threshold": _threshold,
    "Age intervals": _intervals,
    "Age limit": _age_limit,
    "Corrections": _corrections,
}

# Words ---------------------------------------------------------------------------------------


def _draw(view: View, key: str, drawn: list[Drawn]) -> None:
    """The figures under their heading, or why there are none."""
    if drawn:
        draw_section(view, key, in_theme(drawn))
        return
    _heading(key)
    _note("The table has too few people for any figure of this part.")


def _heading(key: str) -> None:
    found = section(key)
    st.html(f'<h2>{escape(found.title)}</h2><p class="how">{escape(found.how)}</p>')


def _note(words: str) -> None:
    st.html(f'<p class="note">{escape(words)}</p>')
