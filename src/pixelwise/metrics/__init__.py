"""Scores from arrays: streaming `update`, `merge` and `compute`, on NumPy arrays and tensors."""

from __future__ import annotations

from pixelwise.metrics.boundary import (
    BoundaryFScore,
    BoundaryFScores,
    BoundaryIoU,
    BoundaryIoUScores,
)
from pixelwise.metrics.confusion import ConfusionMatrix, SemanticScores
from pixelwise.metrics.surface import SurfaceDistances, SurfaceScores

__all__ = [
    "BoundaryFScore",
    "BoundaryFScores",
    "BoundaryIoU",
    "BoundaryIoUScores",
    "ConfusionMatrix",
    "SemanticScores",
    "SurfaceDistances",
    "SurfaceScores",
]
