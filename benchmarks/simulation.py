"""Do the tests keep their word? Simulated tables whose truth is known.

    python -m benchmarks.simulation null --tables 400     no disparity: how often is one claimed?
    python -m benchmarks.simulation coverage              do 95 % intervals hold the truth?
    python -m benchmarks.simulation power                 is a planted group found, and named?
    python -m benchmarks.simulation slices                is a planted slice confirmed?
    python -m benchmarks.simulation photos                five photos a person
    python -m benchmarks.simulation uneven                few people own most photos
    python -m benchmarks.simulation ages                  groups that differ in age mix only
    python -m benchmarks.simulation calibration           a perfect score: how often is it refused?
    python -m benchmarks.simulation all                   everything, at the sizes given

Prints Markdown tables; docs/simulations.md holds those measured, with date and n. `null` goes the
way of the command line: a table of rows, `run_audit`, result. The others work on sums, so that
thousands of tables can be drawn.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from audit import AuditResult, run_audit
from audit.evidence import rare
from audit.histograms import SCORE_BINS, score_edges
from audit.intervals import Z, clustered_se, effective, freedom, student_above_zero, wilson
from audit.reliability import Simulated, fitted, simulate
from audit.resample import Linear, Ratios, Replicates, replicate
from audit.score_tests import spiegelhalter
from audit.signed_calibration import signed_error
from audit.slices import Cells, weak_slices
from audit.smooth_ece import smooth_error
from audit.standardise import standardise
from audit.synthetic import Errors, synthetic_predictions

Floats = NDArray[np.float64]
SHARDS = 1000
LAWS: tuple[Errors, ...] = ("skewed", "lognormal", "t4")
SIZES = (4000, 1500, 500)  # of groups that differ in age mix
FAMILY = 110  # tests in a default audit
ALPHA = 0.04
TOGETHER = 20  # tables that meet the same replicates, where only sums are drawn


def t4(rng: np.random.Generator, n: int) -> Floats:
    """Absolute errors of t with 4 degrees of freedom, mean about 5 years."""
    return np.abs(rng.standard_t(4, n)) * 5


ERRORS: dict[str, tuple[Callable[[np.random.Generator, int], Floats], float]] = {
    "normal": (lambda rng, n: np.abs(rng.standard_normal(n)) * 5, 5 * np.sqrt(2 / np.pi)),
    "t4": (t4, 5.0),
    "log-normal": (lambda rng, n: rng.lognormal(1.0, 0.8, n), float(np.exp(1.32))),
}


def null(tables: int, *, rows: int = 20_000, first: int = 0) -> str:
    """Audit tables without a disparity; every claim is false."""
    claims: Counter[str] = Counter()
    small: Counter[str] = Counter()
    tests: Counter[str] = Counter()
    wrong = 0
    started = time.process_time()
    for seed in range(first, first + tables):
        law = LAWS[seed % len(LAWS)]
        result = run_audit(synthetic_predictions(rows, seed=seed, errors=law))
        found = _claimed(result)
        claims.update(found)
        wrong += len(found) > 0
        for name, p in _tested(result):
            tests[name] += 1
            small[name] += p < 0.05
    lines = [
        f"| tables of {rows:,} rows, from seed {first} | {tables} |",
        "|---|---|",
        f"| with any false claim | {wrong}: {_share(wrong, tables)} |",
        f"| CPU seconds a table | {(time.process_time() - started) / tables:.2f} |",
        f"| what was claimed | {dict(claims)} |",
        *(f"| {name}: p < .05 | {_share(small[name], n)} of {n} |" for name, n in tests.items()),
    ]
    return "\n".join(lines)


def _claimed(result: AuditResult) -> list[str]:
    """Every claim of an audit: verdicts, differences at one age mix, calibration, slices."""
    d, scores, weak = result.disparities, result.scores, result.slices
    return [
        *(f"{r.metric} by {r.feature}" for r in d[d["verdict"] == "disparity"].itertuples()),
        *(
            f"{r.metric} by {r.feature} at one age mix"
            for r in d[d["standardised_p_adjusted"] < ALPHA].itertuples()
        ),
        *(
            f"calibration of {r.group}"
            for r in scores[scores["l2_p_adjusted"] < ALPHA].itertuples()
        ),
        *(f"slice of {r.metric}" for r in weak[weak["confirmed"].astype(bool)].itertuples()),
    ]


def _tested(result: AuditResult) -> list[tuple[str, float]]:
    """(kind, p) of every record that was tested; each should be below .05 once in twenty."""
    d, scores = result.disparities, result.scores
    whole = scores.loc[scores["feature"] == "overall", "l2_p"].dropna()
    return [
        *((r.metric, r.p_value) for r in d[d["p_value"].notna()].itertuples()),
        *(("at one age mix", p) for p in d["standardised_p"].dropna()),
        *(("calibration", p) for p in whole),
    ]


def sums(group: NDArray[np.int64], shard: NDArray[np.int64], value: Floats, K: int) -> Floats:
    """Sums [group, shard] of rows."""
    key = group * SHARDS + shard
    return np.bincount(key, weights=value, minlength=K * SHARDS).reshape(K, SHARDS)


def coverage(runs: int) -> str:
    """Per-group 95 % intervals of a mean and of a share, and simultaneous ones of differences.

    One table: 4 groups of n and one of 2,000. Simultaneous: all five differences hold 0.
    """
    lines = ["| errors | n | MAE, each group | simultaneous |", "|---|---|---|---|"]
    for name, (draw, mean) in ERRORS.items():
        for n in (30, 100, 1000):
            sizes = np.array([n] * 4 + [2000])
            group = np.repeat(np.arange(5), sizes)
            hits, records = 0, []
            for run in range(runs):
                rng = np.random.default_rng([run, n])
                shard = rng.integers(0, SHARDS, len(group))
                X = sums(group, shard, np.rint(draw(rng, len(group)) * 100), 5)
                N = sums(group, shard, np.ones(len(group)), 5)
                m = X.sum(axis=1) / N.sum(axis=1)
                low, high = student_above_zero(m, clustered_se(X, N), freedom(N.sum(axis=1)))
                hits += int(((low[:4] <= mean * 100) & (mean * 100 <= high[:4])).sum())
                records.append(Ratios(X, N, np.ones(5, bool)))
            together = _hold_zero(records)
            lines.append(f"| {name} | {n} | {_share(hits, 4 * runs)} | {_share(together, runs)} |")
    lines += ["", "| share | n | Wilson, each group | simultaneous, frequent events only |"]
    lines += ["|---|---|---|---|"]
    for p in (0.7, 0.9, 0.97):
        for n in (30, 100, 1000):
            lines.append(_share_coverage(runs, p=p, n=n))
    return "\n".join(lines)


def _share_coverage(runs: int, *, p: float, n: int) -> str:
    sizes = np.array([n] * 4 + [2000])
    group = np.repeat(np.arange(5), sizes)
    hits, records = 0, []
    for run in range(runs):
        rng = np.random.default_rng([run, n, 7])
        shard = rng.integers(0, SHARDS, len(group))
        X = sums(group, shard, (rng.random(len(group)) < p).astype(float), 5)
        N = sums(group, shard, np.ones(len(group)), 5)
        x, rows = X.sum(axis=1), N.sum(axis=1)
        low, high = wilson(x / rows, rows)
        hits += int(((low[:4] <= p) & (p <= high[:4])).sum())
        usual = ~rare(x, rows)
        if usual.all():
            records.append(Ratios(X, N, usual, "share"))
    usually = len(records) > runs / 2
    simultaneous = _share(_hold_zero(records), len(records)) if usually else "exact tests"
    return f"| {p} | {n} | {_share(hits, 4 * runs)} | {simultaneous} |"


def power(runs: int) -> str:
    """One of 16 groups reads worse (t4 errors, 20,000 faces, family of 110 tests)."""
    lines = ["| planted | n | found (p < .04 / 110) | and named |", "|---|---|---|---|"]
    for n, more in ((400, 1.35), (1200, 1.2)):
        sizes = np.array([n] + [(20_000 - n) // 15] * 15)
        group = np.repeat(np.arange(16), sizes)
        found = named = 0
        for run in range(runs):
            rng = np.random.default_rng([run, n, 11])
            error = t4(rng, len(group)) * np.where(group == 0, more, 1.0)
            shard = rng.integers(0, SHARDS, len(group))
            X, N = (
                sums(group, shard, np.rint(error * 100), 16),
                sums(group, shard, np.ones(len(group)), 16),
            )
            [one] = replicate([Ratios(X, N, np.ones(16, bool))], seed=run)
            sure = one.p_value * FAMILY < ALPHA
            found += sure
            named += sure and int(one.difference.argmax()) == 0
        lines.append(
            f"| MAE +{more - 1:.0%} | {n:,} | {_share(found, runs)} | {_share(named, runs)} |"
        )
    return "\n".join(lines)


def slices(runs: int) -> str:
    """A slice of two features, 300 of 20,000 faces, MAE +50 %; and tables without any."""
    sizes = (5, 2, 9, 4, 3)  # levels of five features: 1,013 slices of one to three
    n = 20_000
    found = wrong = 0
    for run in range(runs):
        rng = np.random.default_rng([run, 13])
        codes = np.stack([rng.integers(0, k, n) for k in sizes], axis=1)
        planted = (codes[:, 0] == 1) & (codes[:, 2] == 3)
        keep = np.flatnonzero(planted)[300:]  # the rest of the slice moves next door
        codes[keep, 0] = 2
        planted[keep] = False
        for raised in (True, False):
            error = np.rint(t4(rng, n) * np.where(planted & raised, 1.5, 1.0) * 100)
            cells = Cells(
                codes, sizes, rng.integers(0, SHARDS, n), SHARDS, np.ones(n), error, error**2
            )
            [tested] = weak_slices([cells])
            confirmed = {s.levels for s, p in tested if p < 0.01}
            if raised:
                found += ((0, 1), (2, 3)) in confirmed
            else:
                wrong += len(confirmed) > 0
    searched = sum(int(np.prod(c)) for k in (1, 2, 3) for c in combinations(sizes, k))
    return "\n".join(
        [
            f"| slices searched | {searched} |",
            "|---|---|",
            f"| planted slice of 300, MAE +50 %, confirmed | {_share(found, runs)} |",
            f"| tables without one in which any slice is confirmed | {_share(wrong, runs)} |",
        ]
    )


def photos(runs: int) -> str:
    """Five photos of each person, errors that go together: intervals over people."""
    K, people = 5, np.array([100, 200, 400, 400, 900])
    group = np.repeat(np.repeat(np.arange(K), people), 5)
    person = np.repeat(np.arange(people.sum()), 5)
    mae = share = 0
    means, shares = [], []
    p = 0.8
    for run in range(runs):
        rng = np.random.default_rng([run, 17])
        shard = rng.integers(0, SHARDS, people.sum())[person]
        own = rng.gamma(2.0, 1.5, people.sum())[person]
        error = np.rint((own + rng.gamma(1.0, 2.0, len(group))) * 100)
        able = rng.beta(p * 2, (1 - p) * 2, people.sum())[person]
        right = (rng.random(len(group)) < able).astype(float)
        N = sums(group, shard, np.ones(len(group)), K)
        X, Y = sums(group, shard, error, K), sums(group, shard, right, K)
        m = X.sum(axis=1) / N.sum(axis=1)
        low, high = student_above_zero(m, clustered_se(X, N), freedom(people.astype(float), N))
        mae += int(((low <= 500) & (high >= 500)).sum())
        q = Y.sum(axis=1) / N.sum(axis=1)
        rows = effective(Y, N, q * (1 - q), people.astype(float))
        low, high = wilson(q, rows)
        share += int(((low <= p) & (p <= high)).sum())
        means.append(Ratios(X, N, np.ones(K, bool)))
        shares.append(Ratios(Y, N, np.ones(K, bool), "share", design=N.sum(axis=1) / rows))
    together = _hold_zero(means)
    size = sum(one.p_value < 0.05 for one in _each(shares))
    return "\n".join(
        [
            "| five photos a person | share |",
            "|---|---|",
            f"| MAE intervals that hold the truth | {_share(mae, K * runs)} |",
            f"| accuracy intervals that hold the truth | {_share(share, K * runs)} |",
            f"| simultaneous intervals of MAE differences | {_share(together, runs)} |",
            f"| accuracy: p < .05 without a difference | {_share(size, runs)} |",
        ]
    )


def uneven(runs: int) -> str:
    """Intervals where most people have one photo and few have many, by people and by evenness.

    photos: of a power law (p ~ 1/k^2, at most 30 or 500); errors and calls of a person go together
    (correlation .5 for errors before their sign is lost, .33 for calls).
    """
    lines = [
        "| people, most photos | MAE | as if even | accuracy | as if even | degrees of freedom |",
        "|---|---|---|---|---|---|",
    ]
    for n, most in ((10, 30), (30, 30), (100, 30), (300, 30), (30, 500), (100, 500), (300, 500)):
        people, held = np.array([float(n)]), np.zeros(4, int)
        known = []
        for run in range(runs):
            rng = np.random.default_rng([run, n, most])
            photos = np.minimum(rng.zipf(2.0, n), most)
            person, none = np.repeat(np.arange(n), photos), np.zeros(photos.sum(), np.int64)
            shard = rng.integers(0, SHARDS, n)[person]
            error = np.abs(rng.normal(size=n)[person] + rng.normal(size=len(person)))
            right = (rng.random(len(person)) < rng.beta(1.6, 0.4, n)[person]).astype(float)
            N = sums(none, shard, np.ones(len(person)), 1)
            X, Y = sums(none, shard, error, 1), sums(none, shard, right, 1)
            mean, share = X.sum(axis=1) / N.sum(), Y.sum(axis=1) / N.sum()
            own, even = freedom(people, N), freedom(people)
            known.append(own[0])
            rows = effective(Y, N, share * (1 - share), people)
            grown = special.stdtrit(own, 0.975) / special.stdtrit(even, 0.975)
            for place, (truth, (low, high)) in enumerate(
                (
                    (2 / np.sqrt(np.pi), student_above_zero(mean, clustered_se(X, N), own)),
                    (2 / np.sqrt(np.pi), student_above_zero(mean, clustered_se(X, N), even)),
                    (0.8, wilson(share, rows)),
                    (0.8, wilson(share, rows * grown**2)),
                )
            ):
                held[place] += int(low[0] <= truth <= high[0])
        shares = " | ".join(_share(int(h), runs) for h in held)
        lines.append(f"| {n}, {most} | {shares} | {np.median(known):.0f} |")
    return "\n".join(lines)


def ages(runs: int) -> str:
    """Groups with the same error at every age and different ages: raw and standardised tests."""
    raws, standards = [], []
    mixes = np.array([[5, 4, 3, 2, 1], [1, 2, 3, 4, 5], [3, 3, 3, 3, 3]]) / 15.0
    group = np.repeat(np.arange(3), SIZES)
    for run in range(runs):
        rng = np.random.default_rng([run, 19])
        age = np.concatenate(
            [rng.choice(5, n, p=mixes[g]) for g, n in enumerate((4000, 1500, 500))]
        )
        error = np.rint(t4(rng, len(group)) * (1 + age) * 30)
        shard = rng.integers(0, SHARDS, len(group))
        X = sums(group * 5 + age, shard, error, 15).reshape(3, 5, SHARDS)
        N = sums(group * 5 + age, shard, np.ones(len(group)), 15).reshape(3, 5, SHARDS)
        ok = np.ones(3, bool)
        raws.append(Ratios(X.sum(axis=1), N.sum(axis=1), ok))
        s = standardise(X, N, ok)
        assert s is not None
        standards.append(Linear(s.difference, s.influence))
    raw, standard = (sum(x.p_value < 0.05 for x in _each(r)) for r in (raws, standards))
    return "\n".join(
        [
            "| groups that differ in ages only | p < .05 |",
            "|---|---|",
            f"| raw | {_share(raw, runs)} |",
            f"| standardised for age | {_share(standard, runs)} |",
        ]
    )


def calibration(runs: int) -> str:
    """Perfect scores: size of each test, pointwise coverage of the band; and a bent score.

    Two laws of scores: U-shaped, beta(.6, .6); sharp, a logit that is normal with mean +-4.5 and
    variance 9 by gender, as a good classifier's. Band: all hundredths within the scores, and the
    least and the most covered of .1, .2, ... .9.
    """
    lines = [
        "| score | n | MCB | l2 | Spiegelhalter | mean | smooth ECE | band, all | .1 to .9 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    laws = (("U-shaped", 0.0), ("sharp", 0.0), ("U-shaped, bent", 0.15))
    for law, bend in laws:
        for n in (50, 200, 1000):
            refused = np.zeros(5)
            inside, seen = np.zeros(101), np.zeros(101)
            for run in range(runs):
                rng = np.random.default_rng([run, n, 23])
                scores, sums = _scores(rng, n, sharp=law == "sharp", bend=bend)
                chance = simulate(scores, sums, 1.0)
                refused += _refusals(scores, sums, chance)
                fit, place = fitted(scores, sums, chance.grid), np.rint(chance.grid * 100)
                held = (chance.band_low - 1e-12 <= fit) & (fit <= chance.band_high + 1e-12)
                inside[place.astype(int)] += held
                seen[place.astype(int)] += 1
            often = seen[10:100:10] > runs / 2
            tens = (inside[10:100:10][often] / seen[10:100:10][often]) if often.any() else [np.nan]
            cells = [_share(int(hits), runs) for hits in refused]
            cells += [f"{inside.sum() / seen.sum():.3f}", f"{min(tens):.3f} to {max(tens):.3f}"]
            lines.append(f"| {law} | {n:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _scores(rng: np.random.Generator, n: int, *, sharp: bool, bend: float) -> tuple[Floats, Floats]:
    """A histogram (rows [female, bin], sums in millionths [bin]) of n faces."""
    if sharp:
        female = rng.random(n) < 0.5
        score = 1 / (1 + np.exp(-(3 * rng.standard_normal(n) + np.where(female, 4.5, -4.5))))
    else:
        score = rng.beta(0.6, 0.6, n)
        female = rng.random(n) < np.clip(score + bend * np.sin(np.pi * score), 0, 1)
    place = np.searchsorted(score_edges()[1:-1], score, side="right")
    rows = np.stack([np.bincount(place[female == y], minlength=SCORE_BINS) for y in (False, True)])
    sums = np.bincount(place, np.floor(score * 1e6 + 0.5), minlength=SCORE_BINS)
    return rows.astype(np.float64), sums


def _refusals(scores: Floats, sums: Floats, chance: Simulated) -> Floats:
    """Which of five tests refuse: MCB, squared error, Spiegelhalter, mean, smooth error."""
    n = scores.sum(axis=0)
    held = n > 0
    stated = sums[held] / 1e6
    residual, f = scores[1][held] - stated, stated / n[held]
    mean = abs(residual.sum()) / np.sqrt((n[held] * f * (1 - f)).sum())
    return np.array(
        [
            chance.miscalibration_p <= 0.05,
            signed_error(scores, sums).p_value <= 0.05,
            spiegelhalter(scores, sums, 1.0)[1] <= 0.05,
            mean > Z,
            smooth_error(f, residual / n.sum()) > chance.smooth_ece_null,
        ],
        dtype=np.float64,
    )


def _each(records: Sequence[Ratios | Linear]) -> list[Replicates]:
    """Every record tested; TOGETHER tables at a time meet the same replicates, which is cheaper."""
    blocks = range(0, len(records), TOGETHER)
    return [one for i in blocks for one in replicate(records[i : i + TOGETHER], seed=i)]


def _hold_zero(records: Sequence[Ratios | Linear]) -> int:
    """How many records' simultaneous intervals all hold 0."""
    ends = [one.interval(0.05) for one in _each(records)]
    return sum(bool(((low <= 0) & (high >= 0)).all()) for low, high in ends)


def _share(hits: int, of: int) -> str:
    """`.043 ± .010`: a share and its Monte-Carlo standard error."""
    p = hits / of
    smooth = (hits + 1) / (of + 2)
    return f"{p:.3f} ± {np.sqrt(smooth * (1 - smooth) / of):.3f}"


STUDIES: dict[str, tuple[Callable[[int], str], int]] = {
    "coverage": (coverage, 1000),
    "power": (power, 200),
    "slices": (slices, 100),
    "photos": (photos, 1000),
    "uneven": (uneven, 2000),
    "ages": (ages, 1000),
    "calibration": (calibration, 1000),
    "null": (null, 400),
}


def main() -> None:
    """Run one study, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=[*STUDIES, "all"])
    parser.add_argument("--tables", type=int, help="how many tables to draw")
    parser.add_argument("--first", type=int, default=0, help="seed of the first null table")
    args = parser.parse_args()
    for name, (study, tables) in STUDIES.items():
        if args.study in (name, "all"):
            n = args.tables or tables
            print(f"\n## {name} ({n} tables)\n")
            print(study(n) if name != "null" else null(n, first=args.first), flush=True)


if __name__ == "__main__":
    main()
