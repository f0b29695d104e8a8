"""Is a class in the picture: average precision of pictures in the order of their scores.

The area under precision over recall as steps, Σ (R_n - R_n-1) P_n over the thresholds from high to
low (scikit-learn's `average_precision_score`); pictures of one score come in together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import ArrayError
from pixelwise.metrics import figures

__all__ = ["ResampledTags", "tag_precision"]

_VALUES_AT_ONCE = 1 << 22


def tag_precision(
    scores: NDArray[np.floating],
    present: NDArray[np.bool_],
    times: NDArray[np.integer] | None = None,
) -> NDArray[np.float64]:
    """Average precision of each class, exactly.

    Args:
        scores: of each picture and class, `[N, C]`, higher where the class is likelier; NaN where
            the picture does not count.
        present: bool `[N, C]`: whether the class is in the picture.
        times: how often each picture counts in each draw, `[D, N]`; None: once.

    Returns:
        float64 `[C]`, or `[D, C]` for draws, 0..1; NaN where no picture has the class.

    Raises:
        ArrayError: they are no such arrays.
    """
    scores, present = np.asarray(scores), np.asarray(present)
    draws = np.ones((1, len(scores)), np.int64) if times is None else np.asarray(times)
    fits = scores.ndim == 2 and scores.shape == present.shape and present.dtype == np.bool_
    if not fits or draws.ndim != 2 or draws.shape[1] != len(scores):
        raise ArrayError(
            "scores and presence are [N, C], and draws are [D, N]",
            got=f"scores {list(scores.shape)} · present {present.dtype} {list(present.shape)} · "
            f"times {list(draws.shape)}",
        )
    found = np.stack(
        [_precision(own, held, draws) for own, held in zip(scores.T, present.T, strict=True)],
        axis=1,
    )
    return found[0] if times is None else found


def _precision(
    scores: NDArray[np.floating], present: NDArray[np.bool_], times: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Of one class, float64 `[D]`."""
    counted = np.flatnonzero(~np.isnan(scores))
    order = counted[np.argsort(-scores[counted], kind="stable")]
    falling, held = scores[order], present[order]
    # A threshold lies after the last picture of each score.
    ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True)) if len(order) else order
    made = np.empty(len(times))
    step = max(1, _VALUES_AT_ONCE // max(1, len(order)))
    for first in range(0, len(times), step):
        own = times[first : first + step, order].astype(np.float64)
        found = np.cumsum(own, axis=1)[:, ends]
        right = np.cumsum(own * held, axis=1)[:, ends]
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(found > 0, right / found, 0)
            steps = np.diff(right, axis=1, prepend=0)
            total = (own * held).sum(1)
            made[first : first + step] = (steps * precision).sum(1) / total
    return made


class ResampledTags:
    """Average precision of tags, of pictures, or groups of them, left out and drawn anew.

    The values are `[1 + C]`: the mean over the classes that have one, then each class.

    Args:
        scores: as of `tag_precision`.
        present: likewise.
        groups: a number for each picture, the same for those that belong together; None: each is
            its own.

    Attributes:
        held: see `pixelwise.metrics.bootstrap.Resampled`.
    """

    def __init__(
        self,
        scores: NDArray[np.floating],
        present: NDArray[np.bool_],
        groups: Sequence[int] | NDArray[np.integer] | None = None,
    ) -> None:
        self._scores, self._present = scores, present
        numbers = np.arange(len(scores)) if groups is None else np.asarray(groups, np.int64)
        _, self._unit = np.unique(numbers, return_inverse=True)
        self.held: NDArray[np.bool_] = np.zeros(int(self._unit.max(initial=-1)) + 1, np.bool_)
        self.held[self._unit[~np.isnan(scores).all(axis=1)]] = True

    def whole(self) -> NDArray[np.float64]:
        """See `Resampled.whole`."""
        whole: NDArray[np.float64] = self.drawn(np.ones((1, len(self.held)), np.int64))[0]
        return whole

    def without_each(self) -> NDArray[np.float64]:
        """See `Resampled.without_each`."""
        count = len(self.held)
        step = max(1, _VALUES_AT_ONCE // max(1, count))
        made = []
        for first in range(0, count, step):
            times = np.ones((min(step, count - first), count), np.int64)
            times[np.arange(len(times)), first + np.arange(len(times))] = 0
            made.append(self.drawn(times))
        return np.concatenate(made)

    def drawn(self, times: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `Resampled.drawn`."""
        of_class = tag_precision(self._scores, self._present, times[:, self._unit])
        return np.concatenate([figures.mean_of_defined(of_class)[:, None], of_class], axis=1)
