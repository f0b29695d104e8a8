from __future__ import annotations

import numpy as np

from pixelwise.evaluation.confused_pairs import ConfusedPair, PairExamples, most_confused


def test_the_planted_pair_comes_first():
    confusion = np.array([[90, 2, 8, 0], [0, 50, 0, 30], [5, 0, 45, 0]])
    assert most_confused(confusion, 3) == (
        ConfusedPair(1, 3, 30, 30 / 80),
        ConfusedPair(0, 2, 8, 0.08),
        ConfusedPair(2, 0, 5, 0.1),
    )
    assert len(most_confused(confusion, 99)) == 4


def test_nothing_confused():
    assert most_confused(np.diag([3, 4]) @ np.eye(2, 3, dtype=int), 5) == ()


def test_the_example_is_the_picture_with_the_most():
    examples = PairExamples(2)
    pair = ConfusedPair(0, 1, 7, 0.1)
    assert examples.place(pair) == -1
    for place, pixels in ((4, 2), (6, 5), (7, 5)):
        examples.take(place, np.array([[9, pixels, 0], [0, 9, 0]]))
    assert examples.place(pair) == 6
