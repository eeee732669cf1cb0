"""The data check as one page: who is in the folder, and what is wrong with its labels.

Draws the record that `model.check.check_faces` made (check.json); it counts nothing itself.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from audit.words import count, percent
from reports.templates import page_environment
from reports.thumbnails import thumbnails as thumbnails_of

SIDE = 96  # pixels of an embedded picture; about 3 kB each
SHOWN_GROUPS = 18  # groups of copies with pictures
SHOWN_COPIES = 4  # pictures of a group
SHOWN_LEAKS = 6
WIDTH, HEIGHT, BASE = 720, 200, 168  # of the age histogram, in SVG units; BASE is its zero line
STATUS = {  # what the words of left_out.csv mean
    "name": "name does not parse",
    "label": "label missing or out of range",
    "suffix": "suffix is not one of pictures",
    "repeated": "listed more than once",
    "empty": "empty file",
    "unreadable": "cannot be opened",
    "not_a_file": "not a regular file",
    "too_large": "too large",
    "too_small": "too small",
    "decode_error": "broken picture",
}

Record = Mapping[str, Any]


def render_check(check: Record, *, root: Path, pictures: bool = True) -> str:
    """The data check as one HTML file: no script, no request, the same bytes for the same data.

    Parameters
    ----------
    check
        What `model.check.check_faces` returned, or check.json read back.
    root
        Folder that the paths in `check` start from; pictures are read from inside it only.
    pictures
        Whether small pictures of faces are embedded, with a notice.
    """
    environment = page_environment()
    environment.filters |= {"count": count, "percent": percent, "plain": _plain}
    environment.filters |= {"label": _label, "listed": _listed, "number_of": _number_of}
    groups = _shown_groups(check["copies"]["listed"])
    leaks = list(check["leaks"].get("listed", []))[:SHOWN_LEAKS]
    shown = [*check["sample"], *(face for group in [*groups, *leaks] for face in _few(group))]
    names = sorted({face["image"] for face in shown})
    made = thumbnails_of(root if pictures else None, names, cache=None, side=SIDE)
    return environment.get_template("check.html").render(
        check=check,
        name=root.resolve().name or str(root),
        verdict=_verdict(check),
        people="people" if check["subjects_given"] else "photos",
        statuses=STATUS,
        heat=list(_heat(check["cells"])),
        histogram=_histogram(check["ages"]),
        groups=groups,
        leaks=leaks,
        few=_few,
        picture_of=dict(zip(names, made, strict=True)),
        pictures=pictures,
    )


def _few(group: Record) -> Sequence[Record]:
    faces: Sequence[Record] = group["faces"][:SHOWN_COPIES]
    return faces


def _plain(text: str) -> str:
    """A file name with line breaks and other control characters made visible."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _number_of(n: int, one: str, many: str) -> str:
    """`1 photo carries`, `2 photos carry`."""
    return f"{count(n)} {one if n == 1 else many}"


def _listed(words: Sequence[str]) -> str:
    """`age, gender and race`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _label(face: Record) -> str:
    """`26, female, Asian`."""
    return ", ".join(
        str(part) for part in (f"{face['age']:g}", face["gender"], face["race"]) if part
    )


def _verdict(check: Record) -> str:
    """What was found, in one sentence with its numbers."""
    copies, cells, ages, leaks = check["copies"], check["cells"], check["ages"], check["leaks"]
    clauses = []
    if leaks["split_given"] and leaks["subjects"]:
        people = _number_of(leaks["subjects"], "person is", "people are")
        clauses.append(f"{people} on both sides of the split")
    if copies["conflict_groups"]:
        photos = _number_of(copies["conflict_groups"], "photo carries", "photos carry")
        clauses.append(f"{photos} labels that contradict each other")
    elif copies["groups"]:
        photos = _number_of(copies["groups"], "photo occurs", "photos occur")
        clauses.append(f"{photos} more than once")
    small = cells["sparse"] + cells["empty"]
    if small:
        clauses.append(
            f"{small} of {len(cells['cells'])} groups hold fewer than "
            f"{cells['sparse_below']} people"
        )
    if ages["heaps"]:
        heap = ages["heaps"][0]
        clauses.append(f"one face in {1 / heap['share']:.0f} is labelled {heap['age']} years old")
    if not clauses:
        return "No photo occurs twice, no age stands out, and every group holds 30 people or more."
    text = "; ".join(clauses)
    return text[0].upper() + text[1:] + "."


def _heat(cells: Record) -> Iterator[dict[str, Any]]:
    """One table of counts per gender: age groups down, races across."""
    races = sorted({cell["race"] for cell in cells["cells"]}) if "race" in cells["features"] else []
    most = max(cell["n"] for cell in cells["cells"])
    at = {(c["gender"], c["age_group"], c.get("race")): c for c in cells["cells"]}
    groups = list(dict.fromkeys(cell["age_group"] for cell in cells["cells"]))
    genders = list(dict.fromkeys(cell["gender"] for cell in cells["cells"]))
    if not races:
        yield _heat_table("Faces", groups, [(g.capitalize(), g, None) for g in genders], at, most)
        return
    for gender in genders:
        columns = [(race, gender, race) for race in races]
        yield _heat_table(gender.capitalize(), groups, columns, at, most)


def _heat_table(
    title: str,
    groups: Sequence[str],
    columns: Sequence[tuple[str, str, str | None]],
    at: Mapping[tuple[str, str, str | None], Record],
    most: int,
) -> dict[str, Any]:
    rows = []
    for group in groups:
        found = [at[gender, group, race] for _, gender, race in columns]
        cells = [{**cell, "share": round(_shade(cell["n"], most), 3)} for cell in found]
        rows.append({"name": group, "cells": cells, "total": sum(cell["n"] for cell in found)})
    totals = [sum(row["cells"][i]["n"] for row in rows) for i in range(len(columns))]
    return {"title": title, "columns": [c[0] for c in columns], "rows": rows, "totals": totals}


def _shade(n: int, most: int) -> float:
    """Depth of a cell's colour, 0 to 1: logarithmic, for counts span three decades."""
    return math.log1p(n) / math.log1p(most) if most else 0.0


def _histogram(ages: Record) -> dict[str, Any]:
    """Bars of faces per year of age, heaps marked; positions in SVG units."""
    counts: list[int] = ages["counts"]
    heaps = {heap["age"]: heap for heap in ages["heaps"]}
    named = {heap["age"] for heap in ages["heaps"][:8]}
    step = WIDTH / len(counts)
    top = max(counts)
    bars: list[dict[str, Any]] = []
    for age, n in enumerate(counts):
        height = round((BASE - 20) * n / top, 1)
        x = round(age * step, 2)
        bars.append(
            {
                "age": age,
                "n": n,
                "x": x,
                "middle": round(x + step / 2, 2),
                "y": round(BASE - height, 1),
                "height": height,
                "heap": age in heaps,
                "named": age in named,
                "expected": round(BASE - (BASE - 20) * heaps[age]["expected"] / top, 1)
                if age in heaps
                else None,
            }
        )
    return {
        "bars": bars,
        "width": round(max(step - 1, step * 0.8), 2),
        "step": round(step, 2),
        "view": (WIDTH, HEIGHT),
        "base": BASE,
        "top": top,
        "lines": [
            {"n": n, "y": round(BASE - (BASE - 20) * n / top, 1)} for n in _round_numbers(top)
        ],
        "ticks": [bar for bar in bars if bar["age"] % 10 == 0],
    }


def _round_numbers(top: int) -> list[int]:
    """Two to four round numbers up to `top`, for the lines of a scale."""
    unit = 10 ** math.floor(math.log10(top))
    step = next(s for s in (unit / 5, unit / 2, unit, 2 * unit) if top / s < 5)
    return list(range(max(int(step), 1), top + 1, max(int(step), 1)))


def _shown_groups(listed: Sequence[Record]) -> list[Record]:
    """Groups of copies worth a look: contradictory ones, evenly from the widest to the mildest."""
    differing = [group for group in listed if group["differs"]]
    gender = [group for group in differing if "gender" in group["differs"]]
    others = [group for group in differing if "gender" not in group["differs"]]
    gender = gender[: max(SHOWN_GROUPS // 2, SHOWN_GROUPS - len(others))]
    room = SHOWN_GROUPS - len(gender)
    step = max(1, len(others) // max(room, 1))
    return [*gender, *others[::step][:room]]
