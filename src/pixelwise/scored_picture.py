"""What every result has: scores of classes, the way from them to the picture, and their source."""

from __future__ import annotations

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pixelwise import kernels
from pixelwise.classes import ClassTable
from pixelwise.errors import ArrayError, UsageError
from pixelwise.formats.files import named, write_atomic
from pixelwise.formats.png import encode_rgb
from pixelwise.geometry import Geometry, Window
from pixelwise.layer import Layer, layer_file_names
from pixelwise.percentages import percent
from pixelwise.presence import Presence

if TYPE_CHECKING:
    from PIL import Image

    from pixelwise.overlay import LegendEntry

__all__ = ["PROVENANCE_KEY", "Provenance", "ScoredPicture", "read_only"]

PROVENANCE_KEY = "pixelwise"
_OPACITY = 0.5

_Array = TypeVar("_Array", bound=np.ndarray[Any, Any])


@dataclass(frozen=True)
class Provenance:
    """Where a result came from.

    Attributes:
        model: name of the model.
        model_hash: SHA-256 of the model file.
        engine: what ran the network, with device and precision.
        network_size: `(H, W)` of the picture that the network saw, padding included.
        source: the picture's name.
        version: of pixelwise.
        settings: how the picture was cut into tiles and augmented; empty where it was not.
        refined: what was done to the result afterwards, in order; see `pixelwise.refine`.
    """

    model: str
    model_hash: str
    engine: str
    network_size: tuple[int, int]
    source: str
    version: str
    settings: str = ""
    refined: tuple[str, ...] = ()


class ScoredPicture(ABC):
    """A picture `[H, W]`, and the low-resolution scores of its classes.

    Args:
        scores: logits, float32 `[C, h, w]`, one map for each class of the table, in its order.
        classes: the class table.
        geometry: how the picture's pixels fall on the scores.
        provenance: where the result came from.
        image: the photo, uint8 `[H, W, 3]` RGB, for overlays.
        threads: cores that may be used to work things out; 0 means all.
        faults: what is wrong with arguments of the kind of result alone.

    Raises:
        ArrayError: an array has the wrong shape, type or values, or there are faults.
    """

    def __init__(
        self,
        scores: NDArray[np.float32],
        classes: ClassTable,
        geometry: Geometry,
        provenance: Provenance,
        image: NDArray[np.uint8] | None,
        threads: int,
        faults: Sequence[str],
    ) -> None:
        found = []
        if scores.dtype != np.float32 or scores.ndim != 3:
            found.append(f"scores {scores.dtype} {scores.shape}, expected float32 [C, h, w]")
        elif scores.shape[0] != len(classes):
            found.append(f"scores of {scores.shape[0]} classes, the table has {len(classes)}")
        elif scores.size and not kernels.all_finite(scores):
            found.append("scores that are not finite")
        if image is not None and (image.dtype != np.uint8 or image.shape != (*geometry.size, 3)):
            height, width = geometry.size
            found.append(
                f"image {image.dtype} {image.shape}, expected uint8 ({height}, {width}, 3)"
            )
        found += faults
        if found:
            raise ArrayError("a segmentation cannot be made of these arrays", got="; ".join(found))
        self.scores = read_only(np.ascontiguousarray(scores))
        self.classes = classes
        self.geometry = geometry
        self.provenance = provenance
        self.threads = threads
        self.image = None if image is None else read_only(image)

    def __repr__(self) -> str:
        height, width = self.size
        parts = ", ".join(f"{name} {percent(share, 0)}" for name, share in self.tags.items())
        return f"{type(self).__name__}({height}×{width}: {parts})"

    @property
    def size(self) -> tuple[int, int]:
        """`(H, W)` of the picture in pixels."""
        return self.geometry.size

    @property
    @abstractmethod
    def shares(self) -> dict[str, float]:
        """Part of the picture that each class fills, 0..1, for every class of the table."""

    @property
    @abstractmethod
    def presence(self) -> Presence:
        """How many pixels each class has in 1, 2 × 2, 4 × 4 and 8 × 8 cells of the picture."""

    def picture_facts(self) -> dict[str, str]:
        """What a stored answer says of the picture as a whole, for reports and for searches."""
        return {
            "shares": json.dumps({name: round(share, 6) for name, share in self.tags.items()}),
            "classes": json.dumps({info.id: info.name for info in self.classes}),
            "presence": self.presence.encode(),
        }

    @cached_property
    def tags(self) -> dict[str, float]:
        """The classes that occur, with their share of the picture, the largest first."""
        present = {name: share for name, share in self.shares.items() if share > 0}
        return dict(sorted(present.items(), key=lambda item: -item[1]))

    def logits(self, window: Window | None = None) -> NDArray[np.float32]:
        """Scores at the picture's size, float32 `[C, H, W]`, of the whole picture or a window.

        Raises:
            UsageError: the window is empty or leaves the picture.
        """
        geometry = self.geometry.window(window)
        return kernels.decode_scores(
            self.scores, geometry.rows, geometry.columns, threads=self.threads
        )

    @abstractmethod
    def probabilities(self, window: Window | None = None) -> NDArray[np.float32]:
        """Of all classes, float32 `[C, H, W]`, 0..1.

        Raises:
            UsageError: the window is empty or leaves the picture.
        """

    @abstractmethod
    def mask_of(self, index: int) -> NDArray[np.bool_]:
        """Where the picture has the class in this place of the table, bool `[H, W]`."""

    @abstractmethod
    def probability_of(self, index: int) -> NDArray[np.float32]:
        """Of the class in this place of the table, float32 `[H, W]`, 0..1."""

    def layers(self) -> tuple[Layer, ...]:
        """One layer for each class of the table, in its order; each is worked out when read."""
        return tuple(Layer(self, index) for index in range(len(self.classes)))

    def layer(self, name: str | int) -> Layer:
        """The layer of one class, by name, alias or id.

        Raises:
            ClassNameError: the table has no such class.
        """
        return Layer(self, self.classes.index(name))

    def at(self, x: int, y: int) -> dict[str, float]:
        """Probability of every class at one pixel, the likeliest first.

        Raises:
            UsageError: the pixel lies outside the picture.
        """
        height, width = self.size
        if not (0 <= x < width and 0 <= y < height):
            raise UsageError(
                "the pixel lies outside the picture",
                where=self.provenance.source,
                got=f"x={x}, y={y} in a picture {width} wide and {height} high",
                fix=f"x from 0 to {width - 1}, y from 0 to {height - 1}",
            )
        values = self.probabilities(Window(x, y, x + 1, y + 1))[:, 0, 0]
        # A stable sort keeps the lowest id first where two are equal, as in `labels`.
        order = np.argsort(-values, kind="stable")
        return {self.classes.classes[index].name: float(values[index]) for index in order}

    def overlay(self, *, opacity: float = _OPACITY, legend: bool = True) -> Image.Image:
        """The photo under its classes, with borders in full colour and a legend below.

        Args:
            opacity: of the class colours, 0..1.
            legend: whether names, colours and shares are drawn in a strip below the photo.

        Raises:
            UsageError: the segmentation was made without its photo, or opacity is not in 0..1.
        """
        from PIL import Image

        return Image.fromarray(self._overlay_array(opacity, legend))

    def encode_overlay(self, **facts: str) -> bytes:
        """The PNG that `save_overlay` writes; `facts` are added to its provenance."""
        return encode_rgb(
            self._overlay_array(_OPACITY, legend=True), text=self.provenance_text(facts)
        )

    def provenance_text(self, facts: dict[str, str]) -> dict[str, str]:
        """The PNG text chunk that says where a result came from."""
        known = asdict(self.provenance)
        if not self.provenance.settings:
            del known["settings"]
        return {PROVENANCE_KEY: json.dumps(known | facts)}

    def save_overlay(self, path: str | Path) -> None:
        """Writes the overlay as a PNG; `overlay(…).save(…)` does it with other settings.

        Raises:
            OutputError: the file cannot be written.
            UsageError: as `overlay`.
        """
        write_atomic(named(path, ".png"), self.encode_overlay())

    def save_layers(self, folder: str | Path, **facts: str) -> None:
        """Writes `<id>_<name>.mask.png` and `.heat.png` for every class of the table.

        `facts` are added to the provenance of each.

        Raises:
            OutputError: a file cannot be written.
        """
        for name, content in self.encode_layers(**facts):
            write_atomic(Path(folder) / name, content)

    def encode_layers(self, **facts: str) -> Iterator[tuple[str, bytes]]:
        """Name and content of each file that `save_layers` writes, made one by one."""
        for layer in self.layers():
            mask_name, heat_name = layer_file_names(layer.info)
            yield mask_name, layer.encode_mask(**facts)
            yield heat_name, layer.encode_heat_map(**facts)

    def save_probabilities(self, path: str | Path, **facts: str) -> None:
        """Writes a compressed `.npz`: `probabilities` float32 `[C, H, W]`, `names` and `ids`.

        Its `pixelwise` is the provenance as JSON, with `facts` added.

        Raises:
            OutputError: the file cannot be written.
        """
        write_atomic(named(path, ".npz"), self.encode_probabilities(**facts))

    def encode_probabilities(self, **facts: str) -> memoryview:
        """The archive that `save_probabilities` writes; `facts` are added to its provenance."""
        buffer = io.BytesIO()
        provenance = {key: np.array(text) for key, text in self.provenance_text(facts).items()}
        np.savez_compressed(
            buffer,
            probabilities=self.probabilities(),
            names=np.array(self.classes.names),
            ids=np.array(self.classes.ids, np.uint16),
            allow_pickle=False,
            **provenance,
        )
        return buffer.getbuffer()

    def _overlay_array(self, opacity: float, legend: bool) -> NDArray[np.uint8]:
        if self.image is None:
            raise UsageError(
                "this segmentation was made without its photo", fix="pass image= when making it"
            )
        if not 0 <= opacity <= 1:
            raise UsageError("opacity must lie in 0..1", got=f"opacity={opacity}")
        return self._drawn_over(self.image, self._entries(), opacity=opacity, legend=legend)

    def _entries(self) -> list[LegendEntry]:
        from pixelwise.overlay import LegendEntry

        return [LegendEntry(self.classes.find(name), share) for name, share in self.tags.items()]

    @abstractmethod
    def _drawn_over(
        self, image: NDArray[np.uint8], entries: list[LegendEntry], *, opacity: float, legend: bool
    ) -> NDArray[np.uint8]:
        """The classes that occur over a picture of this size; see `pixelwise.overlay`."""


def read_only(array: _Array) -> _Array:
    """A view that nobody writes into, since the array itself may be the caller's."""
    view = array.view()
    view.flags.writeable = False
    return view
