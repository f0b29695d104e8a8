from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
from PIL import Image

import pixelwise as pw
from pixelwise.cli.refinement import for_model, superpixels
from pixelwise.errors import UsageError
from pixelwise.formats.masks import read_mask
from pixelwise.refine.plan import Refinement

HAS_SKIMAGE = importlib.util.find_spec("skimage") is not None


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def predict(work, make_model, make_photos, command):
    """`pixelwise predict` of one picture with a model of the classes 0 … 3."""
    model = make_model()
    make_photos(work, "a.png", size=(24, 32))

    def run(*arguments):
        return command("predict", "--model", model, "--engine", "onnxruntime", *arguments)

    run.model = pw.load(model, engine="onnxruntime")
    return run


def test_the_flags_are_the_functions_in_their_order(work, predict):
    flags = ("--min-area", 5, "--fill-holes", "Class 1", "--fill-holes", "class 2", "--smooth", 1)
    flags += ("--keep-largest", "class 0", "--refine", "crf:iterations=2,position_deviation=9")
    code, out, error = predict("a.png", "--json", "--probabilities", *flags)
    assert (code, error) == (0, "")
    made = pw.refine.crf(predict.model.predict("a.png"), iterations=2, position_deviation=9)
    probabilities = made.probabilities()
    made = pw.refine.fill_holes(pw.refine.fill_holes(pw.refine.smooth(made, 1), 1), 2)
    made = pw.refine.min_area(pw.refine.keep_largest(made, 0), 5)
    np.testing.assert_array_equal(read_mask("out/labels/a.png"), made.labels)
    with np.load("out/probabilities/a.npz") as stored:
        np.testing.assert_array_equal(stored["probabilities"], probabilities)
    (picture,) = json.loads(out)["pictures"]
    assert picture["provenance"]["refined"] == list(made.provenance.refined)
    assert picture["tags"] == list(made.tags)


def test_a_result_of_another_refinement_is_in_the_way(work, predict):
    first = ("--refine", "guided:radius=2", "--min-area", 3)
    assert predict("a.png", *first)[0] == 0
    before = read_mask("out/labels/a.png")
    for same in (first, ("--refine", "guided:radius=2,smoothing=0.001", "--min-area", 3)):
        code, out, _ = predict("a.png", *same)
        assert code == 0
        assert "1 already there" in out
    for other in ((), first[:2], ("--refine", "guided", "--min-area", 3), (*first, "--smooth", 1)):
        code, _, error = predict("a.png", *other)
        assert code == 1
        assert "another picture, model or setting" in error
        np.testing.assert_array_equal(read_mask("out/labels/a.png"), before)
    assert predict("a.png", "--overwrite")[0] == 0
    assert (read_mask("out/labels/a.png") != before).any()
    # Doing nothing is what results without these options are.
    assert "1 already there" in predict("a.png", "--refine", "none")[1]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--fill-holes", "clas 1", "--keep-largest", "moon"), ("'clas 1': did you", "'moon'")),
        (("--refine", "crff:x=1", "--smooth", 1001), ("did you mean crf?", "smooth=1001")),
        (("--refine", "crf:iteration=1,smooth_weight=nan"), ("did you mean iter", "=nan")),
        (("--refine", "crf:colour_deviation=0.001"), ("=0.001, expected a number from 0.01",)),
        (("--snap", "pixels"), ("did you mean superpixels",)),
        (("--min-area", -1), ("min_area=-1",)),
        (("--min-area", "many"), ("--min-area",)),
    ],
)
def test_what_cannot_be_ends_before_anything_is_done(work, predict, flags, said):
    code, out, error = predict("a.png", *flags)
    assert (code, out) == (2, "")
    assert all(each in error for each in said)
    assert not (work / "out").exists()


def test_classes_that_are_not_there_are_refused_before_ray_starts(work, predict):
    pytest.importorskip("ray")
    pytest.importorskip("pyarrow")
    code, out, error = predict("a.png", "--fill-holes", "moon", "--ray=local")
    assert (code, out) == (2, "")
    assert "'moon'" in error
    assert not (work / "out").exists()


@pytest.mark.skipif(not HAS_SKIMAGE, reason="needs the extra classical")
def test_labels_snap_to_superpixels(work, predict):
    quarters = np.array([[(20, 30, 200), (210, 40, 30)], [(30, 190, 60), (90, 90, 90)]])
    noise = np.random.default_rng(0).normal(0, 8, (64, 96, 3))
    image = quarters.repeat(32, 0).repeat(48, 1) + noise
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save("quarters.png")
    assert predict("quarters.png", "--snap", "superpixels")[0] == 0
    before = predict.model.predict("quarters.png")
    regions = superpixels(before.image)
    assert 4 <= len(np.unique(regions)) <= 2 * 64 * 96 / 256
    snapped = pw.refine.snap(before, regions)
    np.testing.assert_array_equal(read_mask("out/labels/quarters.png"), snapped.labels)
    assert (snapped.labels != before.labels).any()


def test_superpixels_without_scikit_image(work, predict, monkeypatch):
    monkeypatch.setattr("pixelwise.classical.methods.find_spec", lambda _: None)
    code, _, error = predict("a.png", "--snap", "superpixels")
    assert code == 2
    assert 'pip install "pixelwise[classical]"' in error
    assert not (work / "out").exists()


def test_models_of_several_labels_a_pixel_are_refused(make_card):
    card = make_card()
    several = card.model_copy(
        update={"postprocessing": card.postprocessing.model_copy(update={"activation": "sigmoid"})}
    )
    with pytest.raises(UsageError, match="lie over each other") as caught:
        for_model(Refinement("crf", {"iterations": 3}), several)
    assert caught.value.got == "--refine crf:iterations=3"
    assert for_model(Refinement(), several) == Refinement()
