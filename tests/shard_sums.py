"""Rows with known truth, added up by group and shard in the plainest way."""

import numpy as np

SHARDS = 1000


def add_up(group, shard, value, *, groups, shards=SHARDS):
    """Sums [group, shard] of the rows' values."""
    sums = np.zeros((groups, shards))
    np.add.at(sums, (group, shard), value)
    return sums


def some_groups(sizes, *, seed, scale=None, shards=SHARDS, share=None, power=1):
    """(top, bottom) of |t4| errors in 1/100 year, or of hits with probability `share`.

    power: 2 adds up squared errors. scale multiplies the errors of each group, or is added to
    its share.
    """
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(len(sizes)), sizes)
    shard = rng.integers(0, shards, len(group))
    if share is None:
        factor = np.ones(len(sizes)) if scale is None else np.asarray(scale)
        value = np.rint(np.abs(rng.standard_t(4, len(group))) * 500 * factor[group]) ** power
    else:
        more = np.zeros(len(sizes)) if scale is None else np.asarray(scale)
        value = (rng.random(len(group)) < share + more[group]).astype(float)
    return (
        add_up(group, shard, value, groups=len(sizes), shards=shards),
        add_up(group, shard, 1.0, groups=len(sizes), shards=shards),
    )
