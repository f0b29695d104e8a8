"""Pictures to calibrate and to compare on: of a data set, of a folder, or those that ship."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.dataset import Dataset
from pixelwise.errors import ImageFileError, PixelwiseError, UsageError
from pixelwise.formats.images import IMAGE_SUFFIXES, read_image
from pixelwise.inference.card import Preprocessing
from pixelwise.inference.model_file import shipped_models
from pixelwise.inference.preprocess import plan_input, prepare

__all__ = [
    "Pictures",
    "check_readable",
    "from_dataset",
    "from_folder",
    "network_inputs",
    "odd_crops",
    "shipped",
]

_SEED = 0
_MOST_COMPARED = 6
_MOST_TOLD = 50
_LARGEST_SIDE = 1024
# Of the height and the width: what is cut out of every picture beside the whole.
_CROP = (0.7, 0.8)


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures that are read when they are needed.

    Attributes:
        what: they are, such as "camvid train".
        names: of each.
        read: gives that of a place, uint8 `[H, W, 3]` RGB.
    """

    what: str
    names: tuple[str, ...]
    read: Callable[[int], NDArray[np.uint8]]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self.read(place) for place in range(len(self)))

    def drawn(self, count: int) -> Pictures:
        """At most so many of them, by a fixed seed, in their order."""
        if count >= len(self):
            return self
        return self.subset(_order(len(self))[:count])

    def halves(self, count: int) -> tuple[Pictures, Pictures]:
        """At most so many to calibrate on, and others to compare on, at most six.

        A single picture is both.
        """
        if len(self) == 1:
            return self, self
        order = _order(len(self))
        compared = min(_MOST_COMPARED, len(self) // 2)
        return self.subset(order[compared:][:count]), self.subset(order[:compared])

    def compared(self) -> Pictures:
        """Those to compare on, at most six."""
        return self.drawn(_MOST_COMPARED)

    def subset(self, places: Iterable[int]) -> Pictures:
        """Those at these places, in the order of the places."""
        chosen = sorted(places)
        names = tuple(self.names[place] for place in chosen)
        return Pictures(self.what, names, lambda place: self.read(chosen[place]))


def _order(count: int) -> list[int]:
    order: list[int] = np.random.default_rng(_SEED).permutation(count).tolist()
    return order


def from_dataset(dataset: Dataset, what: str) -> Pictures:
    """The pictures of a data set."""
    names = tuple(entry.name for entry in dataset.entries)
    entries = dataset.entries

    def read(place: int) -> NDArray[np.uint8]:
        # Rasters of other types and bands are refused here as they are by a model.
        return read_image(dataset.read_image(entries[place]))

    return Pictures(what, names, read)


def from_folder(folder: Path) -> Pictures:
    """The pictures in a folder, with all below it.

    Raises:
        UsageError: there are none.
    """
    files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise UsageError(
            "there are no pictures",
            where=str(folder),
            got="a folder without pictures" if folder.is_dir() else "no folder",
            fix="name a folder of pictures",
        )
    return _of_files(files, folder.absolute().name)


def shipped(model: str) -> Pictures | None:
    """The free sample pictures that ship for a model; None where there are none."""
    if model not in shipped_models():
        return None
    folder = Path(str(resources.files("pixelwise"))) / "weights" / "samples" / model
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return _of_files(files, f"samples that ship for {model}") if files else None


def _of_files(files: Sequence[Path], what: str) -> Pictures:
    names = tuple(file.stem for file in files)
    return Pictures(what, names, lambda place: read_image(files[place]))


def check_readable(*parts: Pictures, progress: Callable[[int], object] | None = None) -> None:
    """Reads all pictures once: one that cannot be read would end the work long after its start.

    Args:
        parts: those that will be needed.
        progress: called with 1 for every picture.

    Raises:
        ImageFileError: lists those that cannot be read.
    """
    faults = []
    for pictures in parts:
        for place, name in enumerate(pictures.names):
            try:
                pictures.read(place)
            except PixelwiseError as error:
                faults.append(f"{error.where or name}: {error.what}")
            if progress is not None:
                progress(1)
    if faults:
        told = list(dict.fromkeys(faults))
        count = sum(map(len, parts))
        raise ImageFileError(
            f"{len(told):,} of the {count:,} pictures that were drawn cannot be read",
            got="\n  ".join(told[:_MOST_TOLD]) + ("\n  …" if len(told) > _MOST_TOLD else ""),
            fix="repair them, or take them out of the folder",
        )


def network_inputs(pictures: Pictures, card: Preprocessing) -> Iterator[NDArray[np.float32]]:
    """What the network is given of each picture, `[1, 3, H, W]`.

    Of large pictures that the card does not make smaller it is the middle: all that a network works
    out at once must have room in memory.
    """
    for whole in pictures:
        picture = whole if card.resize.rule != "none" else _middle(whole, _LARGEST_SIDE)
        plan = plan_input((picture.shape[0], picture.shape[1]), card)
        yield prepare(picture, plan, card, threads=1)[None]


def _middle(picture: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    top, left = (max(0, side - longest) // 2 for side in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + longest, left : left + longest])


def odd_crops(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], ...]:
    """The picture, and a part of another shape out of its middle, both of odd sides."""
    height, width = picture.shape[:2]
    whole = picture[: _odd(height), : _odd(width)]
    part = _odd(int(height * _CROP[0])), _odd(int(width * _CROP[1]))
    top, left = (height - part[0]) // 2, (width - part[1]) // 2
    return whole, picture[top : top + part[0], left : left + part[1]]


def _odd(side: int) -> int:
    return max(1, side - (side + 1) % 2)
