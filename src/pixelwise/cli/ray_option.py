"""`--ray` with or without an address behind it."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand

__all__ = ["PredictCommand", "with_addresses"]

_FLAG = "--ray"
_ADDRESS = re.compile(r"auto|local|(ray://)?(\[[0-9a-fA-F:.]+\]|[\w.-]+):\d+")


class PredictCommand(TyperCommand):
    """A command whose `--ray` takes the word behind it only where that is an address of a Ray."""

    # Typer takes its types from click or carries click itself, by its version: hence Any.
    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Reads the words of the command line."""
        return super().parse_args(ctx, with_addresses(args))


def with_addresses(words: list[str]) -> list[str]:
    """The words, with an address in each `--ray` that has none."""
    told: list[str] = []
    for place, word in enumerate(words):
        if word == "--":
            return told + words[place:]
        following = words[place + 1] if place + 1 < len(words) else ""
        bare = word == _FLAG and not _ADDRESS.fullmatch(following)
        told.append(f"{_FLAG}=local" if bare else word)
    return told
