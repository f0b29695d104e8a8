"""Counts of each validation picture: which are worst, and how sure the score is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pixelwise.classes import ClassTable
from pixelwise.errors import ArrayError, UsageError
from pixelwise.formats.files import write_atomic
from pixelwise.metrics.bootstrap import interval

__all__ = ["Interval", "PictureCounts", "read_picture_counts", "write_picture_counts"]

_Colour = tuple[
    Annotated[int, Field(ge=0, le=255)],
    Annotated[int, Field(ge=0, le=255)],
    Annotated[int, Field(ge=0, le=255)],
]
_Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Interval:
    """Between what the mean IoU of other pictures of the kind would lie, 95 times of 100.

    Attributes:
        low, high: 0 … 1.
        units: pictures, or groups of pictures that belong together, that were drawn from.
    """

    low: float
    high: float
    units: int


@dataclass(frozen=True, eq=False)
class PictureCounts:
    """Pixels of each class in each picture.

    Attributes:
        epoch: of the scoring, from 0.
        names: of the pictures, in the order of the data set.
        groups: a number for each picture, the same for those that belong together, such as the
            frames of a film; None where every picture stands alone.
        classes: names, in the order of the channels.
        colours: of the classes.
        counts: int64 `[P, 3, C]`: pixels that are of the class and found, of the class, and found.
    """

    epoch: int
    names: tuple[str, ...]
    groups: tuple[int, ...] | None
    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    counts: NDArray[np.int64]

    @property
    def by_picture(self) -> NDArray[np.float64]:
        """float64 `[P]`: mean IoU within each picture; NaN where no pixel was counted."""
        return _mean_iou(self.counts)

    def worst(self, count: int) -> tuple[int, ...]:
        """Places of the pictures with the lowest mean IoU, the lowest first."""
        scores = self.by_picture
        counted = np.flatnonzero(~np.isnan(scores))
        return tuple(counted[np.argsort(scores[counted], kind="stable")][:count].tolist())

    def interval(self) -> Interval | None:
        """95 % interval of the mean IoU over other pictures, or groups, of the kind.

        See `pixelwise.metrics.bootstrap.interval`. None for fewer than two pictures or groups.
        """
        found = interval(self.counts, _mean_iou, groups=self.groups)
        low, high = float(found.low), float(found.high)
        return None if np.isnan(low) else Interval(low, high, found.units)


def _mean_iou(counts: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Of counts `[N, 3, C]`: over the classes in truth or prediction; NaN where there is none."""
    union = counts[:, 1] + counts[:, 2] - counts[:, 0]
    present = union > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = np.where(present, counts[:, 0] / union, 0)
        mean: NDArray[np.float64] = iou.sum(1) / present.sum(1)
    return mean


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: _Count
    classes: tuple[str, ...]
    colours: tuple[_Colour, ...]
    groups: tuple[_Count, ...] | None
    names: tuple[str, ...]
    counts: tuple[tuple[tuple[_Count, _Count, _Count, _Count], ...], ...]


def write_picture_counts(
    path: Path,
    *,
    epoch: int,
    classes: ClassTable,
    names: Sequence[str],
    counts: NDArray[np.int64],
    groups: Sequence[int] | None = None,
) -> None:
    """Writes counts as JSON: one line for each picture, of the classes that occur in it.

    Args:
        path: of the file.
        epoch: of the scoring, from 0.
        classes: channel i is the i-th.
        names: of the pictures.
        counts: `[P, 3, C]`, as in `PictureCounts`.
        groups: as in `PictureCounts`.

    Raises:
        ArrayError: names, groups, classes and counts do not fit each other.
        OutputError: the file cannot be written.
    """
    if counts.shape != (len(names), 3, len(classes)) or len(groups or names) != len(names):
        raise ArrayError(
            "counts are [P, 3, C], with a name and a group for each picture",
            got=f"counts {list(counts.shape)}, {len(names)} names, {len(classes)} classes, "
            f"{'no' if groups is None else len(groups)} groups",
        )
    head = {
        "epoch": epoch,
        "classes": list(classes.names),
        "colours": [list(info.colour) for info in classes],
        "groups": None if groups is None else list(groups),
        "names": list(names),
    }
    lines = [
        json.dumps(
            [
                [int(channel), *picture[:, channel].tolist()]
                for channel in np.flatnonzero(picture.any(axis=0))
            ],
            separators=(",", ":"),
        )
        for picture in counts
    ]
    entries = [f"{json.dumps(key)}: {_compact(value)}" for key, value in head.items()]
    text = "{" + ",\n".join([*entries, '"counts": [\n' + ",\n".join(lines) + "\n]"]) + "}\n"
    write_atomic(path, text.encode("utf-8", "surrogatepass"))


def _compact(value: object) -> str:
    # ASCII: a file name may hold bytes that are no text.
    return json.dumps(value, separators=(",", ":"))


def read_picture_counts(path: Path) -> PictureCounts | None:
    """The counts that `write_picture_counts` wrote; None where there is no file.

    Raises:
        UsageError: the file cannot be read, or holds something else.
    """
    try:
        file = _File.model_validate(json.loads(path.read_bytes()))
        counts = _dense(file)
    except FileNotFoundError:
        return None
    except (OSError, ValidationError, ValueError) as error:
        raise UsageError(
            "the counts of the validation pictures cannot be read",
            where=str(path),
            got=str(error).splitlines()[0],
            fix="score again: pixelwise train --resume RUN",
        ) from None
    return PictureCounts(file.epoch, file.names, file.groups, file.classes, file.colours, counts)


def _dense(file: _File) -> NDArray[np.int64]:
    """Raises ValueError where the parts do not fit each other."""
    classes, pictures = len(file.classes), len(file.names)
    lengths = {len(file.counts), pictures if file.groups is None else len(file.groups)}
    if lengths != {pictures} or len(file.colours) != classes:
        raise ValueError(f"names, groups or colours for {pictures} pictures, {classes} classes")
    counts = np.zeros((pictures, 3, classes), np.int64)
    for place, rows in enumerate(file.counts):
        for channel, *pixels in rows:
            if channel >= classes:
                raise ValueError(f"channel {channel} of {classes} classes")
            counts[place, :, channel] = pixels
    return counts
