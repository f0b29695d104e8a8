"""Settings that cannot be, told all at once."""

from __future__ import annotations

import math
from typing import Any

from pixelwise.class_entries import is_whole, listed, shown
from pixelwise.errors import SettingsError, UsageError

__all__ = ["Faults"]


class Faults:
    """Collects what is wrong with one call.

    Args:
        method: its name, for the message.
        picture: the picture's name, for the message.
    """

    def __init__(self, method: str, picture: str) -> None:
        self._method = method
        self._picture = picture
        self._of_settings: list[str] = []
        self._of_picture: list[str] = []

    def add(self, text: str) -> None:
        """Adds, in a few words, why the settings do not suit this picture."""
        self._of_picture.append(text)

    def setting(self, text: str) -> None:
        """Adds, in a few words, what is wrong with a setting, whatever the picture."""
        self._of_settings.append(text)

    def whole(self, name: str, value: Any, low: int, high: int) -> None:
        """Adds a fault unless the value is an integer in `low … high`."""
        if not is_whole(value) or not low <= value <= high:
            self.setting(f"{name}={shown(value)}, expected a whole number of {low:,} … {high:,}")

    def real(self, name: str, value: Any, low: float, high: float) -> None:
        """Adds a fault unless the value is a finite number in `low … high`."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not low <= value <= high:
            self.setting(f"{name}={shown(value)}, expected a number of {low:g} … {high:g}")

    def flag(self, name: str, value: Any) -> None:
        """Adds a fault unless the value is True or False."""
        if not isinstance(value, bool):
            self.setting(f"{name}={shown(value)}, expected True or False")

    def tell(self) -> None:
        """Ends the call if anything is wrong.

        Raises:
            SettingsError: lists every fault; one at least is there whatever the picture.
            UsageError: lists every fault of this picture.
        """
        faults = self._of_settings + self._of_picture
        if faults:
            kind = SettingsError if self._of_settings else UsageError
            raise kind(
                "the method cannot be run so",
                where=f"method {self._method}, {self._picture}",
                got=listed(faults),
                fix="correct all that is listed",
            )
