"""Settings that cannot be, told all at once."""

from __future__ import annotations

import math
from typing import Any

from pixelwise.class_entries import is_whole, listed, shown
from pixelwise.errors import UsageError

__all__ = ["Faults"]


class Faults:
    """Collects what is wrong with the settings of one call.

    Args:
        method: its name, for the message.
    """

    def __init__(self, method: str) -> None:
        self._method = method
        self._found: list[str] = []

    def add(self, text: str) -> None:
        """Adds one fault, in a few words."""
        self._found.append(text)

    def whole(self, name: str, value: Any, low: int, high: int) -> None:
        """Adds a fault unless the value is an integer in `low … high`."""
        if not is_whole(value) or not low <= value <= high:
            self.add(f"{name}={shown(value)}, expected a whole number of {low:,} … {high:,}")

    def real(self, name: str, value: Any, low: float, high: float) -> None:
        """Adds a fault unless the value is a finite number in `low … high`."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not low <= value <= high:
            self.add(f"{name}={shown(value)}, expected a number of {low:g} … {high:g}")

    def flag(self, name: str, value: Any) -> None:
        """Adds a fault unless the value is True or False."""
        if not isinstance(value, bool):
            self.add(f"{name}={shown(value)}, expected True or False")

    def tell(self) -> None:
        """Ends the call if anything is wrong.

        Raises:
            UsageError: lists every fault.
        """
        if self._found:
            raise UsageError(
                "the method cannot be run so",
                where=f"method {self._method}",
                got=listed(self._found),
                fix="correct all that is listed",
            )
