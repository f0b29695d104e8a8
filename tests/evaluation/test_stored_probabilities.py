from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import pixelwise as pw
from pixelwise.errors import ClassTableError, DatasetError, MaskFileError
from pixelwise.evaluation.choice import measures_of
from pixelwise.evaluation.evaluate import evaluate
from pixelwise.evaluation.opening import folder_subject, set_subjects, set_truth, source_of
from pixelwise.evaluation.report import make_report
from pixelwise.evaluation.stored_probabilities import read_stored, table_in
from pixelwise.geometry import Window


def softmax(classes=2, height=8, width=9, seed=0):
    scores = np.exp(np.random.default_rng(seed).normal(0, 1, (classes, height, width)))
    return (scores / scores.sum(0)).astype(np.float32)


@pytest.fixture
def folders(tmp_path, write_maps):
    """Three truths of two classes, and probabilities of the same names."""
    random = np.random.default_rng(3)
    true = {name: random.integers(0, 2, (8, 9)).astype(np.uint8) for name in "abc"}
    write_maps("true", true)
    (tmp_path / "true" / "classes.csv").write_text("id,name\n0,sky\n1,sea\n")
    (tmp_path / "found").mkdir()
    for seed, name in enumerate("abc"):
        np.save(tmp_path / "found" / f"{name}.npy", softmax(seed=seed))
    return tmp_path


def test_labels_are_the_likeliest_class_and_the_lowest_id_of_equal_ones(tmp_path, table_of):
    columns = [[0.25, 0.5, 0.25], [0.5, 0.5, 0.0], [0.2, 0.3, 0.5], [0.0, 0.5, 0.5]]
    layers = np.array(columns, np.float32).T[:, None]
    np.save(tmp_path / "x.npy", layers)
    stored = read_stored(tmp_path / "x.npy", table_of("a", "b", "c", first=4))
    assert stored.ids.tolist() == [[5, 4, 6, 5]]
    assert stored.confidence.tolist() == [[0.5] * 4]
    np.testing.assert_array_equal(stored.probabilities(Window(1, 0, 3, 1)), layers[:, :, 1:3])
    assert stored.probabilities() is stored.layers


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 7), st.integers(1, 9), st.integers(8, 20), st.integers(0, 9))
def test_labels_are_those_of_argmax(tmp_path_factory, table_of, classes, height, width, seed):
    # Few different values, so that many pixels have equal ones.
    parts = np.random.default_rng(seed).integers(1, 4, (classes, height, width))
    layers = (parts / parts.sum(0)).astype(np.float32)
    path = tmp_path_factory.mktemp("x") / "x.npy"
    np.save(path, layers)
    table = table_of(*(f"c{number}" for number in range(classes)), ignore_index=None)
    np.testing.assert_array_equal(read_stored(path, table).ids, layers.argmax(0))


def test_the_label_map_goes_before_the_likeliest_class(tmp_path, table_of):
    np.save(tmp_path / "x.npy", np.full((2, 1, 3), [[[0.75]], [[0.25]]], np.float32))
    ids = np.array([[0, 1, 255]], np.uint8)
    stored = read_stored(tmp_path / "x.npy", table_of("a", "b"), ids)
    assert stored.ids is ids
    assert stored.confidence.tolist() == [[0.75, 0.25, 0]]
    with pytest.raises(MaskFileError, match="differ in size") as caught:
        read_stored(tmp_path / "x.npy", table_of("a", "b"), ids.T)
    assert "probabilities 3×1 · label map 1×3" in caught.value.got


def test_files_of_other_classes_are_refused(tmp_path, table_of):
    np.savez(tmp_path / "x.npz", probabilities=softmax(), ids=[0, 1], names=["a", "c"])
    with pytest.raises(MaskFileError, match="of other classes") as caught:
        read_stored(tmp_path / "x.npz", table_of("a", "b"))
    assert caught.value.got == "0 a, 1 c · expected 0 a, 1 b"


def test_the_first_file_that_can_be_read_names_the_classes(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"")
    np.savez(tmp_path / "b.npz", probabilities=softmax(), ids=[3, 5], names=["low", "high"])
    np.save(tmp_path / "c.npy", softmax())
    table = table_in([tmp_path / "a.npz", tmp_path / "b.npz"])
    assert (table.ids, table.names) == ((3, 5), ("low", "high"))
    assert table_in([tmp_path / "c.npy", tmp_path / "b.npz"]) is None
    np.savez(tmp_path / "d.npz", probabilities=softmax(), ids=[5, 3], names=["high", "low"])
    assert table_in([tmp_path / "d.npz"]).names == ("low", "high")
    np.testing.assert_array_equal(read_stored(tmp_path / "d.npz", table).layers, softmax()[::-1])
    assert table_in([]) is None


def test_probabilities_alone_are_judged(folders):
    subject = folder_subject(folders / "found", folders / "true")
    assert subject.predictions.facts["predictions"] == "probabilities in found"
    names = [measure.name for measure in measures_of(subject)]
    assert names == ["overlap", "borders", "calibration", "thresholds"]
    evaluation = evaluate(subject, measures_of(subject))
    assert not evaluation.faults
    wrong = sum(
        np.count_nonzero(
            softmax(seed=seed).argmax(0) != np.asarray(Image.open(folders / "true" / f"{name}.png"))
        )
        for seed, name in enumerate("abc")
    )
    assert evaluation.overall["pixel_accuracy"].value == pytest.approx(1 - wrong / (3 * 72))
    assert evaluation.overall["ece"].value > 0


def test_all_files_that_hold_none_are_told_and_the_others_judged(folders):
    broken = softmax()
    broken[0, 0, 0] = np.nan
    np.save(folders / "found" / "a.npy", broken)
    np.save(folders / "found" / "c.npy", softmax(height=4))
    subject = folder_subject(folders / "found", folders / "true")
    evaluation = evaluate(subject, measures_of(subject))
    assert evaluation.names == ("b",)
    assert [fault.file for fault in evaluation.faults] == ["a", "c"]
    assert "NaN" in evaluation.faults[0].got
    assert "prediction 9×4 · truth 9×8" in evaluation.faults[1].got
    np.save(folders / "found" / "b.npy", softmax(classes=3))
    with pytest.raises(DatasetError, match="no picture can be judged") as caught:
        evaluate(folder_subject(folders / "found", folders / "true"))
    for text in ("a: ", "b: ", "c: ", "NaN", "[3, 8, 9]", "differ in size"):
        assert text in caught.value.got


def test_label_maps_and_probabilities_pair(folders, write_maps):
    maps = {name: softmax(seed=seed).argmax(0).astype(np.uint8) for seed, name in enumerate("abd")}
    write_maps("found", maps)
    with pytest.raises(DatasetError, match="do not pair") as caught:
        folder_subject(folders / "found", folders / "true")
    assert caught.value.got.splitlines() == [
        "label map without probabilities (1): d",
        "  probabilities without label map (1): c",
    ]
    (folders / "found" / "d.png").rename(folders / "found" / "c.png")
    subject = folder_subject(folders / "found", folders / "true")
    assert subject.predictions.facts["predictions"] == "label maps and probabilities in found"
    np.testing.assert_array_equal(subject.read(0).labels, maps["a"])
    np.testing.assert_array_equal(subject.read(2).segmentation.layers, softmax(seed=2))


def test_the_hash_is_of_all_files(folders):
    def told():
        return folder_subject(folders / "found", folders / "true").predictions.facts

    before = told()["predictions_hash"]
    np.save(folders / "found" / "b.npy", softmax(seed=9))
    assert told()["predictions_hash"] != before


def test_the_names_in_the_files_are_the_classes(folders):
    for name in "abc":
        (folders / "found" / f"{name}.npy").unlink()
        np.savez(folders / "found" / f"{name}.npz", probabilities=softmax(), ids=[1, 0], names="ab")
    with pytest.raises(pw.PixelwiseError):
        evaluate(folder_subject(folders / "found", folders / "true"))
    for name in "abc":
        path = folders / "found" / f"{name}.npz"
        np.savez(path, probabilities=softmax(), ids=[0, 1], names=["sky", "water"])
    with pytest.raises(ClassTableError, match="do not match"):
        folder_subject(folders / "found", folders / "true")
    subject = folder_subject(folders / "found", folders / "true", [("water", "sea")])
    assert len(evaluate(subject).names) == 3
    (folders / "true" / "classes.csv").unlink()
    assert folder_subject(folders / "found", folders / "true").classes.names == ("sky", "water")


def test_what_predict_wrote_is_judged_as_its_model_is(
    tmp_path, make_model, make_photos, pointwise, command
):
    network = pointwise(weights=np.eye(4, 3, dtype=np.float32) / 60, bias=np.ones(4, np.float32))
    model = make_model(network=network)
    root = make_photos(tmp_path / "set" / "images", "a.png", "b.png").parent
    (root / "masks").mkdir()
    random = np.random.default_rng(2)
    for name in ("a.png", "b.png"):
        Image.fromarray(random.integers(0, 2, (12, 16)).astype(np.uint8)).save(
            root / "masks" / name
        )
    (root / "classes.csv").write_text("id,name\n0,low\n1,high\n")
    out = tmp_path / "out"
    assert (
        command("predict", root / "images", "--model", model, "-o", out, "--probabilities")[0] == 0
    )
    rules = [("class 0", "low"), ("class 1", "low"), ("class 2", "high"), ("class 3", "high")]
    truth = set_truth(pw.data.open(root), None)
    sources = [source_of(str(place)) for place in (model, out)]
    subjects = set_subjects(sources, truth, rules, loaded=pw.load)
    own, stored = (make_report(subject) for subject in subjects)
    assert {"ece", "brier", "auc", "best_dice"} <= own.evaluation.overall.keys()
    for key, estimate in own.evaluation.overall.items():
        other = stored.evaluation.overall[key]
        assert other.value == pytest.approx(estimate.value, rel=1e-5, abs=1e-7), key
    assert [each.suspect.box for each in stored.doubted] == [
        each.suspect.box for each in own.doubted
    ]
    assert stored.calibration.pixels == own.calibration.pixels
