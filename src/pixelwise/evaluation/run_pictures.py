"""Which pictures of a data set the model of a run learned from, and which were kept back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.data.dataset import Dataset
from pixelwise.errors import DatasetError

__all__ = ["RunPictures", "read_run_pictures"]

_FILE = "splits.json"


@dataclass(frozen=True)
class RunPictures:
    """What a run did with the pictures of a data set.

    Attributes:
        run: name of its folder.
        learned: paths of the pictures that it learned from, as the data set has them.
        kept_back: of those that it was scored on.
    """

    run: str
    learned: frozenset[str]
    kept_back: frozenset[str]


def read_run_pictures(run: Path, dataset: Dataset) -> RunPictures | None:
    """What `splits.json` of the run says; None where the folder has none, as label maps have.

    Of a run over several data sets the part that has this one's name is taken, else all of it.

    Raises:
        DatasetError: the file cannot be read.
    """
    path = run / _FILE
    if not path.is_file():
        return None
    try:
        sets = json.loads(path.read_bytes())["sets"]
        own = [part for part in sets if part["name"] == dataset.root.absolute().name] or sets
        learned, kept_back = (_images(own, side) for side in ("train", "validation"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            "which pictures the run learned from cannot be read",
            where=str(path),
            got=str(error) or type(error).__name__,
            fix="judge its model file instead of its folder; training pictures are then not told",
        ) from None
    return RunPictures(run.absolute().name, learned, kept_back)


def _images(sets: Sequence[dict[str, Any]], side: str) -> frozenset[str]:
    images = [image for part in sets for image in part[side]]
    if not all(isinstance(image, str) for image in images):
        raise ValueError(f"{side} holds other things than names")
    return frozenset(images)
