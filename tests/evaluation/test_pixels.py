from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import pixelwise.evaluation.pixels as module
from pixelwise import data
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.errors import ClassTableError, DatasetError
from pixelwise.evaluation.opening import Source, set_subjects, set_truth
from pixelwise.evaluation.pixels import sample_pixels
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


@pytest.fixture
def subject_of(model):
    def build(dataset, *rules, model=model):
        source = [Source("toy", None)]
        return set_subjects(source, set_truth(dataset, None), rules, loaded=lambda _: model)[0]

    return build


def test_pixels_are_the_models_at_their_truth(model, folder, subject_of):
    dataset = folder()
    sample = sample_pixels(subject_of(dataset))
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


def test_the_sample_is_always_the_same_and_bands_change_nothing(folder, subject_of, monkeypatch):
    subject = subject_of(folder())
    first = sample_pixels(subject, workers=2)
    monkeypatch.setattr(module, "_BAND_VALUES", 100)
    again = sample_pixels(subject, workers=0)
    np.testing.assert_array_equal(again.logits, first.logits)
    np.testing.assert_array_equal(again.truth, first.truth)
    assert again.names == first.names


def test_memory_is_bounded(folder, subject_of, monkeypatch):
    monkeypatch.setattr(module, "_VALUES", 5 * 4 * 4 * 100)
    subject = subject_of(folder())
    assert sample_pixels(subject).logits.shape == (5, 400, 4)
    sample = sample_pixels(subject, corners=True)
    assert sample.logits.shape == (5, 100, 4)
    assert sample.corners.scores.shape == (5, 4, 4, 100)


def test_corners_are_what_the_logits_are_interpolated_from(
    folder, subject_of, make_model, pointwise
):
    coarse = load(make_model("coarse.onnx", network=pointwise(pool=4), multiple=4), threads=1)
    sample = sample_pixels(subject_of(folder(), model=coarse), corners=True)
    corners = sample.corners
    assert corners.weights.min() >= 0
    np.testing.assert_allclose(corners.weights.sum(1), 1, rtol=1e-6)
    found = (corners.weights[:, :, None] * corners.scores).sum(1)
    np.testing.assert_allclose(found.transpose(0, 2, 1), sample.logits, rtol=1e-4, atol=1e-4)
    leads = np.sort(corners.scores, 2)
    leads = np.log1p(leads[:, :, -1] - leads[:, :, -2])
    np.testing.assert_allclose(corners.features[:, :, 1], leads, rtol=1e-5)


def test_a_part_is_of_all_arrays(folder, subject_of):
    sample = sample_pixels(subject_of(folder()), corners=True)
    chosen = np.array([False, True, False, True, True])
    part = sample.part(chosen)
    assert part.names == (sample.names[1], *sample.names[3:])
    for name in ("groups", "logits", "truth", "counts"):
        np.testing.assert_array_equal(getattr(part, name), getattr(sample, name)[chosen])
    for name in ("scores", "weights", "features"):
        own = getattr(sample.corners, name)[chosen]
        np.testing.assert_array_equal(getattr(part.corners, name), own)
    np.testing.assert_array_equal(part.judged_as, sample.judged_as)


def test_pictures_alone_are_each_their_group(folder, subject_of):
    sample = sample_pixels(subject_of(folder()), by="image")
    assert sample.groups.tolist() == [0, 1, 2, 3, 4]
    assert sample.grouping == "every picture by itself"


def test_where_all_belong_together_each_picture_counts_and_that_is_told(folder, subject_of):
    sample = sample_pixels(subject_of(folder(pictures=6, file="plan_x{across}_y{down}.png")))
    assert "1 scenes, by coordinates" in sample.grouping
    assert "each picture counts by itself" in sample.grouping
    assert sample.groups.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_picture_that_cannot_be_read_is_told_and_two_are_too_many(folder, subject_of):
    dataset = folder()
    pictures = sorted((dataset.root / "images").iterdir())
    pictures[1].write_bytes(b"no picture")
    sample = sample_pixels(subject_of(dataset))
    assert len(sample.names) == 4
    assert [fault.file for fault in sample.faults] == [f"images/{pictures[1].stem}"]
    pictures[2].write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=f"(?s){pictures[1].stem}.*{pictures[2].stem}"):
        sample_pixels(subject_of(dataset))


def test_pictures_without_truth_are_left_out(folder, subject_of):
    dataset = folder(pictures=3)
    masks = sorted((dataset.root / "masks").iterdir())
    Image.fromarray(np.full((12, 17), 255, np.uint8)).save(masks[0])
    assert len(sample_pixels(subject_of(dataset)).names) == 2
    Image.fromarray(np.full((12, 17), 255, np.uint8)).save(masks[1])
    with pytest.raises(DatasetError, match=r"(?s)two pictures.*1 of 3"):
        sample_pixels(subject_of(dataset))


def test_classes_go_together_as_the_rules_say(model, folder, subject_of):
    dataset = folder(names=("class 0", "class 1", "grass"))
    with pytest.raises(ClassTableError, match="grass"):
        subject_of(dataset)
    rules = [("class 2", "grass"), ("class 3", "grass")]
    sample = sample_pixels(subject_of(dataset, *rules))
    assert sample.judged_as.tolist() == [0, 1, 2, 2]
    assert sample.counts.shape == (5, 3, 3)
    assert sample.logits.shape[2] == 4
    assert sample.notes == ("class 2 counts as grass", "class 3 counts as grass")
    mask = dataset[0].mask
    labels = np.minimum(model.predict(dataset[0].image).labels, 2)[mask < 3]
    assert sample.counts[0, 2].tolist() == np.bincount(labels, minlength=3).tolist()
    ignored = sample_pixels(
        subject_of(dataset, ("ignored", "grass"), ("others", "nothing"), ("class 2", "nothing"))
    )
    # What is of no class of the truth has a place behind these.
    assert ignored.judged_as.tolist() == [0, 1, 2, 2]
    assert ignored.counts.shape == (5, 3, 2)
    assert set(np.unique(ignored.truth)) == {0, 1}
    joined = sample_pixels(
        subject_of(dataset, ("class 1", "class 1"), ("class 1", "grass"), ("others", "nothing"))
    )
    assert joined.judged_as.tolist() == [0, 1, 2, 2]
    assert joined.counts[:, 1].sum() == sum(np.count_nonzero(own.mask < 3) for own in dataset)


def test_label_maps_have_no_pixels_to_draw(subject_from):
    maps = {name: np.array([[0, 1], [1, 0]], np.uint8) for name in "ab"}
    with pytest.raises(DatasetError, match="files hold no scores of a model"):
        sample_pixels(subject_from(maps, maps))
