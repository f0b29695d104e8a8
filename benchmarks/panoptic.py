"""Panoptic quality against the steps of panopticapi, on made pictures and its published sample.

    python -m benchmarks.panoptic [--data FOLDER] [--repeats N] [--json FILE]

Both sides run in one process, in turns; the table shows medians. "counting" is the table of pairs
of segments: `np.unique` over one uint64 of both ids there, one pass over runs here. "picture" goes
on to the sum of IoU, TP, FP and FN of each class; the other side is given the areas of the true
segments, as its JSON file has them, and its steps are written out below. Segments are areas of a
smooth field, about as many as pictures of streets and of COCO have; a prediction is the same field
with noise. The counts of both sides are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.machine import describe_machine
from pixelwise import kernels
from pixelwise.kernels import Axis
from pixelwise.metrics.panoptic import PanopticMap, PanopticQuality

THREADS = 1
CLASSES, THINGS, VOID = 19, 8, 255
OFFSET = 256**3


@dataclass(frozen=True)
class Side:
    """A truth or a prediction in both forms."""

    ids: npt.NDArray[np.uint32]
    class_of: dict[int, int]
    area_of: dict[int, int]
    maps: PanopticMap


@dataclass(frozen=True)
class Case:
    """Two sides of a picture, and which classes are things."""

    name: str
    truth: Side
    prediction: Side
    things: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Row:
    """One step of one case."""

    case: str
    step: str
    median_ms: float
    panopticapi_ms: float
    ratio: float


def side_of(ids: npt.NDArray[np.uint32], class_of: dict[int, int]) -> Side:
    """Both forms of segments: ids that no two share, 0 being void."""
    numbers, places, pixels = np.unique(ids, return_inverse=True, return_counts=True)
    channels = np.array([class_of.get(number, VOID) for number in numbers.tolist()], np.uint8)
    area_of = dict(zip(numbers.tolist(), pixels.tolist(), strict=True))
    no_crowd = np.zeros(ids.shape, np.bool_)
    maps = PanopticMap(channels[places].reshape(ids.shape), ids.astype(np.int32), no_crowd)
    return Side(ids, class_of, area_of, maps)


def made_case(name: str, size: tuple[int, int], segments: int) -> Case:
    """Areas where one of some smooth fields is the largest, each a segment."""
    random = np.random.default_rng(0)
    scores = random.normal(size=(segments, size[0] // 96, size[1] // 96)).astype(np.float32)
    numbers = np.append(0, random.choice(OFFSET, segments - 1, replace=False, shuffle=False))
    classes = np.concatenate(
        [random.integers(0, THINGS, segments - CLASSES), np.arange(CLASSES)]
    ).tolist()
    class_of = dict(zip(numbers[1:].tolist(), classes[1:], strict=True))
    sides = []
    for noise in (0, 0.3):
        field = scores + noise * random.normal(size=scores.shape).astype(np.float32)
        axes = map(Axis.half_pixel, size, field.shape[1:])
        sides.append(
            side_of(numbers[kernels.decode_labels(field, *axes)].astype(np.uint32), class_of)
        )
    return Case(name, *sides, np.arange(CLASSES) < THINGS)


def sample_cases(folder: Path) -> list[Case]:
    """The published pictures; the predictions are the truths, moved by a few pixels."""
    document = json.loads((folder / "panoptic_examples.json").read_text())
    channels = {info["id"]: place for place, info in enumerate(document["categories"])}
    things = np.array([info["isthing"] == 1 for info in document["categories"]])
    cases = []
    for entry in document["annotations"]:
        pixels = np.asarray(Image.open(folder / "panoptic_examples" / entry["file_name"]))
        ids = (pixels.astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)).astype(np.uint32)
        class_of = {
            info["id"]: channels[info["category_id"]]
            for info in entry["segments_info"]
            if not info["iscrowd"]
        }
        ids[~np.isin(ids, list(class_of))] = 0  # crowds are void here, to keep the other side short
        sides = [side_of(moved, class_of) for moved in (ids, np.roll(ids, (3, 2), (0, 1)))]
        cases.append(Case(f"COCO {entry['file_name']}", *sides, things))
    return cases


def their_pairs(truth: Side, prediction: Side) -> dict[tuple[int, int], int]:
    """The table of pairs, as panopticapi counts it."""
    codes = truth.ids.astype(np.uint64) * OFFSET + prediction.ids.astype(np.uint64)
    values, pixels = np.unique(codes, return_counts=True)
    return {
        (int(value) // OFFSET, int(value) % OFFSET): int(count)
        for value, count in zip(values, pixels, strict=True)
    }


def their_counts(truth: Side, prediction: Side, classes: int) -> npt.NDArray[np.float64]:
    """The counts of a picture without crowds, as panopticapi takes them."""
    values, pixels = np.unique(prediction.ids, return_counts=True)
    area = dict(zip(values.tolist(), pixels.tolist(), strict=True))
    pairs = their_pairs(truth, prediction)
    counts = np.zeros((4, classes))
    true_matched, matched = set(), set()
    for (a, b), common in pairs.items():
        if truth.class_of.get(a, -1) != prediction.class_of.get(b, -2):
            continue
        union = area[b] + truth.area_of[a] - common - pairs.get((0, b), 0)
        if common / union > 0.5:
            counts[0, truth.class_of[a]] += common / union
            counts[1, truth.class_of[a]] += 1
            true_matched.add(a)
            matched.add(b)
    for b in area.keys() & prediction.class_of.keys() - matched:
        if pairs.get((0, b), 0) / area[b] <= 0.5:
            counts[2, prediction.class_of[b]] += 1
    for a in truth.area_of.keys() & truth.class_of.keys() - true_matched:
        counts[3, truth.class_of[a]] += 1
    return counts


def measure(case: Case, repeats: int) -> list[Row]:
    """Both steps of a case, in turns."""
    truth, prediction = case.truth, case.prediction
    ours = PanopticQuality(case.things, ignore_index=VOID).update(truth.maps, prediction.maps)
    theirs = their_counts(truth, prediction, len(case.things))
    if (ours[1:] != theirs[1:]).any() or not np.allclose(ours[0], theirs[0], rtol=1e-12):
        raise SystemExit(f"{case.name}: the counts differ")
    metric = PanopticQuality(case.things, ignore_index=VOID)
    steps: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "counting": (
            lambda: kernels.count_overlaps(truth.ids, prediction.ids, threads=THREADS),
            lambda: their_pairs(truth, prediction),
        ),
        "picture": (
            lambda: metric.update(truth.maps, prediction.maps),
            lambda: their_counts(truth, prediction, len(case.things)),
        ),
    }
    rows = []
    for step, sides in steps.items():
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(repeats):
            for function, spent in zip(sides, times, strict=True):
                start = time.perf_counter()
                function()
                spent.append((time.perf_counter() - start) * 1e3)
        median, peer = map(statistics.median, times)
        rows.append(Row(case.name, step, median, peer, peer / median))
    return rows


def main() -> None:
    """Prints the table, and writes it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="the folder that holds panopticapi_sample")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    about = f"{describe_machine()}; NumPy {np.__version__}; compiled: {kernels.COMPILED}"
    protocol = f"{THREADS} thread, in turns, median of {options.repeats}"
    print(f"{about}\n{protocol}\n")
    cases = [
        made_case("street, 1024×2048, 60 segments", (1024, 2048), 60),
        made_case("photo, 480×640, 25 segments", (480, 640), 25),
    ]
    if options.data:
        cases += sample_cases(options.data / "panopticapi_sample" / "sample_data")
    rows = [row for case in cases for row in measure(case, options.repeats)]
    print(f"{'case':36}{'step':12}{'median':>12}{'panopticapi':>14}{'times faster':>14}")
    for row in rows:
        print(
            f"{row.case:36}{row.step:12}{row.median_ms:9.2f} ms{row.panopticapi_ms:11.2f} ms"
            f"{row.ratio:14.1f}"
        )
    if options.json:
        content = {"machine": about, "protocol": protocol, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
