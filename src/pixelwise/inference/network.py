"""A model's network, ready to run: what whole pictures and tiles both stand on."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.errors import EngineError, UsageError
from pixelwise.inference.augmentation import View, views_of
from pixelwise.inference.card import Card
from pixelwise.inference.engines import Engine
from pixelwise.inference.model_file import ModelFile
from pixelwise.inference.tile_axis import ScoreGrid

__all__ = ["Network", "Probe", "resident_bytes"]

_PROBE_SIDE = 512
_PAGE = 4096
# Where it cannot be measured: that of networks with some hundred maps at a quarter of the sides.
_USUAL_BYTES_PER_PIXEL = 640
_MEMORY_STEP = 64


@dataclass(frozen=True)
class Probe:
    """What one run of a network on an empty picture shows.

    Attributes:
        grid: how scores lie on inputs.
        bytes_before: memory of the process before it, in bytes.
        bytes_per_pixel: what the run took at its peak, for each input pixel.
        pixels: of that picture; engines keep what they took.
    """

    grid: ScoreGrid
    bytes_before: int
    bytes_per_pixel: int
    pixels: int


class Network:
    """A model file and the engine that runs it; may be used from several threads.

    Args:
        file: the checked model file.
        engine: runs its network.
        threads: cores that one picture may use.

    Attributes:
        classes: the classes it knows.
        threads: cores that one picture may use.
    """

    def __init__(self, file: ModelFile, engine: Engine, threads: int) -> None:
        self._file = file
        self._engine = engine
        self.threads = threads
        self.classes: ClassTable = file.card.classes

    @property
    def card(self) -> Card:
        """What the model says of itself."""
        return self._file.card

    @property
    def file(self) -> ModelFile:
        """The model file that it was loaded from."""
        return self._file

    @property
    def sha256(self) -> str:
        """Hash of the model file."""
        return self._file.sha256

    @property
    def engine(self) -> str:
        """What runs the network: library, device and precision."""
        return self._engine.description

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Prepared inputs `[B, 3, H, W]` -> scores `[B, C, h, w]`.

        Raises:
            EngineError: the network cannot be run on this batch, or its card does not fit it.
            OutOfMemoryError: there is not enough memory for this batch.
        """
        scores = self._engine.run(batch)
        expected = (len(batch), len(self.classes))
        if scores.ndim != 4 or scores.shape[:2] != expected:
            raise EngineError(
                "the network gave scores of another shape than its card says",
                where=str(self._file.path),
                got=f"{scores.shape}, expected ({expected[0]}, {expected[1]}, h, w)",
                fix="export the model again with the class table it was trained on",
            )
        return scores

    def views(self, tta: str) -> tuple[View, ...]:
        """The views of a test-time augmentation, the picture as it is first.

        Raises:
            UsageError: there is no such augmentation, or the network cannot take its scales.
        """
        views = views_of(tta)
        if self._file.input_size != (None, None) and any(view.scale != 1 for view in views):
            raise UsageError(
                "this network takes pictures of one size only, so it has no other scales",
                where=str(self._file.path),
                got=f"tta={tta!r}",
                fix="use the augmentation 'flips' or 'mirror'",
            )
        return views

    @cached_property
    def probe(self) -> Probe:
        """The network's grid and its need of memory, from one run on an empty picture.

        Raises:
            EngineError: its scores do not lie a whole number of pixels apart, so that tiles of it
                would not fit together.
        """
        rule = self.card.preprocessing
        corners = self.card.postprocessing.alignment == "corners"
        # Without a rule for sides, those of most networks: 32 k, or 32 k + 1 for corners.
        multiple = rule.multiple if rule.multiple > 1 else 32
        remainder = rule.remainder if rule.multiple > 1 else int(corners)
        free = multiple * math.ceil(_PROBE_SIDE / multiple) + remainder
        height, width = (free if side is None else side for side in self._file.input_size)
        before = resident_bytes()
        with _PeakWatch() as watch:
            scores = self.run(np.zeros((1, rule.channels, height, width), np.float32))
        taken = watch.peak - before if before else _USUAL_BYTES_PER_PIXEL * height * width
        strides = [
            _stride(side, cells, corners=corners)
            for side, cells in zip((height, width), scores.shape[2:], strict=True)
        ]
        if strides[0] is None or strides[0] != strides[1]:
            raise EngineError(
                "this network cannot be run in tiles, since its scores do not lie a whole number "
                "of pixels apart",
                where=str(self._file.path),
                got=f"scores {scores.shape[2:]} of an input {(height, width)}, "
                f"alignment {self.card.postprocessing.alignment!r}",
                fix="predict whole pictures, or correct alignment, multiple and remainder in the "
                "card",
            )
        step = math.lcm(rule.multiple, strides[0])
        per_pixel = max(1, math.ceil(taken / (height * width) / _MEMORY_STEP)) * _MEMORY_STEP
        return Probe(
            grid=ScoreGrid(strides[0], step, height % step, corners),
            bytes_before=before,
            bytes_per_pixel=per_pixel,
            pixels=height * width,
        )


def resident_bytes() -> int:
    """Memory that this process holds, in bytes; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


class _PeakWatch:
    """Looks at the memory of the process every millisecond."""

    def __init__(self) -> None:
        self.peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _PeakWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.peak = max(self.peak, resident_bytes())

    def _look(self) -> None:
        while not self._ended.wait(0.001):
            self.peak = max(self.peak, resident_bytes())


def _stride(side: int, cells: int, *, corners: bool) -> int | None:
    """Pixels from one score to the next, or None where that is no whole number."""
    pixels, steps = (side - 1, cells - 1) if corners else (side, cells)
    if steps < 1 or pixels % steps:
        return None
    return pixels // steps
