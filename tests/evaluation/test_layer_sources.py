from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pixelwise.errors import DatasetError, MaskFileError
from pixelwise.evaluation.layer_sources import StoredLayers, class_masks
from pixelwise.geometry import Window

WHOLE = Window(0, 0, 5, 4)


@pytest.fixture
def write(tmp_path):
    """Writes masks of yes and no into a folder."""

    def make(folder, *paths, size=(4, 5)):
        for number, path in enumerate(paths):
            file = tmp_path / folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            random = np.random.default_rng(number)
            Image.fromarray((random.random(size) < 0.5) * np.uint8(255)).save(file)
        return tmp_path / folder

    return make


def test_masks_are_found_by_the_folders_of_their_classes(write, table_of):
    table = table_of("bag|purse", "Person")
    flat = write("flat", "bag/a.png", "person/a.png", "person/sub/b.png")
    found = class_masks(flat, table)
    assert found == {
        "a": {"bag": flat / "bag/a.png", "Person": flat / "person/a.png"},
        "sub/b": {"Person": flat / "person/sub/b.png"},
    }
    inner = write("inner", "masks/purse/a.png", "overlays/a.png")
    assert class_masks(inner, table) == {"a": {"bag": inner / "masks/purse/a.png"}}
    split = write("split", "val/masks/bag/a.png", "val/images/a.png")
    assert class_masks(split, table) == {"val/a": {"bag": split / "val/masks/bag/a.png"}}
    assert class_masks(write("labels", "a.png", "b.png", "bag/c.png"), table) is None
    assert class_masks(write("nothing"[:0] or "other", "x/a.png"), table) is None


def stored(folder, classes, masks=None, probabilities=None, wanted=("a",)):
    return StoredLayers.of(
        wanted,
        folder=folder,
        classes=classes,
        masks=masks or {},
        probabilities=probabilities or {},
    )


def test_a_class_without_a_mask_is_nowhere_and_told(write, table_of):
    table = table_of("bag", "person", "hat")
    folder = write("masks", "bag/a.png", "person/a.png", "bag/b.png")
    predictions = stored(folder, table, class_masks(folder, table), wanted=("b", "a"))
    first, second = (predictions.read(place, None).band(WHOLE).masks for place in (0, 1))
    assert first[0].any()
    assert not first[1:].any()
    assert second[1].any()
    assert predictions.thresholds is None
    assert not predictions.probable
    assert "no masks of hat: found nowhere" in predictions.facts["predictions"]
    assert len(predictions.facts["predictions_hash"]) == 64


def test_probabilities_alone_are_cut_at_a_half_and_need_no_sum_of_one(tmp_path, table_of):
    table = table_of("bag", "person")
    layers = np.random.default_rng(0).random((2, 4, 5))
    np.savez(
        tmp_path / "a.npz",
        probabilities=layers.astype(np.float32),
        ids=np.array([1, 0]),
        names=np.array(["person", "bag"]),
    )
    predictions = stored(tmp_path, table, probabilities={"a": tmp_path / "a.npz"})
    band = predictions.read(0, None).band(Window(1, 1, 4, 3))
    np.testing.assert_array_equal(band.probabilities, layers[::-1, 1:3, 1:4].astype(np.float32))
    np.testing.assert_array_equal(band.masks, band.probabilities >= 0.5)
    assert predictions.thresholds == (0.5, 0.5)


def test_masks_beside_probabilities_say_what_is_there(write, tmp_path, table_of):
    table = table_of("bag")
    folder = write("out", "masks/bag/a.png")
    np.save(tmp_path / "a.npy", np.full((1, 4, 5), 0.9, np.float32))
    masks = class_masks(folder, table)
    predictions = stored(folder, table, masks, {"a": tmp_path / "a.npy"})
    band = predictions.read(0, None).band(WHOLE)
    assert not band.masks.all()
    assert (band.probabilities == np.float32(0.9)).all()
    np.save(tmp_path / "a.npy", np.full((1, 6, 5), 0.9, np.float32))
    with pytest.raises(MaskFileError, match="differ in size"):
        predictions.read(0, None)


def test_files_that_are_no_layers_are_refused(write, tmp_path, table_of):
    table = table_of("bag", "person")
    np.save(tmp_path / "a.npy", np.full((2, 4, 5), 1.5, np.float32))
    predictions = stored(tmp_path, table, probabilities={"a": tmp_path / "a.npy"})
    with pytest.raises(MaskFileError) as caught:
        predictions.read(0, None)
    assert "40 values are above 1" in caught.value.got
    assert "sigmoid" in caught.value.fix
    folder = write("masks", "bag/a.png")
    write("masks", "person/a.png", size=(4, 7))
    predictions = stored(folder, table, class_masks(folder, table))
    with pytest.raises(MaskFileError, match="differ in size"):
        predictions.read(0, None)
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    Image.fromarray(grey).save(folder / "person" / "a.png")
    with pytest.raises(MaskFileError, match="more than yes and no"):
        predictions.read(0, None)


def test_pictures_without_any_mask_are_listed(write, table_of):
    table = table_of("bag")
    folder = write("masks", "bag/a.png", "bag/c.png")
    with pytest.raises(DatasetError, match="do not pair") as caught:
        stored(folder, table, class_masks(folder, table), wanted=("a", "b"))
    assert "truth without prediction (1): b" in caught.value.got
    assert "prediction without truth (1): c" in caught.value.got
