"""The labels of Cityscapes: numbers in its files, and what they mean.

Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR 2016; numbers,
training numbers and colours are those of its scripts. The number -1 (licence plate) is never drawn.
"""

from __future__ import annotations

from typing import NamedTuple

from pixelwise.classes import ClassTable
from pixelwise.colours import Colour

__all__ = ["LABELS", "Label", "are_official", "official_ids"]


class Label(NamedTuple):
    """One label; `train` is 255 for those that are not evaluated."""

    id: int
    name: str
    train: int
    colour: Colour


LABELS: tuple[Label, ...] = (
    Label(0, "unlabeled", 255, (0, 0, 0)),
    Label(1, "ego vehicle", 255, (0, 0, 0)),
    Label(2, "rectification border", 255, (0, 0, 0)),
    Label(3, "out of roi", 255, (0, 0, 0)),
    Label(4, "static", 255, (0, 0, 0)),
    Label(5, "dynamic", 255, (111, 74, 0)),
    Label(6, "ground", 255, (81, 0, 81)),
    Label(7, "road", 0, (128, 64, 128)),
    Label(8, "sidewalk", 1, (244, 35, 232)),
    Label(9, "parking", 255, (250, 170, 160)),
    Label(10, "rail track", 255, (230, 150, 140)),
    Label(11, "building", 2, (70, 70, 70)),
    Label(12, "wall", 3, (102, 102, 156)),
    Label(13, "fence", 4, (190, 153, 153)),
    Label(14, "guard rail", 255, (180, 165, 180)),
    Label(15, "bridge", 255, (150, 100, 100)),
    Label(16, "tunnel", 255, (150, 120, 90)),
    Label(17, "pole", 5, (153, 153, 153)),
    Label(18, "polegroup", 255, (153, 153, 153)),
    Label(19, "traffic light", 6, (250, 170, 30)),
    Label(20, "traffic sign", 7, (220, 220, 0)),
    Label(21, "vegetation", 8, (107, 142, 35)),
    Label(22, "terrain", 9, (152, 251, 152)),
    Label(23, "sky", 10, (70, 130, 180)),
    Label(24, "person", 11, (220, 20, 60)),
    Label(25, "rider", 12, (255, 0, 0)),
    Label(26, "car", 13, (0, 0, 142)),
    Label(27, "truck", 14, (0, 0, 70)),
    Label(28, "bus", 15, (0, 60, 100)),
    Label(29, "caravan", 255, (0, 0, 90)),
    Label(30, "trailer", 255, (0, 0, 110)),
    Label(31, "train", 16, (0, 80, 100)),
    Label(32, "motorcycle", 17, (0, 0, 230)),
    Label(33, "bicycle", 18, (119, 11, 32)),
)


def are_official(classes: ClassTable) -> bool:
    """Whether every class of the table is a label of Cityscapes, by its name."""
    known = {label.name for label in LABELS}
    return all(name.casefold() in known for name in classes.names)


def official_ids(classes: ClassTable) -> dict[int, int]:
    """The label number that stands for each id of a table whose classes are all labels."""
    numbers = {label.name: label.id for label in LABELS}
    return {info.id: numbers[info.name.casefold()] for info in classes}
