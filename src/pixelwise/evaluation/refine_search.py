"""A search for the settings of refinement that serve some pictures best.

Each step is tried by itself, from a few starts; then one setting at a time is made larger and
smaller by a factor, as long as that helps; then the best steps are put together, one after the
other. Several searches, each by pictures of its own, go on side by side, so that what two of them
want to know is worked out once, and each picture is read once a round.
"""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise import refine
from pixelwise.data.faults import Fault
from pixelwise.errors import DatasetError, OutOfMemoryError, PixelwiseError
from pixelwise.evaluation.evaluate import confusion_of
from pixelwise.evaluation.measures import Overlap
from pixelwise.evaluation.predictions import Judged, Subject, judge
from pixelwise.evaluation.refined import Refiner
from pixelwise.kernels import relabel
from pixelwise.metrics import figures
from pixelwise.refine.plan import Refinement, Superpixels
from pixelwise.segmentation import Segmentation

__all__ = ["KINDS", "ROUNDS", "Kind", "Search", "Trials", "flags_of", "search"]

Kind: TypeAlias = Literal["crf", "guided", "snap", "smooth", "min_area"]
"""A step of refinement."""

Trials: TypeAlias = Mapping[str, NDArray[np.int64] | None]
"""By its flags what a refinement gives, int64 `[S, 3, G]`: pixels of each picture that are of the
class and found, of the class, and found. None of one that some picture does not allow."""

KINDS: tuple[Kind, ...] = ("crf", "guided", "snap", "smooth", "min_area")
_METHODS = ("crf", "guided")

# A part of the mIoU below which one more step is not worth its time.
_LEAST_GAIN = 1e-4
# Below every mIoU.
_UNKNOWN = -1.0


@dataclass(frozen=True)
class _Axis:
    """A setting that is made larger and smaller by a factor, within limits."""

    name: str
    factor: float
    least: float
    most: float
    whole: bool = False

    def moved(self, value: float, *, up: bool) -> float | None:
        """The next value; None where there is none."""
        found = value * self.factor if up else value / self.factor
        # As it is printed: what the flags say is what was measured.
        found = round(found) if self.whole else float(f"{found:g}")
        return None if not self.least <= found <= self.most or found == value else found


_AXES: dict[Kind, tuple[_Axis, ...]] = {
    "crf": (
        _Axis("colour_weight", 2, 0.1, 100),
        _Axis("colour_deviation", 2, 3, 60),
        _Axis("position_deviation", 2, 5, 500),
        _Axis("smooth_weight", 2, 0.1, 100),
        _Axis("smooth_deviation", 2, 0.5, 12),
    ),
    "guided": (_Axis("radius", 2, 1, 64, whole=True), _Axis("smoothing", 10, 1e-6, 1)),
    "snap": (),
    "smooth": (_Axis("smooth", 1.5, 1, 20, whole=True),),
    "min_area": (_Axis("min_area", 2, 2, 100_000, whole=True),),
}
_STARTS: dict[Kind, tuple[Refinement, ...]] = {
    "crf": (
        Refinement("crf"),
        Refinement("crf", {"colour_weight": 2.5, "smooth_weight": 0.75}),
        Refinement("crf", {"colour_weight": 2.5, "position_deviation": 20.0}),
    ),
    "guided": (Refinement("guided"), Refinement("guided", {"radius": 2})),
    "snap": (Refinement(snap=True),),
    "smooth": (Refinement(smooth=1), Refinement(smooth=3)),
    "min_area": (Refinement(min_area=16), Refinement(min_area=64), Refinement(min_area=256)),
}
# What takes little time comes first: so much is known when time is short.
_CHEAP_KINDS = ("smooth", "min_area")
_SWEEP = tuple(("sweep", number) for number in range(max(map(len, _AXES.values()))))
_PLAN: tuple[tuple[str, int], ...] = (
    ("start", 0),
    ("start", 1),
    *_SWEEP,
    ("join", 1),
    ("join", 2),
    *_SWEEP,
    ("join", 1),
    ("join", 2),
    ("join", 3),
    ("polish", 0),
)
ROUNDS = len(_PLAN)
"""Of a search: the starts, one setting after the other, steps put together; both once more; and at
last the cheap settings of what came out."""

_DEFAULTS = {
    method: {
        name: parameter.default
        for name, parameter in inspect.signature(getattr(refine, method)).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    for method in _METHODS
}


def flags_of(refinement: Refinement) -> str:
    """What `pixelwise predict` is to be told, such as `--refine crf:iterations=3 --min-area 50`."""
    return shlex.join(refinement.to_flags())


class Search:
    """One search, by some of the pictures.

    Args:
        own: bool `[S]`, the pictures that it may look at.
        kinds: steps that may be taken.

    Attributes:
        singles: the best of each step by itself.
    """

    def __init__(self, own: NDArray[np.bool_], kinds: Sequence[Kind]) -> None:
        self._own = own
        self._kinds = tuple(kinds)
        self._scores: dict[str, float] = {}
        self._tried: dict[str, Refinement] = {"": Refinement()}
        self.singles: dict[Kind, Refinement] = {}

    def proposals(self, number: int) -> list[Refinement]:
        """What is to be known for a round, from 0."""
        wanted: list[Refinement] = []
        what, which = _PLAN[number]
        if what == "start":
            kinds = [kind for kind in self._kinds if (kind in _CHEAP_KINDS) == (which == 0)]
            wanted += [start for kind in kinds for start in _STARTS[kind]]
        elif what == "sweep":
            for kind, best in self.singles.items():
                if axes := _AXES[kind]:
                    wanted += _moves(best, axes[which % len(axes)])
        elif what == "join":
            wanted += self._joined(which)
        else:
            best = self.answer()
            if best.smooth:
                wanted += _moves(best, _AXES["smooth"][0])
            if best.min_area:
                wanted += _moves(best, _AXES["min_area"][0])
        self._tried |= {flags_of(each): each for each in wanted}
        return wanted

    def learn(self, trials: Trials) -> None:
        """Takes what is known of its proposals."""
        for flags, refinement in self._tried.items():
            if flags not in self._scores and flags in trials:
                score = self._scores[flags] = self._score(trials[flags])
                kind = _kind_of(refinement)
                if kind is None or score == _UNKNOWN:
                    continue
                if kind not in self.singles or score > self._value(self.singles[kind]):
                    self.singles[kind] = refinement

    def gain(self, refinement: Refinement) -> float:
        """What it brings, mIoU on the own pictures; NaN where it was not tried."""
        return self._scores.get(flags_of(refinement), np.nan) - self._scores.get("", np.nan)

    def answer(self) -> Refinement:
        """The best that was tried; of fewer steps where more bring nothing to speak of."""
        known = [self._tried[flags] for flags in self._scores]
        best = Refinement()
        for count in sorted({_steps(each) for each in known}):
            alike = [each for each in known if _steps(each) == count]
            found = max(alike, key=self._value)
            if self._value(found) > self._value(best) + _LEAST_GAIN:
                best = found
        return best

    def _joined(self, steps: int) -> list[Refinement]:
        """The best of so many steps with one more."""
        known = [self._tried[flags] for flags in self._scores]
        alike = [each for each in known if _steps(each) == steps]
        if not alike:
            return []
        best = max(alike, key=self._value)
        found = (_joined(best, kind, single) for kind, single in self.singles.items())
        return [each for each in found if each is not None]

    def _value(self, refinement: Refinement) -> float:
        return self._scores.get(flags_of(refinement), _UNKNOWN)

    def _score(self, counts: NDArray[np.int64] | None) -> float:
        """Mean IoU of the own pictures; below all others where it cannot be told."""
        if counts is None:
            return _UNKNOWN
        score = float(figures.mean_of_defined(figures.iou(counts[self._own].sum(0))))
        return _UNKNOWN if np.isnan(score) else score


def search(
    subject: Subject,
    places: Sequence[int],
    searches: Sequence[Search],
    *,
    superpixels: Superpixels | None = None,
    is_over: Callable[[], bool] = lambda: False,
    workers: int = 0,
    progress: Callable[[int], object] | None = None,
) -> bool:
    """Goes through all rounds, or as many as there is time for.

    Args:
        subject: a model, and pictures with their truth.
        places: of the S pictures that searches are by.
        searches: go on side by side; they have the answers.
        superpixels: makes the regions that labels are snapped to.
        is_over: whether time is over; a round that was begun is then given up.
        workers: threads; 0 works in the calling one.
        progress: called with numbers whose sum is at most `ROUNDS` times S.

    Returns:
        Whether there was time for all.

    Raises:
        DatasetError: a picture can no longer be read.
        OutOfMemoryError: a picture needs more memory than there is.
    """
    trials: dict[str, NDArray[np.int64] | None] = {}
    for number in range(ROUNDS):
        wanted = {flags_of(each): each for own in searches for each in own.proposals(number)}
        wanted |= {"": Refinement()}
        new = _in_order(refinement for flags, refinement in wanted.items() if flags not in trials)
        if new:
            counts = _tried(subject, places, new, superpixels, is_over, workers, progress)
            if counts is None:
                return False
            trials |= {flags_of(each): own for each, own in zip(new, counts, strict=True)}
        elif progress is not None:
            progress(len(places))
        for own in searches:
            own.learn(trials)
    return True


def _tried(
    subject: Subject,
    places: Sequence[int],
    refinements: Sequence[Refinement],
    superpixels: Superpixels | None,
    is_over: Callable[[], bool],
    workers: int,
    progress: Callable[[int], object] | None,
) -> list[NDArray[np.int64] | None] | None:
    """What each gives, int64 `[S, 3, G]`; None for all where time is over."""

    def work(judged: Judged) -> list[NDArray[np.int64] | None] | None:
        if not isinstance(judged.segmentation, Segmentation):
            raise DatasetError("files hold no scores of a model", where=judged.name)
        refiner = Refiner(judged.segmentation, superpixels)
        found = []
        for refinement in refinements:
            if is_over():
                return None
            found.append(_counts(subject, judged, refiner, refinement))
        return found

    rows = []
    answers = judge(subject, work, places=places, workers=workers, progress=progress)
    with closing(answers):
        for answer in answers:
            if isinstance(answer, Fault):
                raise DatasetError(
                    "a picture can no longer be read",
                    where=answer.file,
                    got=f"{answer.what} {answer.got}".rstrip(),
                    fix=answer.fix,
                )
            if answer is None:
                return None
            rows.append(answer)
    found: list[NDArray[np.int64] | None] = []
    for column in zip(*rows, strict=True):
        known = [counts for counts in column if counts is not None]
        found.append(np.stack(known) if len(known) == len(column) else None)
    return found


def _counts(
    subject: Subject, judged: Judged, refiner: Refiner, refinement: Refinement
) -> NDArray[np.int64] | None:
    try:
        refined = refiner.apply(refinement)
    except OutOfMemoryError:
        raise
    except PixelwiseError:
        # Such as a deviation too small for so large a picture.
        return None
    judged = replace(judged, labels=relabel(refined.labels, subject.match.of_prediction))
    return Overlap().counts(judged, confusion_of(judged, len(subject.classes)))


def _in_order(refinements: Iterable[Refinement]) -> list[Refinement]:
    """Those of one method after each other."""
    return sorted(refinements, key=flags_of)


def _moves(refinement: Refinement, axis: _Axis) -> list[Refinement]:
    value = _value_of(refinement, axis.name)
    values = (axis.moved(value, up=up) for up in (False, True))
    return [_with(refinement, axis.name, each) for each in values if each is not None]


def _value_of(refinement: Refinement, name: str) -> float:
    if refinement.method == "none" or name in ("smooth", "min_area"):
        return float(getattr(refinement, name))
    return float(refinement.options.get(name, _DEFAULTS[refinement.method][name]))


def _with(refinement: Refinement, name: str, value: float) -> Refinement:
    """With another value; what is the default is left out, so that one setting has one form."""
    changes: dict[str, Any]
    if name in ("smooth", "min_area"):
        changes = {name: int(value)}
    else:
        options = {**_DEFAULTS[refinement.method], **refinement.options, name: value}
        changes = {
            "options": {
                each: own
                for each, own in options.items()
                if own != _DEFAULTS[refinement.method][each]
            }
        }
    return replace(refinement, **changes)


def _joined(refinement: Refinement, kind: Kind, single: Refinement) -> Refinement | None:
    """The refinement with one more step; None where it has that step."""
    if kind in _METHODS:
        if refinement.method != "none":
            return None
        return replace(refinement, method=single.method, options=single.options)
    if getattr(refinement, kind):
        return None
    return replace(refinement, **{kind: getattr(single, kind)})


def _kind_of(refinement: Refinement) -> Kind | None:
    """Of a single step; None of more, or none."""
    kinds = _kinds_of(refinement)
    return kinds[0] if len(kinds) == 1 else None


def _kinds_of(refinement: Refinement) -> list[Kind]:
    return [
        kind
        for kind in KINDS
        if (refinement.method == kind if kind in _METHODS else getattr(refinement, kind))
    ]


def _steps(refinement: Refinement) -> int:
    return len(_kinds_of(refinement))
