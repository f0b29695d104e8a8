from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pixelwise
from pixelwise.errors import UsageError
from pixelwise.export.pictures import Pictures, from_folder, network_inputs, odd_crops, shipped
from pixelwise.inference.card import Resize


@pytest.fixture
def folder(tmp_path, make_photos):
    make_photos(tmp_path, *(f"p{number:02}.png" for number in range(12)))
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_a_folder_gives_its_pictures_in_order(folder):
    found = from_folder(folder)
    assert found.names == tuple(f"p{number:02}" for number in range(12))
    assert all(picture.shape == (12, 16, 3) for picture in found)


@pytest.mark.parametrize("count", [1, 4, 6, 100])
def test_what_is_calibrated_on_judges_nothing(folder, count):
    calibration, judging = from_folder(folder).halves(count)
    assert len(calibration) == min(count, 6)
    assert len(judging) == 6
    assert not set(calibration.names) & set(judging.names)
    assert from_folder(folder).halves(count)[0].names == calibration.names


def test_a_single_picture_is_both():
    one = Pictures("one", ("a",), lambda _: np.zeros((2, 2, 3), np.uint8))
    assert one.halves(3) == (one, one)


def test_drawn_pictures_are_those_of_their_names(folder):
    every = from_folder(folder)
    some = every.drawn(5)
    assert len(some) == 5
    for place, name in enumerate(some.names):
        np.testing.assert_array_equal(some.read(place), every.read(every.names.index(name)))
    assert every.drawn(12) is every


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_without_pictures_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no pictures") as caught:
        from_folder(tmp_path / name)
    assert caught.value.where == str(tmp_path / name)


def test_samples_ship_for_some_models():
    street = shipped("street")
    assert street is not None
    assert len(street) == 6
    assert shipped("cells") is not None
    assert shipped("vessels") is None
    assert shipped("street.onnx") is None


def test_of_large_pictures_the_middle_is_calibrated_on(make_card):
    large = np.zeros((1500, 1030, 3), np.uint8)
    large[738:762, 503:527] = 200
    pictures = Pictures("large", ("a",), lambda _: large)
    (given,) = network_inputs(pictures, make_card().preprocessing)
    assert given.shape == (1, 3, 1024, 1024)
    assert given[0, 0, 512, 512] == 200
    small = make_card(resize=Resize(rule="area", pixels=3000)).preprocessing
    (given,) = network_inputs(pictures, small)
    assert given.shape[2] * given.shape[3] < 3200


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (37, 50), (480, 640)])
def test_sides_of_crops_are_odd(size):
    for crop in odd_crops(np.zeros((*size, 3), np.uint8)):
        assert crop.shape[0] % 2 == crop.shape[1] % 2 == 1


def test_shipped_samples_are_the_pictures_of_the_repository():
    root = Path(__file__).parents[2]
    samples = Path(pixelwise.__file__).parent / "weights" / "samples"
    for model, folder in (("street", "photos"), ("cells", "nuclei/images")):
        stored = {path.name: path.read_bytes() for path in (samples / model).iterdir()}
        there = {path.name: path.read_bytes() for path in (root / "examples" / folder).iterdir()}
        assert stored == there
