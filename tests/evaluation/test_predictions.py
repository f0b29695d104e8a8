from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pixelwise as pw
from pixelwise.data.drawing import IGNORED
from pixelwise.data.faults import Fault
from pixelwise.errors import ClassTableError, DatasetError, OutOfMemoryError
from pixelwise.evaluation.predictions import judge, subject_of
from pixelwise.evaluation.sources import FileTruth, SetTruth, Stored

TRUE = {name: np.array([[0, 1, 255], [1, 1, 0]], np.uint8) for name in "abcd"}


def test_pictures_come_in_order_with_channels(subject_from, table_of):
    table = table_of("x", "y")
    found = {name: np.full((2, 3), number % 2, np.uint8) for number, name in enumerate("abcd")}
    subject = subject_from(TRUE, found, table)
    for workers in (0, 3):
        seen = list(judge(subject, lambda judged: judged, workers=workers))
        assert [each.name for each in seen] == list("abcd")
        for each in seen:
            np.testing.assert_array_equal(each.truth, [[0, 1, IGNORED], [1, 1, 0]])
            assert np.unique(each.labels).tolist() == [each.place % 2]
            assert each.image is each.instances is each.segmentation is None


def test_what_cannot_be_judged_is_a_fault_in_its_place(subject_from, table_of):
    found = {
        "a": TRUE["a"],
        "b": np.zeros((3, 2), np.uint8),
        "c": np.full((2, 3), 9, np.uint8),
        "d": TRUE["d"],
    }
    subject = subject_from(TRUE, found, table_of("x", "y"))
    Path(subject.predictions.files[3]).write_bytes(b"no picture")
    seen = list(judge(subject, lambda judged: judged.name, workers=2))
    assert seen[0] == "a"
    assert all(isinstance(each, Fault) for each in seen[1:])
    assert [each.file for each in seen[1:]] == ["b", "c", "d"]
    assert seen[1].got == "prediction 2×3 · truth 3×2 (width × height)"
    assert "9 × 6" in seen[2].got


def test_some_places_and_progress(subject_from):
    moved = []
    subject = subject_from(TRUE, TRUE)
    seen = judge(subject, lambda each: each.name, places=[3, 1], workers=0, progress=moved.append)
    assert list(seen) == ["d", "b"]
    assert moved == [1, 1]


def test_lack_of_memory_is_no_fault_of_a_picture(subject_from):
    def work(_):
        raise OutOfMemoryError("too large")

    with pytest.raises(OutOfMemoryError):
        list(judge(subject_from(TRUE, TRUE), work, workers=2))


def test_pairs_and_classes_are_checked_before_anything_is_read(subject_from, table_of):
    with pytest.raises(DatasetError) as caught:
        subject_from(TRUE, {"a": TRUE["a"], "e": TRUE["a"]})
    assert "b, c, d" in caught.value.got
    truths = FileTruth(Path("t"), {"a": Path("t/a.png")}, table_of("x", "y"))
    with pytest.raises(ClassTableError):
        subject_of(truths, Stored(Path("p"), {"a": Path("p/a.png")}, table_of("x", "z")))
    with pytest.raises(DatasetError, match="no picture"):
        subject_of(FileTruth(Path("t"), {}, table_of("x")), Stored(Path("p"), {}, table_of("x")))


def test_the_hash_is_that_of_the_names_alone(subject_from):
    one = subject_from(TRUE, TRUE)
    other = subject_from(
        dict(reversed(TRUE.items())), {name: 1 - ids % 2 for name, ids in TRUE.items()}
    )
    assert one.picture_hash() == other.picture_hash()
    fewer = {name: TRUE[name] for name in "abc"}
    assert subject_from(fewer, fewer).picture_hash() != one.picture_hash()


@pytest.fixture
def photos(tmp_path, make_photos, expected_labels, make_table):
    """A data set of noise whose truth is what the toy model says."""
    root = tmp_path / "set"
    make_photos(root / "images", "a.png", "b.png")
    for name in "ab":
        image = np.asarray(Image.open(root / "images" / f"{name}.png"))
        (root / "masks").mkdir(exist_ok=True)
        Image.fromarray(expected_labels(image).astype(np.uint8)).save(
            root / "masks" / f"{name}.png"
        )
    return pw.data.open(root, classes=make_table(0, 1, 2, 3))


def test_a_model_judged_by_a_data_set(photos, make_model):
    model = pw.load(make_model(), engine="onnxruntime")
    truths = SetTruth(photos, "", tuple(entry.name for entry in photos.entries))
    subject = subject_of(truths, model)
    seen = list(judge(subject, lambda judged: judged, workers=2))
    assert len(seen) == 2
    for each, sample in zip(seen, photos, strict=True):
        np.testing.assert_array_equal(each.labels, each.truth)
        np.testing.assert_array_equal(each.image, sample.image)
        assert each.segmentation.size == each.truth.shape
    assert subject.predictions.facts["model_hash"] == model.sha256
    assert subject.truths.facts == {"data": "set (folders)", "split": "all pictures"}


def test_scores_that_are_no_numbers_are_told(photos, make_model, pointwise):
    weights = np.full((4, 3), np.nan, np.float32)
    model = pw.load(make_model(network=pointwise(weights=weights)), engine="onnxruntime")
    subject = subject_of(SetTruth(photos, "", ()), model)
    seen = list(judge(subject, lambda judged: judged, workers=0))
    assert [each.got for each in seen] == ["scores that are not finite"] * 2


def test_a_model_needs_pictures(make_model, make_table):
    model = pw.load(make_model(), engine="onnxruntime")
    truths = FileTruth(Path("t"), {"a": Path("t/a.png")}, make_table(0, 1, 2, 3))
    subject = subject_of(truths, model)
    with pytest.raises(DatasetError, match="needs pictures"):
        subject.predictions.read(0, None)
