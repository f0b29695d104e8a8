from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.errors import ArrayError
from pixelwise.kernels import average_precision, reference_ranked

RECALLS = np.linspace(0, 1, 101)
WAYS = {
    "compiled": average_precision,
    "threads": lambda *arrays: average_precision(*arrays, threads=3),
    "twin": lambda *arrays: reference_ranked.average_precision(*arrays, RECALLS),
}


def drawn(seed, draws=6, thresholds=3):
    """Detections, of which some are right, of pictures that count from 0 to 3 times."""
    random = np.random.default_rng(seed)
    detections, pictures = random.integers(0, 40), random.integers(1, 9)
    outcomes = random.choice([0, 1, 2], (thresholds, detections), p=random.dirichlet([1, 1, 0.3]))
    times = random.integers(0, 4, (draws, pictures))
    of = random.integers(0, pictures, detections).astype(np.int32)
    right = np.array([(outcomes == 1) @ row[of] for row in times]).max(axis=1)
    objects = right + random.integers(0, 3, draws) * random.integers(0, 9, draws)
    return outcomes.astype(np.uint8), of, times, objects.astype(np.int64)


def by_definition(outcomes, pictures, times, objects):
    """Copies laid out one after the other; the best precision at each recall or a higher one."""
    made = np.full((len(times), len(outcomes)), np.nan)
    for draw, (weights, needed) in enumerate(zip(times, objects, strict=True)):
        for threshold, row in enumerate(outcomes if needed else ()):
            curve, found, counted = [], 0, 0
            for outcome, picture in zip(row, pictures, strict=True):
                for _ in range(weights[picture] if outcome != 2 else 0):
                    found, counted = found + (outcome == 1), counted + 1
                    curve.append((found / needed, found / counted))
            best = [max((p for r, p in curve if r >= least), default=0) for least in RECALLS]
            made[draw, threshold] = np.mean(best)
    return made


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_it_is_the_mean_of_the_best_precision_at_each_recall(way, seed):
    arrays = drawn(seed)
    np.testing.assert_allclose(WAYS[way](*arrays), by_definition(*arrays), atol=1e-12)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_compiled_and_twin_give_the_same_bits(seed):
    arrays = drawn(seed)
    np.testing.assert_array_equal(WAYS["compiled"](*arrays), WAYS["twin"](*arrays))


def test_what_does_not_fit_is_refused():
    outcomes, pictures, times, objects = drawn(3)
    for wrong in (
        (outcomes.astype(int), pictures, times, objects),
        (outcomes, pictures[:-1], times, objects),
        (outcomes, pictures + times.shape[1], times, objects),
        (outcomes, pictures, times.astype(float), objects),
        (outcomes, pictures, times, objects[:-1]),
    ):
        with pytest.raises(ArrayError, match="do not fit together"):
            average_precision(*wrong)
