from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data import open as open_dataset
from pixelwise.errors import ClassTableError, UsageError
from pixelwise.evaluation.evaluate import evaluate_layers
from pixelwise.evaluation.layer_measures import layer_measures_of
from pixelwise.evaluation.layer_opening import layer_subjects, tells_layers
from pixelwise.evaluation.opening import Source, set_truth
from pixelwise.inference.predictor import load

NAMES = ("red", "dark", "bright")


def loaded(path):
    return load(path, threads=1)


@pytest.fixture
def truth(layered):
    return set_truth(open_dataset(layered / "data"), None)


@pytest.fixture
def softmax(layered, make_model, pointwise):
    """A model of one class a pixel, with a background besides."""

    def make(*names, rows=4):
        infos = [ClassInfo(n, name, (60 * n, 5, 200)) for n, name in enumerate(names)]
        weights = np.eye(4, 3)[:rows] * 0.01
        return make_model(
            "softmax.onnx",
            network=pointwise(weights, np.zeros(rows)),
            table=ClassTable("one", tuple(infos), None, "made for a test"),
        )

    return make


def judged(source, truth, rules=()):
    (subject,) = layer_subjects([source], truth, rules, loaded=loaded)
    return evaluate_layers(subject, layer_measures_of(subject))


def test_a_truth_and_a_prediction_say_whether_they_have_layers(layered, truth, softmax, tmp_path):
    assert truth.dataset.holds_several
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "a.png")
    sigmoid = Source(str(layered / "sigmoid.onnx"), None)
    single = Source(str(softmax(*NAMES, rows=3)), None)
    folder = Source("", layered / "data" / "masks")
    labels = Source("", layered / "data" / "images")
    found = [tells_layers(own, truth.classes, loaded) for own in (sigmoid, single, folder, labels)]
    assert found == [True, False, True, False]


def test_a_truth_of_one_class_a_pixel_is_layers_too(layered, make_photos):
    photos = make_photos(layered / "single" / "images", "a.png", "b.png")
    (layered / "single" / "masks").mkdir()
    for number, name in enumerate(("a", "b")):
        ids = np.random.default_rng(number).integers(0, 3, (12, 16), np.uint8)
        Image.fromarray(ids).save(photos.parent / "masks" / f"{name}.png")
    table = layered / "classes.txt"
    table.write_text("\n".join(NAMES))
    truth = set_truth(open_dataset(photos.parent, classes=table), None)
    assert not truth.dataset.holds_several
    evaluation = judged(Source(str(layered / "sigmoid.onnx"), None), truth)
    assert evaluation.counts["overlap"][:, 1].sum(1).tolist() == [192, 192]


def test_one_class_a_pixel_is_one_layer_and_its_background_none(truth, softmax):
    evaluation = judged(Source(str(softmax("background", *NAMES)), None), truth)
    assert evaluation.subject.match.notes == ("background counts as nothing",)
    assert {measure.name for measure in evaluation.measures} == {
        "overlap",
        "pixel_precision",
        "tags",
    }
    assert all(each.value is None for each in evaluation.by_class["threshold"])
    found = evaluation.counts["overlap"][:, 2].sum(1)
    assert (found < 320).all()
    assert "one class a pixel" in evaluation.subject.predictions.facts["predictions"]


def test_other_classes_are_told_and_can_be_mapped(truth, softmax):
    source = Source(str(softmax("red", "dark", "light", rows=3)), None)
    with pytest.raises(ClassTableError, match="do not match"):
        judged(source, truth)
    evaluation = judged(source, truth, [("light", "bright")])
    assert evaluation.classes.names == ("bright", "dark", "red")
    ignoring = judged(source, truth, [("light", "nothing"), ("ignored", "bright")])
    assert ignoring.classes.names == ("dark", "red")
    assert ignoring.ignored == 0


def test_masks_in_folders_and_label_maps_and_probabilities(layered, truth):
    same = judged(Source("", layered / "data" / "masks"), truth)
    assert same.overall["mean_iou"].value == 1
    assert [measure.name for measure in same.measures] == ["overlap"]
    model = loaded(layered / "sigmoid.onnx")
    own = judged(Source(str(layered / "sigmoid.onnx"), None), truth)
    for place in ("alone", "out/probabilities", "out/labels"):
        (layered / place).mkdir(parents=True)
    for number in range(12):
        image = truth.read_layers(number).image
        found = model.predict_multi_label(image)
        np.savez(
            layered / "alone" / f"p{number:02}.npz",
            probabilities=found.probabilities(),
            ids=np.array(model.classes.ids),
            names=np.array(model.classes.names),
        )
        whole = found.probabilities()
        np.save(layered / "out" / "probabilities" / f"p{number:02}.npy", whole / whole.sum(0))
        best = found.probabilities().argmax(0).astype(np.uint8)
        Image.fromarray(best).save(layered / "out" / "labels" / f"p{number:02}.png")
    alone = judged(Source("", layered / "alone"), truth)
    for key, estimate in own.overall.items():
        assert alone.overall[key] == estimate
    # With label maps beside them the label of a pixel is its one class.
    both = judged(Source("", layered / "out"), truth)
    assert both.counts["overlap"][:, 2].sum(1).tolist() == [320] * 12
    assert 0 < both.overall["mean_average_precision"].value < 1


def test_a_file_of_objects_is_refused(truth, tmp_path):
    with pytest.raises(UsageError, match="file of objects"):
        judged(Source("", None, objects=tmp_path / "found.json"), truth)
    assert not tells_layers(
        Source("", None, objects=tmp_path / "found.json"), truth.classes, loaded
    )
