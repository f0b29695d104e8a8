"""Scores from arrays: streaming `update`, `merge` and `compute`, on NumPy arrays and tensors."""

from __future__ import annotations

from pixelwise.metrics.bootstrap import Intervals, Paired, interval, paired
from pixelwise.metrics.boundary import (
    BoundaryFScore,
    BoundaryFScores,
    BoundaryIoU,
    BoundaryIoUScores,
)
from pixelwise.metrics.calibration import Calibration, CalibrationScores
from pixelwise.metrics.confusion import ConfusionMatrix, SemanticScores
from pixelwise.metrics.detection import AveragePrecision, DetectionScores
from pixelwise.metrics.layers import LayerOverlap, LayerScores
from pixelwise.metrics.objects import (
    Detections,
    ObjectMasks,
    TrueObjects,
    detections_of,
    true_objects_of,
)
from pixelwise.metrics.panoptic import PanopticMap, PanopticQuality, PanopticScores
from pixelwise.metrics.surface import SurfaceDistances, SurfaceScores
from pixelwise.metrics.tags import tag_precision
from pixelwise.metrics.thresholds import Thresholds, ThresholdScores

__all__ = [
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
