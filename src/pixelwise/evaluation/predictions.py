"""One stream of judged pictures, whatever made the predictions and wherever the truth lies."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.faults import Fault
from pixelwise.data.objects import AnnotatedObject
from pixelwise.data.parallel import in_order
from pixelwise.data.split_files import sha256_of
from pixelwise.errors import DatasetError, MaskFileError, OutOfMemoryError, PixelwiseError
from pixelwise.evaluation.matching import Match, Rule, match_classes
from pixelwise.evaluation.sources import (
    LooseObjects,
    ModelPredictions,
    NumberedObjects,
    ObjectForm,
    Predicted,
    Stored,
    TrueMask,
)
from pixelwise.evaluation.stored_probabilities import Probabilities
from pixelwise.formats.spacing import Spacing
from pixelwise.inference.predictor import Model
from pixelwise.kernels import relabel

__all__ = [
    "Judged",
    "ObjectFile",
    "Pictures",
    "Predictions",
    "Subject",
    "Truths",
    "judge",
    "subject_of",
]

_AHEAD = 2

_Answer = TypeVar("_Answer")
_Picture = TypeVar("_Picture")
_Picture_co = TypeVar("_Picture_co", covariant=True)


@dataclass(frozen=True, eq=False)
class Judged:
    """A picture, its truth and what was predicted.

    Attributes:
        place: in the order of the names.
        name: path without suffix.
        truth: uint16 `[H, W]`: channels, or `IGNORED` (65,535) where nothing counts.
        labels: uint16 `[H, W]`: channels, or C where the prediction is of no class of the truth.
        image: `[H, W, B]`, uint8 RGB or a raster; None where there are label maps alone.
        instances: int32 `[H, W]`, the object of each pixel of the truth, 0 for none; None where
            the truth tells no objects.
        segmentation: what was said of every class; None of label maps alone.
        drawn: the objects of the truth as they were drawn, their classes channels or `IGNORED`;
            None where the truth has pixels alone.
        objects: that the prediction tells, loose ones of channels; None where the connected
            regions are taken.
    """

    place: int
    name: str
    truth: NDArray[np.uint16]
    labels: NDArray[np.uint16]
    image: NDArray[Any] | None
    instances: NDArray[np.int32] | None
    segmentation: Probabilities | None
    drawn: tuple[AnnotatedObject, ...] | None = None
    objects: NumberedObjects | LooseObjects | None = None


class Truths(Protocol):
    """Pictures with their truth."""

    @property
    def classes(self) -> ClassTable:
        """What the ids mean."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Of the pictures, in order."""
        ...

    @property
    def known(self) -> tuple[str, ...]:
        """Names of further pictures, which are not judged."""
        ...

    @property
    def facts(self) -> Mapping[str, str]:
        """What the protocol says of it: at least `data` and `split`."""
        ...

    def spacing(self, place: int) -> Spacing | None:
        """How large a pixel is, as the files of that place say; None where they do not.

        Raises:
            PixelwiseError: it cannot be told.
        """
        ...

    def read(self, place: int) -> TrueMask:
        """The truth of that place.

        Raises:
            PixelwiseError: it cannot be read.
        """
        ...


class Predictions(Protocol):
    """Predictions of pictures."""

    @property
    def classes(self) -> ClassTable:
        """What the ids mean."""
        ...

    @property
    def facts(self) -> Mapping[str, str]:
        """What the protocol says of it: at least `predictions`."""
        ...

    @property
    def probable(self) -> bool:
        """Whether there are probabilities."""
        ...

    @property
    def form(self) -> ObjectForm:
        """How it tells objects."""
        ...

    def read(self, place: int, image: NDArray[Any] | None) -> Predicted:
        """The prediction of that place.

        Raises:
            PixelwiseError: it cannot be had.
        """
        ...


class ObjectFile(Protocol):
    """A file that tells the objects of many pictures."""

    @property
    def classes(self) -> ClassTable:
        """What the ids mean."""
        ...

    def of(self, truths: Truths) -> Predictions:
        """The predictions of these pictures, in their order.

        Raises:
            DatasetError: lists pictures of the truth or of the file that do not pair.
        """
        ...


@dataclass(frozen=True, eq=False)
class Subject:
    """What is judged, by what.

    Attributes:
        truths: pictures and their truth.
        predictions: of the same pictures.
        match: how the classes of both go together.
    """

    truths: Truths
    predictions: Predictions
    match: Match

    @property
    def classes(self) -> ClassTable:
        """The classes that are judged; channel i is the i-th."""
        return self.match.classes

    def picture_hash(self) -> str:
        """SHA-256 of the names of the pictures, one a line, in order of the names."""
        return sha256_of(sorted(self.truths.names))

    def read(self, place: int) -> Judged:
        """The picture of that place.

        Raises:
            PixelwiseError: it, its truth or its prediction cannot be read, or sizes differ.
        """
        name = self.truths.names[place]
        true = self.truths.read(place)
        predicted = self.predictions.read(place, true.image)
        ids = predicted.ids
        if ids.shape != true.ids.shape:
            raise MaskFileError(
                "prediction and truth differ in size",
                where=name,
                got=f"prediction {ids.shape[1]}×{ids.shape[0]} · truth "
                f"{true.ids.shape[1]}×{true.ids.shape[0]} (width × height)",
                fix="predict at the size of the picture; label maps are never resized",
            )
        return Judged(
            place=place,
            name=name,
            truth=relabel(true.ids, self.match.of_truth),
            labels=relabel(ids, self.match.of_prediction),
            image=true.image,
            instances=true.instances,
            segmentation=predicted.segmentation,
            drawn=None if true.drawn is None else tuple(map(self._in_channels, true.drawn)),
            objects=self._channels_of(predicted.objects),
        )

    def _in_channels(self, thing: AnnotatedObject) -> AnnotatedObject:
        return replace(thing, class_id=int(self.match.of_truth[thing.class_id]))

    def _channels_of(
        self, objects: NumberedObjects | LooseObjects | None
    ) -> NumberedObjects | LooseObjects | None:
        if isinstance(objects, LooseObjects):
            return replace(objects, classes=self.match.of_prediction[objects.classes])
        return objects


def subject_of(
    truths: Truths,
    predictions: Model | ObjectFile | Stored,
    rules: Sequence[Rule] = (),
) -> Subject:
    """Pairs pictures and classes; reads no picture.

    Args:
        truths: pictures and their truth.
        predictions: a model, or files.
        rules: of classes; see `match_classes`.

    Raises:
        DatasetError: there are no pictures; lists label maps and pictures that do not pair.
        ClassTableError: the classes do not match.
    """
    if not truths.names:
        raise DatasetError(
            "there is no picture to judge by",
            where=truths.facts["data"],
            got=f"split: {truths.facts['split']}",
            fix="name another split; `pixelwise data check` shows them",
        )
    made: Predictions
    if isinstance(predictions, Model):
        made = ModelPredictions(predictions)
    elif isinstance(predictions, Stored):
        made = predictions.of(truths.names, known=truths.known)
    else:
        made = predictions.of(truths)
    titles = (made.classes.name, truths.classes.name)
    return Subject(truths, made, match_classes(made.classes, truths.classes, rules, titles=titles))


class Pictures(Protocol[_Picture_co]):
    """What is judged, picture by picture."""

    @property
    def truths(self) -> Truths:
        """Pictures and their truth."""
        ...

    def read(self, place: int) -> _Picture_co:
        """The picture of that place, its truth and its prediction.

        Raises:
            PixelwiseError: something of it cannot be read.
        """
        ...


def judge(
    subject: Pictures[_Picture],
    work: Callable[[_Picture], _Answer],
    *,
    places: Sequence[int] | None = None,
    workers: int,
    progress: Callable[[int], object] | None = None,
) -> Generator[_Answer | Fault, None, None]:
    """Reads, predicts and works on the pictures in threads; gives the answers in their order.

    What cannot be read is a `Fault` in its place. At most two pictures a thread are held.

    Args:
        subject: the pictures.
        work: called in a thread with each; what it gives should be small.
        places: of the pictures wanted; None for all.
        workers: threads; 0 works in the calling one.
        progress: called with 1 for every picture.

    Raises:
        OutOfMemoryError: a picture needs more memory than there is.
    """

    def answer(place: int) -> _Answer | Fault:
        try:
            return work(subject.read(place))
        except OutOfMemoryError:
            raise
        except PixelwiseError as error:
            return Fault.from_error(error, subject.truths.names[place])

    wanted = range(len(subject.truths.names)) if places is None else places
    answers = in_order(answer, wanted, workers=workers, ahead=_AHEAD * max(1, workers))
    with closing(answers):
        for each in answers:
            if progress is not None:
                progress(1)
            yield each
