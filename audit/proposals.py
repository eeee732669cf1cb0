"""What would correct the model, and with what effect: fitted on half the people, judged on half.

Three heads, each with simple maps for everyone or for each group of a feature. All from histograms
of the tally, where the loss of every face of a bin is known before and after a map. Intervals are
of the map as it was fitted, not of fitting it anew.

No map is made by true gender or true age: a correction may ask only for what is known of a new
face. Nor are gender scores judged by true gender, within which a perfect score looks off.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from audit.config import AuditSettings
from audit.groups import OVERALL, enough_people
from audit.halves import FIT, JUDGE, Kind, kinds_of
from audit.heads import Head, age_head, interval_head, score_head
from audit.judging import Change
from audit.metrics import Floats
from audit.recalibration import Numbers
from audit.tally import Tally


@dataclass(frozen=True)
class Proposal:
    """The maps of one method: for everyone, and for the groups of feature `scope` that bear one.

    Groups that fell back have too few fitting people, and take the map of everyone. n_fit: fitting
    faces, of everyone (OVERALL) and of each group with a map of its own.
    """

    head: str
    method: str
    scope: str
    overall: Numbers
    groups: Mapping[str, Numbers] = field(default_factory=dict)
    fell_back: tuple[str, ...] = ()
    n_fit: Mapping[str, int] = field(default_factory=dict)


def propose(
    tally: Tally, *, settings: AuditSettings
) -> tuple[tuple[Proposal, ...], list[dict[str, Any]]]:
    """Every proposal that the people bear, and one record per judged group and metric.

    A head without rows has none, nor one of which fewer than 100 people (25 of either gender for
    scores) lie in the fitting half.
    """
    proposals: list[Proposal] = []
    records: list[dict[str, Any]] = []
    for head in _heads(tally, settings):
        for proposal in _proposals(head):
            proposals.append(proposal)
            records += _judged(head, proposal)
    return tuple(proposals), records


def _heads(tally: Tally, settings: AuditSettings) -> Iterator[Head]:
    kinds = kinds_of(tally)
    if len(tally.scores):
        yield score_head(tally, kinds, threshold=settings.threshold)
    if len(tally.ages):
        yield age_head(tally, kinds, edges=settings.age_groups)
    if len(tally.misses):
        yield interval_head(tally, kinds)


def _proposals(head: Head) -> Iterator[Proposal]:
    whole = head.kinds[OVERALL]
    if not head.enough(whole, 0):
        return
    n_fit = {OVERALL: int(head.faces(whole, FIT)[0])}
    for method in head.methods:
        yield Proposal(head.name, method, OVERALL, head.fit(method, whole, 0), n_fit=n_fit)
    for scope in head.scopes():
        kind, faces = head.kinds[scope], head.faces(head.kinds[scope], FIT)
        met = head.faces(kind, JUDGE) + faces > 0
        own = {name: g for g, name in enumerate(kind.groups) if head.enough(kind, g)}
        for method in head.by_group:
            yield Proposal(
                head.name,
                method,
                scope,
                head.fit(method, whole, 0),
                {name: head.fit(method, kind, g) for name, g in own.items()},
                tuple(n for g, n in enumerate(kind.groups) if met[g] and n not in own),
                n_fit | {name: int(faces[g]) for name, g in own.items()},
            )


def _judged(head: Head, proposal: Proposal) -> list[dict[str, Any]]:
    """The records of a proposal: everyone, then its groups (those of every kind for one map)."""
    everyone = head.kinds[OVERALL].people[0]
    if proposal.scope != OVERALL:
        kind = head.kinds[proposal.scope]
        value = np.stack(
            [head.value(proposal.groups.get(g, proposal.overall)) for g in kind.groups]
        )
        every = np.arange(len(kind.groups))
        people = float(head.faces(kind, JUDGE).sum() * everyone)
        changes = head.judge(kind, every, value, people) if enough_people(people) else []
        n = head.faces(kind, JUDGE).sum()
        records = [_record(proposal, OVERALL, OVERALL, c, n) for c in changes]
        return records + _by_group(head, proposal, kind, value)
    records = []
    one = head.value(proposal.overall)
    for kind in head.kinds.values():
        value = np.broadcast_to(one, (len(kind.groups), len(one)))
        records += _by_group(head, proposal, kind, value)
    return records


def _by_group(head: Head, proposal: Proposal, kind: Kind, value: Floats) -> list[dict[str, Any]]:
    faces = head.faces(kind, JUDGE)
    people = faces * kind.people
    records = []
    if kind.name != OVERALL and enough_people(people.sum()):
        told = head.over(kind, value)
        records += [_record(proposal, kind.name, OVERALL, c, faces.sum()) for c in told]
    for g in np.flatnonzero(enough_people(people)):
        changes = head.judge(kind, np.array([g]), value[g : g + 1], float(people[g]))
        records += [_record(proposal, kind.name, kind.groups[g], c, faces[g]) for c in changes]
    return records


def _record(
    proposal: Proposal, feature: str, group: str, change: Change, n: float
) -> dict[str, Any]:
    """One record; told of all groups together, `fell_back` says whether any of them did."""
    together = group == OVERALL
    return {
        "head": proposal.head,
        "method": proposal.method,
        "scope": proposal.scope,
        "feature": feature,
        "group": group,
        **vars(change),
        "n_fit": proposal.n_fit.get(group, proposal.n_fit[OVERALL]),
        "n_judge": n,
        "fell_back": bool(proposal.fell_back) if together else group in proposal.fell_back,
    }
