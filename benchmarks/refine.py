"""Refinement kernels against the same method in plain NumPy, on one photo.

    python -m benchmarks.refine PHOTO [--repeats N] [--json FILE]

The photo is brought to 480 × 360; scores are those of the model `street`, its first 11 classes. The
CRF takes 5 iterations with its default settings. Both sides take turns in one process, with one
thread and with two (NumPy's sums are of one); figures are medians, and the largest difference of
the probabilities is told. The guided filter has radius 8.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import pixelwise
from benchmarks.machine import describe_machine
from pixelwise import kernels
from pixelwise.kernels import reference_crf, reference_guided

SIZE = (480, 360)
CLASSES, ITERATIONS, RADIUS, SMOOTHING = 11, 5, 8, 1e-3
WEIGHTS = (10.0, 3.0)
DEVIATIONS = (80.0, 13.0, 3.0)


@dataclass(frozen=True)
class Row:
    """One task with one number of threads."""

    task: str
    threads: int
    median_ms: float
    numpy_ms: float
    ratio: float
    difference: float


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds, and the answer."""
    start = time.perf_counter()
    answer = function()
    return 1e3 * (time.perf_counter() - start), answer


def main() -> None:
    """Prints the table, and writes it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    photo = np.asarray(Image.open(options.photo).convert("RGB").resize(SIZE))
    segmentation = pixelwise.load("street").predict(photo)
    scores = np.ascontiguousarray(segmentation.logits()[:CLASSES])
    shares = np.exp(scores - scores.max(0))
    shares /= shares.sum(0)
    crf = import_module("pixelwise.kernels.dense_crf")
    position, colour, smooth = DEVIATIONS
    features, taps = crf._features(photo, position, colour), crf._taps(smooth, max(SIZE))
    every = np.ones(photo.shape[:2], np.bool_)
    guide = (photo / np.float32(255)).astype(np.float32)
    tasks: dict[str, tuple[Callable[[int], Any], Callable[[], Any]]] = {
        f"CRF, {CLASSES} classes, {ITERATIONS} iterations": (
            lambda threads: kernels.dense_crf(
                scores, photo, iterations=ITERATIONS, threads=threads
            ),
            lambda: reference_crf.mean_field(scores, features, taps, WEIGHTS, ITERATIONS, every),
        ),
        f"guided filter, {CLASSES} classes, radius {RADIUS}": (
            lambda threads: kernels.guided_filter(
                shares, photo, radius=RADIUS, smoothing=SMOOTHING, threads=threads
            ),
            lambda: reference_guided.guided_filter(shares, guide, RADIUS, SMOOTHING, every),
        ),
    }
    about = describe_machine()
    protocol = f"{SIZE[0]} × {SIZE[1]}, in turns, median of {options.repeats}"
    print(f"{about}\n{protocol}\n")
    rows = []
    for task, (ours, theirs) in tasks.items():
        spent: dict[int, list[float]] = {1: [], 2: []}
        plain: list[float] = []
        for turn in range(options.repeats):
            for threads, times in spent.items():
                taken, found = timed(partial(ours, threads))
                times.append(taken)
            if turn < 3:
                taken, expected = timed(theirs)
                plain.append(taken)
        difference = float(np.abs(found - expected).max())
        for threads, times in spent.items():
            median, peer = statistics.median(times), statistics.median(plain)
            rows.append(Row(task, threads, median, peer, peer / median, difference))
            print(
                f"{task:38} {threads} threads {median:8.1f} ms   NumPy {peer:9.1f} ms "
                f"{peer / median:6.1f}×   differs by {difference:.1e}"
            )
    if options.json:
        content = {"machine": about, "protocol": protocol, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
