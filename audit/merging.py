"""Tallies of several sites added up to one, refused where they do not fit together."""

from collections.abc import Iterable, Mapping, Sequence

from audit.config import AuditSettings
from audit.errors import InputError
from audit.notes import Facts
from audit.sites import OWN, SHARED, SiteTally, shown
from audit.tally import Tally, merge_tallies
from audit.worst import merge_faces


def merge_sites(parts: Mapping[str, SiteTally]) -> SiteTally:
    """The counts of all sites together; neither order nor grouping of the merges matters.

    parts: label, for messages, -> tally of a site or of several. Raises InputError where they were
    counted differently, are of different models, or hold the same site twice.
    """
    if not parts:
        raise InputError("no tally to merge")
    _refuse_twins(parts)
    settings = _one_settings(parts)
    ordered = [parts[k] for k in sorted(parts, key=lambda k: parts[k].tally.fingerprint)]
    try:
        tally = merge_tallies([p.tally for p in ordered])
    except InputError:
        _blame(parts)
        raise
    given = [p.faces for p in ordered if p.faces is not None]
    return SiteTally(
        tally=tally,
        facts=_added_facts(ordered, tally),
        settings=settings,
        sites=tuple(sorted((s for p in ordered for s in p.sites), key=lambda s: s.fingerprint)),
        faces=merge_faces(given) if given else None,
    )


def _refuse_twins(parts: Mapping[str, SiteTally]) -> None:
    holder: dict[str, str] = {}
    for label, part in parts.items():
        for site in part.sites:
            if (other := holder.setdefault(site.fingerprint, label)) != label:
                raise InputError(
                    f"{other} and {label} hold the counts of the same rows; name each site once"
                )


def _one_settings(parts: Mapping[str, SiteTally]) -> AuditSettings:
    """The settings that all parts share; InputError, with two labels, where they must and do not.

    What each may choose for itself is the default again where they differ.
    """
    (first, part), *others = parts.items()
    settings = part.settings
    for label, other in others:
        for name, option in SHARED.items():
            ours, theirs = getattr(settings, name), getattr(other.settings, name)
            if ours != theirs:
                raise InputError(
                    f"{first} and {label} were counted with different {option} "
                    f"({shown(ours)}; {shown(theirs)}); make them again with the same"
                )
        settings = _model_named(settings, other.settings, (first, label))
    default = AuditSettings()
    loose = {
        name: getattr(default, name)
        for name in OWN
        if any(getattr(p.settings, name) != getattr(settings, name) for p in parts.values())
    }
    return settings.replace(**loose)


def _model_named(
    ours: AuditSettings, theirs: AuditSettings, labels: tuple[str, str]
) -> AuditSettings:
    if ours.model and theirs.model and ours.model != theirs.model:
        raise InputError(
            f"{' and '.join(labels)} are of different models ({ours.model}; {theirs.model}); an "
            "audit is of one"
        )
    return ours.replace(model=ours.model or theirs.model)


def _blame(parts: Mapping[str, SiteTally]) -> None:
    """Raise what two of the parts do not share, with their labels."""
    (first, part), *others = parts.items()
    for label, other in others:
        try:
            merge_tallies([part.tally, other.tally])
        except InputError as error:
            raise InputError(f"{first} and {label}: {error}") from error


def _added_facts(parts: Sequence[SiteTally], tally: Tally) -> Facts:
    facts = [p.facts for p in parts]
    counts = {k: sum(f.counts.get(k, 0) for f in facts) for k in _union(f.counts for f in facts)}
    if not tally.subjects_assumed:  # in one table, their rows would be those without a subject_id
        lone = [p for p in parts if p.facts.subjects_assumed]
        nameless = sum(s.rows_audited for p in lone for s in p.sites)
        counts["subject_missing"] = counts.get("subject_missing", 0) + nameless
    return Facts(
        unread=_union(f.unread for f in facts),
        unfit=_union(f.unfit for f in facts),
        ids_made=any(f.ids_made for f in facts),
        ids_checked=all(f.ids_checked for f in facts),
        subjects_assumed=tally.subjects_assumed,
        left_out=dict(tally.rows_left_out),
        counts=counts,
        constants=_shared_constants(facts),
    )


def _shared_constants(facts: Sequence[Facts]) -> dict[str, float]:
    """Columns of the model with one value at every site that has rows of them."""
    shared = {}
    for name, rows in (("age_pred", "age_rows"), ("gender_score", "score_rows")):
        values = {f.constants.get(name) for f in facts if f.counts.get(rows)}
        if len(values) == 1 and (value := values.pop()) is not None:
            shared[name] = value
    return shared


def _union(groups: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """Words of any group: in their own order where all say the same, else sorted."""
    lists = [tuple(g) for g in groups]
    if all(one == lists[0] for one in lists):
        return lists[0]
    return tuple(sorted({word for one in lists for word in one}))
