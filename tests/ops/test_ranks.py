"""Ranks of labels against a loop, on every library."""

import math

import numpy as np

from xpcnn.backend import Key, normal, to_numpy
from xpcnn.ops.ranks import label_ranks


def test_ranks_are_what_a_loop_counts(space):
    scores = np.round(2 * normal((40, 5), Key(0, "z")))
    label = np.arange(40) % 5
    found = to_numpy(label_ranks(space.asarray(scores), space.asarray(label, "int64")))
    assert found.dtype == np.int64
    assert found.tolist() == [sum(z > row[k] for z in row) for row, k in zip(scores.tolist(), label, strict=True)]


def test_a_label_whose_score_is_nan_is_last_and_others_do_not_matter(space):
    scores = space.asarray([[math.nan, 1.0, 2.0], [math.nan, 1.0, math.inf]])
    assert to_numpy(label_ranks(scores, space.asarray([0, 1], "int64"))).tolist() == [3, 1]
