"""COCO's annotation files: objects as polygons or run lengths, in one JSON file per split.

The form is that of the data format page of COCO (Lin et al., ECCV 2014): `images`, `annotations`
and `categories`. Things and stuff files differ in their categories only. A polygon of several
rings is what any of them covers, as COCO's own tools draw it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pixelwise.class_entries import is_whole, key_of, shown
from pixelwise.colours import Colour
from pixelwise.data.dataset import Entry
from pixelwise.data.layouts.base import Found, Request
from pixelwise.data.layouts.drawn import (
    DrawnObjects,
    DrawnPicture,
    FaultList,
    PictureFiles,
    outline_faults,
    peek,
    read_json,
    size_in,
)
from pixelwise.data.layouts.meaning import Category, Meaning, meaning_of
from pixelwise.data.layouts.names import core_of, split_of, tokens_of
from pixelwise.data.layouts.tables import csv_table
from pixelwise.data.listing import Listing, stem_of
from pixelwise.data.objects import AnnotatedObject
from pixelwise.data.shapes import ColumnRuns, Outline, Shape
from pixelwise.formats.annotations import IGNORED_KEY, OWN_KEY, UNCOVERED_KEY
from pixelwise.formats.polygons import signed_area, trace
from pixelwise.formats.rle import column_counts, pack_counts

__all__ = [
    "annotation_of",
    "categories_in",
    "find",
    "shape_in",
]

_SIGNS = ('"images"', '"annotations"', '"categories"', '"category_id"', '"image_id"')
_MOST_FILES_LOOKED_AT = 500
_KINDS: dict[str, Literal["thing", "stuff"]] = {"0": "stuff", "1": "thing"}
_FAMILIES = {"instances": 3, "stuff": 1, "keypoints": 0, "captions": -1}


@dataclass(frozen=True, eq=False, slots=True)
class _Annotation:
    image: Any
    category: Any
    shape: Shape | None
    crowd: bool
    damage: str
    number: Any


@dataclass(frozen=True, eq=False, slots=True)
class _Image:
    number: Any
    name: Any
    size: tuple[int, int] | None
    split: str


@dataclass(frozen=True, eq=False)
class _Content:
    file: str
    images: tuple[_Image, ...]
    annotations: tuple[_Annotation, ...]
    categories: tuple[Category, ...]
    uncovered: str
    ignored: tuple[_Annotation, ...]


def find(listing: Listing, request: Request) -> Found | None:
    """A data set of COCO's annotation files; None where there are none."""
    families = _families(listing, request)
    table = request.classes or (csv_table(listing) if families else None)
    faults = FaultList()
    contents: list[_Content] = []
    while families and not contents:
        read = [_read(listing, file, faults) for file in families.pop(0)]
        contents = [content for content in read if content is not None]
    if not contents:
        # A file that is broken is told, not passed over.
        return _broken(listing, request, faults) if faults.all() else None
    meaning = meaning_of(
        _united([content.categories for content in contents]),
        name=listing.root.absolute().name or "coco",
        file=contents[0].file,
        table=table,
        uncovered=contents[0].uncovered,
    )
    faults.extend(meaning.faults)
    files = PictureFiles(listing)
    entries: list[Entry] = []
    pictures: list[DrawnPicture] = []
    for content in contents:
        _add(content, meaning, files, (entries, pictures), faults)
    for path in files.lone(entry.image for entry in entries):
        faults.add(
            "the picture has no entry in the annotation file",
            path,
            fix="annotate it, or move it away",
            warning=True,
        )
    others = [file for family in families for file in family]
    notes = [f"annotations: {', '.join(content.file for content in contents)}", *meaning.notes]
    if others:
        notes.append(f"not read: {', '.join(others[:6])} (name one of them as the path)")
    return Found(
        layout="coco",
        sureness=0.97,
        classes=meaning.classes,
        entries=tuple(entries),
        truth=DrawnObjects(tuple(pictures), meaning.uncovered, request.kind, meaning.ids),
        faults=faults.all(),
        notes=tuple(notes),
        rest=meaning.rest,
    )


def annotation_of(
    thing: AnnotatedObject, size: tuple[int, int], *, number: int, image_id: int
) -> dict[str, Any]:
    """An object as an entry of `annotations`; read again, by any reader, it covers equal pixels.

    As in COCO, an object of its own has polygons and a crowd run lengths; an object with holes has
    run lengths too, as polygons of COCO have none.

    Args:
        thing: the object; its class's id becomes the category's.
        size: `(H, W)` of the picture.
        number: of the annotation, unique in the file.
        image_id: of the picture.
    """
    rows, columns, inside = thing.shape.patch(size)
    rings = trace(inside)
    segmentation: list[list[int]] | dict[str, Any]
    if thing.crowd or not all(signed_area(ring) > 0 for ring in rings):
        mask = np.zeros(size, np.bool_)
        mask[rows, columns] = inside
        segmentation = {"size": list(size), "counts": pack_counts(column_counts(mask))}
    else:
        offset = (columns.start, rows.start)
        segmentation = [(ring + offset).astype(int).ravel().tolist() for ring in rings]
    lines, places = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    box = [0, 0, 0, 0]
    if len(lines):
        top, left = int(lines[0]) + rows.start, int(places[0]) + columns.start
        box = [left, top, int(places[-1] - places[0]) + 1, int(lines[-1] - lines[0]) + 1]
    return {
        "id": number,
        "image_id": image_id,
        "category_id": thing.class_id,
        "segmentation": segmentation,
        "area": int(np.count_nonzero(inside)),
        "bbox": box,
        "iscrowd": int(thing.crowd),
    }


def categories_in(value: object, file: str, faults: FaultList) -> list[Category]:
    """The entries of `categories`, of panoptic files too."""
    found = []
    for entry in value if isinstance(value, list) else []:
        fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
        number, name = fields.get("id"), fields.get("name")
        if isinstance(number, int) and is_whole(number) and isinstance(name, str):
            kind = _KINDS.get(str(fields.get("isthing")))
            found.append(Category(number, name, _colour(fields.get("color")), kind))
            continue
        faults.add(
            "a category has no number or no name",
            file,
            got=f"id {shown(number)}, name {shown(name)}",
            fix="give each category an id (a whole number) and a name",
        )
    return found


def _colour(value: object) -> Colour | None:
    if not isinstance(value, list) or len(value) != 3:
        return None
    if not all(is_whole(part) and 0 <= part < 256 for part in value):
        return None
    red, green, blue = value
    return red, green, blue


def _families(listing: Listing, request: Request) -> list[list[str]]:
    """Annotation files that belong together, as the splits do; the likeliest family first."""
    if request.file:
        return [[request.file]] if request.file.lower().endswith(".json") else []
    files = list(listing.files(".json"))
    stems = {file.rpartition(".")[0] for file in files}
    # labelme and others write a file of its own beside each picture.
    for picture in listing.pictures() if files else ():
        stems.discard(picture.rpartition(".")[0])
    files = [file for file in files if file.rpartition(".")[0] in stems]
    families: dict[tuple[str, ...], list[str]] = {}
    for file in files[:_MOST_FILES_LOOKED_AT]:
        text = peek(listing.root / file)
        if '"segments_info"' in text or not _may_be_coco(text, request):
            continue
        tokens = tokens_of(stem_of(file))
        kept = [token for token in tokens if not split_of(token) and not token.isdigit()]
        families.setdefault(tuple(kept), []).append(file)
    merit = {
        key: max([_FAMILIES[token] for token in key if token in _FAMILIES], default=2)
        for key in families
    }
    order = sorted(families, key=lambda key: (-merit[key], -len(families[key])))
    return [families[key] for key in order if merit[key] >= 0]


def _may_be_coco(text: str, request: Request) -> bool:
    """Whether this is the start and end of such a file; of one that was cut off, little is left."""
    signs = sum(sign in text for sign in _SIGNS)
    least = 3 if text.rstrip().endswith("}") else 0 if request.layout == "coco" else 1
    return signs >= least


def _read(listing: Listing, file: str, faults: FaultList) -> _Content | None:
    value, fault = read_json(listing.root / file, file, hook=_smaller)
    if fault is not None:
        faults.extend([fault])
        return None
    if not isinstance(value, dict):
        return None
    if not all(isinstance(value.get(key), list) for key in ("images", "annotations", "categories")):
        return None
    images = tuple(entry for entry in value["images"] if isinstance(entry, _Image))
    annotations = tuple(e for e in value["annotations"] if isinstance(e, _Annotation))
    for key, kept in (("images", len(images)), ("annotations", len(annotations))):
        if kept < len(value[key]):
            faults.add(
                f"entries of {key!r} lack what COCO's have",
                file,
                got=f"{len(value[key]) - kept:,} of {len(value[key]):,}",
                fix="an image has id and file_name; an annotation has image_id and category_id",
            )
    info = value.get("info")
    uncovered = info.get(UNCOVERED_KEY) if isinstance(info, dict) else None
    return _Content(
        file,
        images,
        annotations,
        tuple(categories_in(value["categories"], file, faults)),
        uncovered if isinstance(uncovered, str) else "",
        _ignored_in(value.get(OWN_KEY)),
    )


def _ignored_in(own: object) -> tuple[_Annotation, ...]:
    """Regions that do not count, of a file that pixelwise wrote."""
    value = own.get(IGNORED_KEY) if isinstance(own, dict) else None
    found = []
    for entry in value if isinstance(value, list) else []:
        region: dict[str, Any] = entry if isinstance(entry, dict) else {}
        shape, damage = shape_in(region.get("segmentation"))
        found.append(_Annotation(region.get("image_id"), None, shape, True, damage, None))
    return tuple(found)


def _smaller(value: dict[str, Any]) -> Any:
    """Of an object of the file only what is needed, as soon as it is read."""
    if "image_id" in value and "category_id" in value:
        shape, damage = shape_in(value.get("segmentation"))
        crowd = bool(value.get("iscrowd"))
        number = value.get("id")
        return _Annotation(value["image_id"], value["category_id"], shape, crowd, damage, number)
    if "file_name" in value and "id" in value:
        split = value.get("split")
        own = split if isinstance(split, str) else ""
        return _Image(value["id"], value["file_name"], size_in(value, "height", "width"), own)
    return value


def shape_in(value: object) -> tuple[Shape | None, str]:
    """A segmentation, or what is wrong with it; neither where there is none."""
    if value is None or value == []:
        return None, ""
    try:
        if isinstance(value, dict):
            return _runs(value["counts"], value["size"]), ""
        if isinstance(value, list):
            nested = value if isinstance(value[0], list) else [value]
            with np.errstate(over="ignore"):
                rings = [np.array(ring, np.float32).reshape(-1, 2) for ring in nested]
            if len(rings) > 1:
                return Outline.of(rings, separate=True), ""
            return Outline(rings[0], (len(rings[0]),), separate=True), ""
    except (KeyError, TypeError, ValueError, OverflowError):
        pass
    return None, "a segmentation is neither lists of x, y, x, y, … nor run lengths with a size"


def _runs(counts: object, size: object) -> ColumnRuns:
    if not isinstance(size, list) or len(size) != 2 or not all(map(is_whole, size)):
        raise ValueError("size")
    if isinstance(counts, str):
        return ColumnRuns(counts, (size[0], size[1]))
    if not isinstance(counts, list) or not all(map(is_whole, counts)):
        raise TypeError("counts")
    return ColumnRuns(np.array(counts, np.int64), (size[0], size[1]))


def _united(lists: Iterable[Sequence[Category]]) -> list[Category]:
    """The categories of all files; one that stands in several is one."""
    found: dict[tuple[int, str, bool], Category] = {}
    for categories in lists:
        seen: set[int] = set()
        for category in categories:
            # Twice in one file is a fault that shall be told.
            again = category.number in seen
            seen.add(category.number)
            found.setdefault((category.number, key_of(category.name), again), category)
    return list(found.values())


def _add(
    content: _Content,
    meaning: Meaning,
    files: PictureFiles,
    out: tuple[list[Entry], list[DrawnPicture]],
    faults: FaultList,
) -> None:
    """Adds the pictures of one annotation file."""
    file = content.file
    folder = file.rpartition("/")[0]
    split = split_of(stem_of(file)) or core_of(folder)[2]
    objects = _by_image(content, meaning, faults)
    entries, pictures = out
    taken = {entry.image: entry for entry in entries}
    for image in content.images:
        path, complaint = files.find(image.name, folder, prefer=_prefer(file, split))
        if complaint:
            what = "a picture of the annotation file is not there"
            faults.add(what, file, got=complaint, fix="add it, or correct its file_name")
            continue
        if path in taken:
            other = taken[path]
            twice = other.truth == file
            faults.add(
                "a picture stands twice in the annotation file"
                if twice
                else "a picture stands in two annotation files",
                path,
                got=f"{other.truth}, and again in {file}",
                fix="keep one of them: what is in two splits cannot test what was learnt",
            )
            continue
        drawn = _picture(image, objects.get(_key(image.number), []), path, meaning, faults)
        entry = Entry(path, file, image.split or split, len(pictures))
        taken[path] = entry
        entries.append(entry)
        pictures.append(drawn)


def _prefer(file: str, split: str) -> str:
    """The folder of this file's pictures, as train2017 of instances_train2017.json."""
    ending = stem_of(file).rpartition("_")[2]
    return ending if split and split_of(ending) else split


def _key(number: object) -> int | str | None:
    return number if isinstance(number, int | str) else None


def _by_image(
    content: _Content, meaning: Meaning, faults: FaultList
) -> dict[object, list[_Annotation]]:
    known = {_key(image.number) for image in content.images} - {None}
    if len(known) < len(content.images):
        faults.add(
            "images share an id or have none",
            content.file,
            got=f"{len(content.images):,} images, {len(known):,} ids",
            fix="give each image an id of its own",
        )
    found: dict[object, list[_Annotation]] = {}
    lost: list[object] = []
    strange: dict[str, int] = {}
    for annotation in content.annotations:
        key = _key(annotation.image)
        if key not in known:
            lost.append(annotation.image)
            continue
        found.setdefault(key, []).append(annotation)
        if _category(annotation, meaning) is None:
            name = shown(annotation.category)
            strange[name] = strange.get(name, 0) + 1
    for region in content.ignored:
        if _key(region.image) in known:
            found.setdefault(_key(region.image), []).append(region)
        else:
            lost.append(region.image)
    if lost:
        faults.add(
            "annotations are of images that the file does not list",
            content.file,
            got=f"{len(lost):,} annotations, such as of image {shown(lost[0])}",
            fix="add the images to the file, or take the annotations out",
        )
    for name, count in strange.items():
        faults.add(
            "annotations are of a category that the file does not list",
            content.file,
            got=f"category {name}, {count:,} annotations",
            fix="add it to categories; until then its pixels are ignored",
        )
    return found


def _category(annotation: _Annotation, meaning: Meaning) -> int | None:
    number = annotation.category
    return meaning.ids.get(number) if is_whole(number) else None


def _picture(
    image: _Image,
    annotations: Sequence[_Annotation],
    path: str,
    meaning: Meaning,
    faults: FaultList,
) -> DrawnPicture:
    objects: list[AnnotatedObject] = []
    damaged = [each for each in annotations if each.damage]
    bare = 0
    for annotation in annotations:
        if annotation.shape is None:
            bare += not annotation.damage
            continue
        number = _category(annotation, meaning)
        number = meaning.ignored if number is None else number
        single = not annotation.crowd and number not in meaning.stuff
        objects.append(
            AnnotatedObject(
                number, annotation.shape, annotation.crowd, len(objects) + 1 if single else 0
            )
        )
    for each in damaged:
        got = f"annotation {shown(each.number)}: {each.damage}"
        faults.add("a segmentation is damaged", path, got=got, fix="export it again")
    damage = damaged[0].damage if damaged else ""
    if bare:
        faults.add(
            "annotations have a box but no outline",
            path,
            got=f"{bare} of {len(annotations)}",
            fix="draw their outlines: a box does not say which pixels are the object",
        )
        damage = damage or "an object has a box but no outline"
    found, broken = outline_faults(objects, image.size)
    for what, got in found:
        fix = "correct the points; what lies outside is cut off"
        faults.add(what, path, got=got, fix=fix, warning="reaches" in what)
    return DrawnPicture(tuple(objects), image.size, damage or broken, _key(image.number))


def _broken(listing: Listing, request: Request, faults: FaultList) -> Found:
    """What can be said where no annotation file could be read."""
    meaning = meaning_of(
        [], name=listing.root.absolute().name or "coco", file="", table=request.classes
    )
    return Found(
        layout="coco",
        sureness=0.6,
        classes=meaning.classes,
        entries=(),
        truth=DrawnObjects((), meaning.uncovered, request.kind),
        faults=faults.all(),
        rest=meaning.rest,
    )
