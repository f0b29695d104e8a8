from __future__ import annotations

import pickle

import numpy as np
import pytest

import pixelwise as pw

METRICS = ["BoundaryFScore", "BoundaryIoU", "ConfusionMatrix", "SurfaceDistances"]


def test_public_names_are_pinned():
    assert pw.metrics.__all__ == [
        "AveragePrecision",
        "BoundaryFScore",
        "BoundaryFScores",
        "BoundaryIoU",
        "BoundaryIoUScores",
        "Calibration",
        "CalibrationScores",
        "ConfusionMatrix",
        "DetectionScores",
        "Detections",
        "Intervals",
        "LayerOverlap",
        "LayerScores",
        "ObjectMasks",
        "Paired",
        "PanopticMap",
        "PanopticQuality",
        "PanopticScores",
        "SemanticScores",
        "SurfaceDistances",
        "SurfaceScores",
        "ThresholdScores",
        "Thresholds",
        "TrueObjects",
        "detections_of",
        "interval",
        "paired",
        "tag_precision",
        "true_objects_of",
    ]
    assert all(hasattr(pw.metrics, name) for name in pw.metrics.__all__)


@pytest.mark.parametrize("name", METRICS)
def test_parts_counted_elsewhere_merge_to_the_same_bits(name):
    """In any grouping, and after a way through bytes, as from another process."""
    kind = getattr(pw.metrics, name)
    pairs = np.random.default_rng(5).integers(0, 3, (3, 2, 11, 13))
    parts = [kind(3) for _ in pairs]
    whole = kind(3)
    for part, pair in zip(parts, pairs, strict=True):
        part.update(*pair)
        whole.update(*pair)
    left, right = (pickle.loads(pickle.dumps(parts)) for _ in range(2))
    left[0].merge(left[1])
    left[0].merge(left[2])
    right[2].merge(right[1])
    right[0].merge(right[2])
    for merged in (left[0], right[0]):
        np.testing.assert_array_equal(merged.class_counts, whole.class_counts)
    again = kind(3)
    for part in parts:
        again.merge(part)
    np.testing.assert_array_equal(again.class_counts, whole.class_counts)
