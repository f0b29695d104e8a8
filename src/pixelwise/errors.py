"""Every error that pixelwise raises: one tree, and each says what, where, got and fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ArrayError",
    "CardError",
    "ClassNameError",
    "ClassTableError",
    "ClusterError",
    "DatasetError",
    "DeviceError",
    "EngineError",
    "ExportRefusedError",
    "ImageFileError",
    "MaskFileError",
    "MissingExtraError",
    "ModelFileError",
    "OutOfMemoryError",
    "OutputError",
    "OutputExistsError",
    "PixelwiseError",
    "SettingsError",
    "UnknownModelError",
    "UsageError",
    "WeightsError",
    "did_you_mean",
]


class PixelwiseError(Exception):
    """The root of the tree.

    Args:
        what: one sentence: what is wrong.
        where: the file, argument or class it is about.
        got: the value that was found, beside the one expected.
        fix: what the user can do about it.
    """

    def __init__(self, what: str, *, where: str = "", got: str = "", fix: str = "") -> None:
        self.what = what
        self.where = where
        self.got = got
        self.fix = fix
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what]
        lines += [f"  {line}" for line in (self.where, self.got) if line]
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.got, self.fix)


def _rebuild(
    kind: type[PixelwiseError], what: str, where: str, got: str, fix: str
) -> PixelwiseError:
    return kind(what, where=where, got=got, fix=fix)


class ArrayError(PixelwiseError, ValueError):
    """An array has the wrong shape, type or values."""


class UsageError(PixelwiseError, ValueError):
    """An argument has a value that it cannot have."""


class SettingsError(UsageError):
    """A setting with which no picture could be worked."""


class ClassTableError(PixelwiseError, ValueError):
    """A class table contradicts itself."""


class DatasetError(PixelwiseError, ValueError):
    """A data set is not there in a form that can be read, or its faults forbid what is asked."""


class ClassNameError(PixelwiseError, KeyError):
    """A class is asked for that the table does not have."""


class ImageFileError(PixelwiseError, OSError):
    """A picture cannot be read."""


class MaskFileError(PixelwiseError, OSError):
    """A mask cannot be read as class ids, or cannot be written."""


class OutOfMemoryError(PixelwiseError, MemoryError):
    """A picture needs more memory than there is."""


class OutputError(PixelwiseError, OSError):
    """A result cannot be written."""


class OutputExistsError(OutputError):
    """A file is in the way that is not ours to replace."""


class ModelFileError(PixelwiseError, OSError):
    """A model file is missing, broken or not one of ours."""


class CardError(ModelFileError):
    """The card of a model is incomplete or does not fit its network."""


class UnknownModelError(ModelFileError):
    """No model of that name ships, and no file of that name exists."""


class EngineError(PixelwiseError, RuntimeError):
    """An engine cannot run the network."""


class DeviceError(EngineError):
    """The device asked for is not there."""


class ExportRefusedError(PixelwiseError, RuntimeError):
    """An export does not answer as the model that it was made from; nothing was written."""


class ClusterError(PixelwiseError, RuntimeError):
    """The machines of a cluster cannot be reached, or died at their work."""


class MissingExtraError(PixelwiseError, ImportError):
    """A part is used whose packages are not installed."""


class WeightsError(PixelwiseError, ValueError):
    """Weights do not fit the network."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that offers the known names, the nearest first."""
    names = sorted(known)
    near = difflib.get_close_matches(
        name.lower(), [known.lower() for known in names], n=3, cutoff=0.5
    )
    near_names = [known for known in names if known.lower() in near]
    offered = "did you mean " + " or ".join(near_names) + "? " if near_names else ""
    return f"{offered}known: {', '.join(names)}"
