"""Does the audit name the weakness that was planted, and nothing where none was?

For each seed the demo runs twice by its own command, `faceaudit demo`: once on drawn faces with
the planted weakness, once on their unplanted twin. Printed for each run: the age MAE of the planted
group with its interval, the largest MAE among the other groups, the planted group's rank (1 is
worst), the adjusted p-value of age MAE over `race`, and whether a finding of disparity names the
planted group. Then the same for the planted light. Expected over ten seeds: the group is named in
at least nine planted runs and in no twin.

    python benchmarks/planted.py                  seeds 0..9, both kinds: 20 demos
    python benchmarks/planted.py 0 1 --keep DIR   some seeds; demos already in DIR are used again

Every demo trains on one thread (130 s of CPU time). On two cores, give each half of the seeds with
the same --keep, then all with it for the table.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from audit.result import AuditResult
from model.drawn_faces import planted_truth

AGE_METRICS = ("age_mae", "age_rmse", "age_p90", "age_cs5", "age_me")


@dataclass(frozen=True)
class Row:
    """What one demo said about one planted group."""

    feature: str
    group: str
    mae: float
    low: float
    high: float
    worst_other: float
    rank: int
    p_adjusted: float
    named: bool


def main() -> int:
    """Run the demos that are asked for, print a row for each, then the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seeds", nargs="*", type=int, default=list(range(10)))
    parser.add_argument(
        "--keep", type=Path, help="keep the demos here and use those that are there"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = list(_runs(args.seeds, args.keep or Path(scratch), keep=args.keep is not None))
    table = pd.DataFrame(rows)
    for (feature, group), part in table.groupby(["feature", "group"], sort=False):
        print(f"\n{feature} = {group}")
        print(part.drop(columns=["feature", "group"]).to_string(index=False))
    print("\nnamed by a finding of disparity in an age metric, and worst in age MAE:")
    for (feature, group, planted), part in table.groupby(["feature", "group", "planted"]):
        kind = "planted" if planted else "twin"
        print(
            f"  {feature} = {group}, {kind}: named {part['named'].sum()} of {len(part)}, "
            f"worst {(part['rank'] == 1).sum()} of {len(part)}, "
            f"MAE / worst other {(part['mae'] / part['worst_other']).mean():.2f}"
        )
    return 0


def _runs(seeds: list[int], folder: Path, *, keep: bool) -> Iterator[dict[str, object]]:
    for seed in seeds:
        for planted in (True, False):
            out = folder / f"{'planted' if planted else 'twin'}-{seed}"
            start = time.perf_counter()
            if not (keep and (out / "result.json").exists()):
                command = [sys.executable, "-m", "audit", "demo", "--out", str(out)]
                command += ["--seed", str(seed), *([] if planted else ["--unplanted"])]
                command += ["--threads", "1"]  # the same bytes on any number of cores
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds = time.perf_counter() - start
            result = AuditResult.load(out)
            for weakness in planted_truth(seed, planted=True)["planted"]:
                row = about(result, feature=weakness["feature"], group=weakness["group"])
                print(
                    f"seed {seed} {'planted' if planted else 'twin':<7} "
                    f"{row.feature} = {row.group}: "
                    f"MAE {row.mae:.1f} [{row.low:.1f}, {row.high:.1f}], worst other "
                    f"{row.worst_other:.1f}, rank {row.rank}, p {row.p_adjusted:.4f}, "
                    f"{'named' if row.named else 'not named'} ({seconds:.0f} s)",
                    flush=True,
                )
                yield {"seed": seed, "planted": planted, **row.__dict__}


def about(result: AuditResult, *, feature: str, group: str) -> Row:
    """What `result` says about the age error of one group of one feature."""
    groups = result.subgroups.query("feature == @feature and metric == 'age_mae'")
    groups = groups.set_index("group")
    tested = result.disparities.query("feature == @feature and metric == 'age_mae'")
    tested = tested[tested["control"].isna()]
    named = result.findings.query("kind == 'disparity' and feature == @feature and group == @group")
    numbers = groups[["value", "low", "high"]].astype(float)
    values = numbers["value"]
    p = pd.to_numeric(tested["p_adjusted"], errors="coerce")
    return Row(
        feature=feature,
        group=group,
        mae=values[group],
        low=numbers["low"][group],
        high=numbers["high"][group],
        worst_other=values.drop(group).max(),
        rank=int((values > values[group]).sum()) + 1,
        p_adjusted=p.iloc[0] if len(p) else float("nan"),
        named=bool(named["metric"].isin(AGE_METRICS).any()),
    )


if __name__ == "__main__":
    sys.exit(main())
