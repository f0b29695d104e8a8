from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data import Dataset, Entry, InstanceTarget, MultiClassTarget, MultiLabelTarget
from pixelwise.training import mask_traits
from pixelwise.training.mask_traits import look_at

CLASSES = ClassTable(
    "toy",
    tuple(ClassInfo(n, name, (n, 0, 0)) for n, name in ((3, "ground"), (7, "line"), (9, "gone"))),
    255,
    "a test",
)


@dataclass(frozen=True)
class _Told:
    """Truths by picture."""

    targets: dict

    def read(self, _root, entry, _classes, _size):
        return self.targets[entry.image]


@pytest.fixture
def make_data(tmp_path):
    """A data set of these targets and pictures; grey pictures where none are given."""

    def make(targets, pictures=None):
        told = {}
        for number, target in enumerate(targets):
            picture = np.full((*target.size, 3), 90, np.uint8)
            picture = picture if pictures is None else pictures[number]
            Image.fromarray(picture).save(tmp_path / f"{number}.png")
            told[f"{number}.png"] = target
        entries = tuple(Entry(name, "told") for name in told)
        return Dataset(Path(tmp_path), "folders", CLASSES, entries, _Told(told))

    return make


def mask(size=(40, 60), **boxes):
    """Ground, with boxes `x7=(top, bottom, left, right)` of other ids on it."""
    made = np.full(size, 3, np.uint8)
    for name, (top, bottom, left, right) in boxes.items():
        made[top:bottom, left:right] = int(name[1:])
    return made


def look(dataset, pixels=2400):
    return look_at(dataset, typical_pixels=pixels, bands=3)


def test_a_band_of_four_pixels_lies_near_its_borders_whole(make_data):
    seen = look(make_data([MultiClassTarget(mask(x7=(10, 14, 0, 60)))]))
    assert seen.near_border[1] == 1
    # Two rows of ground on either side.
    assert seen.near_border[0] == pytest.approx(4 * 60 / (36 * 60))
    assert np.isnan(seen.near_border[2])


def test_a_square_by_its_rim(make_data):
    seen = look(make_data([MultiClassTarget(mask(x7=(5, 25, 10, 30)))]))
    assert seen.near_border[1] == pytest.approx(1 - 16 * 16 / 400)
    assert seen.sides[1] == 20


def test_the_edge_of_the_picture_is_no_border(make_data):
    seen = look(make_data([MultiClassTarget(mask())]))
    assert seen.near_border[0] == 0


def test_half_of_the_pixels_lie_in_larger_regions(make_data):
    made = mask(x7=(5, 25, 10, 30))
    made[30:40:2, 0:60:2] = 7
    assert look(make_data([MultiClassTarget(made)])).sides[1] == 20


def test_pictures_smaller_than_the_reach_are_looked_at(make_data):
    tiny = np.array([[3, 7]], np.uint8)
    seen = look(make_data([MultiClassTarget(tiny)]))
    assert seen.near_border[:2].tolist() == [1, 1]
    assert seen.sides[:2].tolist() == [1, 1]


def test_objects_that_touch(make_data):
    instances = np.zeros((40, 60), np.int32)
    instances[5:15, 5:15] = 1
    instances[5:15, 15:25] = 2
    instances[30:34, 40:44] = 3
    target = InstanceTarget(np.where(instances > 0, 7, 3).astype(np.uint8), instances)
    seen = look(make_data([target]))
    assert seen.touching == pytest.approx(2 / 3)
    assert seen.object_side == 10


def test_without_objects_there_is_nothing_to_tell_of_them(make_data):
    seen = look(make_data([MultiClassTarget(mask())]))
    assert np.isnan(seen.object_side)
    assert np.isnan(seen.touching)


def test_several_labels_of_a_pixel_are_looked_at_one_by_one(make_data):
    layers = np.zeros((3, 40, 60), np.bool_)
    layers[0] = True
    layers[1, 5:25, 10:30] = True
    seen = look(make_data([MultiLabelTarget(layers, np.zeros((40, 60), np.bool_))]))
    assert seen.sides[1] == 20
    assert seen.sides[0] == pytest.approx(2400**0.5)
    assert seen.near_border[0] == 0
    assert seen.overlap == pytest.approx(400 / 2400)


def scenes(count, upright):
    """Squares at random places; upright ones lie in the lower half nine times out of ten."""
    random = np.random.default_rng(4)
    for _ in range(count):
        low = random.random() < (0.9 if upright else 0.5)
        top = int(random.integers(20, 32) if low else random.integers(0, 12))
        left = int(random.integers(0, 50))
        yield MultiClassTarget(mask(x7=(top, top + 8, left, left + 8)))


def test_what_lies_below_more_often_tells_up_from_down(make_data):
    seen = look(make_data(list(scenes(40, upright=True))))
    assert seen.upright > seen.chance
    assert seen.has_upper_side


def test_what_lies_anywhere_does_not(make_data):
    seen = look(make_data(list(scenes(40, upright=False))))
    assert seen.upright < seen.chance
    assert not seen.has_upper_side


def test_colours_tell_as_well(make_data):
    pictures = [np.full((40, 60, 3), 90, np.uint8) for _ in range(30)]
    random = np.random.default_rng(1)
    for picture in pictures:
        picture[:20] += random.integers(0, 30, dtype=np.uint8)
    seen = look(make_data([MultiClassTarget(mask())] * 30, pictures))
    assert seen.has_upper_side


def test_halves_that_always_differ_alike_tell(make_data):
    assert look(make_data([MultiClassTarget(mask(x7=(0, 5, 0, 60)))] * 30)).has_upper_side


def test_a_few_pictures_are_taken_for_upright(make_data):
    seen = look(make_data(list(scenes(10, upright=False))))
    assert np.isnan(seen.upright)
    assert seen.has_upper_side


def test_mean_and_spread_of_the_bands(make_data):
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, :30] = (10, 20, 30)
    seen = look(make_data([MultiClassTarget(mask())], [picture]))
    np.testing.assert_allclose(seen.mean, [5, 10, 15])
    np.testing.assert_allclose(seen.std, [5, 10, 15])


def test_unreadable_pictures_are_passed_over(make_data, tmp_path):
    dataset = make_data([MultiClassTarget(mask())] * 4)
    (tmp_path / "2.png").write_bytes(b"no picture")
    assert look(dataset).pictures == 3


def test_of_large_pictures_few_are_looked_at(make_data):
    dataset = make_data([MultiClassTarget(mask())] * 20)
    assert look(dataset).pictures == 20
    assert look(dataset, pixels=20_000**2).pictures == 3


def test_the_work_does_not_grow_with_the_picture(make_data, monkeypatch):
    monkeypatch.setattr(mask_traits, "_WINDOW", 16)
    seen = look(make_data([MultiClassTarget(mask(x7=(18, 22, 28, 32)))]))
    assert seen.sides[1] == 4
    assert seen.sides[0] == pytest.approx((16 * 16 - 16) ** 0.5)
