"""Compiled loops on arrays, with NumPy twins that take over where they were not built.

Everything here works on plain arrays, needs NumPy alone and never holds a [C, H, W] tensor that
is not the answer.
"""

from __future__ import annotations

from pixelwise.kernels.axis import Axis
from pixelwise.kernels.backend import COMPILED
from pixelwise.kernels.calibration import (
    calibration_sums,
    calibration_sums_of_scores,
    threshold_counts,
)
from pixelwise.kernels.cells import count_cells
from pixelwise.kernels.confusion import confusion_counts
from pixelwise.kernels.decode import (
    decode_confidence,
    decode_labels,
    decode_probabilities,
    decode_probability,
    decode_scores,
)
from pixelwise.kernels.dense_crf import dense_crf
from pixelwise.kernels.distances import (
    contour_distances,
    contour_points,
    contours_near,
    near_borders,
)
from pixelwise.kernels.fade import all_finite, fade
from pixelwise.kernels.guided import guided_filter
from pixelwise.kernels.loss_rule import LossRule
from pixelwise.kernels.overlaps import count_overlaps
from pixelwise.kernels.pixels import blend, count_labels, label_regions, normalise, relabel
from pixelwise.kernels.png_rows import undo_png_filters
from pixelwise.kernels.polygons import PolygonStream, trace_polygons
from pixelwise.kernels.ranked import average_precision
from pixelwise.kernels.region_measures import measure_regions
from pixelwise.kernels.types import Contours, Overlaps, Polygons, RegionMeasures, Regions
from pixelwise.kernels.upsampled_loss import upsampled_loss_gradient, upsampled_loss_sum
from pixelwise.kernels.warp import blur, warp_bytes, warp_ids, warp_image, warp_raster

__all__ = [
    "COMPILED",
    "Axis",
    "Contours",
    "LossRule",
    "Overlaps",
    "PolygonStream",
    "Polygons",
    "RegionMeasures",
    "Regions",
    "all_finite",
    "average_precision",
    "blend",
    "blur",
    "calibration_sums",
    "calibration_sums_of_scores",
    "confusion_counts",
    "contour_distances",
    "contour_points",
    "contours_near",
    "count_cells",
    "count_labels",
    "count_overlaps",
    "decode_confidence",
    "decode_labels",
    "decode_probabilities",
    "decode_probability",
    "decode_scores",
    "dense_crf",
    "fade",
    "guided_filter",
    "label_regions",
    "measure_regions",
    "near_borders",
    "normalise",
    "relabel",
    "threshold_counts",
    "trace_polygons",
    "undo_png_filters",
    "upsampled_loss_gradient",
    "upsampled_loss_sum",
    "warp_bytes",
    "warp_ids",
    "warp_image",
    "warp_raster",
]
