"""Replicates of a tally: laws of the shard bootstrap, planted truths, fairlearn's own bootstrap."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame
from shard_sums import SHARDS, some_groups

from audit.exact_sums import ExactColumns
from audit.resample import CHUNK, MORE, Linear, Ratios, replicate, tail_beyond, weights

ALL = np.ones(4, dtype=bool)
SIZES = (150, 400, 900, 2500)


def three_kinds(seed, *, scale=None):
    X, N = some_groups(SIZES, seed=seed, scale=scale)
    XX, _ = some_groups(SIZES, seed=seed, scale=scale, power=2)
    Y, M = some_groups(SIZES, seed=seed + 1, share=0.8)
    return [
        Ratios(X, N, ALL, "mean", 100),
        Ratios(XX, N, ALL, "root", 100),
        Ratios(Y, M, ALL, "share"),
    ]


def test_weights_are_multinomial_and_a_chunk_does_not_depend_on_those_before_it():
    first, second = (weights(c, shards=SHARDS, seed=3) for c in (0, 1))
    assert (first.sum(axis=1) == SHARDS).all()
    assert abs(first.var() - (1 - 1 / SHARDS)) < 0.01
    assert (first != second).any()
    weights(7, shards=SHARDS, seed=3)
    np.testing.assert_array_equal(second, weights(1, shards=SHARDS, seed=3))
    assert (second != weights(1, shards=SHARDS, seed=4)).any()


def test_products_are_exact_in_single_precision_whatever_the_order_of_shards():
    rng = np.random.default_rng(0)
    columns = ExactColumns()
    columns.add(rng.standard_t(2, (20, SHARDS)) * 1e5)
    columns.add(rng.integers(0, 50, (5, SHARDS)).astype(float))
    matrix = columns.matrix()
    W = weights(0, shards=SHARDS, seed=0)[:50]
    whole = matrix.astype(np.int64)
    np.testing.assert_array_equal(matrix, whole)
    exact = W.astype(np.int64) @ whole
    turned = rng.permutation(SHARDS)
    np.testing.assert_array_equal(W @ matrix, exact)
    np.testing.assert_array_equal(W[:, turned] @ matrix[turned], exact)


def test_columns_keep_four_digits_of_their_largest_entry_and_all_of_small_whole_numbers():
    values = np.vstack([np.random.default_rng(1).standard_normal(SHARDS) * 1e7, np.arange(SHARDS)])
    columns = ExactColumns()
    columns.add(values)
    back = columns.sums(columns.matrix().copy()).T
    np.testing.assert_allclose(back[0], values[0], atol=np.abs(values[0]).max() / 16_000 / 2)
    np.testing.assert_array_equal(back[1], values[1])


def naive_t(record, W):
    """The studentised differences of one replicate, written down a second time, group by group."""

    def of(x, n, centre):
        m = (W * x).sum() / (W * n).sum()
        m0 = centre
        if record.kind == "share":
            rows = (W * n).sum()
            p = ((W * x).sum() + 1) / (rows + 2)
            return m - m0, p * (1 - p) / (rows + 2)
        var = (W * (x - m * n) ** 2).sum() / (W * n).sum() ** 2
        if record.kind == "root":
            return np.sqrt(m) - np.sqrt(m0), var / (4 * m)
        return m - m0, var

    t = []
    for g in range(len(record.top)):
        own = record.top[g], record.bottom[g]
        rest = record.top.sum(axis=0) - own[0], record.bottom.sum(axis=0) - own[1]
        (a, va), (b, vb) = (of(x, n, x.sum() / n.sum()) for x, n in (own, rest))
        t.append((a - b) / np.sqrt(va + vb))
    return max(t), min(t)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_replicates_follow_the_formulas_of_the_methods_page(kind, monkeypatch):
    monkeypatch.setattr("audit.resample.LOOK_AGAIN", 0)
    record = three_kinds(5)[kind]
    [found] = replicate([record], seed=2)
    W = weights(0, shards=SHARDS, seed=2)
    naive = np.array([naive_t(record, w) for w in W[:CHUNK]])
    np.testing.assert_allclose(found.t_high, np.sort(naive[:, 0]), rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found.t_low, np.sort(naive[:, 1]), rtol=2e-3, atol=2e-3)


def test_a_record_is_answered_alike_in_any_company_and_order():
    records = three_kinds(8)
    together = replicate(records, seed=1)
    alone = [replicate([r], seed=1)[0] for r in records]
    turned = replicate(records[::-1], seed=1)[::-1]
    for a, b, c in zip(together, alone, turned, strict=True):
        np.testing.assert_array_equal(a.t_high, b.t_high)
        np.testing.assert_array_equal(a.t_low, c.t_low)
        assert a.p_value == b.p_value == c.p_value


def test_threads_change_no_figure(monkeypatch):
    side_by_side = replicate(three_kinds(6), seed=1)
    assert len(side_by_side[0].t_high) == MORE
    monkeypatch.setattr("audit.resample.AT_ONCE", 1)
    for a, b in zip(side_by_side, replicate(three_kinds(6), seed=1), strict=True):
        for name in ("t_high", "t_low", "own", "own_se", "difference", "se"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_units_change_neither_p_nor_t():
    X, N = some_groups(SIZES, seed=3)
    years, hundredths = replicate([Ratios(X, N, ALL, "mean", 100), Ratios(X, N, ALL, "mean", 1)])
    np.testing.assert_allclose(years.difference * 100, hundredths.difference)
    np.testing.assert_allclose(years.t_high, hundredths.t_high, rtol=1e-4)


def test_adding_a_constant_to_every_error_changes_no_difference():
    X, N = some_groups(SIZES, seed=4)
    plain, moved = replicate([Ratios(X, N, ALL), Ratios(X + 123 * N, N, ALL)])
    np.testing.assert_allclose(plain.difference, moved.difference, atol=1e-9)
    np.testing.assert_allclose(plain.se, moved.se)
    np.testing.assert_allclose(plain.t_high, moved.t_high, atol=1e-3)


def test_photos_repeated_under_their_person_change_no_interval():
    records = three_kinds(6)
    doubled = [
        Ratios(2 * r.top, 2 * r.bottom, r.compared, r.kind, r.scale, 2.0 * np.ones(4))
        for r in records
    ]
    for once, twice in zip(replicate(records), replicate(doubled), strict=True):
        np.testing.assert_allclose(once.difference, twice.difference)
        np.testing.assert_allclose(once.se, twice.se)
        for a, b in zip(once.interval(0.05), twice.interval(0.05), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_the_rest_holds_groups_too_small_to_be_compared():
    X, N = some_groups((20, *SIZES[1:]), seed=9)
    ok = np.array([False, True, True, True])
    [found] = replicate([Ratios(X, N, ok)])
    rest = X[[0, 2, 3]].sum() / N[[0, 2, 3]].sum()
    assert len(found.difference) == 3
    assert found.difference[0] == pytest.approx(X[1].sum() / N[1].sum() - rest)


def test_of_two_groups_one_test_is_made_with_two_signs():
    X, N = some_groups((300, 900), seed=10)
    [found] = replicate([Ratios(X, N, np.ones(2, bool))])
    assert found.difference[0] == pytest.approx(-found.difference[1])
    np.testing.assert_allclose(found.t_high, np.sort(-found.t_low), rtol=1e-3)


def test_intervals_leave_out_nothing_just_where_p_is_small(monkeypatch):
    monkeypatch.setattr("audit.resample.LOOK_AGAIN", 0)
    for seed in range(20):
        scale = [1, 1, 1, 1 + 0.02 * (seed % 10)]
        for found in replicate(three_kinds(seed * 7, scale=scale), seed=seed):
            for alpha in (0.03, 0.1, 0.3):
                low, high = found.interval(alpha)
                apart = bool(((low > 0) | (high < 0)).any())
                # the quantile falls on a replicate: within one of it either answer is right
                if abs(found.p_value - alpha) > 4 / len(found.t_high):
                    assert apart == (found.p_value < alpha)


def test_a_planted_group_is_found_with_its_size_and_more_replicates():
    X, N = some_groups((400, *SIZES[1:]), seed=11, scale=[1.5, 1, 1, 1])
    [found] = replicate([Ratios(X, N, ALL, "mean", 100)])
    low, high = found.interval(0.05)
    assert len(found.t_high) == MORE
    assert found.p_value < 0.001
    assert found.difference.argmax() == 0
    assert 0 < low[0] < 2.5 < high[0]


def test_nothing_differs_where_every_error_is_the_same():
    N = some_groups(SIZES, seed=12)[1]
    [found] = replicate([Ratios(300 * N, N, ALL)])
    assert found.p_value == 1
    assert (found.se == 0).all()


def test_without_a_difference_p_is_small_no_more_often_than_it_says(monkeypatch):
    monkeypatch.setattr("audit.resample.LOOK_AGAIN", 0)
    p = np.array([[r.p_value for r in replicate(three_kinds(s), seed=s)] for s in range(120)])
    for alpha in (0.05, 0.2):
        size = (p <= alpha).mean(axis=0)
        bound = alpha + 3 * np.sqrt(alpha * (1 - alpha) / len(p))
        assert (size <= bound).all(), (alpha, size)
    assert (p <= 0.5).mean() > 0.25  # a test that never rejects would pass the above


def test_simultaneous_intervals_hold_all_truths_at_once(monkeypatch):
    monkeypatch.setattr("audit.resample.LOOK_AGAIN", 0)
    held = []
    for seed in range(120):
        X, N = some_groups((100, 100, 300, 1000), seed=seed, scale=[1.2, 1, 1, 1])
        [found] = replicate([Ratios(X, N, ALL)], seed=seed)
        mean = np.array([1.2, 1, 1, 1]) * 500
        n = N.sum(axis=1)
        truth = mean - ((mean * n).sum() - mean * n) / (n.sum() - n)
        low, high = found.interval(0.05)
        held.append(((low <= truth) & (truth <= high)).all())
    assert 0.91 <= np.mean(held) <= 0.99


def test_linear_records_are_tested_by_their_influence():
    X, N = some_groups(SIZES, seed=13)
    n, rest = N.sum(axis=1), N.sum() - N.sum(axis=1)
    m = X.sum(axis=1) / n
    others = X.sum(axis=0) - X, N.sum(axis=0) - N
    mr = others[0].sum(axis=1) / rest
    influence = (X - m[:, None] * N) / n[:, None]
    influence -= (others[0] - mr[:, None] * others[1]) / rest[:, None]
    ratio, linear = replicate([Ratios(X, N, ALL), Linear(m - mr, influence)])
    np.testing.assert_allclose(ratio.se, linear.se, rtol=0.05)  # people share shards
    np.testing.assert_allclose(ratio.interval(0.1), linear.interval(0.1), rtol=0.15, atol=2)


def test_noise_gap_is_the_gap_that_equal_groups_show():
    gaps, seen = [], []
    for seed in range(40):
        X, N = some_groups((100,) * 4, seed=seed)
        [found] = replicate([Ratios(X, N, ALL, "mean", 100)], seed=seed)
        gaps.append(found.noise_gap)
        seen.append(np.ptp(X.sum(axis=1) / N.sum(axis=1)) / 100)
    assert np.mean(gaps) == pytest.approx(np.mean(seen), rel=0.2)


def test_threads_change_no_digit():
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from test_resample import three_kinds\n"
        "from audit.resample import replicate\n"
        "print([(r.p_value, r.t_high.sum().hex()) for r in replicate(three_kinds(1))])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(said) == 1


def test_percentiles_of_replicates_agree_with_fairlearns_bootstrap_of_rows():
    rng = np.random.default_rng(14)
    n = 900
    group = rng.choice(3, n, p=[0.2, 0.3, 0.5])
    error = np.abs(rng.standard_t(4, n))
    shard = rng.permutation(n) % SHARDS
    X, N = (np.zeros((3, SHARDS)) for _ in range(2))
    np.add.at(X, (group, shard), error)
    np.add.at(N, (group, shard), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = MetricFrame(
            metrics={"mae": lambda y, p: float(np.mean(np.abs(y - p)))},
            y_true=np.zeros(n),
            y_pred=error,
            sensitive_features=pd.Series(group, name="group"),
            n_boot=200,
            ci_quantiles=[0.1, 0.5, 0.9],
            random_state=1,
        )
    theirs = np.array([q["mae"].to_numpy() for q in frame.by_group_ci])
    [found] = replicate([Ratios(X, N, np.ones(3, bool))], seed=1)
    value = X.sum(axis=1) / N.sum(axis=1)
    ours = np.quantile(value + found.own, [0.1, 0.5, 0.9], axis=0)
    spread = theirs[2] - theirs[0]
    assert (np.abs(ours - theirs) < 0.25 * spread).all()
    gap = np.ptp(value + found.own, axis=1)
    their_gap = [float(q["mae"]) for q in frame.difference_ci()]
    np.testing.assert_allclose(
        np.quantile(gap, [0.1, 0.5, 0.9]), their_gap, atol=0.25 * spread.max()
    )


def test_a_p_beyond_all_replicates_is_carried_along_the_normal_curve():
    """Else the smallest p times a thousand tests stays above alpha, whatever the difference."""
    X, N = some_groups(SIZES, seed=3)
    X[2] *= 3
    [found] = replicate([Ratios(X, N, ALL, "mean", 100)])
    assert len(found.t_high) == MORE
    assert found.t.max() > found.t_high[-1]
    assert found.p_value < 1e-6 < 2 / (MORE + 1)


def test_the_tail_of_normal_replicates_is_their_own():
    rng = np.random.default_rng(0)
    highest = np.sort(rng.standard_normal((200_000, 4)).max(axis=1))
    at, further = highest[int(0.999 * 200_000)], highest[int(0.9999 * 200_000)]
    assert tail_beyond(further, at, groups=4, share=0.001) == pytest.approx(0.0001, rel=0.4)
    assert tail_beyond(at, at, groups=4, share=0.001) == pytest.approx(0.001)
