from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.evaluation.folds import folds_of


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=2, max_size=40))
def test_groups_stay_whole_and_no_part_is_empty(groups):
    groups = np.array(groups)
    folds = folds_of(groups)
    for group in np.unique(groups):
        assert len(set(folds[groups == group])) == 1
    count = min(5, len(np.unique(groups)))
    assert set(folds) == set(range(count))


def test_parts_are_about_as_large():
    folds = folds_of(np.arange(23))
    assert sorted(np.bincount(folds)) == [4, 4, 5, 5, 5]
