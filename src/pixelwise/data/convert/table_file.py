"""What of a class table the file of a converted data set cannot hold."""

from __future__ import annotations

from pixelwise.classes import ClassTable

__all__ = ["table_losses"]


def table_losses(classes: ClassTable) -> list[str]:
    """What the file cannot hold."""
    return [
        f"the alias {alias!r} of class {info.name!r}: a class table parts aliases at |"
        for info in classes
        for alias in info.aliases
        if "|" in alias
    ]
