"""Some validation pictures of a run, drawn with their truth, prediction and errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Dataset
from pixelwise.data.example_sheet import draw_example
from pixelwise.data.findings import background_of
from pixelwise.data.layer_sheet import draw_layer_example
from pixelwise.data.targets import MultiLabelTarget
from pixelwise.errors import PixelwiseError
from pixelwise.formats.files import write_atomic
from pixelwise.formats.png import encode_rgb
from pixelwise.training.multi_label import layer_values
from pixelwise.training.picture_counts import read_picture_counts
from pixelwise.training.run_folder import RunFolder

if TYPE_CHECKING:
    from pixelwise.training.scoring import Seen

__all__ = ["ExamplePictures", "Predict", "example_file", "example_places", "final_examples"]

_WORST = 12

Predict: TypeAlias = Callable[[NDArray[Any]], NDArray[np.integer] | NDArray[np.bool_]]


def example_places(pictures: int, count: int = 8, *, seed: int = 0) -> tuple[int, ...]:
    """Places of pictures that are shown, the same all through a run.

    Args:
        pictures: how many there are.
        count: at most so many are chosen.
        seed: chooses them.
    """
    chosen = np.random.default_rng(seed).permutation(pictures)[:count]
    return tuple(sorted(chosen.tolist()))


def example_file(place: int) -> str:
    """The file name of the example of that place of the validation pictures."""
    return f"val_{place:06d}.png"


def final_examples(
    folder: RunFolder,
    dataset: Dataset,
    classes: ClassTable,
    predict: Predict,
    *,
    seed: int = 0,
) -> None:
    """Draws some pictures, chosen by the seed, and the worst of the best scoring.

    Args:
        folder: of the run.
        dataset: the validation pictures; an id of their masks is a channel, or not counted.
        classes: channel i is the i-th.
        predict: from a picture `[H, W, B]` to channels `[H, W]`, or to a mask of each channel
            where pixels have several, bool `[C, H, W]`.
        seed: of the choice.

    Raises:
        OutputError: a file cannot be written.
    """
    counts = read_picture_counts(folder.pictures)
    places = {*example_places(len(dataset), seed=seed)}
    places |= set() if counts is None else set(counts.worst(_WORST))
    ExamplePictures(
        folder.examples,
        classes,
        frozenset(places),
        background=background_of(dataset),
        note="" if counts is None else f"the best weights, of epoch {counts.epoch + 1}",
    ).draw(dataset, predict)


@dataclass(frozen=True)
class ExamplePictures:
    """Draws pictures, each into a file of its place.

    Attributes:
        folder: of the files; it is made.
        classes: channel i is the i-th.
        places: of the pictures to draw.
        background, note: as of `draw_example`.
    """

    folder: Path
    classes: ClassTable
    places: frozenset[int]
    background: int | None = None
    note: str = ""

    def look(self, seen: Seen) -> None:
        """Draws a picture that was scored, if it is one of the places.

        Raises:
            OutputError: the file cannot be written.
        """
        if seen.place in self.places:
            self._draw(seen.place, seen.name, seen.image, seen.truth, seen.labels)

    def draw(self, dataset: Dataset, predict: Predict) -> None:
        """Predicts and draws all the places; a picture that cannot be read is left out.

        Args:
            dataset: the validation pictures; an id of their masks is a channel, or not counted.
            predict: as of `final_examples`.

        Raises:
            OutputError: a file cannot be written.
        """
        for place in sorted(self.places):
            try:
                sample = dataset[place]
            except PixelwiseError:
                continue
            target = sample.target
            truth = layer_values(target) if isinstance(target, MultiLabelTarget) else target.mask
            self._draw(place, sample.name, sample.image, truth, predict(sample.image))

    def _draw(
        self,
        place: int,
        name: str,
        image: NDArray[Any],
        truth: NDArray[np.integer],
        labels: NDArray[np.integer] | NDArray[np.bool_],
    ) -> None:
        if truth.ndim == 3:
            drawn = draw_layer_example(
                image,
                truth.astype(np.uint8),
                labels.astype(np.bool_),
                self.classes,
                name=name,
                note=self.note,
            )
        else:
            drawn = draw_example(
                image,
                truth,
                labels.astype(np.int64),
                self.classes,
                name=name,
                note=self.note,
                background=self.background,
            )
        write_atomic(self.folder / example_file(place), encode_rgb(drawn))
