"""Models whose classes lie over each other: predicting, from the call and from the command."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import pixelwise as pw
from pixelwise.errors import EngineError, UsageError
from pixelwise.formats.masks import read_mask
from pixelwise.inference.card import Postprocessing
from pixelwise.inference.pixel_source import ArraySource
from pixelwise.inference.predictor import load
from pixelwise.inference.tile_plan import plan_tiles
from pixelwise.inference.tiles import stream_tiles

WEIGHTS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0]], np.float32) / 16
BIAS = np.array([-4, -8, -12, -30], np.float32)
THRESHOLDS = (0.5, 0.25, 0.9, 0.5)
SIGMOID = Postprocessing(alignment="half_pixel", activation="sigmoid", thresholds=THRESHOLDS)


@pytest.fixture
def several(make_model, pointwise, make_card):
    """A file of four classes; the last is in no picture."""

    def make(name="several.onnx", **options):
        network = pointwise(WEIGHTS, BIAS, **options)
        return make_model(name, network=network, card=make_card(postprocessing=SIGMOID))

    return make


@pytest.fixture
def work(tmp_path, monkeypatch, make_photos):
    monkeypatch.chdir(tmp_path)
    return make_photos(tmp_path / "photos", "a.png", "sub/b.png")


def opened(path):
    return np.asarray(Image.open(path))


def expected_masks(picture):
    logits = np.moveaxis(picture @ WEIGHTS.T + BIAS, -1, 0).astype(np.float64)
    return 1 / (1 + np.exp(-logits)) >= np.array(THRESHOLDS)[:, None, None]


def test_each_class_has_its_own_threshold(several, work):
    picture = opened(work / "a.png")
    seg = load(several(), engine="onnxruntime").predict_multi_label(work / "a.png")
    np.testing.assert_array_equal(seg.masks(), expected_masks(picture))
    assert seg.masks().sum(axis=0).max() == 3
    assert seg.thresholds == THRESHOLDS
    np.testing.assert_array_equal(seg.image, picture)


def test_tiles_and_flips_change_nothing_of_a_pointwise_model(several, work):
    model = load(several(), engine="onnxruntime")
    whole = model.predict_multi_label(work / "a.png")
    tiled = model.predict_multi_label(work / "a.png", tile=8, overlap=0.5, tta="flips")
    np.testing.assert_allclose(tiled.scores, whole.scores, rtol=1e-5, atol=1e-5)
    assert "flips" in tiled.provenance.settings


def test_views_are_averaged_as_probabilities(several, work):
    # With every second pixel, the mirrored picture gives other scores.
    model = load(several(stride=2), engine="onnxruntime")
    picture = opened(work / "a.png")[:, :15]
    views = (picture, picture[:, ::-1])
    one, two = (model.predict_multi_label(np.ascontiguousarray(view)).scores for view in views)
    mean = (
        1 / (1 + np.exp(-one.astype(float))) + 1 / (1 + np.exp(-two[..., ::-1].astype(float)))
    ) / 2
    both = model.predict_multi_label(picture, tta="mirror")
    found = 1 / (1 + np.exp(-both.scores.astype(float)))
    np.testing.assert_allclose(found, mean, rtol=1e-5, atol=1e-7)


def test_sure_logits_keep_their_size(make_model, pointwise, make_card, work):
    network = pointwise(WEIGHTS * 0, np.array([90, -90, 30, 0], np.float32))
    path = make_model(network=network, card=make_card(postprocessing=SIGMOID))
    seg = load(path, engine="onnxruntime").predict_multi_label(work / "a.png", tta="flips")
    np.testing.assert_allclose(seg.scores[:, 0, 0], [90, -90, 30, 0], atol=1e-4)


def test_calls_for_one_label_refuse_and_name_the_other(several, make_model, work):
    model = load(several(), engine="onnxruntime")
    calls = (
        lambda: model.predict("no file is read"),
        lambda: model.predict_batch(["no file is read"]),
        lambda: pw.stream(["no file is read"], model=model),
    )
    for call in calls:
        with pytest.raises(UsageError, match="predict_multi_label"):
            call()
    picture = opened(work / "a.png")
    plan = plan_tiles(picture.shape[:2], model, tile=8)
    with pytest.raises(UsageError, match="predict_multi_label"):
        stream_tiles(model, ArraySource(picture), plan)
    with pytest.raises(UsageError, match="call predict"):
        load(make_model(), engine="onnxruntime").predict_multi_label(picture)


def test_scores_that_are_no_numbers_are_the_network_s(make_model, pointwise, make_card, work):
    network = pointwise(WEIGHTS, BIAS * np.float32(np.nan))
    path = make_model(network=network, card=make_card(postprocessing=SIGMOID))
    with pytest.raises(EngineError, match="cannot be used"):
        load(path, engine="onnxruntime").predict_multi_label(work / "a.png")


def test_the_command_writes_a_mask_for_each_class(several, work, command):
    model = several()
    code, out, _ = command("predict", work, "--model", model, "--probabilities", "--layers")
    assert code == 0
    assert "out/masks" in out
    for name in ("a", "sub/b"):
        expected = expected_masks(opened(work / f"{name}.png"))
        for number in range(4):
            mask = read_mask(f"out/masks/class {number}/{name}.png")
            np.testing.assert_array_equal(mask, expected[number] * np.uint8(255))
    with np.load("out/probabilities/sub/b.npz") as stored:
        assert stored["probabilities"].shape == (4, 12, 16)
    assert opened("out/overlays/a.png").shape[0] > 12
    assert "2 already there" in command("predict", work, "--model", model)[1]


def test_masks_that_are_gone_are_made_again_and_others_stay(several, work, command, tmp_path):
    model = several()
    assert command("predict", work, "--model", model)[0] == 0
    gone = tmp_path / "out/masks/class 1/a.png"
    before = gone.read_bytes()
    gone.unlink()
    assert command("predict", work, "--model", model)[0] == 0
    assert gone.read_bytes() == before
    Image.fromarray(np.zeros((12, 16), np.uint8)).save(gone)
    code, _, error = command("predict", work, "--model", model, "--overwrite")
    assert code == 1
    assert "no result of pixelwise" in error
    assert not read_mask(gone).any()


def test_json_and_the_scores_of_a_pixel(several, work, command):
    picture = work / "a.png"
    code, out, _ = command("predict", picture, "--model", several(), "--json", "--at", "3,2")
    assert code == 0
    (entry,) = json.loads(out)["pictures"]
    assert entry["outputs"] == {"masks": "out/masks", "overlay": "out/overlays/a.png"}
    assert [each["threshold"] for each in entry["classes"]]
    logit = opened(picture)[2, 3] @ WEIGHTS[0] + BIAS[0]
    assert entry["at"]["class 0"] == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-5)


def test_rasters_are_refused_before_anything_is_made(several, work, command, tmp_path):
    photo = Image.open(work / "a.png")
    photo.save(tmp_path / "a.tif")
    code, _, error = command("predict", "a.tif", "--model", several(), "--memory", "1G")
    assert code == 2
    assert "lie over each other" in error
    assert not (tmp_path / "out").exists()


def test_the_card_is_shown_with_its_thresholds(several, command):
    out = command("models", several())[1]
    assert "sigmoid of each class, thresholds 0.25 to 0.9" in " ".join(out.split())
