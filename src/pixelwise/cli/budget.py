"""Times as commands take them."""

from __future__ import annotations

import re

from pixelwise.errors import UsageError

__all__ = ["seconds_of"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_of(budget: str | None) -> float | None:
    """A time such as `90s`, `30m`, `2h`, `1h30m`.

    Raises:
        UsageError: it is none.
    """
    if budget is None:
        return None
    text = budget.lower().replace(" ", "")
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not seconds > 0:
        raise UsageError("this is no time", got=f"--budget {budget}", fix="write 90s, 30m or 2h")
    return seconds
