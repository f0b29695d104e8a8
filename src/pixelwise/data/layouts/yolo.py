"""YOLO's polygons: a text file per picture, a line per object, and `data.yaml` with the names.

A line is a class's number, then x and y of each corner as shares of the picture's width and height
(Ultralytics' documentation of its segmentation datasets). The label file of `images/a/1.jpg` is
`labels/a/1.txt`; it may also lie beside the picture.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pixelwise.class_entries import is_whole
from pixelwise.data.dataset import Entry
from pixelwise.data.layouts.base import Found, Request
from pixelwise.data.layouts.drawn import (
    DrawnObjects,
    DrawnPicture,
    FaultList,
    PictureFiles,
    outline_faults,
)
from pixelwise.data.layouts.meaning import Category, Meaning, meaning_of
from pixelwise.data.layouts.names import core_of
from pixelwise.data.layouts.tables import csv_table
from pixelwise.data.listing import Listing
from pixelwise.data.objects import AnnotatedObject
from pixelwise.data.shapes import Outline
from pixelwise.errors import UsageError
from pixelwise.formats.annotations import BACKGROUND_NAMES, UNCOVERED_KEY
from pixelwise.formats.polygons import joined, trace
from pixelwise.region_files.yolo import outline_line

__all__ = ["find", "lines_of"]

_LINE = re.compile(r"\d{1,5}(\.0*)?(\s+[-+0-9.eEnaif]+){4,}\s*")
_FILES_LOOKED_AT = 20
_SPLITS = ("train", "val", "test")
_LARGEST_YAML = 1 << 20


@dataclass(frozen=True)
class _Yaml:
    """What `data.yaml` says.

    Attributes:
        file: its path; "" where there is none.
        names: of the classes by number.
        splits: for each split the folders, or lists of pictures, as they stand.
        base: the folder that they start from, as it stands.
        uncovered: as in `meaning_of`.
    """

    file: str
    names: Mapping[int, str]
    splits: Mapping[str, tuple[str, ...]]
    base: str = ""
    uncovered: str = ""


@dataclass(frozen=True, eq=False)
class _Label:
    """A label file as numbers.

    Attributes:
        lines: class number and outline of each object.
        faults: what is wrong with it, and where.
        damage: as in `DrawnPicture`.
    """

    lines: tuple[tuple[int, Outline], ...]
    faults: tuple[tuple[str, str], ...]
    damage: str


def find(listing: Listing, request: Request) -> Found | None:
    """A data set of label files beside pictures; None where there are none."""
    texts = frozenset(listing.files(".txt"))
    if not any(_label_of(image, texts) for image in listing.pictures() if texts):
        return None
    files = PictureFiles(listing)
    labels = {image: _label_of(image, texts) for image in files}
    present = [label for label in labels.values() if label]
    request = replace(request, classes=request.classes or csv_table(listing))
    faults = FaultList()
    yaml = _read_yaml(listing, request, faults)
    if not _looks_so(listing, present[:_FILES_LOOKED_AT], named=bool(yaml.file)):
        return None
    read = {label: _parsed(_text(listing, label)) for label in present}
    meaning = _meaning(listing, request, yaml, list(read.values()))
    faults.extend(meaning.faults)
    splits = _splits(listing, yaml, files)
    folders = {path.rpartition("/")[0] for path in present}
    image_folders = {image.rpartition("/")[0] for image, label in labels.items() if label}
    entries: list[Entry] = []
    pictures: list[DrawnPicture] = []
    for image, label in labels.items():
        folder = image.rpartition("/")[0]
        if not label and folder not in image_folders:
            continue
        if not label:
            what, fix = "the picture has no label file", "it is read as a picture without objects"
            faults.add(what, image, fix=fix, warning=True)
        split = splits.get(image, "") or core_of(folder)[2]
        entries.append(Entry(image, label, split, len(pictures)))
        content = read[label] if label else _Label((), (), "")
        pictures.append(_picture(content, label, meaning, faults))
    for text in sorted(texts - set(present)):
        if text.rpartition("/")[0] in folders and _is_label(_text(listing, text)):
            what, fix = "the label file has no picture", "add its picture, or move it away"
            faults.add(what, text, fix=fix)
    source = yaml.file or "no data.yaml: the classes are numbered"
    outlines = any(label.lines for label in read.values())
    return Found(
        layout="yolo",
        sureness=0.96 if yaml.file and outlines else 0.92 if outlines else 0.6,
        classes=meaning.classes,
        entries=tuple(entries),
        truth=DrawnObjects(tuple(pictures), meaning.uncovered, request.kind),
        faults=faults.all(),
        notes=(f"names of the classes: {source}", *meaning.notes),
        rest=meaning.rest,
    )


def lines_of(
    objects: Sequence[AnnotatedObject], numbers: Mapping[int, int], size: tuple[int, int]
) -> list[str]:
    """The lines of a label file; read again they cover equal pixels.

    An object of several parts, or with holes, is one ring with bridges of no width. Crowds become
    objects: YOLO has none.

    Args:
        objects: of one picture.
        numbers: class id to YOLO's number.
        size: `(H, W)` of the picture.
    """
    lines = []
    for thing in objects:
        rows, columns, inside = thing.shape.patch(size)
        ring = joined(trace(inside)) + np.array([columns.start, rows.start])
        if len(ring):
            lines.append(outline_line(numbers[thing.class_id], ring, size))
    return lines


def _label_of(image: str, texts: frozenset[str]) -> str:
    """The label file of a picture, or "": under labels/ for images/, or beside it."""
    folder, _, name = image.rpartition("/")
    stem = name.rpartition(".")[0] + ".txt"
    parts = folder.split("/") if folder else []
    places = [len(parts) - 1 - n for n, part in enumerate(reversed(parts)) if part == "images"]
    for place in places:
        path = "/".join([*parts[:place], "labels", *parts[place + 1 :], stem])
        if path in texts:
            return path
    for base in (folder, "/".join([*parts[:-1], "labels"]), "/".join([*parts, "labels"])):
        path = f"{base}/{stem}" if base else stem
        if path in texts:
            return path
    return ""


def _looks_so(listing: Listing, labels: Sequence[str], *, named: bool) -> bool:
    """Whether these are label files; where names of classes are there, all may be empty."""
    texts = [text for label in labels if (text := _text(listing, label).strip())]
    return all(map(_is_label, texts)) and bool(texts or named)


def _is_label(text: str) -> bool:
    """Whether most lines begin with a whole number and go on with numbers."""
    lines = [line for line in text.splitlines()[:50] if line.strip()]
    fit = sum(_LINE.fullmatch(line.strip()) is not None for line in lines)
    return fit * 2 > len(lines)


def _text(listing: Listing, path: str) -> str:
    try:
        return listing.read_text(path)
    except UsageError as error:
        return f"unreadable: {error.got or error.what}"


def _parsed(text: str) -> _Label:
    lines: list[tuple[int, Outline]] = []
    faults: list[tuple[str, str]] = []
    for place, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            number, *values = map(float, words)
        except ValueError:
            faults.append(("a line is not of numbers", f"line {place}: {line[:60]!r}"))
            continue
        if not (0 <= number < 65_536 and number == int(number)):
            what = "a line does not begin with a class's number"
            faults.append((what, f"line {place}: {words[0]}"))
        elif len(values) == 4:
            faults.append(("boxes, not polygons", f"line {place}"))
        elif len(values) % 2:
            faults.append(("a line lacks a coordinate", f"line {place}: {len(values)} numbers"))
        else:
            points = np.array(values, np.float32).reshape(-1, 2)
            lines.append((int(number), Outline(points, (len(points),), relative=True)))
    damage = f"{faults[0][0]} ({faults[0][1]})" if faults else ""
    return _Label(tuple(lines), tuple(faults), damage)


def _read_yaml(listing: Listing, request: Request, faults: FaultList) -> _Yaml:
    named = [request.file] if request.file.lower().endswith((".yaml", ".yml")) else []
    files = named or sorted(
        listing.files(".yaml", ".yml"), key=lambda path: (path.count("/"), "data" not in path, path)
    )
    for file in files[:_FILES_LOOKED_AT]:
        value = _yaml(listing, file, faults)
        if "names" not in value:
            continue
        names = value["names"] or {}
        if isinstance(names, list):
            names = dict(enumerate(names))
        if not isinstance(names, dict) or not all(is_whole(key) for key in names):
            continue
        count = value.get("nc")
        if is_whole(count) and count != len(names):
            got = f"nc {count}, {len(names)} names"
            faults.add("nc is not the number of names", file, got=got, fix="correct nc")
        splits = {split: tuple(_strings(value.get(split))) for split in _SPLITS}
        # Of lists, which aliases can nest without end, no text is made.
        plain = {int(key): str(n) for key, n in names.items() if isinstance(n, str | int | float)}
        if len(plain) < len(names):
            got = f"{len(names) - len(plain)} of {len(names)}"
            faults.add("names of classes are no text", file, got=got, fix="correct names")
        base, uncovered = value.get("path"), value.get(UNCOVERED_KEY)
        return _Yaml(
            file,
            plain,
            splits,
            base if isinstance(base, str) else "",
            uncovered if isinstance(uncovered, str) else "",
        )
    return _Yaml("", {}, {})


def _yaml(listing: Listing, file: str, faults: FaultList) -> dict[str, Any]:
    import yaml

    try:
        path = listing.root / file
        if path.stat().st_size > _LARGEST_YAML:
            return {}
        value = yaml.safe_load(path.read_bytes())
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        got = line + str(getattr(error, "problem", "") or error)[:200]
        faults.add("the YAML file cannot be read", file, got=got, fix="correct it")
        return {}
    return value if isinstance(value, dict) else {}


def _strings(value: object) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [entry for entry in listed if isinstance(entry, str)]


def _meaning(listing: Listing, request: Request, yaml: _Yaml, labels: Sequence[_Label]) -> Meaning:
    used = {number for label in labels for number, _ in label.lines}
    names = dict(yaml.names)
    if request.classes is not None and not names:
        kept = [info for info in request.classes if info.name.lower() not in BACKGROUND_NAMES]
        names = {place: info.name for place, info in enumerate(kept)}
    if not names:
        names = {number: f"class {number}" for number in range(max(used, default=-1) + 1)}
    return meaning_of(
        [Category(number, name) for number, name in names.items()],
        name=listing.root.absolute().name or "yolo",
        file=yaml.file,
        table=request.classes,
        uncovered=yaml.uncovered,
    )


def _splits(listing: Listing, yaml: _Yaml, files: PictureFiles) -> dict[str, str]:
    """The split of each picture that `data.yaml` puts in one."""
    found: dict[str, str] = {}
    near = yaml.file.rpartition("/")[0]
    for split, parts in yaml.splits.items():
        for own in parts:
            paths = [_inside(near, yaml.base, own), _inside(near, "", own), _inside("", "", own)]
            if own.lower().endswith(".txt"):
                text = next((path for path in paths if path in listing), "")
                names = _text(listing, text).split("\n") if text else []
                folder = text.rpartition("/")[0]
                pictures = [files.find(name.strip(), folder)[0] for name in names if name.strip()]
            else:
                folder = next((path for path in paths if _holds(listing, path)), "")
                pictures = [path for path in files if folder and path.startswith(f"{folder}/")]
            found.update((picture, split) for picture in pictures if picture not in found)
    return found


def _inside(near: str, base: str, own: str) -> str:
    """A path of `data.yaml` from the root; what leads out of it starts there anew."""
    joined_path = os.path.normpath("/".join(part for part in (near, base, own) if part))
    return re.sub(r"^(\.\./|/)+", "", joined_path)


def _holds(listing: Listing, folder: str) -> bool:
    return any(f"{each}/".startswith(f"{folder}/") for each in listing.folders)


def _picture(label: _Label, file: str, meaning: Meaning, faults: FaultList) -> DrawnPicture:
    for what, got in label.faults:
        fix = "draw outlines: a box does not say which pixels are the object"
        faults.add(what, file, got=got, fix=fix if "boxes" in what else "correct the line")
    unknown = sorted({number for number, _ in label.lines if number not in meaning.ids})
    if unknown:
        faults.add(
            "a class's number is not among the names",
            file,
            got=f"{', '.join(map(str, unknown[:10]))}; names have {_span(meaning)}",
            fix="add its name to data.yaml; until then its pixels are ignored",
        )
    objects: list[AnnotatedObject] = []
    for number, outline in label.lines:
        class_id = meaning.ids.get(number, meaning.ignored)
        instance = 0 if class_id in meaning.stuff else len(objects) + 1
        objects.append(AnnotatedObject(class_id, outline, instance=instance))
    found, damage = outline_faults(objects, None)
    for what, got in found:
        fix = "correct the points; what lies outside is cut off"
        faults.add(what, file, got=got, fix=fix, warning="reaches" in what)
    return DrawnPicture(tuple(objects), None, label.damage or damage)


def _span(meaning: Meaning) -> str:
    numbers = sorted(meaning.ids)
    return f"{numbers[0]} … {numbers[-1]}" if numbers else "none"
