"""Data sets made by a seed, and the question whether two of them say the same."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data import Dataset, Entry, InstanceTarget, MultiClassTarget
from pixelwise.data import open as open_dataset


@dataclass(frozen=True)
class Given:
    """A truth that is given, not read."""

    targets: dict = field(default_factory=dict)

    def read(self, root, entry, classes, size):
        del root, classes, size
        return self.targets[entry.image]


@pytest.fixture(scope="session")
def given():
    """A data set in a folder: pictures as files, targets as they are given, by picture."""

    def make(root, classes, targets, splits=None, rest=None):
        for number, (name, target) in enumerate(targets.items()):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 256, (*target.size, 3), np.uint8)
            Image.fromarray(pixels).save(path, "PNG" if path.suffix == ".png" else "JPEG")
        entries = tuple(Entry(name, "", (splits or {}).get(name, "")) for name in targets)
        return Dataset(root, "given", classes, entries, Given(dict(targets)), rest=rest)

    return make


@pytest.fixture(scope="session")
def table():
    """A table of ids, a background first if it is wanted; odd ids are things."""

    def make(ids, ignore_index=None, *, background=False, things=True):
        infos = [
            ClassInfo(
                number,
                "background" if background and not place else f"clé, “{number}”",
                (number % 256, place * 7 % 256, 9),
                "thing" if things and number % 2 and (place or not background) else "stuff",
                (f"no. {number}",),
            )
            for place, number in enumerate(ids)
        ]
        colours = () if ignore_index is None else ((1, 2, 250), (3, 4, 250))
        return ClassTable("odd", tuple(infos), ignore_index, "made for a test", colours)

    return make


@pytest.fixture(scope="session")
def painted():
    """A target of blocks: each is one class; things have objects, if they are wanted."""

    def make(rng, classes, size=None, *, objects=False, ignored=True, loose=True):
        height, width = size or rng.integers(1, 40, 2).tolist()
        step = int(rng.integers(1, 7))
        blocks = rng.permutation(np.arange((height // step + 1) * (width // step + 1)) % 97)
        grid = blocks.reshape(height // step + 1, -1).repeat(step, 0).repeat(step, 1)
        grid = grid[:height, :width]
        ids = list(classes.ids)
        if ignored and classes.ignore_index is not None:
            ids.append(classes.ignore_index)
        owner = np.array(ids, np.uint16)[rng.integers(0, len(ids), 97)]
        mask = owner[grid]
        if not objects:
            return MultiClassTarget(mask)
        things = [info.id for info in classes if info.kind == "thing"]
        alone = np.isin(owner, things) & (rng.random(97) < (0.7 if loose else 2))
        numbers = np.where(alone, rng.permutation(97) + 1, 0)
        return InstanceTarget(mask, numbers[grid].astype(np.int32))

    return make


@pytest.fixture(scope="session")
def differences():
    """What a converted folder says otherwise than its source; an empty list if nothing."""

    def look(source, out, **options):
        new = open_dataset(out, **options)
        with (out / "sources.csv").open(newline="", errors="surrogateescape") as stream:
            origins = {row["image"]: row["source"] for row in csv.DictReader(stream)}
        entries = {entry.image: entry for entry in source.entries}
        found = [f"fault: {fault}" for fault in new.faults]
        if new.classes.classes != source.classes.classes:
            found.append("classes")
        if sorted(origins.values()) != sorted(entries) or len(new) != len(source):
            found.append(f"samples: {len(new)} of {len(source)}")
        for entry in new.entries:
            old = entries[origins[entry.image]]
            if entry.split != old.split:
                found.append(f"split of {old.image!r}: {entry.split!r}, was {old.split!r}")
            if (new.root / entry.image).read_bytes() != (source.root / old.image).read_bytes():
                found.append(f"bytes of {old.image!r}")
            size = new.read_image(entry).shape[:2]
            one, two = source.read_target(old, size), new.read_target(entry, size)
            if not _same_pixels(one, source.classes, two, new.classes):
                found.append(f"pixels of {old.image!r}")
            if not _same_objects(one, two):
                found.append(f"objects of {old.image!r}")
        return found

    return look


def _same_pixels(one, classes, two, others):
    counted = one.mask != (-1 if classes.ignore_index is None else classes.ignore_index)
    names = dict(zip(others.ids, others.names, strict=True))
    expected = dict(zip(classes.ids, classes.names, strict=True))
    pairs = {
        (expected.get(int(a)), names.get(int(b)))
        for a, b in np.unique(np.stack([one.mask.ravel(), two.mask.ravel()]), axis=1).T
    }
    return all(a == b for a, b in pairs) and bool(counted.size)


def _same_objects(one, two):
    first, second = (
        target.instances if isinstance(target, InstanceTarget) else np.zeros(target.size, int)
        for target in (one, two)
    )
    pairs = np.unique(np.stack([first.ravel(), second.ravel()]), axis=1)
    return (
        len(np.unique(pairs[0])) == pairs.shape[1] == len(np.unique(pairs[1]))
        and ((pairs[0] == 0) == (pairs[1] == 0)).all()
    )
