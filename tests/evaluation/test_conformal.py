from __future__ import annotations

import numpy as np
import pytest

from pixelwise.errors import UsageError
from pixelwise.evaluation.conformal import (
    can_promise,
    check_coverage,
    fit_threshold,
    set_figures,
)

CLASSES = 5


def pictures(random, count, pixels=40):
    """Probabilities, labels and truth of pictures that are hard in their own measure."""
    sharp = random.gamma(3, 1, (count, 1, 1))
    logits = random.normal(0, 1, (count, pixels, CLASSES)) * sharp
    # The truth is drawn by probabilities of another sharpness: the model is not calibrated.
    truth = np.argmax(logits * 0.5 + random.gumbel(size=logits.shape), axis=2)
    powers = np.exp(logits - logits.max(2, keepdims=True))
    return powers / powers.sum(2, keepdims=True), logits.argmax(2), truth


def of_truth(probabilities, truth):
    return np.take_along_axis(probabilities, truth[..., None], 2)[..., 0]


@pytest.mark.parametrize(("wanted", "count"), [(0.8, 9), (0.9, 30)])
def test_new_pictures_are_covered_as_often_as_was_asked_for(wanted, count):
    random = np.random.default_rng(1)
    covered = []
    for _ in range(250):
        probabilities, labels, truth = pictures(random, count + 1)
        threshold = fit_threshold(
            of_truth(probabilities, truth)[:-1],
            labels[:-1] == truth[:-1],
            np.arange(count),
            coverage=wanted,
        )
        new = slice(count, None)
        covered.append(set_figures(probabilities[new], labels[new], truth[new], threshold).covered)
    # At least, but for the noise of 250 pictures; and no more than theorem 2 of the paper allows.
    assert wanted - 0.01 < np.mean(covered) < wanted + 2 / (count + 1)


def test_the_threshold_is_the_highest_that_keeps_the_promise():
    probabilities, labels, truth = pictures(np.random.default_rng(2), 20)
    groups = np.arange(20)
    threshold = fit_threshold(of_truth(probabilities, truth), labels == truth, groups, coverage=0.9)

    def promise(at):
        lost = 1 - set_figures(probabilities, labels, truth, at).covered
        return (lost.sum() + 1) / 21

    assert promise(threshold) <= 0.1
    assert promise(threshold * 1.001 + 1e-3) > 0.1


def test_groups_weigh_alike_and_count_as_one():
    probabilities, labels, truth = pictures(np.random.default_rng(3), 12)
    right = of_truth(probabilities, truth)
    alone = fit_threshold(right, labels == truth, np.arange(12), coverage=0.8)
    twice = [np.concatenate([array, array]) for array in (right, labels == truth)]
    paired = fit_threshold(*twice, np.tile(np.arange(12), 2), coverage=0.8)
    assert paired == alone
    # For pictures on their own, twice as many are more evidence.
    assert fit_threshold(*twice, np.arange(24), coverage=0.8) > alone


def test_sure_labels_need_no_threshold():
    right = np.ones((9, 4), bool)
    assert fit_threshold(np.full((9, 4), 0.3), right, np.arange(9), coverage=0.9) == 1


def test_sets_hold_the_label_always():
    figures = set_figures(
        np.full((1, 2, 4), 0.25), np.array([[2, 3]]), np.array([[2, 0]]), threshold=0.9
    )
    assert figures.covered.tolist() == [0.5]
    assert figures.size.tolist() == [1]


def test_a_truth_of_several_classes_is_held_by_any_of_them():
    probabilities = np.array([[[0.1, 0.6, 0.3], [0.6, 0.1, 0.3]]])
    labels, truth = np.array([[1, 0]]), np.array([[0, 1]])
    judged_as = np.array([0, 1, 0])
    figures = set_figures(probabilities, labels, truth, 0.25, judged_as=judged_as)
    assert figures.covered.tolist() == [0.5]
    assert figures.size.tolist() == [2]


@pytest.mark.parametrize(("coverage", "needed"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.99, 99)])
def test_so_many_pictures_are_needed(coverage, needed):
    check_coverage(coverage, needed)
    assert not can_promise(coverage, needed - 1)
    with pytest.raises(UsageError, match=f"needs {needed} pictures"):
        check_coverage(coverage, needed - 1)


@pytest.mark.parametrize("coverage", [0, 1, -0.1, 1.5, float("nan")])
def test_what_is_no_coverage_is_refused(coverage):
    with pytest.raises(UsageError, match="above 0 and below 1"):
        check_coverage(coverage, 100)
