"""Whether refinement helps a model on pictures that it did not learn from, and which settings do.

Settings are chosen by the mean IoU of some pictures and judged on others: pictures are dealt into
parts, groups whole, and each part is refined with the settings that a search by the other parts
found. So the difference is that of pictures which had no part in the choice. What is recommended
are the settings that the same search finds by all parts, and only where that difference is above 0
by more than chance and borders are not worse by more than chance.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.duplicates import perceptual_hash
from pixelwise.data.faults import Fault
from pixelwise.errors import DatasetError
from pixelwise.evaluation.border_measures import Borders
from pixelwise.evaluation.compare import Comparison, Difference, compare
from pixelwise.evaluation.evaluate import Evaluation, Units, evaluate
from pixelwise.evaluation.folds import folds_of
from pixelwise.evaluation.measures import Overlap
from pixelwise.evaluation.pixels import grouped
from pixelwise.evaluation.predictions import Judged, Subject
from pixelwise.evaluation.refine_search import KINDS, ROUNDS, Kind, Search, search
from pixelwise.evaluation.refined import KeptPredictions, RefinedPredictions
from pixelwise.formats.viewable import viewable
from pixelwise.refine.plan import Refinement, Superpixels
from pixelwise.segmentation import Segmentation

__all__ = ["RefinementTuning", "Single", "steps_of", "tune_refine"]

_FIGURES = ("mean_iou", "mean_boundary_iou", "mean_boundary_f")
_LEAST_PICTURES = 4
_LEFT_OUT_SHARE = 0.001
_SEARCHED = 40
_NOTHING_TRIED = "time was over before anything was tried"
_NOT_FOR_ALL = "what was chosen by some pictures cannot be done with others"
_HELPS = "mIoU rises by more than chance on pictures that had no part in the choice"


@dataclass(frozen=True)
class Single:
    """The best that was found of one step by itself.

    Attributes:
        refinement: that step.
        gain: of mIoU, on the very pictures that it was chosen by.
    """

    refinement: Refinement
    gain: float


@dataclass(frozen=True, eq=False)
class RefinementTuning:
    """What a search came to, and what that is worth.

    Attributes:
        recommended: settings that help; None where none is known to.
        reason: why so, in a sentence.
        chosen: the best on all pictures of the search, whether it helps others or not.
        parts: what the pictures of each part were refined with, chosen by the others.
        comparison: those refined pictures (B) with the network's answers (A).
        singles: the best of each step by itself.
        searched: pictures that the search went by.
        grouping: which pictures belong together, in words.
        notes: what else there is to know.
    """

    recommended: Refinement | None
    reason: str
    chosen: Refinement
    parts: tuple[Refinement, ...]
    comparison: Comparison
    singles: Mapping[Kind, Single]
    searched: int
    grouping: str
    notes: tuple[str, ...]

    @property
    def differences(self) -> dict[str, Difference]:
        """By key: mean IoU, mean boundary IoU, mean boundary F."""
        return {key: self.comparison.overall[key] for key in _FIGURES}

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Pictures that could not be read, or not be refined, and are left out."""
        before, after = self.comparison.a.faults, self.comparison.b.faults
        known = {fault.file for fault in before}
        return (*before, *(fault for fault in after if fault.file not in known))


def steps_of(pictures: int) -> int:
    """How far `tune_refine` counts with so many pictures."""
    return 2 * pictures + ROUNDS * min(pictures, _SEARCHED)


def tune_refine(
    subject: Subject,
    *,
    by: Literal["group", "image"] = "group",
    superpixels: Superpixels | None = None,
    seconds: float | None = None,
    workers: int = 0,
    progress: Callable[[int], object] | None = None,
) -> RefinementTuning:
    """Searches for settings, and measures them on pictures that had no part in the choice.

    The search goes by 40 pictures at most, spread over all; what it finds is measured on all.

    Args:
        subject: a model, and pictures with their truth that it did not learn from.
        by: "group": frames of one video, tiles of one scene and so on belong together, as far as
            names and looks tell, unless that makes one group of all; "image": every picture is
            independent of the others.
        superpixels: makes the regions that labels may be snapped to; None leaves that step out.
        seconds: of the search; when they are over it ends with what it has. None: no limit.
        workers: threads; 0 works in the calling one.
        progress: called with numbers whose sum is at most `steps_of` the pictures.

    Raises:
        DatasetError: there are fewer than 4 pictures; or more than 0.1 % of them, and more than
            one, cannot be read; or what is judged is no model.
        OutOfMemoryError: a picture needs more memory than there is.
    """
    _check_pictures(subject, len(subject.truths.names))
    kept = replace(subject, predictions=KeptPredictions(subject.predictions))
    looks = _Looks()
    plain = evaluate(
        kept, (Overlap(), Borders()), onlooker=looks, workers=workers, progress=progress
    )
    _check_readable(subject, plain)
    groups, grouping = grouped(plain.names, np.array(looks.hashes, np.uint64), by)
    if by == "image":
        plain = replace(plain, units=Units(None, len(plain.names), "pictures", ""))
    folds = folds_of(groups)
    kinds = [kind for kind in KINDS if kind != "snap" or superpixels is not None]
    notes = [] if superpixels else ["snapping was left out: nothing here makes superpixels"]
    chosen = _spread(len(plain.names))
    searches = [Search(folds[chosen] != fold, kinds) for fold in range(int(folds.max()) + 1)]
    whole = Search(np.ones(len(chosen), np.bool_), kinds)
    finished = search(
        kept,
        [plain.places[number] for number in chosen],
        [*searches, whole],
        superpixels=superpixels,
        is_over=_clock(seconds),
        workers=workers,
        progress=progress,
    )
    if not finished:
        notes.append("time was over before the search was; a longer --budget may find more")
    parts = tuple(own.answer() for own in searches)
    by_place = [Refinement()] * len(subject.truths.names)
    for place, fold in zip(plain.places, folds, strict=True):
        by_place[place] = parts[fold]
    told = "refined with what was chosen by other pictures"
    refined = evaluate(
        replace(
            kept, predictions=RefinedPredictions(kept.predictions, by_place, told, superpixels)
        ),
        (Overlap(), Borders()),
        workers=workers,
        progress=progress,
    )
    comparison = compare(plain, refined)
    answer = whole.answer()
    reason = _reason(answer, comparison) if whole.singles else _NOTHING_TRIED
    if len(refined.faults) > len(plain.faults):
        reason = _NOT_FOR_ALL
    return RefinementTuning(
        recommended=None if reason else answer,
        reason=reason or _HELPS,
        chosen=answer,
        parts=parts,
        comparison=comparison,
        singles={kind: Single(each, whole.gain(each)) for kind, each in whole.singles.items()},
        searched=len(chosen),
        grouping=grouping,
        notes=tuple(notes),
    )


class _Looks:
    """Looks at pictures as they are judged: an `Onlooker`.

    Attributes:
        hashes: perceptual ones, of the pictures in their order.
    """

    def __init__(self) -> None:
        self.hashes: list[int] = []

    def look(self, judged: Judged) -> int:
        if not isinstance(judged.segmentation, Segmentation) or judged.image is None:
            raise DatasetError("only what a model predicts can be refined", where=judged.name)
        return perceptual_hash(viewable(judged.image))

    def take(self, place: int, confusion: NDArray[np.int64], seen: object) -> None:
        del place, confusion
        if isinstance(seen, int):
            self.hashes.append(seen)


def _check_pictures(subject: Subject, count: int) -> None:
    if count < _LEAST_PICTURES:
        raise DatasetError(
            f"{_LEAST_PICTURES} pictures are needed at least to tell whether refinement helps",
            where=subject.truths.facts["data"],
            got=f"{count}; split: {subject.truths.facts['split']}",
            fix="give a data set, or a split of it, with more labelled pictures",
        )


def _check_readable(subject: Subject, plain: Evaluation) -> None:
    if len(plain.faults) > max(1, int(_LEFT_OUT_SHARE * len(subject.truths.names))):
        raise DatasetError(
            "too many pictures cannot be read",
            where=subject.truths.facts["data"],
            got="; ".join(f"{fault.file}: {fault.what}" for fault in plain.faults),
            fix="`pixelwise data check` lists what is wrong with each",
        )
    _check_pictures(subject, len(plain.names))


def _spread(count: int) -> list[int]:
    """Numbers of at most so many pictures, evenly over all."""
    chosen: list[int] = (
        np.linspace(0, count - 1, min(count, _SEARCHED)).round().astype(int).tolist()
    )
    return chosen


def _clock(seconds: float | None) -> Callable[[], bool]:
    end = None if seconds is None else time.monotonic() + seconds
    return lambda: end is not None and time.monotonic() >= end


def _reason(chosen: Refinement, comparison: Comparison) -> str:
    """Why nothing is recommended; "" where something is."""
    if not chosen:
        return "nothing that was tried makes even the pictures of the search better"
    gain, border = (comparison.overall[key] for key in _FIGURES[:2])
    if gain.low is None or not gain.low > 0:
        return "on pictures that had no part in the choice, mIoU does not rise by more than chance"
    if border.high is not None and border.high < 0:
        return "mIoU rises, but boundary IoU falls by more than chance"
    return ""
