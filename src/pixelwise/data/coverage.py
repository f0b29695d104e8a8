"""How much of a folder a data set found in it takes in."""

from __future__ import annotations

from dataclasses import dataclass

from pixelwise.data.layouts.base import Found
from pixelwise.data.listing import Listing, is_picture
from pixelwise.data.sources import files_of
from pixelwise.data.texts import Texts

__all__ = ["Leftover", "leftover"]

_MOST_FOLDERS = 6


@dataclass(frozen=True)
class Leftover:
    """Picture files that are no part of a data set.

    Attributes:
        count: how many.
        example: one of them, of a folder that the data set has no part in where there is one.
        strays: how many lie in such folders.
        used: picture files that are part of the data set.
        folders: folders at the root that hold such folders: they may be data sets of their own.
    """

    count: int
    example: str
    strays: int
    used: int
    folders: tuple[str, ...]

    @property
    def told(self) -> str:
        """A note on them."""
        inside = ", ".join(f"{folder}/" for folder in self.folders[:_MOST_FOLDERS])
        more = len(self.folders) - _MOST_FOLDERS
        inside += f" and {more} more" if more > 0 else ""
        others = f"; there may be data sets of their own in {inside}: give one of these as the path"
        return (
            f"{self.count:,} picture file{'s are' if self.count != 1 else ' is'} not part of this "
            f"data set, such as {self.example}{others if self.folders else ''}"
        )


def leftover(listing: Listing, found: Found) -> Leftover | None:
    """What a data set leaves of the picture files that are there; None where it is half at most."""
    total = sum(1 for _ in listing.pictures())
    # Counted first: a set of a million names would take more memory than all the rest.
    if total <= 2 * sum(1 + _is_picture(entry.truth) for entry in found.entries):
        return None
    used = {path for entry in found.entries for path in (entry.image, entry.truth)}
    used.update(files_of(found.truth))
    own = {path for path in used if _is_picture(path)}
    if total <= 2 * len(own):
        return None
    folders = {path.rpartition("/")[0] for path in own}
    left = Texts.of(path for path in listing.pictures() if path not in own)
    strays = Texts.of(path for path in left if path.rpartition("/")[0] not in folders)
    tops = {folder.partition("/")[0] for folder in folders}
    others = {path.partition("/")[0] for path in strays if path.count("/") > 1} - tops
    return Leftover(len(left), (strays or left)[0], len(strays), len(own), tuple(sorted(others)))


def _is_picture(path: str) -> bool:
    return is_picture(path)
