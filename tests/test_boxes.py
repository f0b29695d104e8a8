from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.boxes import box_iou, non_maximum_suppression
from pixelwise.errors import ArrayError, UsageError


@st.composite
def boxes(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(0, 25))
    corners = rng.random((count, 2)) * 20
    sizes = rng.random((count, 2)) * draw(st.sampled_from([0, 15]))
    return np.concatenate([corners, corners + sizes], 1), rng.permutation(count) / 10


def test_overlaps():
    found = box_iou([[0, 0, 2, 2]], [[1, 1, 3, 3], [0, 0, 2, 2], [5, 5, 6, 6], [1, 1, 1, 1]])
    np.testing.assert_allclose(found, [[1 / 7, 1, 0, 0]])
    assert box_iou([[1, 1, 1, 1]], [[1, 1, 1, 1]]) == 0
    assert box_iou([], [[0, 0, 1, 1]]).shape == (0, 1)


@settings(max_examples=50, deadline=None)
@given(boxes(), st.sampled_from([0, 0.3, 0.5, 1]), st.integers(1, 3))
def test_hard_suppression_is_that_of_torchvision(case, iou, classes):
    torch = pytest.importorskip("torch")
    ops = pytest.importorskip("torchvision").ops
    corners, scores = case
    groups = np.arange(len(scores)) % classes
    kept = non_maximum_suppression(corners, scores, groups, iou=iou)
    expected = ops.batched_nms(
        torch.tensor(corners).reshape(-1, 4), torch.tensor(scores), torch.tensor(groups), iou
    )
    assert kept.places.tolist() == expected.tolist()
    np.testing.assert_array_equal(kept.scores, scores[kept.places])


def test_soft_suppression_follows_its_paper():
    corners = [[0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 2], [30, 30, 40, 40]]
    scores = [0.9, 0.8, 0.7, 0.1]
    linear = non_maximum_suppression(corners, scores, method="linear")
    assert linear.places.tolist() == [0, 2, 1, 3]
    np.testing.assert_allclose(linear.scores, [0.9, 0.7, 0.8 * 0.2, 0.1])
    gaussian = non_maximum_suppression(corners, scores, method="gaussian", min_score=0.15)
    second = 0.7 * np.exp(-(0.2**2) / 0.5)
    third = 0.8 * np.exp(-(0.8**2) / 0.5) * np.exp(-(0.25**2) / 0.5)
    assert gaussian.places.tolist() == [0, 2, 1]
    np.testing.assert_allclose(gaussian.scores, [0.9, second, third])


def test_of_equal_boxes_the_first_is_kept():
    kept = non_maximum_suppression([[0, 0, 1, 1]] * 3, [0.5, 0.5, 0.5])
    assert kept.places.tolist() == [0]
    others = non_maximum_suppression([[0, 0, 1, 1]] * 3, [0.5, 0.5, 0.5], [4, 5, 4])
    assert others.places.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("given_boxes", "scores", "said"),
    [
        ([[0, 0, 1]], [1], "are no boxes"),
        ([[0, 0, np.nan, 1]], [1], "are no boxes"),
        ([[0, 0, 1, 1], [2, 0, 1, 1]], [1, 1], "ends before it begins"),
        ([[0, 0, 1, 1]], [1, 2], "do not go together"),
        ([[0, 0, 1, 1]], [np.nan], "do not go together"),
    ],
)
def test_what_is_no_box_is_refused(given_boxes, scores, said):
    with pytest.raises(ArrayError, match=said):
        non_maximum_suppression(given_boxes, scores)


@pytest.mark.parametrize("options", [{"iou": 1.1}, {"deviation": 0}, {"method": "sof"}])
def test_parameters_have_limits(options):
    with pytest.raises(UsageError, match=r"outside its range|no such suppression"):
        non_maximum_suppression([[0, 0, 1, 1]], [1], **options)
