"""The audit of the data itself: who is in the folder, which labels heap, clash or leak."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from audit.words import CROSS, agreed
from model.duplicates import resolve_conflicts
from model.faces import FaceTable
from model.heaping import age_heaping
from model.split import AGE_GROUPS, age_group, split_faces, spread_hash

SPARSE = 30  # people; fewer are never compared in an audit
THIN = 150  # people; fewer leave under 30 for a test part of one fifth
SAMPLE = 24
LISTED = 200  # left-out files spelled out in the result; all of them are in left_out.csv
UNKNOWN = "unknown"

Record = dict[str, Any]


def check_faces(
    table: FaceTable, *, split: "pd.Series[str] | None" = None, seed: int = 0
) -> Record:
    """Audit a face table: counts, small cells, age heaping, copies, conflicts, leaks, a sample.

    Parameters
    ----------
    split
        Side of every face (index as `table.faces`); default: the table's own `split` column. With
        neither there is nothing to leak, and `leaks` says what a random split would have done.

    Returns
    -------
    A record of plain numbers, texts, lists and records: what `json.dumps` takes as it is. The same
    for the same faces in any order.
    """
    faces = table.faces
    if split is None and "split" in faces:
        split = faces["split"].astype("str").fillna(UNKNOWN)
    return {
        "schema": 1,
        "seed": seed,
        "faces": len(faces),
        "subjects": int(faces["subject_id"].nunique()),
        "subjects_given": table.subjects_given,
        "subjects_merged": table.subjects_merged,
        "passed_over": table.passed_over,
        "left_out": _left_out(table.left_out),
        "labels": _labels(faces),
        "cells": _cells(faces),
        "ages": age_heaping(faces["age"]),
        "copies": _copies(faces),
        "split": _made_split(faces, seed),
        "leaks": _leaks(faces, split),
        "pictures": _pictures(faces),
        "sample": _sample(faces, seed),
    }


def _left_out(left_out: pd.DataFrame) -> Record:
    first = left_out.drop_duplicates("status").set_index("status")
    counts = left_out["status"].value_counts()
    return {
        "n": len(left_out),
        "by_status": [
            {
                "status": status,
                "n": int(counts[status]),
                "image": first["image"][status],
                "reason": first["reason"][status],
            }
            for status in sorted(counts.index, key=lambda name: (-counts[name], name))
        ],
        "files": left_out.head(LISTED).to_dict("records"),
    }


def _labels(faces: pd.DataFrame) -> Record:
    found: Record = {
        "age": {
            "least": float(faces["age"].min()),
            "median": float(faces["age"].median()),
            "most": float(faces["age"].max()),
        }
    }
    for name in ("gender", "race"):
        if name in faces:
            counts = faces[name].fillna(UNKNOWN).value_counts()
            found[name] = {key: int(counts[key]) for key in sorted(counts.index, key=str)}
    return found


def _cells(faces: pd.DataFrame) -> Record:
    """Faces and people in age group × gender [× race], empty cells included.

    `status` is `empty`, `sparse` (under 30 people: an audit shows such a cell but never compares
    it), `thin` (under 150: a test part of one fifth would be sparse) or `ok`.
    """
    rows = pd.DataFrame(
        {
            "age_group": pd.Categorical(age_group(faces["age"]), AGE_GROUPS),
            "gender": pd.Categorical(faces["gender"], ["female", "male"]),
            "subject_id": faces["subject_id"],
        }
    )
    features = ["age_group", "gender"]
    if "race" in faces:
        rows["race"] = faces["race"].fillna(UNKNOWN).astype("category")
        features.append("race")
    counted = rows.groupby(features, observed=False)["subject_id"].agg(["size", "nunique"])
    records = [
        {
            **dict(zip(features, key, strict=True)),
            "n": int(n),
            "subjects": int(k),
            "status": _status(k),
        }
        for key, n, k in zip(counted.index, counted["size"], counted["nunique"], strict=True)
    ]
    statuses = pd.Series([cell["status"] for cell in records])
    totals = {name: int((statuses == name).sum()) for name in ("empty", "sparse", "thin", "ok")}
    return {
        "features": features,
        "sparse_below": SPARSE,
        "thin_below": THIN,
        **totals,
        "cells": records,
    }


def _status(subjects: int) -> str:
    if subjects == 0:
        return "empty"
    return "sparse" if subjects < SPARSE else "thin" if subjects < THIN else "ok"


def _copies(faces: pd.DataFrame) -> Record:
    """Groups of copies: what they are, in which labels they differ, what training makes of them."""
    copied = faces[faces["copy_group"].notna()]
    groups = [_group(rows) for _, rows in copied.groupby("copy_group", sort=True)]
    groups.sort(key=lambda group: (-group["conflict"], -len(group["differs"]), -group["age_range"]))
    learned = resolve_conflicts(faces)
    return {
        "groups": len(groups),
        "files": len(copied),
        "identical_groups": sum(group["kind"] == "identical" for group in groups),
        "near_groups": sum(group["kind"] != "identical" for group in groups),
        "differing_groups": sum(bool(group["differs"]) for group in groups),
        "differs_in": {
            name: sum(name in group["differs"] for group in groups)
            for name in ("age", "gender", "race")
            if name in faces
        },
        "conflict_groups": sum(group["conflict"] for group in groups),
        "conflict_files": int(faces["conflict"].sum()),
        "left_for_training": len(learned),
        "listed": groups,
    }


def _group(rows: pd.DataFrame) -> Record:
    differs = [
        name
        for name in ("age", "gender", "race")
        if name in rows and len(set(rows[name].fillna(UNKNOWN))) > 1
    ]
    return {
        "kind": "identical" if len(set(rows["content_hash"])) == 1 else "near",
        "differs": differs,
        "age_range": float(rows["age"].max() - rows["age"].min()),
        "conflict": bool(rows["conflict"].iloc[0]),
        "faces": [_face(row) for row in rows.to_dict("records")],
    }


def _face(row: Mapping[Any, Any]) -> Record:
    race = row.get("race")
    return {
        "image": row["image"],
        "age": float(row["age"]),
        "gender": row["gender"],
        "race": None if race is None or pd.isna(race) else str(race),
    }


def _made_split(faces: pd.DataFrame, seed: int) -> Record:
    """Faces on each side of the split that training with this seed would make."""
    counts = split_faces(faces, seed=seed).value_counts()
    return {side: int(counts.get(side, 0)) for side in ("train", "valid", "test")}


def _leaks(faces: pd.DataFrame, split: "pd.Series[str] | None") -> Record:
    """People (or copies of a photo) on more than one side of a given split.

    Without a split: `random`, the number of groups of copies that a random split of 80 : 20 by
    picture would be expected to put on both sides, Σ 1 − .8ᵏ − .2ᵏ over groups of k.
    """
    sizes = faces["copy_group"].value_counts()
    random = float((1 - 0.8**sizes - 0.2**sizes).sum())
    if split is None:
        return {"split_given": False, "random": random}
    sides = split.groupby(faces["subject_id"]).agg(lambda side: sorted(set(side)))
    leaky = sides[sides.map(len) > 1]
    by_subject = dict(tuple(faces.groupby("subject_id"))) if len(leaky) else {}
    listed = [
        {
            "subject_id": subject,
            "sides": leaky[subject],
            "faces": [
                {**_face(row), "split": split[index]}
                for index, row in zip(
                    by_subject[subject].index, by_subject[subject].to_dict("records"), strict=True
                )
            ],
        }
        for subject in sorted(leaky.index)[:LISTED]
    ]
    files = int(faces["subject_id"].isin(leaky.index).sum())
    return {
        "split_given": True,
        "random": random,
        "subjects": len(leaky),
        "files": files,
        "sides": {side: int(n) for side, n in sorted(split.value_counts().items())},
        "listed": listed,
    }


def _pictures(faces: pd.DataFrame) -> Record:
    sizes = faces.groupby(["width", "height"]).size().sort_values(ascending=False, kind="stable")
    side = faces[["width", "height"]].min(axis=1)
    return {
        "sizes": [
            {"width": int(w), "height": int(h), "n": int(n)}
            for (w, h), n in zip(sizes.index[:8], sizes.iloc[:8], strict=True)
        ],
        "kinds_of_size": len(sizes),
        "smallest_side": int(side.min()),
        "under_64": int((side < 64).sum()),
        "not_square": int((faces["width"] != faces["height"]).sum()),
        "bytes": int(faces["bytes"].sum()),
    }


def _sample(faces: pd.DataFrame, seed: int) -> list[Record]:
    """Some faces at random, one a person; which ones depends on seed and content alone."""
    chosen = sorted(
        faces["subject_id"].unique(), key=lambda subject: spread_hash(f"{seed} sample {subject}")
    )[:SAMPLE]
    first = faces.drop_duplicates("subject_id").set_index("subject_id")
    return [_face(first.loc[subject].to_dict()) for subject in chosen]


def check_words(data: Record) -> str:
    """The data audit in some lines for the terminal."""
    copies, cells, ages, left = data["copies"], data["cells"], data["ages"], data["left_out"]
    people = "people" if data["subjects_given"] else "photos (one person each is assumed)"
    lines = [f"faces      {data['faces']:,}, {data['subjects']:,} {people}"]
    lines.append(f"left out   {left['n']:,}")
    lines += [
        f"             {row['n']:,} {row['status']}: {row['image']!r}: {row['reason']}"
        for row in left["by_status"]
    ]
    lines.append(
        f"cells      {CROSS.join(cells['features'])}: {cells['empty']} empty, {cells['sparse']} "
        f"under {SPARSE} people (never compared), {cells['thin']} under {THIN} (few in a test part)"
    )
    occur = agreed(copies["groups"], "photo occurs", "photos occur")
    lines.append(
        f"copies     {copies['groups']:,} {occur} more than once ({copies['files']:,} files; "
        f"{copies['identical_groups']:,} identical, {copies['near_groups']:,} near-identical)"
    )
    lines.append(
        f"conflicts  {copies['differing_groups']:,} of them with different labels, "
        f"{copies['conflict_groups']:,} contradict each other ({copies['conflict_files']:,} files "
        "not learned from)"
    )
    lines.append(f"leaks      {_leak_words(data['leaks'])}")
    heaps = ", ".join(f"{heap['age']} ({heap['share']:.1%})" for heap in ages["heaps"][:6])
    lines.append(f"heaped     {heaps or 'no age stands out from its neighbours'}")
    return "\n".join(lines)


def _leak_words(leaks: Record) -> str:
    if not leaks["split_given"]:
        return (
            "none: the split keeps copies together (a random one would part "
            f"about {leaks['random']:.0f} photos)"
        )
    if leaks["subjects"] == 0:
        return "none across the given split"
    people = "person" if leaks["subjects"] == 1 else "people"
    files = f"{leaks['files']:,} files"
    return f"{leaks['subjects']:,} {people} on both sides of the given split ({files})"
