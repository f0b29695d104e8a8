"""Polygons and measures of regions against rasterio, OpenCV and scikit-image.

    python -m benchmarks.polygons [--repeats N] [--json FILE]

The map has 2048 × 1024 pixels, 19 classes and some 5,000 regions: cells around random points, whose
borders are pixel by pixel. All sides run in one process, in turns, on one core; the table shows
medians, of the time on the clock and of that on the processor, which other programs disturb less.
OpenCV takes the map as int32, in one call, or class by class as masks; its outlines go through the
middle of border pixels, join at corners, and do not tell their class, so its work is the smaller.
scikit-image's `regionprops` is asked for area, box, centroid, perimeter, orientation and mean of
each region. Areas of polygons and measures are compared before anything is timed. Peers that are
not installed are left out; `pip install ".[benchmark,geo]"` brings them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe_machine
from pixelwise import kernels

SIZE = (1024, 2048)
CELLS = 5200
CLASSES = 19

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Row:
    """One path of one task."""

    task: str
    path: str
    median_ms: float
    processor_ms: float
    ratio: float  # of processor times, to pixelwise's


def cells() -> Labels:
    """Each pixel has the class of the nearest of some random points, by the city-block distance."""
    random = np.random.default_rng(0)
    owner = np.full(SIZE, -1, np.int32)
    rows, columns = (random.integers(0, side, CELLS) for side in SIZE)
    owner[rows, columns] = np.arange(CELLS)
    while (owner < 0).any():
        grown = np.pad(owner, 1, constant_values=-1)
        for part in (grown[:-2, 1:-1], grown[2:, 1:-1], grown[1:-1, :-2], grown[1:-1, 2:]):
            owner = np.where(owner < 0, part, owner)
    return random.integers(0, CLASSES, CELLS).astype(np.uint8)[owner]


def polygon_paths(labels: Labels) -> dict[str, Callable[[], Any]]:
    """Ways to outlines with holes."""
    paths: dict[str, Callable[[], Any]] = {
        "pixelwise": lambda: kernels.trace_polygons(labels),
        "pixelwise, borders simplified by 1 pixel": lambda: kernels.trace_polygons(
            labels, tolerance=1
        ),
    }
    if importlib.util.find_spec("rasterio"):
        import rasterio.features

        paths["rasterio.features.shapes"] = lambda: list(
            rasterio.features.shapes(labels, connectivity=4)
        )
    if importlib.util.find_spec("cv2"):
        import cv2

        cv2.setNumThreads(1)
        mode, method = cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
        paths["OpenCV, all classes at once"] = lambda: cv2.findContours(
            labels.astype(np.int32) + 1, mode, method
        )
        paths["OpenCV, class by class"] = lambda: [
            cv2.findContours((labels == channel).view(np.uint8), mode, method)
            for channel in range(CLASSES)
        ]
    return paths


def measure_paths(labels: Labels, values: NDArray[np.float32]) -> dict[str, Callable[[], Any]]:
    """Ways to the measures of all regions."""
    paths: dict[str, Callable[[], Any]] = {
        "pixelwise": lambda: kernels.measure_regions(labels, values).orientation()
    }
    if importlib.util.find_spec("skimage"):
        from skimage.measure import label, regionprops

        def theirs() -> list[tuple[Any, ...]]:
            found = label(labels, background=255, connectivity=2)
            return [
                (
                    region.area,
                    region.bbox,
                    region.centroid,
                    region.perimeter,
                    region.orientation,
                    region.intensity_mean,
                )
                for region in regionprops(found, intensity_image=values)
            ]

        paths["scikit-image regionprops"] = theirs
    return paths


def compare(labels: Labels, values: NDArray[np.float32]) -> None:
    """Ends the program where the sides disagree."""
    traced = kernels.trace_polygons(labels)
    if "rasterio.features.shapes" in polygon_paths(labels):
        shapes = polygon_paths(labels)["rasterio.features.shapes"]()
        if len(shapes) != len(traced):
            raise SystemExit("rasterio finds another number of polygons")
    paths = measure_paths(labels, values)
    if "scikit-image regionprops" in paths:
        ours = kernels.measure_regions(labels, values)
        theirs = paths["scikit-image regionprops"]()
        for place, own in ((0, ours.regions.area), (3, ours.perimeter), (5, ours.mean)):
            if not np.allclose(own, [row[place] for row in theirs]):
                raise SystemExit("scikit-image has other measures")


def timed(task: str, paths: dict[str, Callable[[], Any]], repeats: int) -> list[Row]:
    """The paths of a task, in turns."""
    spent: dict[str, list[tuple[float, float]]] = {path: [] for path in paths}
    for _ in range(repeats):
        for path, function in paths.items():
            clock, processor = time.perf_counter(), time.process_time()
            function()
            spent[path].append((time.perf_counter() - clock, time.process_time() - processor))
    medians = {
        path: [1e3 * statistics.median(column) for column in zip(*times, strict=True)]
        for path, times in spent.items()
    }
    own = medians["pixelwise"][1]
    return [Row(task, path, *both, both[1] / own) for path, both in medians.items()]


def main() -> None:
    """Prints the table, and writes it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)
    labels = cells()
    values = np.random.default_rng(1).random(SIZE).astype(np.float32)
    compare(labels, values)
    traced = kernels.trace_polygons(labels)
    about = f"{describe_machine()}; NumPy {np.__version__}; compiled: {kernels.COMPILED}"
    case = f"{SIZE[1]} × {SIZE[0]} pixels, {len(traced)} polygons, {len(traced.points)} points"
    print(f"{about}\n{case}; one core, in turns, median of {options.repeats}\n")
    rows = timed("polygons", polygon_paths(labels), options.repeats)
    rows += timed("measures", measure_paths(labels, values), options.repeats)
    print(f"{'task':10}{'path':44}{'clock':>12}{'processor':>13}{'of ours':>9}")
    for row in rows:
        print(
            f"{row.task:10}{row.path:44}{row.median_ms:9.1f} ms{row.processor_ms:10.1f} ms"
            f"{row.ratio:8.1f}×"
        )
    if options.json:
        value = {"about": about, "case": case, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(value, indent=2) + "\n")


if __name__ == "__main__":
    main()
