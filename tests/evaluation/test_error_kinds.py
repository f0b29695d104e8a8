"""A planted error of each kind must be found as such."""

from __future__ import annotations

import numpy as np
import pytest

from pixelwise.data.drawing import IGNORED
from pixelwise.evaluation.error_kinds import (
    ErrorKind,
    boundary_width,
    count_kinds,
    kinds_of_errors,
)

WIDTH = 2


@pytest.fixture
def scene():
    """A street (0), a wall (1) above it, and on the street a box (2) of 10 × 10."""
    truth = np.zeros((40, 60), np.uint16)
    truth[:12] = 1
    truth[20:30, 20:30] = 2
    return truth, truth.copy()


def kinds_in(truth, labels):
    kinds = kinds_of_errors(truth, labels, width=WIDTH)
    assert ((kinds == ErrorKind.NONE) == ((truth == labels) | (truth == IGNORED))).all()
    return {ErrorKind(kind) for kind in np.unique(kinds[kinds > 0])}, kinds


def test_nothing_wrong(scene):
    assert kinds_in(*scene)[0] == set()


def test_a_shifted_border_is_of_the_boundary(scene):
    truth, labels = scene
    labels[12:14] = 1
    labels[20, 20:30] = 0
    assert kinds_in(truth, labels)[0] == {ErrorKind.BOUNDARY}


def test_a_border_shifted_too_far_is_of_the_extent(scene):
    truth, labels = scene
    labels[12:17] = 1
    found, kinds = kinds_in(truth, labels)
    assert found == {ErrorKind.BOUNDARY, ErrorKind.EXTENT}
    assert (kinds[12:14] == ErrorKind.BOUNDARY).all()
    assert (kinds[14:17] == ErrorKind.EXTENT).all()


def test_a_missed_object_whatever_its_size(scene):
    truth, labels = scene
    labels[20:30, 20:30] = 0
    truth[35:37, 5:7] = 2
    found, kinds = kinds_in(truth, labels)
    assert found == {ErrorKind.MISSED}
    assert (kinds == ErrorKind.MISSED).sum() == 104


def test_an_invented_object(scene):
    truth, labels = scene
    labels[32:38, 40:50] = 2
    found, kinds = kinds_in(truth, labels)
    assert found == {ErrorKind.INVENTED}
    counts = count_kinds(kinds, truth, labels, 3)
    assert counts[ErrorKind.INVENTED].tolist() == [0, 0, 60]


def test_an_object_under_another_name(scene):
    truth, labels = scene
    labels[20:30, 20:30] = 3
    found, kinds = kinds_in(truth, labels)
    assert found == {ErrorKind.WRONG_CLASS}
    assert count_kinds(kinds, truth, labels, 4)[ErrorKind.WRONG_CLASS].tolist() == [0, 0, 100, 0]


def test_ignored_pixels_are_of_no_kind(scene):
    truth, labels = scene
    labels[20:30, 20:30] = 0
    truth[20:30, 20:30] = IGNORED
    found, kinds = kinds_in(truth, labels)
    assert found == set()
    assert count_kinds(kinds, truth, labels, 3).sum() == 40 * 60 - 100


def test_counts_add_up_to_the_pixels(scene):
    truth, _ = scene
    labels = np.random.default_rng(0).integers(0, 3, truth.shape).astype(np.uint16)
    counts = count_kinds(kinds_of_errors(truth, labels, width=1), truth, labels, 3)
    assert counts.sum() == truth.size
    assert counts[0].sum() == (truth == labels).sum()


def test_predictions_of_no_class_are_errors_too(scene):
    truth, labels = scene
    labels[32:38, 40:50] = 3
    found, kinds = kinds_in(truth, labels)
    assert found == {ErrorKind.INVENTED}
    assert count_kinds(kinds, truth, labels, 3)[ErrorKind.INVENTED].sum() == 0


def test_the_width_follows_the_diagonal():
    assert boundary_width((10, 10)) == 2
    assert boundary_width((360, 480)) == 3
    assert boundary_width((1024, 2048)) == 11
