"""Pictures and masks as files: folders of their own, or side by side under names that pair."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Literal, TypeAlias

from pixelwise.classes import ClassTable
from pixelwise.data.dataset import Truth
from pixelwise.data.entries import Entries
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
from pixelwise.data.texts import Texts
from pixelwise.errors import MaskFileError, MissingExtraError, UsageError

__all__ = ["find", "unpaired"]

# One dictionary of keys serves masks and pictures: there may be millions.
_TAKEN = -1
_OBJECTS = "instances"
_LEADING_ZEROS = re.compile("(?<![0-9])0+(?=[0-9])")
_LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif")
_Trim: TypeAlias = tuple[int, int] | Literal["words", "numbers"]


@dataclass(frozen=True)
class _Group:
    """Files of one role under one word: all "masks", or all "images"."""

    word: str
    role: Role
    files: Texts


@dataclass(frozen=True)
class _Pairs:
    """What pairing makes of pictures and masks.

    Attributes:
        images: pictures with a mask.
        masks: their masks, in the same order.
        lone_images: pictures without one.
        lone_masks: masks without a picture.
        faults: files of one name.
    """

    images: Texts
    masks: Texts
    lone_images: Texts
    lone_masks: Texts
    faults: tuple[Fault, ...]

    @property
    def share(self) -> float:
        """How many of all files found their partner; of files of one name one alone can."""
        files = 2 * len(self.images) + len(self.lone_images) + len(self.lone_masks)
        files += len(self.faults)
        return 2 * len(self.images) / files if files else 0.0


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
            marked = _paired(pairs.images, region.files)
            valid = dict(zip(marked.images, marked.masks, strict=True))
            notes.append(f"only what {_named(region)} marks counts; the rest is ignored")
        others = [_named(group) for group in rest if group is not region]
        if others:
            notes.append(
                f"pictures from {_named(image_group)}, masks from {_named(mask_group)}; these were "
                f"left: {', '.join(sorted(others))} (choose with --images and --masks)"
            )
    if not pairs.images:
        return None
    looks = look_at(listing.root, pairs.masks)
    name = table.name if table else listing.root.absolute().name or "data set"
    objects = _objects(listing, pairs)
    kind = None if objects and request.kind == "instance" else request.kind
    reading, unread = _decided(looks, table, kind, valid, name)
    truth: Truth = reading.truth
    if objects and request.kind in (None, "instance"):
        truth = ObjectFiles(reading.truth, objects, request.kind)
        notes.append(f"{len(objects):,} pictures have masks of objects in {_OBJECTS}/ as well")
    splits = (core_of(image.rpartition("/")[0])[2] for image in pairs.images)
    files = Entries(pairs.images, pairs.masks, splits, repeat(-1, len(pairs.images)))
    entries, faults = with_lists(listing, files)
    return Found(
        layout="folders",
        sureness=round(0.85 * pairs.share, 2),
        classes=reading.classes,
        entries=entries,
        truth=truth,
        faults=(*unread, *pairs.faults, *_lone_faults(pairs), *faults),
        notes=(*notes, reading.note),
    )


def unpaired(listing: Listing, request: Request) -> str:
    """Pictures and masks where none of them pair; "" where one of the two is not there at all."""
    if request.images and request.masks:
        pairs = _by_patterns(listing, request)[0]
        return _counted(pairs.lone_images, pairs.lone_masks, request.images, request.masks)
    groups = _groups(listing)
    images, masks = (
        max((group for group in groups if group.role == role), key=_size, default=None)
        for role in (IMAGE_ROLE, MASK_ROLE)
    )
    if images is None or masks is None:
        return ""
    return _counted(images.files, masks.files, _named(images), _named(masks))


def _counted(images: Sequence[str], masks: Sequence[str], image: str, mask: str) -> str:
    names = set(map(stem_of, images))
    shared = sum(stem in names for stem in map(stem_of, masks))
    return (
        f"{len(images):,} picture{'s' * (len(images) != 1)} in {image}, "
        f"{len(masks):,} file{'s' * (len(masks) != 1)} in {mask}, "
        f"{shared:,} share a name: {images[0]}, {masks[0]}"
    )


def _size(group: _Group) -> int:
    return len(group.files)


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


def _objects(listing: Listing, pairs: _Pairs) -> dict[str, str]:
    """Files of object numbers by picture: named as its mask, in a folder beside the masks'."""
    files = {
        path
        for folder in listing.folders
        if _OBJECTS in folder.split("/")
        for path in listing.files(".png", ".tif", ".tiff", folder=folder)
    }
    found = {}
    for image, mask in zip(pairs.images, pairs.masks, strict=True) if files else ():
        parts = [_OBJECTS if role_of(part) == MASK_ROLE else part for part in mask.split("/")[:-1]]
        path = "/".join([*parts, mask.rpartition("/")[2]])
        if path in files:
            found[image] = path
    return found


def _groups(listing: Listing) -> tuple[_Group, ...]:
    """The picture files by role and by the word that tells it."""
    files: dict[tuple[str, Role], Texts] = {}
    for folder in listing.folders:
        if _OBJECTS in folder.split("/"):
            continue
        _, role, _ = core_of(folder)
        word = _word(folder)
        for path in listing.pictures(folder=folder):
            own = role or _role_of_file(path)
            files.setdefault((word if role else "", own), Texts()).append(path)
    if not any(role == MASK_ROLE for _, role in files):
        return _by_suffix(files)
    return tuple(_Group(word, role or IMAGE_ROLE, paths) for (word, role), paths in files.items())


def _named(group: _Group) -> str:
    """The group as notes tell it, in the folder's own letters where the word is all of its name."""
    if group.word:
        parts = group.files[0].split("/")[:-1]
        return next((part for part in parts if part.lower() == group.word), group.word) + "/"
    return f"{len(group.files):,} files such as {group.files[0]}"


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


def _by_suffix(files: Mapping[tuple[str, Role], Texts]) -> tuple[_Group, ...]:
    """photo.jpg beside photo.png: what is stored with loss can be no mask."""
    lossy, exact = Texts(), Texts()
    for path in chain.from_iterable(files.values()):
        (lossy if path.lower().endswith(_LOSSY) else exact).append(path)
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
            if pairs.images:
                tried.append((pairs, images, masks))
    if not tried:
        return None
    merit = [
        (
            _fit(listing, pairs, table) if len(tried) > 1 else 0,
            len(pairs.images),
            _rank(masks.word),
            images.word != "s1",
        )
        for pairs, images, masks in tried
    ]
    pairs, images, masks = tried[max(range(len(tried)), key=lambda place: (*merit[place], -place))]
    left = [group for group in groups if group is not images and group is not masks]
    return pairs, images, masks, left


def _fit(listing: Listing, pairs: _Pairs, table: ClassTable | None) -> int:
    """2 for colours of the table, or numbers where there is none; 1 for other masks, 0 for none."""
    try:
        looks = look_at(listing.root, pairs.masks[:4])
        reading = decide(looks, table, kind=None, valid={}, name="any")
    except (MaskFileError, MissingExtraError):
        return 0
    coloured: list[Look] = [look for look in looks if look.stored == "colours"]
    if table is not None and reading.truth.reading == "colours" and coloured:
        known = {info.colour for info in table} | set(table.ignore_colours)
        return 2 if any(look.colours <= known for look in coloured) else 0
    # Colours that nothing explains are often made of the numbers in another folder, to be seen.
    return 1 if table is not None or coloured else 2


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


def _paired(images: Texts, masks: Texts) -> _Pairs:
    """Pairs files by the rest of their paths: as they are, or without what all of a side share."""
    plain = _matched(images, masks, (0, 0), (0, 0))
    if plain.share == 1:
        return plain
    image_start, image_end = trims_of(Texts.of(map(stem_of, images)))
    mask_start, mask_end = trims_of(Texts.of(map(stem_of, masks)))
    attempts: list[tuple[_Trim, _Trim]] = [
        ((0, image_end), (0, mask_end)),
        ((image_start, image_end), (mask_start, mask_end)),
        ("words", "words"),
    ]
    best = plain
    for image_trim, mask_trim in attempts:
        pairs = _matched(images, masks, image_trim, mask_trim)
        best = max(best, pairs, key=lambda each: each.share)
        if best.share == 1:
            return best
    # 1.jpg and 001.png: a guess that is right only where it leaves nothing over.
    pairs = _matched(images, masks, "numbers", "numbers")
    return pairs if pairs.share == 1 else best


def _matched(
    images: Texts,
    masks: Texts,
    image_trim: _Trim,
    mask_trim: _Trim,
) -> _Pairs:
    if _in_step(images, masks, image_trim, mask_trim):
        return _Pairs(images, masks, Texts(), Texts(), ())
    faults = []
    by_key: dict[str, int] = {}
    for place, mask in enumerate(masks):
        known = by_key.setdefault(_key(mask, mask_trim), place)
        if known != place:
            faults.append(_twin("two masks", masks[known], mask))
    paired, partners, lone = Texts(), Texts(), Texts()
    twins: dict[str, list[str]] = {}
    for image in images:
        key = _key(image, image_trim)
        found = by_key.get(key)
        if found == _TAKEN:
            twins.setdefault(key, []).append(image)
        elif found is None:
            lone.append(image)
        else:
            paired.append(image)
            partners.append(masks[found])
        by_key[key] = _TAKEN
    for first in chain(paired, lone) if twins else ():
        others = twins.get(_key(first, image_trim), ())
        faults += [_twin("two pictures", first, image) for image in others]
    left = Texts.of(masks[place] for place in by_key.values() if place != _TAKEN)
    return _Pairs(paired, partners, lone, left, tuple(faults))


def _in_step(images: Texts, masks: Texts, image_trim: _Trim, mask_trim: _Trim) -> bool:
    """Whether every picture stands where its mask does, and none have the same name.

    So it is in most data sets, and they need no table of all names.
    """
    if len(images) != len(masks):
        return False
    before = ""
    for image, mask in zip(images, masks, strict=True):
        key = _key(image, image_trim)
        if key <= before or key != _key(mask, mask_trim):
            return False
        before = key
    return True


def _twin(which: str, first: str, second: str) -> Fault:
    return Fault(
        f"{which} have the same name but for their suffix",
        second,
        got=f"{first} and {second}",
        fix="remove or rename one of them",
    )


def _key(path: str, trim: _Trim) -> str:
    """What a picture and its mask have in common: the core of the folder, and of the name."""
    folder = path.rpartition("/")[0]
    stem = stem_of(path)
    if isinstance(trim, tuple):
        stem = stem[trim[0] : len(stem) - trim[1]]
    else:
        words = re.split(r"[\W_]+", _composed(stem))
        stem = " ".join(word for word in words if not role_of(word))
        stem = _LEADING_ZEROS.sub("", stem) if trim == "numbers" else stem
    return _composed(f"{core_of(folder)[0]}/{stem}")


def _composed(text: str) -> str:
    """Letters with their marks in one form: a Mac writes some of them as two characters."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


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
    images, image_twins = _fitting(listing, "images", request.images)
    masks, mask_twins = _fitting(listing, "masks", request.masks)
    valid, valid_twins = _fitting(listing, "valid", request.valid) if request.valid else ({}, [])
    regions = {path: valid[key] for key, path in images.items() if key in valid}
    faults = (
        *image_twins,
        *mask_twins,
        *valid_twins,
        *(
            Fault("the picture has no file of the region that counts", path)
            for key, path in images.items()
            if valid and key not in valid
        ),
    )
    return (
        _Pairs(
            Texts.of(path for key, path in images.items() if key in masks),
            Texts.of(masks[key] for key in images if key in masks),
            Texts.of(path for key, path in images.items() if key not in masks),
            Texts.of(path for key, path in masks.items() if key not in images),
            faults,
        ),
        regions,
    )


def _fitting(listing: Listing, option: str, pattern: str) -> tuple[dict[str, str], list[Fault]]:
    """Paths by what `{}` stands for in them, and those for which it stands for the same again."""
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
    twins = []
    for path in listing.pictures():
        match = compiled.fullmatch(path)
        if match and found.setdefault(_composed(match["key"]), path) != path:
            first = found[_composed(match["key"])]
            twins.append(
                Fault(
                    "two files are the same to a pattern",
                    path,
                    got=f"{first} and {path}; {option}={pattern!r}",
                    fix="name one folder in the pattern, or give the files names of their own",
                )
            )
    if not found:
        shown = list(islice(listing.pictures(), 3))
        raise UsageError(
            "the pattern fits no picture file",
            where=str(listing.root),
            got=f"{option}={pattern!r}; files there are such as {', '.join(shown) or 'none'}",
            fix="write the path from the data set's root, with {} for what differs",
        )
    return found, twins


def _escaped(text: str) -> str:
    return "[^/]*".join(re.escape(part) for part in text.split("*"))
