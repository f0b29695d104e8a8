"""What the names of folders and files say about their part in a data set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from pixelwise.data.texts import Texts

__all__ = [
    "IMAGE_ROLE",
    "MASK_ROLE",
    "Role",
    "core_of",
    "role_of",
    "split_of",
    "tokens_of",
    "trims_of",
]

Role = Literal["image", "mask", ""]
IMAGE_ROLE: Role = "image"
MASK_ROLE: Role = "mask"

_IMAGE_TOKENS = frozenset(
    {
        "image",
        "images",
        "img",
        "imgs",
        "photo",
        "photos",
        "picture",
        "pictures",
        "jpegimages",
        "pngimages",
        "rgb",
        "input",
        "inputs",
        "frame",
        "frames",
        "optical",
        "original",
        "originals",
        "raw",
        "s1",
        "s2",
        "scan",
        "scans",
        "slides",
    }
)
_MASK_TOKENS = frozenset(
    {
        "mask",
        "masks",
        "label",
        "labels",
        "annotation",
        "annotations",
        "annot",
        "annots",
        "annotated",
        "gt",
        "groundtruth",
        "truth",
        "target",
        "targets",
        "seg",
        "segs",
        "segmentation",
        "segmentations",
        "segmentationclass",
        "trimap",
        "trimaps",
        "manual",
        "labelids",
        "labelled",
        "labeled",
        "ann",
        "anns",
        "matte",
        "mattes",
    }
)
_SPLITS = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "tst": "test",
}
_GLUED = re.compile(r"(train|val|test)(annot|labels?|masks?|gt|images?|img)")
_WORDS = re.compile(r"[Ss][12](?![a-z0-9])|[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


@lru_cache(maxsize=4096)
def tokens_of(name: str) -> tuple[str, ...]:
    """The words of a name in lower case: "trainAnnot_L2" gives train, annot, l, 2."""
    whole = name.lower()
    glued = _GLUED.fullmatch(whole)
    if glued:
        return glued[1], glued[2]
    if whole in _IMAGE_TOKENS or whole in _MASK_TOKENS:
        return (whole,)
    parts = [part for part in re.split(r"[^0-9A-Za-z]+", name) if part]
    words: list[str] = []
    for part in parts:
        lower = part.lower()
        known = lower in _IMAGE_TOKENS or lower in _MASK_TOKENS or lower in _SPLITS
        words += [lower] if known else [word.lower() for word in _WORDS.findall(part)]
    return tuple(words)


def role_of(name: str) -> Role:
    """Whether a folder's name, or the end of a file's, says that it holds masks or pictures."""
    tokens = tokens_of(name)
    if any(token in _MASK_TOKENS for token in tokens):
        return MASK_ROLE
    return IMAGE_ROLE if any(token in _IMAGE_TOKENS for token in tokens) else ""


def split_of(name: str) -> str:
    """The split that a folder's name tells: "train", "val", "test", or ""."""
    found = [_SPLITS[token] for token in tokens_of(name) if token in _SPLITS]
    return found[0] if len(found) == 1 else ""


@lru_cache(maxsize=4096)
def core_of(folder: str) -> tuple[str, Role, str]:
    """A folder's path without the word that tells its role, the role, and the split it tells.

    "train_masks/tile 3" and "train_images/tile 3" have the same core.
    """
    parts = folder.split("/") if folder else []
    role: Role = ""
    split = ""
    core = []
    for part in reversed(parts):
        own = role_of(part) if not role else ""
        split = split or split_of(part)
        if own:
            role = own
            core.append("*" + split_of(part))
        else:
            core.append(part)
    core.reverse()
    if not role:
        # "train" beside "trainannot": the pictures' folder has no word for its role.
        core = ["*" + split_of(part) if split_of(part) else part for part in core]
    return "/".join(core), role, split


def trims_of(stems: Sequence[str]) -> tuple[int, int]:
    """How many characters at the start and at the end all stems share, at the edge of a word.

    What is shared tells nothing apart: "_training" in 21_training, 22_training.
    """
    if not stems or min(stems) == max(stems):
        return 0, 0
    prefix = _common_start(stems)
    suffix = _common_start(Texts.of(stem[::-1] for stem in stems))[::-1]
    start = _word_edge(prefix)
    # Digits that happen to end all stems belong to their numbers.
    end = len(suffix) - _first_word_start(suffix)
    return start, end


def _common_start(texts: Sequence[str]) -> str:
    # What the first and the last in order share, all between them share.
    first, last = min(texts), max(texts)
    for place, character in enumerate(first):
        if last[place : place + 1] != character:
            return first[:place]
    return first


def _word_edge(prefix: str) -> int:
    match = re.search(r"^.*[^0-9A-Za-z](?=[^_\-. ]*$)", prefix)
    return match.end() if match else 0


def _first_word_start(suffix: str) -> int:
    match = re.search(r"[^0-9A-Za-z]", suffix)
    return match.start() if match else len(suffix)
