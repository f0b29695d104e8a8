"""Objects of annotation files, painted into targets, and found again in targets.

Where objects overlap, one rule says which is seen: higher layers over lower ones; in a layer,
crowds first, then the larger object before the smaller, so that the smaller stays visible; of
equal ones the later in the file over the earlier.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.classes import ClassTable
from pixelwise.data.shapes import Pixels, Shape
from pixelwise.data.targets import (
    InstanceTarget,
    MaskTarget,
    MultiClassTarget,
    MultiLabelTarget,
    TargetKind,
)
from pixelwise.formats.polygons import Patch

__all__ = ["AnnotatedObject", "objects_of", "paint"]


@dataclass(frozen=True, eq=False, slots=True)
class AnnotatedObject:
    """One object.

    Attributes:
        class_id: id of its class; the table's ignored id for what is not to be counted.
        shape: the pixels that it covers.
        crowd: whether it stands for several objects that were not told apart.
        instance: its number in the picture, 1 and up; 0 for stuff and crowds.
        layer: objects of higher layers lie over those of lower ones, whatever their sizes.
    """

    class_id: int
    shape: Shape
    crowd: bool = False
    instance: int = 0
    layer: int = 0


def paint(
    objects: Sequence[AnnotatedObject],
    classes: ClassTable,
    size: tuple[int, int],
    *,
    uncovered: int,
    kind: TargetKind | None = None,
) -> MaskTarget:
    """The target in which these objects lie; overlaps by the rule of this module.

    In targets of several labels every class has its own layer and overlaps are kept.

    Args:
        objects: in the order of the file.
        classes: the table of their ids.
        size: `(H, W)`.
        uncovered: the id of pixels that no object covers: a class, or the ignored id.
        kind: of the target; None for instances.

    Raises:
        MaskFileError: a shape is damaged, or of a picture of another size.
    """
    patches = [thing.shape.patch(size) for thing in objects]
    if kind == "multi_label":
        return _layered(objects, patches, classes, size, uncovered)
    areas = [int(np.count_nonzero(inside)) for _, _, inside in patches]
    order = sorted(
        range(len(objects)),
        key=lambda place: (objects[place].layer, not objects[place].crowd, -areas[place], place),
    )
    mask = np.full(size, uncovered, _type_of(classes))
    instances = np.zeros(size, np.int32)
    for place in order:
        thing, (rows, columns, inside) = objects[place], patches[place]
        mask[rows, columns][inside] = thing.class_id
        instances[rows, columns][inside] = 0 if thing.crowd else thing.instance
    return MultiClassTarget(mask) if kind == "multi_class" else InstanceTarget(mask, instances)


def objects_of(
    target: MaskTarget, classes: ClassTable, *, uncovered: int | None
) -> list[AnnotatedObject]:
    """The objects of a target: painted again, they give it back.

    One object per instance, and one per class for what belongs to no instance: a crowd, if the
    class is of things and the target knows instances. Ignored pixels are an object too.

    Args:
        target: of any kind.
        classes: the table of its ids.
        uncovered: the id of pixels that need no object; None where all do.

    Returns:
        The objects by class and number, each with a `Pixels` of its smallest box.
    """
    if isinstance(target, MultiLabelTarget):
        return _objects_of_layers(target, classes, uncovered)
    instances, things = np.zeros(target.size, np.int32), set[int]()
    if isinstance(target, InstanceTarget):
        instances = target.instances
        things = {info.id for info in classes if info.kind == "thing"}
    return [
        AnnotatedObject(number, pixels, instance == 0 and number in things, instance)
        for number, instance, pixels in _regions(target.mask, instances)
        if number != uncovered
    ]


def _layered(
    objects: Sequence[AnnotatedObject],
    patches: Sequence[Patch],
    classes: ClassTable,
    size: tuple[int, int],
    uncovered: int,
) -> MultiLabelTarget:
    places = {number: place for place, number in enumerate(classes.ids)}
    layers = np.zeros((len(places), *size), np.bool_)
    ignore = np.zeros(size, np.bool_)
    for thing, (rows, columns, inside) in zip(objects, patches, strict=True):
        place = places.get(thing.class_id)
        layer = ignore if place is None else layers[place]
        layer[rows, columns] |= inside
    bare = ~(layers.any(axis=0) | ignore)
    if uncovered in places:
        layers[places[uncovered]] |= bare
    else:
        ignore |= bare
    return MultiLabelTarget(layers, ignore)


def _objects_of_layers(
    target: MultiLabelTarget, classes: ClassTable, uncovered: int | None
) -> list[AnnotatedObject]:
    found = []
    covered = np.zeros(target.size, np.bool_)
    numbered = list(zip(classes.ids, target.layers, strict=True))
    if classes.ignore_index is not None:
        numbered.append((classes.ignore_index, target.ignore))
    for number, layer in numbered:
        if number != uncovered:
            covered |= layer
    for number, layer in numbered:
        # What lies bare is of the uncovered id by itself.
        needed = layer & covered if number == uncovered else layer
        found += [
            AnnotatedObject(number, pixels)
            for inside, _, pixels in _regions(needed, np.zeros(target.size, np.int32))
            if inside
        ]
    return found


def _regions(mask: NDArray[Any], instances: NDArray[np.int32]) -> Iterator[tuple[int, int, Pixels]]:
    """Id, instance and pixels of each pair of them that occurs, in rising order."""
    codes = mask.astype(np.int64).ravel() << 32 | instances.ravel()
    order = np.argsort(codes, kind="stable")
    values, starts = np.unique(codes[order], return_index=True)
    ends = [*starts[1:].tolist(), codes.size]
    for value, start, end in zip(values.tolist(), starts.tolist(), ends, strict=True):
        rows, columns = np.divmod(order[start:end], mask.shape[1])
        top, left = int(rows[0]), int(columns.min())
        pixels = np.zeros((int(rows[-1]) - top + 1, int(columns.max()) - left + 1), np.bool_)
        pixels[rows - top, columns - left] = True
        yield value >> 32, value & 0xFFFF_FFFF, Pixels(pixels, top, left)


def _type_of(classes: ClassTable) -> type[np.uint8] | type[np.uint16]:
    highest = max(classes.ids[-1], classes.ignore_index or 0)
    return np.uint8 if highest < 256 else np.uint16
