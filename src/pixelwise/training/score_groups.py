"""Which of the scored pictures belong together, and what that means for how sure a score is.

The frames of a film are wrong together. Taken one by one, as if each were a witness of its own,
they make an interval that is too narrow: it goes by whole groups instead (Davison and Hinkley,
Bootstrap Methods and their Application, 1997, section 3.8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.groups import GroupKind, Groups
from pixelwise.data.wording import counted
from pixelwise.metrics.bootstrap import groups_suffice

__all__ = ["ScoreGroups", "groups_of", "joined_groups"]

_WORDS: dict[str, tuple[str, str]] = {
    "video": ("frames", "film"),
    "tiles": ("tiles", "scene"),
    "folders": ("pictures", "folder"),
    "session": ("photos", "walk"),
    "named": ("pictures", "group"),
}


@dataclass(frozen=True)
class ScoreGroups:
    """The groups of scored pictures.

    Attributes:
        kind: what most groups are, as in `pixelwise.data.groups.Groups`; never "none".
        of: the number of each picture's group, in the order of the pictures.
    """

    kind: GroupKind
    of: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many groups there are; a picture alone is one."""
        return len(set(self.of))

    def used(self, held: NDArray[np.bool_]) -> tuple[int, ...] | None:
        """Groups that an interval goes by; None where it goes by pictures: see `groups_suffice`.

        Args:
            held: bool `[P, C]`: which classes are in the truth of each picture.
        """
        return self.of if groups_suffice(self.of, held) else None

    def at(self, places: Sequence[int]) -> ScoreGroups | None:
        """The groups of some of the pictures; None where each of them stands alone."""
        of = tuple(self.of[place] for place in places)
        return ScoreGroups(self.kind, of) if len(set(of)) < len(of) else None

    def told(self) -> str:
        """Such as "frames of 3 films"."""
        members, group = _WORDS[self.kind]
        return f"{members} of {counted(self.count, group)}"

    def units(self, count: int) -> str:
        """So many groups in words, such as "12 films"."""
        return counted(count, _WORDS[self.kind][1])


def groups_of(groups: Groups, places: Sequence[int]) -> ScoreGroups | None:
    """The groups of some of the samples; None where each stands alone."""
    found = tuple(groups.of[list(places)].tolist())
    several = len(set(found))
    # A single folder is that of the split.
    if groups.kind == "none" or several == len(found) or (groups.kind, several) == ("folders", 1):
        return None
    return ScoreGroups(groups.kind, found)


def joined_groups(
    parts: Sequence[ScoreGroups | None], lengths: Sequence[int]
) -> ScoreGroups | None:
    """The groups of several data sets one after the other; None where every picture stands alone.

    Args:
        parts: of each data set.
        lengths: pictures of each.
    """
    known = [part for part in parts if part is not None]
    if not known:
        return None
    of: list[int] = []
    for part, length in zip(parts, lengths, strict=True):
        own = tuple(range(length)) if part is None else part.of
        first = max(of, default=-1) + 1
        of += [first + number for number in own]
    kinds = {part.kind for part in known}
    alike = len(kinds) == 1 and len(known) == len(parts)
    return ScoreGroups(known[0].kind if alike else "named", tuple(of))
