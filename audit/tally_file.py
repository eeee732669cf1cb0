"""One tally, one Parquet file: its tables stacked, told apart by the column `table`.

Any reader of Parquet opens it. A feature's codes stand in the column `feature:NAME`, and what is
no count (levels, settings, notes) as JSON in the file's metadata, under `faceaudit.tally`. Whoever
reads it back checks the checksums of its pages, of the JSON and of all counts.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from audit import histograms, metrics
from audit.config import AuditSettings
from audit.contract import TALLY_KEY
from audit.errors import InputError
from audit.features import Feature
from audit.files import write_atomic
from audit.histograms import FRAMES, frame_keys
from audit.notes import FAR, Facts
from audit.result import plain_records, table
from audit.shards import SHARDS
from audit.sites import Site, SiteTally
from audit.tally import Tally, fingerprint_of
from audit.words import own_version

SCHEMA = 1
_TABLE, _FEATURE = "table", "feature:"
_AGAIN = "make it again with `faceaudit tally`"
_PLAIN = [f.name for f in fields(Tally) if f.name not in {"features", *FRAMES}]


def is_tally(path: Path) -> bool:
    """Whether a file is a tally (whole or damaged inside), not a table of rows."""
    return path.is_file() and _metadata_of(path) is not None


def refuse_place(path: Path) -> None:
    """Raise InputError where no tally can be written, or would lie under the name of a CSV."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it, such as {path / 'tally.parquet'}")
    if path.suffix.lower() == ".csv":
        raise InputError(f"{path}: a tally is a Parquet; name it {path.with_suffix('.parquet')}")


def write_tally(site: SiteTally, path: Path | str) -> Path:
    """Write a tally atomically; equal counts give equal bytes. Returns the path.

    Raises InputError as `refuse_place` does, else as `write_atomic` does.
    """
    path = Path(path)
    refuse_place(path)
    tables = {name: _stacked(getattr(site.tally, name), name, site.tally) for name in FRAMES}
    about = _about(site)
    about["sha256"] = _digest(about)
    columns = dict.fromkeys(c for t in tables.values() for c in t.column_names if c != _TABLE)
    schema = pa.schema([(_TABLE, pa.string()), *((c, pa.int64()) for c in columns)])

    def write(beside: Path) -> None:
        # without the copy of the schema, in base64, that pyarrow would keep for itself
        with pq.ParquetWriter(
            beside, schema, compression="zstd", write_page_checksum=True, store_schema=False
        ) as writer:
            writer.add_key_value_metadata({TALLY_KEY: json.dumps(about, ensure_ascii=False)})
            for stacked in tables.values():  # a row group each
                absent = {c: pa.nulls(len(stacked), pa.int64()) for c in columns}
                held = {c: stacked[c] for c in stacked.column_names}
                writer.write_table(pa.table(absent | held, schema=schema))

    return write_atomic(path, write)


def read_tally(path: Path | str) -> SiteTally:
    """Read what `write_tally` wrote, and check it.

    Raises InputError, naming the file, for one that is no tally, is cut short or damaged, or was
    made by a version that counted otherwise.
    """
    path = Path(path)
    if not path.is_file():
        if path.is_dir():
            raise InputError(f"{path} is a folder; name its tallies: {path / '*.parquet'}")
        raise InputError(f"{path}: no such file; `faceaudit tally` makes one of a site's rows")
    raw = _metadata_of(path)
    if raw is None:
        raise InputError(
            f"{path} is no tally, or not the whole of one; `faceaudit tally` makes one of a site's "
            "rows"
        )
    try:
        about = json.loads(raw)
        stated = about.pop("sha256")
        whole = stated == _digest(about)
    except (ValueError, KeyError, AttributeError) as error:
        raise _damaged(path) from error
    if about.get("schema") != SCHEMA or about.get("counted") != _counted():
        raise InputError(
            f"{path} was made by faceaudit {about.get('tool_version')}, which counted otherwise "
            f"than this version; {_AGAIN}"
        )
    if not whole:
        raise _damaged(path)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as stacked:
            site = _site(about, stacked)
        same = fingerprint_of(site.tally) == site.tally.fingerprint
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError, IndexError) as error:
        raise _damaged(path) from error
    if not same:
        raise _damaged(path)
    return site


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is damaged: its contents do not fit its checksum; {_AGAIN}")


def _metadata_of(path: Path) -> bytes | None:
    """The JSON of a tally; None where the file has none or is no Parquet."""
    try:
        held = pq.read_metadata(path).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    found = held.get(TALLY_KEY.encode())
    return None if found is None else bytes(found)


def _counted() -> str:
    """What the counts mean: another value where bins, sums or shards were others."""
    known = (int, float, tuple)
    bins = {k: v for k, v in vars(histograms).items() if k.isupper() and isinstance(v, known)}
    words = [
        sorted(bins.items()),
        dict(FRAMES),
        dict(metrics.SUMS),
        dict(metrics.BEYOND),
        FAR,
        SHARDS,
    ]
    return hashlib.sha256(repr(words).encode()).hexdigest()


def _digest(about: Mapping[str, Any]) -> str:
    text = json.dumps(about, ensure_ascii=False, allow_nan=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


# Out ------------------------------------------------------------------------------------------


def _stacked(frame: pd.DataFrame, name: str, tally: Tally) -> pa.Table:
    features = {f.name for f in tally.features}
    columns = {
        f"{_FEATURE}{c}" if c in features else str(c): frame[c].to_numpy().astype(np.int64)
        for c in frame
    }
    return pa.table({_TABLE: pa.array([name] * len(frame), pa.string()), **columns})


def _about(site: SiteTally) -> dict[str, Any]:
    tally = site.tally
    return {
        "schema": SCHEMA,
        "counted": _counted(),
        "tool_version": own_version(),
        "features": [asdict(f) for f in tally.features],
        **{name: getattr(tally, name) for name in _PLAIN},
        "tables": {
            name: {str(c): str(dtype) for c, dtype in getattr(tally, name).dtypes.items()}
            for name in FRAMES
        },
        "facts": asdict(site.facts),
        "settings": site.settings.as_json(),
        "sites": [asdict(s) for s in site.sites],
        "faces": None if site.faces is None else plain_records(site.faces),
    }


# In -------------------------------------------------------------------------------------------


def _site(about: Mapping[str, Any], stacked: pq.ParquetFile) -> SiteTally:
    features = tuple(Feature(**_fields(one)) for one in about["features"])
    holds = [
        stacked.read_row_group(i, columns=[_TABLE])[_TABLE].unique().to_pylist()
        for i in range(stacked.num_row_groups)
    ]
    frames = {}
    for name in FRAMES:  # a group holds rows of one table, so that no other's columns are read
        groups = [i for i, names in enumerate(holds) if names == [name]]
        frames[name] = _frame(stacked, groups, name, about["tables"][name], features)
    for frame in frames.values():
        for feature in (f for f in features if f.name in frame):
            _check_range(frame[feature.name], 0, len(feature.levels))
        if "age_group_pred" in frame:
            _check_range(frame["age_group_pred"], -1, len(about["age_groups"]))
        if "shard" in frame:
            _check_range(frame["shard"], 0, SHARDS)
    plain: dict[str, Any] = _fields({name: about[name] for name in _PLAIN})
    faces = about["faces"]
    return SiteTally(
        tally=Tally(features=features, **(plain | frames)),
        facts=Facts(**_fields(about["facts"])),
        settings=AuditSettings.from_plain(about["settings"]),
        sites=tuple(Site(**_fields(one)) for one in about["sites"]),
        faces=None if faces is None else _faces(faces),
    )


def _frame(
    stacked: pq.ParquetFile,
    groups: list[int],
    name: str,
    dtypes: Mapping[str, str],
    features: tuple[Feature, ...],
) -> pd.DataFrame:
    names = {f.name for f in features}
    if not {*frame_keys(name, [f.name for f in features])} <= {*dtypes}:
        raise ValueError(name)
    held = [f"{_FEATURE}{c}" if c in names else c for c in dtypes]
    rows = stacked.read_row_groups(groups, columns=held)
    return pd.DataFrame(
        {
            column: rows[there].to_numpy().astype(np.dtype(dtype), casting="same_kind")
            for there, (column, dtype) in zip(held, dtypes.items(), strict=True)
        }
    )


def _check_range(values: "pd.Series[int]", least: int, end: int) -> None:
    if len(values) and not (values.min() >= least and values.max() < end):
        raise ValueError(str(values.name))


def _faces(records: list[dict[str, Any]]) -> pd.DataFrame:
    best = [r.pop("best") for r in records]
    return table("worst", records).assign(best=best)


def _fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a frozen dataclass, as `asdict` and JSON leave them."""
    return {name: _tuples(value) for name, value in values.items()}


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
