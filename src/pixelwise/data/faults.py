"""What is wrong with a file of a data set: found, kept, and shown all at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pixelwise.errors import PixelwiseError

__all__ = ["Fault", "Severity"]

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one file.

    Attributes:
        what: the kind of fault; the same words for the same kind, so that faults can be grouped.
        file: relative to the root of the data set; "" for the data set as a whole.
        got: the values found, beside those expected.
        fix: what the user can do about it.
        severity: "error" for what makes training or scores wrong, "warning" for what may.
    """

    what: str
    file: str
    got: str = ""
    fix: str = ""
    severity: Severity = "error"

    @classmethod
    def from_error(cls, error: PixelwiseError, file: str) -> Fault:
        """The fault that an error of reading tells."""
        return cls(what=error.what, file=file, got=error.got, fix=error.fix)
