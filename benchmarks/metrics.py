"""Metrics against the tools that are used for them, on random label maps of 1024×2048.

    python -m benchmarks.metrics [--repeats N] [--json FILE]

All sides run in one process, in turns, on one core; the table shows medians, of the time on the
clock and of that on the processor, which other programs on the machine disturb less. The truth is a
random label map with blobs as in street scenes, made from scores as a network's; the prediction is
made from the same scores with noise; a part of the truth is ignored. Peers that are not installed
are left out; `pip install ".[benchmark]"` brings them. HF evaluate's method and boundary IoU's
reference are written here as the steps that they take. Calibration is counted in float32
probabilities that are there already, or with the softmax that makes them; 150 classes at 512×512.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe_machine
from pixelwise import kernels
from pixelwise.geometry import Geometry
from pixelwise.kernels import Axis, reference_calibration
from pixelwise.metrics import BoundaryFScore, BoundaryIoU, ConfusionMatrix, SurfaceDistances
from pixelwise.metrics.calibration import Calibration
from pixelwise.metrics.thresholds import Thresholds

SIZE = (1024, 2048)
BLOB = 120  # pixels: the id changes some 30 times in a row, twice as often as in CamVid
NOISE = 0.2  # deviation, of scores with a deviation of 1
IGNORED = 255
CLASSES = (19, 150)
MANY, MANY_SIZE = 150, (512, 512)  # probabilities of so many classes take a smaller picture
STRIDE = 8  # of the scores that probabilities are made of
PEERS = {
    "numpy": "numpy",
    "torchmetrics": "torchmetrics",
    "sklearn": "scikit-learn",
    "cv2": "opencv-python-headless",
}
OWN = "pixelwise"

Labels = NDArray[np.uint8]
Counts = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Row:
    """One path of one metric."""

    metric: str
    classes: int
    path: str
    median_ms: float
    least_ms: float
    times_faster: float  # is pixelwise than this path
    processor_ms: float  # median
    processor_times_faster: float
    same_counts: bool


def label_maps(classes: int) -> tuple[Labels, Labels]:
    """Truth and prediction."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(classes, *(side // BLOB + 2 for side in SIZE))).astype(np.float32)
    noise = NOISE * rng.normal(size=coarse.shape).astype(np.float32)
    axes = tuple(map(Axis.corners, SIZE, coarse.shape[1:]))
    truth = kernels.decode_labels(coarse, *axes).astype(np.uint8)
    truth[-100:, 300:-300] = IGNORED
    return truth, kernels.decode_labels(coarse + noise, *axes).astype(np.uint8)


def confusion_paths(
    truth: Labels, prediction: Labels, classes: int
) -> dict[str, Callable[[], Counts]]:
    """Each gives right, truth and predicted pixels of the classes, [3, C]."""

    def own() -> Counts:
        matrix = ConfusionMatrix(classes, ignore_index=IGNORED)
        matrix.update(truth, prediction)
        return matrix.class_counts

    def bincount() -> Counts:
        counted = truth != IGNORED
        pairs = truth[counted].astype(np.int64) * classes + prediction[counted]
        return sums_of(np.bincount(pairs, minlength=classes**2).reshape(classes, classes))

    def evaluate() -> Counts:
        counted = np.not_equal(truth, IGNORED)
        found, target = prediction[counted], truth[counted]
        areas = [
            np.histogram(ids, bins=classes, range=(0, classes - 1))[0]
            for ids in (found[found == target], target, found)
        ]
        return np.stack(areas)

    paths: dict[str, Callable[[], Counts]] = {
        OWN: own,
        "np.bincount": bincount,
        "HF evaluate's method": evaluate,
    }
    if importlib.util.find_spec("torchmetrics") is not None:
        paths["torchmetrics Jaccard"] = torchmetrics_path(truth, prediction, classes)
    if importlib.util.find_spec("sklearn") is not None:
        paths["scikit-learn"] = sklearn_path(truth, prediction, classes)
    return paths


def torchmetrics_path(truth: Labels, prediction: Labels, classes: int) -> Callable[[], Counts]:
    """Its metric as its documentation uses it, on tensors that are made beforehand."""
    import torch
    from torchmetrics.classification import MulticlassJaccardIndex

    torch.set_num_threads(1)
    target, found = (torch.from_numpy(ids).long() for ids in (truth, prediction))

    def path() -> Counts:
        metric = MulticlassJaccardIndex(num_classes=classes, ignore_index=IGNORED, average=None)
        metric(found, target)
        return sums_of(metric.confmat.numpy())

    return path


def sklearn_path(truth: Labels, prediction: Labels, classes: int) -> Callable[[], Counts]:
    """scikit-learn's confusion matrix of the pixels that count."""
    from sklearn.metrics import confusion_matrix

    def path() -> Counts:
        counted = truth != IGNORED
        return sums_of(
            confusion_matrix(truth[counted], prediction[counted], labels=np.arange(classes))
        )

    return path


def sums_of(matrix: NDArray[Any]) -> Counts:
    """From a confusion matrix to [3, C]."""
    return np.stack([np.diag(matrix), matrix.sum(1), matrix.sum(0)])


def boundary_paths(
    truth: Labels, prediction: Labels, classes: int
) -> dict[str, Callable[[], Counts]]:
    """Boundary IoU at 2 % of the diagonal; each gives counts [3, C]."""

    def own() -> Counts:
        metric = BoundaryIoU(classes, ignore_index=IGNORED)
        metric.update(truth, prediction)
        return metric.class_counts

    paths: dict[str, Callable[[], Counts]] = {OWN: own}
    if importlib.util.find_spec("cv2") is not None:
        paths["reference method"] = lambda: reference_counts(truth, prediction, classes)
    return paths


def reference_counts(truth: Labels, prediction: Labels, classes: int) -> Counts:
    """The authors' steps class by class: pad, erode with 3×3, crop, subtract."""
    import cv2

    cv2.setNumThreads(1)
    height, width = truth.shape
    distance = max(1, round(0.02 * math.hypot(height, width)))
    kernel = np.ones((3, 3), np.uint8)

    def band(mask: Labels) -> Labels:
        wide = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        inner = cv2.erode(wide, kernel, iterations=distance)
        return mask - inner[1:-1, 1:-1]

    counts = np.empty((3, classes), np.int64)
    ignored = truth == IGNORED
    seen = prediction.copy()
    seen[ignored] = IGNORED
    for id_ in range(classes):
        bands = [band((ids == id_).astype(np.uint8)) for ids in (truth, seen)]
        counts[:, id_] = (bands[0] & bands[1]).sum(), bands[0].sum(), bands[1].sum()
    return counts


def contour_paths(
    truth: Labels, prediction: Labels, classes: int
) -> dict[str, Callable[[], Counts]]:
    """Contour pixels within 0.75 % of the diagonal; each gives counts [4, C]."""

    def own() -> Counts:
        metric = BoundaryFScore(classes, ignore_index=IGNORED)
        metric.update(truth, prediction)
        return metric.class_counts

    return {OWN: own}


def surface_paths(
    truth: Labels, prediction: Labels, classes: int
) -> dict[str, Callable[[], Counts]]:
    """Hausdorff distance and average distance; each gives pictures with the class, [2, C]."""

    def own() -> Counts:
        metric = SurfaceDistances(classes, ignore_index=IGNORED)
        metric.update(truth, prediction)
        return metric.class_counts[2:].astype(np.int64)

    return {OWN: own}


def calibration_paths(
    truth: Labels, prediction: Labels, classes: int
) -> dict[str, Callable[[], Counts]]:
    """Calibration errors, Brier score and likelihood; each gives the whole numbers of its sums."""
    del prediction
    height, width = SIZE if classes < MANY else MANY_SIZE
    truth = truth[:height, :width]
    rng = np.random.default_rng(0)
    scores = 4 * rng.normal(size=(classes, height // STRIDE, width // STRIDE)).astype(np.float32)
    geometry = Geometry(*map(Axis.half_pixel, (height, width), scores.shape[1:]))
    probabilities = kernels.decode_probabilities(scores, geometry.rows, geometry.columns)

    def own() -> Counts:
        calibration = Calibration(classes, ignore_index=IGNORED)
        calibration.update(probabilities, truth)
        return whole_numbers(calibration.counts, classes)

    def from_scores() -> Counts:
        calibration = Calibration(classes, ignore_index=IGNORED)
        calibration.update_scores(scores, geometry, truth)
        return whole_numbers(calibration.counts, classes)

    def twin() -> Counts:
        flat = probabilities.reshape(classes, -1)
        sums = reference_calibration.calibration_sums(flat, truth.reshape(-1), 15, IGNORED)
        return whole_numbers(sums, classes)

    return {OWN: own, "pixelwise, softmax too": from_scores, "NumPy": twin}


def whole_numbers(sums: NDArray[np.float64], classes: int) -> Counts:
    """Pixels and right pixels of each bin."""
    return sums[:-3].reshape(1 + classes, 3, -1)[:, ::2].astype(np.int64)


def threshold_paths(
    truth: Labels, prediction: Labels, classes: int
) -> dict[str, Callable[[], Counts]]:
    """Every threshold of the probability of class 0."""
    del prediction
    foreground = np.where(truth == IGNORED, truth, truth == 0).astype(np.uint8)
    probability = np.random.default_rng(classes).random(truth.shape, np.float32)

    def own() -> Counts:
        thresholds = Thresholds(ignore_index=IGNORED)
        thresholds.update(probability, foreground)
        return thresholds.counts

    def twin() -> Counts:
        flat = probability.reshape(-1), foreground.reshape(-1)
        return reference_calibration.threshold_counts(*flat, IGNORED)

    return {OWN: own, "NumPy": twin}


METRICS = {
    "calibration": calibration_paths,
    "thresholds": threshold_paths,
    "confusion matrix": confusion_paths,
    "boundary IoU": boundary_paths,
    "boundary F-score": contour_paths,
    "surface distances": surface_paths,
}


def measure(metric: str, classes: int, repeats: int) -> list[Row]:
    """All paths of a metric, in turns."""
    paths = METRICS[metric](*label_maps(classes), classes)
    counts = {name: path() for name, path in paths.items()}
    times: dict[str, list[float]] = {name: [] for name in paths}
    processor: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(repeats):
        for name, path in paths.items():
            start, busy = time.perf_counter(), time.process_time()
            path()
            processor[name].append((time.process_time() - busy) * 1e3)
            times[name].append((time.perf_counter() - start) * 1e3)
    medians = {name: statistics.median(values) for name, values in times.items()}
    busy_medians = {name: statistics.median(values) for name, values in processor.items()}
    return [
        Row(
            metric=metric,
            classes=classes,
            path=name,
            median_ms=medians[name],
            least_ms=min(times[name]),
            times_faster=medians[name] / medians[OWN],
            processor_ms=busy_medians[name],
            processor_times_faster=busy_medians[name] / busy_medians[OWN],
            same_counts=bool(np.array_equal(counts[name], counts[OWN])),
        )
        for name in paths
    ]


def machine() -> str:
    """The machine, the peers, and which kernels run."""
    kind = "NumPy twins"
    if kernels.COMPILED:
        from pixelwise.kernels import _native

        kind = _native.variants()[-1]
    peers = [
        f"{name} {version(name)}"
        for package, name in PEERS.items()
        if importlib.util.find_spec(package) is not None
    ]
    return f"{describe_machine()}; {', '.join(peers)}; kernels: {kind}"


def main() -> None:
    """Prints the table, and writes it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    about = machine()
    protocol = (
        f"{SIZE[0]}×{SIZE[1]} uint8, in turns, one core, median of {options.repeats}; "
        f"load average of other programs at the start: {os.getloadavg()[0]:.1f}"
    )
    print(f"{about}\n{protocol}\n")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    print(
        f"{'metric':20}{'classes':>8}  {'path':24}{'median':>12}{'least':>12}"
        f"{'pixelwise ×':>13}{'processor':>12}{'pixelwise ×':>13}  same counts"
    )
    rows = []
    for metric in METRICS:
        for classes in CLASSES:
            for row in measure(metric, classes, options.repeats):
                rows.append(row)
                print(
                    f"{row.metric:20}{row.classes:8}  {row.path:24}{row.median_ms:9.2f} ms"
                    f"{row.least_ms:9.2f} ms{row.times_faster:13.1f}{row.processor_ms:9.2f} ms"
                    f"{row.processor_times_faster:13.1f}  {row.same_counts}",
                    flush=True,
                )
    if options.json:
        content = {
            "machine": about,
            "protocol": protocol,
            "rows": [asdict(row) for row in rows],
        }
        options.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
