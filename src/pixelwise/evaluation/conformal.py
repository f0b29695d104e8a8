"""Prediction sets that hold the truth as often as was asked for.

A pixel's set are its label and all classes whose probability reaches a threshold (the least
ambiguous sets of Sadinle, Lei and Wasserman, JASA 2019). Pixels of one picture are no independent
evidence, so the promise is made over pictures: the threshold is the highest with

    (sum over calibration pictures of the share of pixels whose truth is not in their set + 1)
        / (pictures + 1) <= 1 - coverage

which is conformal risk control (Angelopoulos, Bates, Fisch, Lei and Schuster, ICLR 2024, theorem 1)
for that share. Then the mean coverage of a new picture is at least what was asked for, provided
that the new picture is exchangeable with those of the calibration: drawn as they were, from the
same places, cameras and annotators, and none of them was learned from. A single picture may be
covered less, as may a single class. Pictures that belong together count as one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import UsageError

__all__ = ["SetFigures", "can_promise", "check_coverage", "fit_threshold", "set_figures"]

# The probabilities of prediction are computed by another kernel, which rounds otherwise.
_ROUNDING = 1e-5
# 1 / (1 - 0.9) is a little above 10 in floating point.
_ROUNDED = 1e-9


@dataclass(frozen=True, eq=False)
class SetFigures:
    """What sets of one threshold do.

    Attributes:
        covered: float64 `[N]`: share of each picture's pixels whose truth is in their set.
        size: float64 `[N]`: mean number of classes in a set.
    """

    covered: NDArray[np.float64]
    size: NDArray[np.float64]


def can_promise(coverage: float, units: int) -> bool:
    """Whether so many pictures, or groups of them, suffice for a coverage."""
    return (1 - coverage) * (units + 1) >= 1 - _ROUNDED


def check_coverage(coverage: float, units: int) -> None:
    """Refuses a coverage that so few pictures, or groups of them, cannot promise.

    Raises:
        UsageError: it is not above 0 and below 1, or needs more pictures.
    """
    if not 0 < coverage < 1:
        raise UsageError(
            "the coverage is above 0 and below 1", got=f"coverage={coverage!r}", fix="such as 0.9"
        )
    if not can_promise(coverage, units):
        needed = math.ceil(1 / (1 - coverage) - 1 - _ROUNDED)
        raise UsageError(
            f"a coverage of {coverage:g} needs {needed} pictures or groups of pictures at least",
            got=f"{units}",
            fix=f"give more, or ask for at most {math.floor(100 * units / (units + 1)) / 100:g}; "
            "pictures that are independent of each other count each with --by image",
        )


def fit_threshold(
    probabilities: NDArray[np.floating],
    right: NDArray[np.bool_],
    groups: NDArray[np.integer],
    *,
    coverage: float,
) -> float:
    """The threshold of the sets, 0..1.

    Args:
        probabilities: calibrated, of the truth of each pixel, `[N, P]`; of a truth that is several
            classes of the model, of the likeliest of them.
        right: whether the label is the truth, `[N, P]`.
        groups: `[N]`: pictures that belong together.
        coverage: wanted, above 0 and below 1.

    Raises:
        UsageError: there are too few groups for the coverage.
    """
    _, places, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    check_coverage(coverage, len(sizes))
    # The label is always in its set.
    lost_above = np.where(right, np.inf, probabilities).astype(np.float64)
    weight = np.repeat(1 / sizes[places], right.shape[1]) / right.shape[1]
    order = np.argsort(lost_above, axis=None, kind="stable")
    allowed = (1 - coverage) * (len(sizes) + 1) - 1
    lost = np.cumsum(weight[order])
    within = int(np.searchsorted(lost, allowed + _ROUNDED, side="right"))
    if within == len(order) or np.isinf(lost_above.reshape(-1)[order[within]]):
        return 1.0
    return float(lost_above.reshape(-1)[order[within]]) * (1 - _ROUNDING)


def set_figures(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    truth: NDArray[np.integer],
    threshold: float,
    *,
    judged_as: NDArray[np.integer] | None = None,
) -> SetFigures:
    """Coverage and size of the sets of one threshold.

    Args:
        probabilities: calibrated, of every class, `[N, P, C]`.
        labels: channels `[N, P]`.
        truth: judged classes `[N, P]`.
        threshold: from `fit_threshold`.
        judged_as: the judged class of each class, `[C]`; None where both are the same.
    """
    inside = probabilities >= threshold
    np.put_along_axis(inside, labels[..., None].astype(np.intp), values=True, axis=-1)
    if judged_as is None:
        held = np.take_along_axis(inside, truth[..., None].astype(np.intp), axis=-1)[..., 0]
    else:
        held = (inside & (judged_as == truth[..., None])).any(-1)
    return SetFigures(held.mean(1), inside.sum(-1).mean(1))
