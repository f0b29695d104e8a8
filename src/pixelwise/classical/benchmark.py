"""How good the methods are on a data set, beside a trained model.

Regions have no names, so a method is judged by the best assignment of its regions to the classes
of the truth, and twice: with one assignment for all pictures, which is what a user can have who
looks at a few of them, and with another in every picture, which only its truth can tell: where that
is much higher, the method finds the parts, and does not know which is which. Methods that must be
shown where to look are shown it from the truth, and their scores say so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.classical.assignment import assign, counts_of
from pixelwise.classical.clusters import MOST_CLUSTERS
from pixelwise.classical.methods import Method
from pixelwise.classical.photo import Photo
from pixelwise.classical.truth_seeds import SHOWN, seeds_of_truth
from pixelwise.data.drawing import IGNORED
from pixelwise.data.duplicates import perceptual_hash
from pixelwise.data.faults import Fault
from pixelwise.data.parallel import in_order
from pixelwise.errors import DatasetError, OutOfMemoryError, PixelwiseError, UsageError
from pixelwise.evaluation.evaluate import Estimate, Evaluation, Units, independent_units
from pixelwise.evaluation.matching import Match
from pixelwise.evaluation.measures import Overlap
from pixelwise.evaluation.sources import SetTruth
from pixelwise.formats.viewable import viewable
from pixelwise.kernels import confusion_counts, relabel
from pixelwise.metrics.bootstrap import interval, paired

__all__ = [
    "Benchmark",
    "Compared",
    "MethodScore",
    "Scores",
    "benchmark",
    "compared",
    "scorable",
    "settings_for",
]

_AHEAD = 2
_MOST_LEVELS = 5


@dataclass(frozen=True, eq=False)
class Scores:
    """Figures of one method under one kind of assignment.

    Attributes:
        mean_iou: over the classes.
        iou: of each class.
        counts: int64 `[N, 3, C]`, what they come from: pixels of each picture that are right, in
            the truth, and predicted.
    """

    mean_iou: Estimate
    iou: tuple[Estimate, ...]
    counts: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MethodScore:
    """How good a method is.

    Attributes:
        method: its name.
        settings: what it was told.
        from_truth: whether it was shown where to look, by the truth: it is no automatic method.
        regions: by class of the truth the region that stands for it in all pictures; "" for none.
        by_set: with that assignment.
        by_picture: with the best assignment of every picture by itself.
        seconds: median over the pictures, of one thread among those at work.
        failed: pictures that it cannot be run on, which count as found nothing.
    """

    method: str
    settings: Mapping[str, Any]
    from_truth: bool
    regions: tuple[str, ...]
    by_set: Scores
    by_picture: Scores
    seconds: float
    failed: int


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Methods on the same pictures.

    Attributes:
        classes: of the truth, as judged.
        names: of the N pictures.
        units: what intervals are over.
        scores: of each method.
        faults: pictures that cannot be read and have no part in any score.
    """

    classes: ClassTable
    names: tuple[str, ...]
    units: Units
    scores: tuple[MethodScore, ...]
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class Compared:
    """A model's mean IoU less a method's, on the same pictures; see `metrics.paired`."""

    difference: float
    low: float | None
    high: float | None

    @property
    def verdict(self) -> str:
        """Which is better, "model" or "method", where the interval leaves no doubt; else "open"."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return "open"
        return "model" if self.low > 0 else "method"


@dataclass(frozen=True, eq=False)
class _Seen:
    """What one picture gives: of each method the confusion `[C, R]`, or None where it failed."""

    name: str
    looks: int
    truth: NDArray[np.int64]
    confusions: tuple[NDArray[np.int64] | None, ...]
    regions: tuple[tuple[str, ...], ...]
    seconds: tuple[float, ...]


def scorable(method: Method) -> bool:
    """Whether it can be run on a single picture, if need be with seeds from the truth."""
    return method.alone or method.name in SHOWN


def settings_for(method: Method, classes: int, seed: int) -> dict[str, Any]:
    """As many clusters as there are classes, where it can, so that each has its own; the seed."""
    settings: dict[str, Any] = {}
    if "clusters" in method.options:
        most = _MOST_LEVELS if method.name == "multi-otsu" else MOST_CLUSTERS
        settings["clusters"] = min(max(2, classes), most)
    if "seed" in method.options:
        settings["seed"] = seed
    return settings


def benchmark(
    truth: SetTruth,
    match: Match,
    methods: Sequence[Method],
    *,
    seed: int = 0,
    workers: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Benchmark:
    """Runs every method on every picture once.

    Args:
        truth: pictures and their truth.
        match: which classes of it are judged.
        methods: those of one picture; seeds of those that must be shown where to look are drawn
            from the truth, see `seeds_of_truth`.
        seed: of the methods that draw.
        workers: threads; 0 works in the calling one.
        progress: called with 1 for every picture.

    Raises:
        UsageError: lists methods that need more than one picture.
        DatasetError: no picture can be read; lists what is wrong with each.
        OutOfMemoryError: a picture needs more memory than there is.
    """
    helpless = [method.name for method in methods if not scorable(method)]
    if helpless:
        raise UsageError(
            "a method that needs a sequence cannot be scored on single pictures",
            got=", ".join(helpless),
            fix="leave it out",
        )
    classes = len(match.classes)
    settings = [settings_for(method, classes, seed) for method in methods]

    def see(place: int) -> _Seen | Fault:
        try:
            return _seen(truth, match, place, list(zip(methods, settings, strict=True)))
        except OutOfMemoryError:
            raise
        except PixelwiseError as error:
            return Fault.from_error(error, truth.names[place])

    seen: list[_Seen] = []
    faults: list[Fault] = []
    places = range(len(truth.names))
    with closing(in_order(see, places, workers=workers, ahead=_AHEAD * max(1, workers))) as answers:
        for answer in answers:
            if isinstance(answer, Fault):
                faults.append(answer)
            else:
                seen.append(answer)
            if progress is not None:
                progress(1)
    if not seen:
        raise DatasetError(
            "no picture can be judged",
            where=truth.facts["data"],
            got="\n  ".join(f"{fault.file}: {fault.what}: {fault.got}" for fault in faults),
            fix=faults[0].fix if faults else "",
        )
    names = tuple(each.name for each in seen)
    looks = np.array([each.looks for each in seen], np.uint64)
    units = independent_units(names, looks, np.stack([each.truth for each in seen]) > 0)
    return Benchmark(
        classes=match.classes,
        names=names,
        units=units,
        scores=tuple(
            _score(number, method, settings[number], seen, units)
            for number, method in enumerate(methods)
        ),
        faults=tuple(faults),
    )


def compared(found: Benchmark, score: MethodScore, model: Evaluation) -> Compared:
    """The model against a method with one assignment, on the pictures that both were judged on."""
    places = {name: place for place, name in enumerate(model.names)}
    own = [place for place, name in enumerate(found.names) if name in places]
    others = [places[found.names[place]] for place in own]
    made = paired(
        score.by_set.counts[own],
        model.counts["overlap"][others],
        lambda sums: Overlap().values(sums)["mean_iou"],
        groups=None if found.units.of is None else found.units.of[own],
    )
    low, high = (None if np.isnan(end) else float(end) for end in (made.low, made.high))
    return Compared(float(made.difference), low, high)


def _seen(
    truth: SetTruth, match: Match, place: int, methods: Sequence[tuple[Method, dict[str, Any]]]
) -> _Seen:
    true = truth.read(place)
    if true.image is None:
        raise DatasetError("there is no picture", where=truth.names[place])
    image = viewable(true.image)
    channels = relabel(true.ids, match.of_truth)
    photo = Photo(image, truth.names[place])
    confusions: list[NDArray[np.int64] | None] = []
    names: list[tuple[str, ...]] = []
    seconds: list[float] = []
    for method, settings in methods:
        begun = time.perf_counter()
        try:
            drawn = {}
            if not method.alone:
                drawn = seeds_of_truth(method.name, channels, match.classes.names)
                begun = time.perf_counter()
            # A picture of its own for each, so that none is spared what another worked out.
            found = method.run(Photo(photo.pixels, photo.name), **settings, **drawn)
        except UsageError:
            # Fewer colours than clusters, or nothing to point at: nothing is found here.
            confusions.append(None)
            names.append(())
            continue
        finally:
            seconds.append(time.perf_counter() - begun)
        table = np.zeros(1 << 16, np.uint16)
        table[list(found.classes.ids)] = np.arange(len(found.classes))
        regions = relabel(found.labels, table)
        confusions.append(_confusion(channels, regions, len(match.classes), len(found.classes)))
        names.append(found.classes.names)
    counted = np.bincount(channels[channels != IGNORED], minlength=len(match.classes))
    return _Seen(
        name=truth.names[place],
        looks=perceptual_hash(image),
        truth=counted.astype(np.int64),
        confusions=tuple(confusions),
        regions=tuple(names),
        seconds=tuple(seconds),
    )


def _confusion(
    channels: NDArray[np.uint16], regions: NDArray[np.uint16], classes: int, count: int
) -> NDArray[np.int64]:
    """Pixels by true class and region, int64 `[C, R]`."""
    side = max(classes, count)
    counts = confusion_counts(channels, regions, side, ignore_index=IGNORED)
    return counts[:classes, :count]


def _score(
    number: int, method: Method, settings: Mapping[str, Any], seen: Sequence[_Seen], units: Units
) -> MethodScore:
    """The figures of one method from what was seen of it."""
    longest = max((each.regions[number] for each in seen), key=len)
    width = max(1, len(longest))
    confusions = [_padded(each, number, width) for each in seen]
    regions = assign(np.sum(confusions, axis=0))
    return MethodScore(
        method=method.name,
        settings=settings,
        from_truth=not method.alone,
        regions=tuple("" if region < 0 else longest[region] for region in regions),
        by_set=_figures([counts_of(each, regions) for each in confusions], units),
        by_picture=_figures([counts_of(each, assign(each)) for each in confusions], units),
        seconds=float(np.median([each.seconds[number] for each in seen])),
        failed=sum(each.confusions[number] is None for each in seen),
    )


def _padded(seen: _Seen, number: int, width: int) -> NDArray[np.int64]:
    """Confusion `[C, R + 1]`; the last column is of pixels of which nothing is said."""
    padded = np.zeros((len(seen.truth), width + 1), np.int64)
    found = seen.confusions[number]
    if found is None:
        padded[:, width] = seen.truth
    else:
        padded[:, : found.shape[1]] = found
    return padded


def _figures(counts: Sequence[NDArray[np.int64]], units: Units) -> Scores:
    stacked = np.stack(counts)

    def statistic(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        values = Overlap().values(sums)
        return np.concatenate([values["mean_iou"][:, None], values["iou"]], axis=1)

    found = interval(stacked, statistic, groups=units.of)
    rows = zip(found.value.tolist(), found.low.tolist(), found.high.tolist(), strict=True)
    mean, *each = [Estimate(*(None if np.isnan(value) else value for value in row)) for row in rows]
    return Scores(mean, tuple(each), stacked)
