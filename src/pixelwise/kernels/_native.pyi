from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pixelwise.kernels.types import Bytes, Floats, Labels, Values

def decode_labels(
    scores: Floats,
    row_index: npt.NDArray[np.int32],
    row_weight: Floats,
    column_index: npt.NDArray[np.int32],
    column_weight: Floats,
    out: Labels,
    threads: int,
    full: bool = False,
    variant: str = "",
) -> None: ...
def decode_values(
    what: Literal["confidence", "probability", "scores", "probabilities"],
    scores: Floats,
    row_index: npt.NDArray[np.int32],
    row_weight: Floats,
    column_index: npt.NDArray[np.int32],
    column_weight: Floats,
    out: Floats,
    class_index: int,
    threads: int,
    variant: str = "",
) -> None: ...
def label_regions(
    labels: Labels, corners: bool, components: npt.NDArray[np.int32]
) -> tuple[
    npt.NDArray[np.uint16],
    npt.NDArray[np.int64],
    npt.NDArray[np.int32],
    npt.NDArray[np.float64],
]: ...
def count_labels(labels: Labels, counts: npt.NDArray[np.int64], threads: int) -> int: ...
def count_cells(
    labels: Labels,
    row_edges: npt.NDArray[np.int64],
    column_edges: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    threads: int,
) -> int: ...
def guided_filter(
    values: Floats,
    guide: Floats,
    keep: Bytes,
    radius: int,
    smoothing: float,
    out: Floats,
    threads: int,
) -> None: ...
def mean_field(
    unary: Floats,
    features: Floats,
    taps: Floats,
    colour_weight: float,
    smooth_weight: float,
    iterations: int,
    keep: Bytes,
    out: Floats,
    threads: int,
    variant: str = "",
) -> None: ...
def relabel(labels: Labels, table: Labels, out: Labels) -> int: ...
def blend(
    image: Bytes,
    labels: Labels,
    palette: Bytes,
    weight: int,
    borders: bool,
    out: Bytes,
    threads: int,
) -> int: ...
def normalise(image: Values, scale: Floats, shift: Floats, out: Floats, threads: int) -> None: ...
def undo_png_filters(filtered: Bytes, pixel_bytes: int, out: Bytes) -> int: ...
def warp_image(
    image: Bytes,
    matrix: npt.NDArray[np.float64],
    colours: Floats,
    reduce_y: int,
    reduce_x: int,
    out: Floats,
    general: bool = False,
    variant: str = "",
) -> None: ...
def warp_bytes(
    image: Bytes,
    matrix: npt.NDArray[np.float64],
    colours: Floats,
    reduce_y: int,
    reduce_x: int,
    out: Bytes,
    general: bool = False,
    variant: str = "",
) -> None: ...
def warp_ids(
    ids: npt.NDArray[Any],
    matrix: npt.NDArray[np.float64],
    fill: int,
    out: npt.NDArray[Any],
    general: bool = False,
    variant: str = "",
) -> None: ...
def warp_raster(
    values: npt.NDArray[Any],
    height: int,
    width: int,
    matrix: npt.NDArray[np.float64],
    fill: Floats,
    scale: Floats,
    shift: Floats,
    reduce_y: int,
    reduce_x: int,
    out: Floats,
    variant: str = "",
) -> None: ...
def blur(planes: Floats, weights: Floats, out: Floats, variant: str = "") -> None: ...
def upsampled_loss(
    logits: Floats,
    channels_last: bool,
    row_index: npt.NDArray[np.int32],
    row_weight: Floats,
    column_index: npt.NDArray[np.int32],
    column_weight: Floats,
    target: npt.NDArray[Any],
    ignore_index: int,
    row_weights: Floats,
    class_weights: Floats,
    union_orders: npt.NDArray[np.int32],
    union_sizes: npt.NDArray[np.int32],
    label_smoothing: float,
    focal_gamma: float,
    gradient: Floats,
    threads: int,
    variant: str = "",
) -> float: ...
def has_ids_outside(target: npt.NDArray[Any], rows: int, ignore_index: int) -> bool: ...
def count_overlaps(
    labels: list[npt.NDArray[Any]], threads: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]: ...
def average_precision(
    outcomes: Bytes,
    pictures: npt.NDArray[np.int32],
    times: npt.NDArray[np.int64],
    objects: npt.NDArray[np.int64],
    recalls: npt.NDArray[np.float64],
    out: npt.NDArray[np.float64],
    threads: int,
) -> None: ...
def confusion_counts(
    truth: npt.NDArray[Any],
    prediction: npt.NDArray[Any],
    ignores: bool,
    ignore_index: int,
    counts: npt.NDArray[np.int64],
    threads: int,
    variant: str = "",
) -> bool: ...
def calibration_sums(
    values: Floats,
    truth: npt.NDArray[Any],
    ignores: bool,
    ignore_index: int,
    bins: int,
    sums: npt.NDArray[np.float64],
    threads: int,
    variant: str = "",
) -> int: ...
def calibration_sums_of_scores(
    scores: Floats,
    row_index: npt.NDArray[np.int32],
    row_weight: Floats,
    column_index: npt.NDArray[np.int32],
    column_weight: Floats,
    row_of: npt.NDArray[np.int32],
    rows: int,
    truth: npt.NDArray[Any],
    ignores: bool,
    ignore_index: int,
    bins: int,
    sums: npt.NDArray[np.float64],
    threads: int,
    variant: str = "",
) -> int: ...
def threshold_counts(
    values: Floats,
    truth: npt.NDArray[Any],
    ignores: bool,
    ignore_index: int,
    counts: npt.NDArray[np.int64],
    variant: str = "",
) -> int: ...
def near_borders(
    labels: Labels, distance: int, fill: int, out: Labels, variant: str = ""
) -> None: ...
def contour_points(
    labels: Labels, classes: int, variant: str = ""
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]: ...
def nearest_squares(
    points: npt.NDArray[np.int32],
    counts: npt.NDArray[np.int64],
    others: npt.NDArray[np.int32],
    other_counts: npt.NDArray[np.int64],
    row_spacing: float,
    column_spacing: float,
    out: npt.NDArray[np.float64],
    variant: str = "",
) -> None: ...
def points_near(
    points: npt.NDArray[np.int32],
    counts: npt.NDArray[np.int64],
    others: npt.NDArray[np.int32],
    other_counts: npt.NDArray[np.int64],
    reach: npt.NDArray[np.int64],
    out: npt.NDArray[np.bool_],
) -> None: ...
def fade(
    before: npt.NDArray[np.float32],
    after: npt.NDArray[np.float32],
    weights: npt.NDArray[np.float32],
    down: bool,
) -> None: ...
def all_finite(values: npt.NDArray[np.float32]) -> bool: ...
def measure_regions(
    components: npt.NDArray[np.int32],
    values: Floats,
    box: npt.NDArray[np.int32],
    moments: npt.NDArray[np.float64],
    steps: npt.NDArray[np.int64],
    total: npt.NDArray[np.float64],
) -> bool: ...
def trace_outlines(
    labels: npt.NDArray[Any], ignores: bool, ignored: int
) -> tuple[npt.NDArray[Any], ...]: ...
def variants() -> list[str]: ...

class PolygonTracer:
    def __init__(self, width: int, ignores: bool, ignored: int, tolerance: float) -> None: ...
    def add(
        self,
        labels: npt.NDArray[Any],
        weights: npt.NDArray[np.float64] | None,
        values: Floats | None,
    ) -> None: ...
    def finish(self) -> None: ...
    def take(self, by_place: bool) -> tuple[npt.NDArray[Any], ...]: ...
    @property
    def held(self) -> int: ...
