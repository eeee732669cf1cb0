"""Who is train, valid and test: by person, seeded, stratified, whatever the folder's order."""

import hashlib

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.errors import InputError

AGE_EDGES = (0, 3, 10, 20, 30, 40, 50, 60, 70)  # left-closed; the audit's own age groups
AGE_GROUPS = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+")


def age_group(ages: "pd.Series[float]") -> "pd.Series[str]":
    """Age group of each age in years, `0-2` to `70+`: [0, 3), [3, 10), ..."""
    places = np.searchsorted(AGE_EDGES, ages.to_numpy(dtype=float), side="right") - 1
    return pd.Series(np.array(AGE_GROUPS, dtype=object)[places], index=ages.index, dtype="str")


def split_faces(
    faces: pd.DataFrame, *, seed: int = 0, test: float = 0.2, valid: float = 0.1
) -> "pd.Series[str]":
    """`train`, `valid` or `test` for every face; all faces of one `subject_id` on the same side.

    Subjects are sorted by age group × gender [× race] (of their first face by content) and, inside
    each, by a hash of seed and subject; test and then valid are taken at even steps through that
    list, so that every stratum gives its share to within one subject and the whole gives exactly
    round(share · subjects). Row order, paths and machine play no part.

    Parameters
    ----------
    faces
        Columns `subject_id`, `age`, `gender`, optionally `race` and `content_hash`.
    test, valid
        Shares of the subjects, 0 ≤ test + valid < 1.
    """
    if not (test >= 0 and valid >= 0 and test + valid < 1):
        raise InputError(
            f"shares test {test} and valid {valid} must be ≥ 0 and add up to less than 1"
        )
    subjects = _subjects(faces)
    subjects["place"] = [spread_hash(f"{seed} {subject}") for subject in subjects["subject_id"]]
    strata = [name for name in ("age_group", "gender", "race") if name in subjects]
    subjects = subjects.sort_values([*strata, "place", "subject_id"], ignore_index=True)
    side = np.full(len(subjects), "train", dtype=object)
    start = spread_hash(f"{seed} start") / 2**64
    wanted = {"test": test, "valid": valid}
    for name, share in wanted.items():
        free = np.flatnonzero(side == "train")
        side[free[_even_steps(len(free), _how_many(len(subjects), share), start)]] = name
    sides = dict(zip(subjects["subject_id"], side, strict=True))
    return pd.Series(
        [sides[subject] for subject in faces["subject_id"]],
        index=faces.index,
        dtype="str",
        name="split",
    )


def _subjects(faces: pd.DataFrame) -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "subject_id": faces["subject_id"].astype("str"),
            "age_group": pd.Categorical(age_group(faces["age"]), AGE_GROUPS).codes,
            "gender": faces["gender"].astype("str"),
        }
    )
    if "race" in faces:
        rows["race"] = faces["race"].astype("str").fillna("unknown")
    order = ("subject_id", "content_hash", "age_group", "gender", "race")
    if "content_hash" in faces:
        rows["content_hash"] = faces["content_hash"].astype("str")
    rows = rows.sort_values([name for name in order if name in rows])
    return rows.drop_duplicates("subject_id").drop(columns="content_hash", errors="ignore")


def _how_many(n: int, share: float) -> int:
    """Subjects for a part: the rounded share, but at least one where there are three or more."""
    return max(round(n * share), 1 if share > 0 and n >= 3 else 0)


def _even_steps(n: int, k: int, start: float) -> npt.NDArray[np.int64]:
    """`k` of `n` places at even distances, the first somewhere in the first step."""
    places: npt.NDArray[np.int64] = np.floor((np.arange(k) + start) * (n / max(k, 1))).astype(int)
    return places


def spread_hash(text: str) -> int:
    """64 bits of a text, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
