"""What training for groups does to groups, said by the audit itself, before and after.

Faces are drawn with their planted weakness, and the group that shows its years faintly is thinned
to one face in THIN besides, so that it is both few and hard. The same network is trained on them
as it is and with each option of `model/balance.py`; each is audited on other drawn faces, of which
every group has as many. Printed for each training: MAE of everyone and of the thinned group with
the audit's intervals, the largest difference over `race` with its verdict, and what changed against
the plain training on the same faces (paired, with 1.96 standard errors; negative is better).

    python -m benchmarks.balanced_training [--faces N] [--judges N] [--epochs N] [--seed N]
    python -m benchmarks.balanced_training --real FOLDER [--ways WAY ...] --keep DIR

With `--real` the faces of a folder, as they are, are learned by the `--quick` recipe, and the test
part is audited: every race instead of the thinned group. `--ways` picks some (quote each), so that
two can run beside each other; `--keep` keeps the runs and takes what is there.

Measured 2026-11-26 with `--faces 1500 --judges 1000 --epochs 15`, one thread, 175 s of CPU, one
seed: no way read the thinned group better (n = 196; plain 13.5 years, others 13.6 to 14.3; the
table is in docs/training.md). 2026-11-27 with `--real` on 18,909 faces (n = 3,779), all but
`--balance race`: `--age-weights root` reads 70+ better by 1.54 ± .57 years; nothing reads a race
better (table likewise).
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from audit.config import AuditSettings
from audit.run import run_audit
from model.drawn_faces import write_drawn_faces
from model.face_lots import PLANTED_GROUP
from model.faces import FaceTable, read_faces
from model.predict import predict
from model.settings import TrainSettings, demo_settings, settings_for
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
    parser.add_argument("--epochs", type=int, help="20 of drawn faces, 10 of real ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", type=Path, metavar="FOLDER", help="faces instead of drawn ones")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[*WAYS], metavar="WAY")
    parser.add_argument("--keep", type=Path, help="where the runs are kept")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        if args.real:
            learned = judged = read_faces(args.real)
            settings = settings_for(quick=True, seed=args.seed, threads=1)
        else:
            learned = read_faces(thinned(folder / "faces", n=args.faces, seed=args.seed))
            judges = write_drawn_faces(folder / "judges", n=args.judges, seed=args.seed + 1000)
            judged = read_faces(judges / "labels.csv")
            settings = demo_settings(seed=args.seed, threads=1)
        settings = replace(settings, epochs=args.epochs or settings.epochs)
        plain = pd.DataFrame()
        for way in args.ways:
            table = read(folder, way, learned, judged, settings)
            if args.real:
                table = table[table["split"] == "test"].reset_index(drop=True)
            races = sorted(table["race"].unique()) if args.real else [PLANTED_GROUP]
            print(f"{way:<26}{said(table, races, seed=args.seed)}", flush=True)
            plain = table if way == "plain" else plain
            if len(plain):
                print(f"{'':<26}{paired(table, plain, races)}", flush=True)


def read(
    folder: Path, way: str, learned: FaceTable, judged: FaceTable, settings: TrainSettings
) -> pd.DataFrame:
    """Predictions of `judged` by a training on `learned`, or those that lie in `folder`."""
    run = folder / way.replace(" ", "")
    rows = run / "p.parquet"
    if not rows.exists():
        train(learned, out=run, settings=replace(settings, **WAYS[way]), progress=False)
        predict(run, judged, out=rows, threads=1, progress=False)
    return pd.read_parquet(rows).sort_values("sample_id", ignore_index=True)


def thinned(folder: Path, *, n: int, seed: int) -> Path:
    """`n` drawn faces in `folder`; the label file keeps one in THIN of the planted group."""
    labels = write_drawn_faces(folder, n=n, seed=seed) / "labels.csv"
    table = pd.read_csv(labels)
    few = table.index[table["race"] == PLANTED_GROUP]
    table.drop(index=few.difference(few[::THIN])).to_csv(labels, index=False)
    return labels


def said(table: pd.DataFrame, groups: Sequence[str], *, seed: int) -> str:
    """The audit's words for a table of predictions, of everyone and of some races."""
    result = run_audit(table, settings=AuditSettings(by=("race",), seed=seed))
    words = []
    for metric, scale in (("age_mae", 1), ("gender_accuracy", 100)):
        found = result.subgroups.query("metric == @metric").set_index("group")
        shown = [
            f"{group} {scale * row['value']:.2f} [{scale * row['low']:.2f}, "
            f"{scale * row['high']:.2f}] (n = {int(row['n'])})"
            for group, row in found.loc[["overall", *groups]].iterrows()
        ]
        gap = result.disparities.query("metric == @metric and feature == 'race'").iloc[0]
        shown.append(f"largest difference {scale * gap['difference']:.2f} ({gap['verdict']})")
        words.append(f"{metric}: {', '.join(shown)}")
    return "; ".join(words)


def paired(table: pd.DataFrame, plain: pd.DataFrame, groups: Sequence[str]) -> str:
    """How the absolute error of age changed against `plain`, for everyone and some races."""
    change = (table["age_pred"] - table["age_true"]).abs()
    change = change - (plain["age_pred"] - plain["age_true"]).abs()
    parts = []
    parts_of = {"all": change, **{race: change[table["race"] == race] for race in groups}}
    for who, rows in parts_of.items():
        error = 1.96 * rows.std() / np.sqrt(len(rows))
        parts.append(f"{who} {rows.mean():+.2f} ± {error:.2f}")
    return f"paired: {', '.join(parts)}"


if __name__ == "__main__":
    main()
