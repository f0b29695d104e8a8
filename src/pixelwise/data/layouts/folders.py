"""Pictures and masks as files: folders of their own, or side by side under names that pair."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Entry, Truth
from pixelwise.data.faults import Fault
from pixelwise.data.layouts.base import Found, Request
from pixelwise.data.layouts.lists import with_lists
from pixelwise.data.layouts.mask_files import MaskFiles
from pixelwise.data.layouts.names import (
    IMAGE_ROLE,
    MASK_ROLE,
    Role,
    core_of,
    role_of,
    split_of,
    tokens_of,
    trims_of,
)
from pixelwise.data.layouts.object_files import ObjectFiles
from pixelwise.data.layouts.storage import Look, Reading, decide, look_at
from pixelwise.data.layouts.tables import find_table, numbered_table
from pixelwise.data.listing import Listing, stem_of
from pixelwise.data.targets import TargetKind
from pixelwise.errors import MaskFileError, UsageError
from pixelwise.formats.images import IMAGE_SUFFIXES

__all__ = ["find"]

_SUFFIXES = tuple(sorted(IMAGE_SUFFIXES))
# One dictionary of keys serves masks and pictures: there may be millions.
_TAKEN = ""
_OBJECTS = "instances"
_LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif")


@dataclass(frozen=True)
class _Group:
    """Files of one role under one word: all "masks", or all "images"."""

    word: str
    role: Role
    files: tuple[str, ...]


@dataclass(frozen=True)
class _Pairs:
    pairs: tuple[tuple[str, str], ...]
    lone_images: tuple[str, ...]
    lone_masks: tuple[str, ...]
    faults: tuple[Fault, ...]

    @property
    def share(self) -> float:
        """How many of all files found their partner."""
        files = 2 * len(self.pairs) + len(self.lone_images) + len(self.lone_masks)
        return 2 * len(self.pairs) / files if files else 0.0


def find(listing: Listing, request: Request) -> Found | None:
    """A data set of picture and mask files, paired by their names; None where nothing pairs.

    Raises:
        UsageError: a pattern of the request is none, or fits no file.
    """
    table = request.classes or find_table(listing)
    notes = []
    valid: dict[str, str] = {}
    if request.images or request.masks or request.valid:
        pairs, valid = _by_patterns(listing, request)
    else:
        groups = _groups(listing)
        chosen = _chosen(listing, groups, table)
        if chosen is None:
            return None
        pairs, image_group, mask_group, rest = chosen
        region = _region(mask_group, rest)
        if region is not None:
            valid = dict(_paired([image for image, _ in pairs.pairs], region.files).pairs)
            notes.append(f"only what {region.word}/ marks counts; the rest is ignored")
        others = sorted({group.word for group in rest} - {region.word if region else ""})
        if others:
            notes.append(
                f"pictures from {image_group.word}/, masks from {mask_group.word}/; these were "
                f"left: {', '.join(others)} (choose with --images and --masks)"
            )
    if not pairs.pairs:
        return None
    looks = look_at(listing.root, [mask for _, mask in pairs.pairs])
    name = table.name if table else listing.root.absolute().name or "data set"
    objects = _objects(listing, pairs.pairs)
    kind = None if objects and request.kind == "instance" else request.kind
    reading, unread = _decided(looks, table, kind, valid, name)
    truth: Truth = reading.truth
    if objects and request.kind in (None, "instance"):
        truth = ObjectFiles(reading.truth, objects, request.kind)
        notes.append(f"{len(objects):,} pictures have masks of objects in {_OBJECTS}/ as well")
    entries, faults = with_lists(listing, [_entry(*pair) for pair in pairs.pairs])
    return Found(
        layout="folders",
        sureness=round(0.85 * pairs.share, 2),
        classes=reading.classes,
        entries=entries,
        truth=truth,
        faults=(*unread, *pairs.faults, *_lone_faults(pairs), *faults),
        notes=(*notes, reading.note),
    )


def _decided(
    looks: Sequence[Look],
    table: ClassTable | None,
    kind: TargetKind | None,
    valid: Mapping[str, str],
    name: str,
) -> tuple[Reading, tuple[Fault, ...]]:
    """How the masks are read; where none is one, as ids, so that reading tells why of each."""
    try:
        return decide(looks, table, kind=kind, valid=valid, name=name), ()
    except MaskFileError as error:
        classes = table or numbered_table(name, [(0, "class 0")], None, "nothing could be read")
        reading = Reading(MaskFiles("ids", valid=valid, kind=kind), classes, error.what)
        return reading, (Fault.from_error(error, ""),)


def _entry(image: str, mask: str) -> Entry:
    return Entry(image, mask, core_of(image.rpartition("/")[0])[2])


def _objects(listing: Listing, pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Files of object numbers by picture: named as its mask, in a folder beside the masks'."""
    files = {
        path
        for folder in listing.folders
        if _OBJECTS in folder.split("/")
        for path in listing.files(".png", ".tif", ".tiff", folder=folder)
    }
    found = {}
    for image, mask in pairs if files else ():
        parts = [_OBJECTS if role_of(part) == MASK_ROLE else part for part in mask.split("/")[:-1]]
        path = "/".join([*parts, mask.rpartition("/")[2]])
        if path in files:
            found[image] = path
    return found


def _groups(listing: Listing) -> tuple[_Group, ...]:
    """The picture files by role and by the word that tells it."""
    files: dict[tuple[str, Role], list[str]] = {}
    for folder in listing.folders:
        if _OBJECTS in folder.split("/"):
            continue
        _, role, _ = core_of(folder)
        word = _word(folder)
        for path in listing.files(*_SUFFIXES, folder=folder):
            own = role or _role_of_file(path)
            files.setdefault((word if role else "", own), []).append(path)
    if not any(role == MASK_ROLE for _, role in files):
        return _by_suffix(files)
    return tuple(
        _Group(word, role or IMAGE_ROLE, tuple(paths)) for (word, role), paths in files.items()
    )


def _word(folder: str) -> str:
    """The part of a path that tells the role, without the split it may name as well."""
    for part in reversed(folder.split("/")):
        if role_of(part):
            kept = [token for token in tokens_of(part) if not split_of(token)]
            return " ".join(kept)
    return ""


def _role_of_file(path: str) -> Role:
    tokens = tokens_of(stem_of(path))
    # A mask is named after its picture: the word for it stands at the end, or in front.
    return (
        MASK_ROLE if len(tokens) > 1 and MASK_ROLE in map(role_of, (tokens[-1], tokens[0])) else ""
    )


def _by_suffix(files: Mapping[tuple[str, Role], Sequence[str]]) -> tuple[_Group, ...]:
    """photo.jpg beside photo.png: what is stored with loss can be no mask."""
    paths = [path for group in files.values() for path in group]
    lossy = tuple(path for path in paths if path.lower().endswith(_LOSSY))
    exact = tuple(path for path in paths if not path.lower().endswith(_LOSSY))
    if not lossy or not exact:
        return ()
    return _Group("", IMAGE_ROLE, lossy), _Group("", MASK_ROLE, exact)


def _chosen(
    listing: Listing, groups: Sequence[_Group], table: ClassTable | None
) -> tuple[_Pairs, _Group, _Group, list[_Group]] | None:
    """The pairing of a picture group with a mask group that fits best, and what is left over."""
    tried = []
    for images in (group for group in groups if group.role == IMAGE_ROLE):
        for masks in (group for group in groups if group.role == MASK_ROLE):
            pairs = _paired(images.files, masks.files)
            if pairs.pairs:
                tried.append((pairs, images, masks))
    if not tried:
        return None
    merit = [
        (
            _fit(listing, pairs, table) if len(tried) > 1 else 0,
            len(pairs.pairs),
            _rank(masks.word),
            images.word != "s1",
        )
        for pairs, images, masks in tried
    ]
    pairs, images, masks = tried[max(range(len(tried)), key=lambda place: (*merit[place], -place))]
    left = [group for group in groups if group is not images and group is not masks]
    return pairs, images, masks, [group for group in left if group.word]


def _fit(listing: Listing, pairs: _Pairs, table: ClassTable | None) -> int:
    """2 for colours of the table, 1 for what could be a mask, 0 for what is none."""
    looks = look_at(listing.root, [mask for _, mask in pairs.pairs[:4]])
    if not looks:
        return 0
    try:
        reading = decide(looks, table, kind=None, valid={}, name="any")
    except MaskFileError:
        return 0
    coloured: list[Look] = [look for look in looks if look.stored == "colours"]
    if table is not None and reading.truth.reading == "colours" and coloured:
        known = {info.colour for info in table} | set(table.ignore_colours)
        return 2 if any(look.colours <= known for look in coloured) else 0
    return 1


def _rank(word: str) -> int:
    tokens = set(tokens_of(word))
    if "manual" in tokens:
        return 3
    return 2 if tokens & {"masks", "labels", "annotations", "annot", "gt"} else 1


def _region(masks: _Group, left: Iterable[_Group]) -> _Group | None:
    """DRIVE's form: a drawing by hand, and beside it a "mask" of the field of view."""
    if "manual" not in tokens_of(masks.word):
        return None
    return next((group for group in left if tokens_of(group.word) in {("mask",), ("masks",)}), None)


def _paired(images: Sequence[str], masks: Sequence[str]) -> _Pairs:
    """Pairs files by the rest of their paths: as they are, or without what all of a side share."""
    plain = _matched(images, masks, (0, 0), (0, 0))
    if plain.share == 1:
        return plain
    trims = trims_of([stem_of(path) for path in images]), trims_of([stem_of(p) for p in masks])
    (image_start, image_end), (mask_start, mask_end) = trims
    attempts = [
        plain,
        _matched(images, masks, (0, image_end), (0, mask_end)),
        _matched(images, masks, (image_start, image_end), (mask_start, mask_end)),
        _matched(images, masks, None, None),
    ]
    return max(attempts, key=lambda pairs: pairs.share)


def _matched(
    images: Sequence[str],
    masks: Sequence[str],
    image_trim: tuple[int, int] | None,
    mask_trim: tuple[int, int] | None,
) -> _Pairs:
    faults = []
    by_key: dict[str, str] = {}
    for mask in masks:
        if by_key.setdefault(_key(mask, mask_trim), mask) != mask:
            first = by_key[_key(mask, mask_trim)]
            faults.append(_twin("two masks", first, mask))
    pairs: list[tuple[str, str]] = []
    lone: list[str] = []
    for image in images:
        key = _key(image, image_trim)
        found = by_key.get(key)
        if found == _TAKEN:
            others = (*(picture for picture, _ in pairs), *lone)
            first = next(other for other in others if _key(other, image_trim) == key)
            faults.append(_twin("two pictures", first, image))
        elif found is None:
            lone.append(image)
        else:
            pairs.append((image, found))
        by_key[key] = _TAKEN
    left = tuple(mask for mask in by_key.values() if mask != _TAKEN)
    return _Pairs(tuple(pairs), tuple(lone), left, tuple(faults))


def _twin(which: str, first: str, second: str) -> Fault:
    return Fault(
        f"{which} have the same name but for their suffix",
        second,
        got=f"{first} and {second}",
        fix="remove or rename one of them",
    )


def _key(path: str, trim: tuple[int, int] | None) -> str:
    """What a picture and its mask have in common: the core of the folder, and of the name."""
    folder = path.rpartition("/")[0]
    stem = stem_of(path)
    if trim is None:
        words = re.split(r"[^0-9A-Za-z]+", stem)
        stem = " ".join(word for word in words if not role_of(word))
    else:
        stem = stem[trim[0] : len(stem) - trim[1]]
    return f"{core_of(folder)[0]}/{stem}"


def _lone_faults(pairs: _Pairs) -> list[Fault]:
    return [
        *(
            Fault("the picture has no mask", image, fix="add its mask, or move the picture away")
            for image in pairs.lone_images
        ),
        *(
            Fault("the mask has no picture", mask, fix="add its picture, or move the mask away")
            for mask in pairs.lone_masks
        ),
    ]


def _by_patterns(listing: Listing, request: Request) -> tuple[_Pairs, dict[str, str]]:
    if not (request.images and request.masks):
        raise UsageError(
            "patterns come in pairs: one of the pictures and one of their masks",
            got=f"images={request.images!r}, masks={request.masks!r}",
            fix="such as --images 'photos/{}.jpg' --masks 'labels/{}_gt.png'",
        )
    images = _fitting(listing, "images", request.images)
    masks = _fitting(listing, "masks", request.masks)
    valid = _fitting(listing, "valid", request.valid) if request.valid else {}
    pairs = tuple((path, masks[key]) for key, path in images.items() if key in masks)
    regions = {path: valid[key] for key, path in images.items() if key in valid}
    faults = tuple(
        Fault("the picture has no file of the region that counts", path)
        for key, path in images.items()
        if valid and key not in valid
    )
    return (
        _Pairs(
            pairs,
            tuple(path for key, path in images.items() if key not in masks),
            tuple(path for key, path in masks.items() if key not in images),
            faults,
        ),
        regions,
    )


def _fitting(listing: Listing, option: str, pattern: str) -> dict[str, str]:
    """Paths by what `{}` stands for in them."""
    if pattern.count("{}") != 1:
        raise UsageError(
            "a pattern holds {} once: the part that a picture and its mask share",
            got=f"{option}={pattern!r}",
            fix="such as 'photos/{}.jpg'",
        )
    before, after = pattern.split("{}")
    written = f"{_escaped(before)}(?P<key>.+?){_escaped(after)}"
    compiled = re.compile(written)
    found: dict[str, str] = {}
    for path in listing.files(*_SUFFIXES):
        match = compiled.fullmatch(path)
        if match:
            found.setdefault(match["key"], path)
    if not found:
        shown = list(islice(listing.files(*_SUFFIXES), 3))
        raise UsageError(
            "the pattern fits no picture file",
            where=str(listing.root),
            got=f"{option}={pattern!r}; files there are such as {', '.join(shown) or 'none'}",
            fix="write the path from the data set's root, with {} for what differs",
        )
    return found


def _escaped(text: str) -> str:
    return "[^/]*".join(re.escape(part) for part in text.split("*"))
