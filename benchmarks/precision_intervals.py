"""Intervals of average precision: how often they hold the truth, and what they cost.

    python -m benchmarks.precision_intervals [--repeats N] [--json FILE]

Pictures are drawn from 3,000 whose average precision is known: some have many objects, and how
well objects are found, and how surely, differs from picture to picture. The first table says how
often a 95 % interval holds the known value. The second one times, for sets of some sizes, the
interval of masks or boxes (all pictures left out once) and the comparison with another prediction
(2,000 draws of the pictures for both), once the objects are matched; and the same draws by
`AveragePrecision.compute`, of which a few are timed.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe_machine
from pixelwise.metrics.bootstrap import interval_of, paired_of
from pixelwise.metrics.detection import AveragePrecision
from pixelwise.metrics.objects import Detections, TrueObjects
from pixelwise.metrics.ranking import PictureMatches, ResampledPrecision, ranked

POPULATION = 3000
PICTURES = (20, 50, 150)
FIGURES = ("AP", "AP50", "AP75")
SETS = ((300, 1, 40), (500, 80, 10), (5000, 80, 8))  # pictures, classes, objects in each
FEW = 5


def boxes(random: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Boxes somewhere, xyxy."""
    corner, size = random.uniform(0, 500, (count, 2)), random.uniform(15, 60, (count, 2))
    return np.concatenate([corner, corner + size], axis=1)


def picture(
    random: np.random.Generator, metric: AveragePrecision, objects: float
) -> PictureMatches:
    """One picture of about so many objects, matched."""
    quality, count = random.beta(4, 2), 1 + random.poisson(random.gamma(1.5, objects / 1.5))
    true = boxes(random, count)
    classes = random.integers(0, metric.classes, count)
    seen = random.random(count) < quality
    near = true + random.normal(0, 4 * (1.3 - quality), true.shape)
    near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
    false = boxes(random, random.poisson(0.8 * count * (1 - quality)))
    scores = np.concatenate(
        [
            random.normal(0.4 + 0.4 * quality, 0.15, seen.sum()),
            random.normal(0.4, 0.2, len(false)),
        ]
    )
    of = np.concatenate([classes[seen], random.integers(0, metric.classes, len(false))])
    found = Detections(of, scores, boxes=np.concatenate([near[seen], false]))
    return metric.update(TrueObjects(classes, boxes=true), found)


def coverage(repeats: int) -> list[dict[str, Any]]:
    """How often the intervals hold the value of the population."""
    random = np.random.default_rng(1)
    metric = AveragePrecision(1, kind="box")
    every = [picture(random, metric, 6) for _ in range(POPULATION)]
    known = ResampledPrecision(metric.ranking).whole()[: len(FIGURES)]
    rows = []
    for count in PICTURES:
        held = np.zeros(len(FIGURES))
        for _ in range(repeats):
            drawn = random.integers(0, POPULATION, count)
            matches = [replace(every[place], number=n) for n, place in enumerate(drawn)]
            found = interval_of(ResampledPrecision(ranked(matches, 1)))
            held += (found.low[: len(known)] <= known) & (known <= found.high[: len(known)])
        rows.append(
            {"pictures": count, "held": dict(zip(FIGURES, (held / repeats).tolist(), strict=True))}
        )
        shares = " · ".join(f"{name} {share:.1%}" for name, share in rows[-1]["held"].items())
        print(f"{count} pictures: {shares}", flush=True)
    return rows


def timed(pictures: int, classes: int, objects: int) -> dict[str, float]:
    """Seconds of what follows the matching."""
    random = np.random.default_rng(2)
    metrics = [AveragePrecision(classes, kind="box") for _ in range(2)]
    found = [
        sum(len(picture(random, metric, objects).scores) for _ in range(pictures))
        for metric in metrics
    ]
    a, b = (ResampledPrecision(metric.ranking) for metric in metrics)
    start = time.perf_counter()
    interval_of(a)
    left_out = time.perf_counter()
    paired_of(a, b)
    compared = time.perf_counter()
    for _ in range(FEW):
        metrics[0].compute(random.multinomial(pictures, np.full(pictures, 1 / pictures)))
    one = (time.perf_counter() - compared) / FEW
    return {
        "pictures": pictures,
        "classes": classes,
        "detections": found[0],
        "interval_s": left_out - start,
        "comparison_s": compared - left_out,
        "left_out_one_by_one_s": pictures * one,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(describe_machine())
    held = coverage(options.repeats)
    costs = []
    for size in SETS:
        costs.append(timed(*size))
        row = costs[-1]
        print(
            f"{row['pictures']:,} pictures, {row['classes']} classes, {row['detections']:,} "
            f"detections: interval {row['interval_s']:.2f} s (by compute "
            f"{row['left_out_one_by_one_s']:.0f} s), comparison {row['comparison_s']:.2f} s",
            flush=True,
        )
    if options.json is not None:
        told = {"machine": describe_machine(), "coverage": held, "costs": costs}
        options.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
