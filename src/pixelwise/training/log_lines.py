"""Lines of a run's log, from what came of a scoring."""

from __future__ import annotations

import math

from pixelwise.training.picture_counts import PictureCounts
from pixelwise.training.scoring import Scored
from pixelwise.training.state import Progress

__all__ = ["rounded", "score_line"]

_WORST_SHOWN = 12


def score_line(
    progress: Progress, mean_loss: float, scored: Scored, pictures: PictureCounts, *, better: bool
) -> dict[str, object]:
    """The line of a scoring.

    Args:
        progress: at the end of the epoch.
        mean_loss: over the steps of the epoch.
        scored: of all pictures.
        pictures: counts of each.
        better: whether it is the best so far.
    """
    scores = scored.scores
    by_picture = pictures.by_picture
    return {
        "event": "score",
        "epoch": progress.epoch - 1,
        "step": progress.step,
        "loss_train": rounded(mean_loss),
        "mean_iou": rounded(scores.mean_iou),
        "pixel_accuracy": rounded(scores.pixel_accuracy),
        "iou": [rounded(value) for value in scores.iou.tolist()],
        "dice": [rounded(value) for value in scores.dice.tolist()],
        "best": better,
        "images": [
            {"name": pictures.names[place], "mean_iou": rounded(float(by_picture[place]))}
            for place in pictures.worst(_WORST_SHOWN)
        ],
    }


def rounded(value: float) -> float | None:
    """To seven significant digits; JSON has no word for what is no number."""
    return float(f"{value:.7g}") if math.isfinite(value) else None
