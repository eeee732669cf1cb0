"""An audit folder for the tests of the dashboard: result, rows and pictures, all made here."""

from pathlib import Path

import numpy as np
import pandas as pd
from example_result import example_faces, example_result
from PIL import Image

from audit import AuditSettings, run_audit


def write_audit_folder(
    folder: Path, *, n: int = 600, pictures: int = 60, faces: pd.DataFrame | None = None, **options
) -> pd.DataFrame:
    """Write `result.json`, `predictions.parquet` and some pictures; return the rows.

    The pictures lie beside the audit, in `<folder>-faces`, as plain coloured squares.
    """
    faces = example_faces(n) if faces is None else faces
    images = folder.with_name(folder.name + "-faces")
    images.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(faces.image[:pictures]):
        colour = np.random.default_rng(i).integers(40, 220, 3)
        Image.new("RGB", (100, 120), tuple(map(int, colour))).save(images / name)
    options.setdefault("races", tuple(dict.fromkeys(faces.race)))
    result = example_result(faces=faces, **options)
    result.info["run"]["paths"]["images"] = str(images)
    result.save(folder)
    faces.to_parquet(folder / "predictions.parquet", index=False)
    return faces


def audit_of(folder, table, **settings):
    """A true audit, as the command leaves it."""
    return run_audit(table, settings=AuditSettings(**settings), out=folder)
