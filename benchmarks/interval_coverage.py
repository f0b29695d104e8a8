"""Coverage of 95 % intervals of a mean IoU, by simulation.

    python -m benchmarks.interval_coverage [--repeats N] [--json FILE]

Pictures are drawn from populations whose mean IoU is known (from two million pictures): sizes are
log-normal, classes have shares of their own in each picture and some are missing from it, and how
well a picture is segmented differs from picture to picture. The table says how often an interval
holds the known value, and how wide it is; of the peers in N repeats, of pixelwise in ten times as
many.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe_machine
from pixelwise.metrics.bootstrap import interval

Counts = NDArray[np.float64]
PICTURES = (20, 50, 100, 200)
DRAWS = 600
# The jackknife costs so much less that it can be judged more finely.
OWN_REPEATS = 10
NORMAL = NormalDist()


@dataclass(frozen=True)
class Kind:
    """A population of pictures.

    Attributes:
        spread: of the logarithm of the sizes.
        present: how often each class is in a picture.
        weight: of each class, where it is.
        even: how alike the shares of a class are (shape of a gamma distribution).
        quality: of a picture, parameters of a beta distribution.
    """

    spread: float
    present: tuple[float, ...]
    weight: tuple[float, ...]
    even: float
    quality: tuple[float, float]

    def pictures(self, random: np.random.Generator, count: int) -> Counts:
        """Right, true and found pixels of each class, `[count, 3, C]`."""
        classes = len(self.present)
        size = 1e4 * np.exp(random.normal(0, self.spread, (count, 1)))
        share = random.gamma(self.even, 1, (count, classes)) * self.weight
        share *= random.random((count, classes)) < self.present
        true = size * share / np.maximum(share.sum(1, keepdims=True), 1e-9)
        wrong = (1 - random.beta(*self.quality, (count, 1))) * random.beta(6, 2, (count, classes))
        right = true * (1 - wrong)
        missed = true - right
        others = missed.sum(1, keepdims=True) - missed
        found = right + others * random.dirichlet(np.ones(classes), count)
        return np.rint(np.stack([right, true, found], axis=1))


KINDS = {
    "even": Kind(0.0, (1, 1, 1, 1), (1, 1, 1, 1), 2, (8, 2)),
    "two classes": Kind(0.5, (1, 1), (5, 1), 1, (8, 2)),
    "skewed": Kind(0.8, (1, 1, 0.8, 0.6), (5, 2, 1, 0.5), 1, (8, 2)),
    "very skewed": Kind(1.2, (1, 0.9, 0.7, 0.4), (5, 2, 1, 0.3), 1, (5, 2)),
    "nearly right": Kind(0.8, (1, 1), (5, 1), 1, (30, 0.5)),
    "a rare class": Kind(0.8, (1, 1, 0.15), (5, 2, 1), 1, (8, 2)),
}


def mean_iou(sums: Counts) -> Counts:
    """Of sums `[D, 3, C]`, over the classes that occur."""
    union = sums[:, 1] + sums[:, 2] - sums[:, 0]
    iou = np.where(union > 0, sums[:, 0] / np.maximum(union, 1), 0)
    mean: Counts = iou.sum(1) / (union > 0).sum(1)
    return mean


@cache
def known(kind: Kind) -> float:
    """The mean IoU of the population."""
    random = np.random.default_rng(99)
    total = sum(kind.pictures(random, 50_000).sum(0) for _ in range(40))
    return float(mean_iou(np.asarray(total)[None])[0])


def bootstraps(units: Counts, random: np.random.Generator) -> dict[str, tuple[float, float]]:
    """The peers, from the same draws: percentile, BCa, bootstrap-t and symmetric bootstrap-t."""
    count = len(units)
    flat = units.reshape(count, -1)
    times = random.multinomial(count, np.full(count, 1 / count), DRAWS).astype(np.float64)
    sums = times @ flat

    def score(rows: Counts) -> Counts:
        return mean_iou(rows.reshape(-1, *units.shape[1:]))

    value = float(score(flat.sum(0))[0])
    drawn = score(sums)
    left_out = score(flat.sum(0) - flat)
    apart = left_out.mean() - left_out
    error = float(np.sqrt((count - 1) * (apart**2).mean()))
    # Efron 1987: bias and acceleration.
    below = (np.count_nonzero(drawn < value) + 0.5) / (DRAWS + 1)
    bias = NORMAL.inv_cdf(below)
    speed = float((apart**3).sum() / (6 * (apart**2).sum() ** 1.5))
    tails = [bias + NORMAL.inv_cdf(tail) for tail in (0.025, 0.975)]
    accelerated = [NORMAL.cdf(bias + tail / (1 - speed * tail)) for tail in tails]
    # A picture that was not drawn cannot be left out.
    without = sums[:, None] - np.where(times[..., None] > 0, flat, 0)
    of_draw = score(without.reshape(DRAWS * count, -1)).reshape(DRAWS, count)
    middle = (times * of_draw).sum(1, keepdims=True) / count
    errors = np.sqrt((count - 1) / count * (times * (of_draw - middle) ** 2).sum(1))
    ratio = (drawn - value) / np.maximum(errors, 1e-12)
    high, low = np.quantile(ratio, (0.025, 0.975))
    reach = np.quantile(np.abs(ratio), 0.95)
    percentile, bca = np.quantile(drawn, (0.025, 0.975)), np.quantile(drawn, accelerated)
    return {
        "percentile": (float(percentile[0]), float(percentile[1])),
        "BCa": (float(bca[0]), float(bca[1])),
        "bootstrap-t": (value - low * error, value - high * error),
        "symmetric bootstrap-t": (value - reach * error, value + reach * error),
    }


def jackknife(units: Counts) -> tuple[float, float]:
    """What pixelwise gives."""
    found = interval(units, mean_iou)
    return float(found.low), float(found.high)


Shares = dict[str, float]


def coverage(
    kind: Kind,
    *,
    pictures: int,
    repeats: int,
    peers: Callable[[Counts, np.random.Generator], dict[str, tuple[float, float]]] | None = None,
) -> tuple[Shares, Shares]:
    """How often an interval holds the known value, and its mean width, by method."""
    random = np.random.default_rng(pictures)
    truth = known(kind)
    held: Shares = {}
    width: Shares = {}
    for _ in range(repeats):
        units = kind.pictures(random, pictures)
        found = {"jackknife-t": jackknife(units)}
        if peers is not None:
            found |= peers(units, random)
        for method, (low, high) in found.items():
            held[method] = held.get(method, 0) + (low <= truth <= high) / repeats
            width[method] = width.get(method, 0) + (high - low) / repeats
    return held, width


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(describe_machine())
    rows = []
    for name, kind in KINDS.items():
        for pictures in PICTURES:
            held, width = coverage(
                kind, pictures=pictures, repeats=options.repeats, peers=bootstraps
            )
            own = coverage(kind, pictures=pictures, repeats=OWN_REPEATS * options.repeats)
            held |= own[0]
            width |= own[1]
            rows.append({"kind": name, "pictures": pictures, "held": held, "width": width})
            cells = (f"{method} {held[method]:.1%} ({width[method]:.3f})" for method in held)
            print(f"{name}, {pictures} pictures: {' · '.join(cells)}", flush=True)
    if options.json is not None:
        options.json.write_text(
            json.dumps({"machine": describe_machine(), "rows": rows}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
