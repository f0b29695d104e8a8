from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.augment import Augmentation, Flip, preset
from pixelwise.data.dataset import Dataset, Entry
from pixelwise.data.preview import sheet
from pixelwise.data.targets import InstanceTarget, MultiClassTarget, MultiLabelTarget
from pixelwise.errors import MaskFileError, UsageError

CLASSES = ClassTable(
    name="toy",
    classes=(
        ClassInfo(0, "background", (0, 0, 0)),
        ClassInfo(3, "road", (200, 0, 0)),
        ClassInfo(7, "car", (0, 0, 220)),
    ),
    ignore_index=255,
    source="made for a test",
)
SIZE = (40, 60)


def mask_of():
    """Road below, a car in it, ignored at the lower right."""
    mask = np.zeros(SIZE, np.uint8)
    mask[20:] = 3
    mask[25:35, 10:30] = 7
    mask[30:, 50:] = 255
    return mask


class Given:
    """A truth of one kind; a car is object 1, its right half object 2."""

    def __init__(self, kind="multi_class", broken=()):
        self.kind = kind
        self.broken = broken

    def read(self, _root, entry, _classes, _size):
        if entry.name in self.broken:
            raise MaskFileError("the mask is broken", where=entry.truth)
        mask = mask_of()
        if self.kind == "multi_class":
            return MultiClassTarget(mask)
        if self.kind == "instance":
            objects = (mask == 7).astype(np.int32)
            objects[:, 20:] *= 2
            return InstanceTarget(mask, objects)
        return MultiLabelTarget(np.stack([mask == number for number in (0, 3, 7)]), mask == 255)


@pytest.fixture
def make_dataset(tmp_path):
    def make(count=3, **options):
        for number in range(count):
            pixels = np.full((*SIZE, 3), (90, 120, 150), np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        entries = tuple(Entry(f"{number}.png", f"{number}_mask.png") for number in range(count))
        return Dataset(tmp_path, "toy", CLASSES, entries, Given(**options))

    return make


def cell(picture, column, size=SIZE):
    """One cell of the first row: 8 pixels apart, the first one 16, below a name of 22 pixels."""
    left = 8 + column * (size[1] + 8) + (8 if column else 0)
    return picture[30 : 30 + size[0], left : left + size[1]]


@pytest.mark.parametrize("kind", ["multi_class", "instance", "multi_label"])
def test_classes_have_their_colours_and_the_background_none(make_dataset, kind):
    drawn = sheet(make_dataset(kind=kind), augmentation=Augmentation(size=SIZE), count=1, draws=1)
    photo = np.array((90, 120, 150))
    for column in (0, 1):
        shown = cell(drawn.picture, column)
        np.testing.assert_array_equal(shown[10, 10], photo)
        for place, number in (((22, 5), 1), ((28, 15), 2)):
            colour = np.array(CLASSES.classes[number].colour)
            np.testing.assert_allclose(shown[place], photo * 0.55 + colour * 0.45, atol=1)
        ignored = shown[30:, 50:].reshape(-1, 3)
        assert {tuple(map(int, pixel)) for pixel in ignored} == {(96, 96, 100), (150, 150, 155)}
    if kind == "instance":
        np.testing.assert_array_equal(cell(drawn.picture, 0)[30, 19], (255, 255, 255))


def test_masks_move_with_their_pictures(make_dataset):
    flipped = Augmentation((Flip(1),), size=SIZE)
    drawn = sheet(make_dataset(), augmentation=flipped, count=1, draws=2)
    whole, draws = cell(drawn.picture, 0), [cell(drawn.picture, column) for column in (1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    # Borders and stripes are those of the result, not of the original.
    same = (draws[0] == whole[:, ::-1]).all(axis=2)
    inside = np.zeros(SIZE, bool)
    inside[2:19, 2:-2] = inside[26:34, 32:48] = inside[36:, 12:-2] = True
    assert same[inside].all()


def test_the_same_seed_gives_the_same_sheet_and_another_one_another(make_dataset):
    dataset = make_dataset(5)
    strong = preset("strong", size=SIZE)
    first, again = (sheet(dataset, augmentation=strong, count=2, seed=4) for _ in range(2))
    assert first.names == again.names
    np.testing.assert_array_equal(first.picture, again.picture)
    other = sheet(dataset, augmentation=strong, count=2, seed=5)
    assert not np.array_equal(first.picture, other.picture)


def test_other_samples_stand_in_for_broken_ones(make_dataset):
    dataset = make_dataset(4, broken=("0", "2"))
    drawn = sheet(dataset, augmentation=Augmentation(size=SIZE), count=4, draws=1)
    assert set(drawn.names) == {"1", "3"}
    assert {error.where for error in drawn.skipped} == {"0_mask.png", "2_mask.png"}
    with pytest.raises(MaskFileError, match="broken"):
        sheet(make_dataset(1, broken=("0",)), augmentation=Augmentation(size=SIZE))


def test_a_cell_holds_the_whole_picture_whatever_its_shape(make_dataset):
    drawn = sheet(make_dataset(), augmentation=Augmentation(size=(60, 30)), count=1, draws=1)
    first = cell(drawn.picture, 0, (60, 30))
    rows = np.flatnonzero((first != first[0, 0]).any(axis=(1, 2)))
    assert (rows[0], rows[-1]) == (20, 39)


def test_the_legend_names_what_is_shown(make_dataset):
    with_legend = sheet(make_dataset(), augmentation=Augmentation(size=SIZE), count=1).picture
    colours = {tuple(map(int, pixel)) for pixel in with_legend[80:].reshape(-1, 3)}
    assert {(200, 0, 0), (0, 0, 220)} <= colours


@pytest.mark.parametrize("wrong", [{"count": 0}, {"count": 101}, {"draws": 0}, {"draws": 21}])
def test_numbers_out_of_range_are_refused(make_dataset, wrong):
    with pytest.raises(UsageError, match="samples"):
        sheet(make_dataset(), augmentation=Augmentation(size=SIZE), **wrong)


def test_a_sheet_needs_samples_and_a_size(make_dataset):
    with pytest.raises(UsageError, match="size"):
        sheet(make_dataset(), augmentation=Augmentation())
    with pytest.raises(UsageError, match="no samples"):
        sheet(make_dataset().subset([]), augmentation=Augmentation(size=SIZE))
