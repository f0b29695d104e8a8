"""Refinement kernels against the same methods in plain NumPy and in kornia, on one photo.

    python -m benchmarks.refine PHOTO [--repeats N] [--json FILE]

The photo is brought to 480 × 360; scores are those of the model `street`, its first 11 classes. The
CRF takes 5 iterations with its default settings; the guided filter has radius 8. All sides take
turns in one process, with one thread and with two (NumPy's sums are of one); figures are medians.
The largest difference of the probabilities is told; kornia reflects the picture at its edges, so
that of kornia is without them. kornia is left out where it is not installed;
`pip install ".[benchmark]"` brings it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import pixelwise
from benchmarks.machine import describe_machine
from pixelwise import kernels
from pixelwise.kernels import reference_crf, reference_guided

SIZE = (480, 360)
CLASSES, ITERATIONS, RADIUS, SMOOTHING = 11, 5, 8, 1e-3
WEIGHTS = (10.0, 3.0)
DEVIATIONS = (80.0, 13.0, 3.0)

Timed: TypeAlias = Callable[[int], NDArray[np.float32]]
"""What is timed, on a number of threads."""


@dataclass(frozen=True)
class Row:
    """A peer of one task, where we have one number of threads."""

    task: str
    peer: str
    threads: int
    median_ms: float
    peer_ms: float
    ratio: float
    difference: float


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds, and the answer."""
    # The threads of linear algebra spin for a while after their last work, on the other's core.
    time.sleep(0.3)
    start = time.perf_counter()
    answer = function()
    return 1e3 * (time.perf_counter() - start), answer


def kornia_filter(shares: NDArray[np.float32], guide: NDArray[np.float32]) -> Timed:
    """kornia's guided filter, on so many threads."""
    import kornia
    import torch

    values = torch.from_numpy(shares)[None]
    photo = torch.from_numpy(guide).permute(2, 0, 1)[None].contiguous()
    window = (2 * RADIUS + 1, 2 * RADIUS + 1)

    def run(threads: int) -> NDArray[np.float32]:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            found = kornia.filters.guided_blur(photo, values, window, SMOOTHING)
        answer: NDArray[np.float32] = found[0].numpy()
        return answer

    return run


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
    crf_task = f"CRF, {CLASSES} classes, {ITERATIONS} iterations"
    guided_task = f"guided filter, {CLASSES} classes, radius {RADIUS}"
    ours: dict[str, Timed] = {
        crf_task: lambda threads: kernels.dense_crf(
            scores, photo, iterations=ITERATIONS, threads=threads
        ),
        guided_task: lambda threads: kernels.guided_filter(
            shares, photo, radius=RADIUS, smoothing=SMOOTHING, threads=threads
        ),
    }
    peers: list[tuple[str, str, Timed, int]] = [
        (
            crf_task,
            "NumPy",
            lambda _: reference_crf.mean_field(scores, features, taps, WEIGHTS, ITERATIONS, every),
            0,
        ),
        (
            guided_task,
            "NumPy",
            lambda _: reference_guided.guided_filter(shares, guide, RADIUS, SMOOTHING, every),
            0,
        ),
    ]
    about = describe_machine()
    if importlib.util.find_spec("kornia"):
        peers.append((guided_task, "kornia", kornia_filter(shares, guide), 2 * RADIUS))
        about += f", kornia {version('kornia')}"
    protocol = f"{SIZE[0]} × {SIZE[1]}, in turns, median of {options.repeats}"
    print(f"{about}\n{protocol}\n")
    rows = []
    for task, peer, theirs, edge in peers:
        for threads in (1, 2):
            own, other = [], []
            for _ in range(options.repeats):
                taken, found = timed(partial(ours[task], threads))
                own.append(taken)
                taken, expected = timed(partial(theirs, threads))
                other.append(taken)
            inside = np.s_[:, edge : SIZE[1] - edge, edge : SIZE[0] - edge]
            difference = float(np.abs(found - expected)[inside].max())
            median, peer_median = statistics.median(own), statistics.median(other)
            rows.append(
                Row(task, peer, threads, median, peer_median, peer_median / median, difference)
            )
            print(
                f"{task:38} {threads} threads {median:8.1f} ms   {peer:8} {peer_median:9.1f} ms "
                f"{peer_median / median:6.1f}×   differs by {difference:.1e}"
            )
    if options.json:
        content = {"machine": about, "protocol": protocol, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
