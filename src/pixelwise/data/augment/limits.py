"""The check that all pieces share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["within"]


def within(name: str, value: object, least: float, most: float) -> Iterator[str]:
    """A fault unless the value is a number from `least` to `most`."""
    is_number = isinstance(value, (int, float, np.floating)) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:  # type: ignore[operator]  # it is a number
        yield f"{name}={value!r}, expected {least} to {most}"
