"""What training for groups does to groups, said by the audit itself, before and after.

Faces are drawn with their planted weakness, and the group that shows its years faintly is thinned
to one face in THIN besides, so that it is both few and hard. The same network is trained on them
as it is and with each option of `model/balance.py`; each is audited on other drawn faces, of which
every group has as many. Printed for each training: MAE of everyone and of the thinned group with
the audit's intervals, the largest difference over `race` with its verdict, and what changed against
the plain training on the same faces (paired, with 1.96 standard errors; negative is better).

    python -m benchmarks.balanced_training [--faces N] [--judges N] [--epochs N] [--seed N]

Measured 2026-11-26 with `--faces 1500 --judges 1000 --epochs 15`, one thread, 175 s of CPU, one
seed: no way read the thinned group better (n = 196; plain 13.5 years, others 13.6 to 14.3; the
table is in docs/training.md).
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from audit.config import AuditSettings
from audit.run import run_audit
from model.drawn_faces import write_drawn_faces
from model.face_lots import PLANTED_GROUP
from model.faces import read_faces
from model.predict import predict
from model.settings import demo_settings
from model.train import train

THIN = 5
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "--balance race": {"balance": ("race",)},
    "--balance race age_group": {"balance": ("race", "age_group")},
    "--age-weights root": {"age_weights": "root"},
    "--group-dro race": {"group_dro": ("race",)},
}


def main() -> None:
    """Draw, train each way, audit each, print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--faces", type=int, default=2000, help="drawn to learn from")
    parser.add_argument("--judges", type=int, default=1500, help="drawn to be audited on")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        learned = read_faces(thinned(folder / "faces", n=args.faces, seed=args.seed))
        judges = write_drawn_faces(folder / "judges", n=args.judges, seed=args.seed + 1000)
        judged = read_faces(judges / "labels.csv")
        settings = replace(demo_settings(seed=args.seed, threads=1), epochs=args.epochs)
        plain = pd.DataFrame()
        for way, changed in WAYS.items():
            run = folder / way.replace(" ", "")
            train(learned, out=run, settings=replace(settings, **changed), progress=False)
            rows = predict(run, judged, out=run / "p.parquet", threads=1, progress=False)
            table = pd.read_parquet(rows).sort_values("sample_id", ignore_index=True)
            plain = table if way == "plain" else plain
            print(f"{way:<26}{said(table, seed=args.seed)}; {paired(table, plain)}", flush=True)


def thinned(folder: Path, *, n: int, seed: int) -> Path:
    """`n` drawn faces in `folder`; the label file keeps one in THIN of the planted group."""
    labels = write_drawn_faces(folder, n=n, seed=seed) / "labels.csv"
    table = pd.read_csv(labels)
    few = table.index[table["race"] == PLANTED_GROUP]
    table.drop(index=few.difference(few[::THIN])).to_csv(labels, index=False)
    return labels


def said(table: pd.DataFrame, *, seed: int) -> str:
    """The audit's words for a table of predictions."""
    result = run_audit(table, settings=AuditSettings(by=("race",), seed=seed))
    found = result.subgroups.query("metric == 'age_mae'").set_index("group")
    shown = [
        f"{group} {row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}] (n = {int(row['n'])})"
        for group, row in found.loc[["overall", PLANTED_GROUP]].iterrows()
    ]
    gap = result.disparities.query("metric == 'age_mae' and feature == 'race'").iloc[0]
    return f"{', '.join(shown)}, largest difference {gap['difference']:.2f} ({gap['verdict']})"


def paired(table: pd.DataFrame, plain: pd.DataFrame) -> str:
    """How the absolute error changed against `plain`, for everyone and the thinned group."""
    change = (table["age_pred"] - table["age_true"]).abs()
    change = change - (plain["age_pred"] - plain["age_true"]).abs()
    parts = []
    for who, rows in (("all", change), ("thinned", change[table["race"] == PLANTED_GROUP])):
        error = 1.96 * rows.std() / np.sqrt(len(rows))
        parts.append(f"{who} {rows.mean():+.2f} ± {error:.2f}")
    return f"paired: {', '.join(parts)}"


if __name__ == "__main__":
    main()
