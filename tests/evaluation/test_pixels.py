from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import pixelwise.evaluation.pixels as module
from pixelwise import data
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.errors import ClassTableError, DatasetError
from pixelwise.evaluation.pixels import in_classes_of, sample_pixels
from pixelwise.inference.predictor import load

NAMES = ("class 0", "class 1", "class 2", "class 3")


@pytest.fixture
def model(make_model):
    return load(make_model(), engine="onnxruntime", threads=1)


@pytest.fixture
def folder(tmp_path):
    """Pictures of noise; classes of their masks by number."""

    def make(pictures=5, names=NAMES, size=(12, 17), file="p{number}.png"):
        root = tmp_path / "data"
        for part in ("images", "masks"):
            (root / part).mkdir(parents=True)
        for number in range(pictures):
            place = {"number": number, "across": 256 * (number % 3), "down": 256 * (number // 3)}
            random = np.random.default_rng(number)
            image = random.integers(0, 256, (*size, 3), np.uint8)
            mask = random.choice([*range(len(names)), 255], size).astype(np.uint8)
            Image.fromarray(image).save(root / "images" / file.format(**place))
            Image.fromarray(mask).save(root / "masks" / file.format(**place))
        infos = tuple(ClassInfo(number, name, (number, 9, 9)) for number, name in enumerate(names))
        return data.open(root, classes=ClassTable("toy", infos, 255, "made for a test"))

    return make


def test_pixels_are_the_models_at_their_truth(model, folder):
    dataset = in_classes_of(folder(), model.classes)
    sample = sample_pixels(model, dataset)
    assert sample.logits.shape == (5, 4096, 4)
    for place, own in enumerate(dataset):
        scores = model.predict(own.image).logits().reshape(4, -1).T
        counted = own.mask.ravel() < 4
        known = {tuple(row): true for row, true in zip(scores, own.mask.ravel(), strict=True)}
        drawn = {tuple(row) for row in sample.logits[place]}
        # Thousands of draws from some two hundred pixels: all that count, and no other.
        assert drawn == {tuple(row) for row in scores[counted]}
        truth = [known[tuple(row)] for row in sample.logits[place][:50]]
        assert truth == sample.truth[place][:50].tolist()
        labels = model.predict(own.image).labels[own.mask < 4]
        assert sample.counts[place, 2].tolist() == np.bincount(labels, minlength=4).tolist()
        assert sample.counts[place, 1].sum() == np.count_nonzero(counted)


def test_the_sample_is_always_the_same_and_bands_change_nothing(model, folder, monkeypatch):
    dataset = in_classes_of(folder(), model.classes)
    first = sample_pixels(model, dataset, workers=2)
    monkeypatch.setattr(module, "_BAND_VALUES", 100)
    again = sample_pixels(model, dataset, workers=0)
    np.testing.assert_array_equal(again.logits, first.logits)
    np.testing.assert_array_equal(again.truth, first.truth)
    assert again.names == first.names


def test_memory_is_bounded(model, folder, monkeypatch):
    monkeypatch.setattr(module, "_VALUES", 5 * 4 * 100)
    sample = sample_pixels(model, in_classes_of(folder(), model.classes))
    assert sample.logits.shape == (5, 100, 4)


def test_pictures_alone_are_each_their_group(model, folder):
    sample = sample_pixels(model, in_classes_of(folder(), model.classes), by="image")
    assert sample.groups.tolist() == [0, 1, 2, 3, 4]
    assert sample.grouping == "every picture by itself"


def test_where_all_belong_together_each_picture_counts_and_that_is_told(model, folder):
    dataset = folder(pictures=6, file="plan_x{across}_y{down}.png")
    sample = sample_pixels(model, in_classes_of(dataset, model.classes))
    assert "1 scenes, by coordinates" in sample.grouping
    assert "each picture counts by itself" in sample.grouping
    assert sample.groups.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_picture_that_cannot_be_read_is_told_and_two_are_too_many(model, folder):
    dataset = in_classes_of(folder(), model.classes)
    pictures = sorted((dataset.root / "images").iterdir())
    pictures[1].write_bytes(b"no picture")
    sample = sample_pixels(model, dataset)
    assert len(sample.names) == 4
    assert [fault.file for fault in sample.faults] == [f"images/{pictures[1].name}"]
    pictures[2].write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=f"(?s){pictures[1].name}.*{pictures[2].name}"):
        sample_pixels(model, dataset)


def test_pictures_without_truth_are_left_out(model, folder):
    dataset = in_classes_of(folder(pictures=3), model.classes)
    masks = sorted((dataset.root / "masks").iterdir())
    Image.fromarray(np.full((12, 17), 255, np.uint8)).save(masks[0])
    assert len(sample_pixels(model, dataset).names) == 2
    Image.fromarray(np.full((12, 17), 255, np.uint8)).save(masks[1])
    with pytest.raises(DatasetError, match=r"(?s)two pictures.*1 of 3"):
        sample_pixels(model, dataset)


def test_classes_of_other_names_are_refused_side_by_side_and_may_be_mapped(model, folder):
    dataset = folder(names=("class 0", "class 1", "grass", "class 3"))
    with pytest.raises(ClassTableError) as caught:
        in_classes_of(dataset, model.classes)
    assert "without one: grass" in caught.value.got
    assert "model: class 0, class 1, class 2" in caught.value.got
    assert "--map 'class 0=grass'" in caught.value.fix
    mapped = in_classes_of(dataset, model.classes, {"grass": "class 2"})
    np.testing.assert_array_equal(mapped[0].mask == 2, dataset[0].mask == 2)
    ignored = in_classes_of(dataset, model.classes, {"grass": None})
    assert (sample_pixels(model, ignored).counts[:, 1, 2] == 0).all()
