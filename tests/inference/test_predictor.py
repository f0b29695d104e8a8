from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelwise.errors import ArrayError, EngineError, ImageFileError, UsageError
from pixelwise.export.onnx import write_card
from pixelwise.inference.card import Resize
from pixelwise.inference.predictor import load

SIZES = st.one_of(
    st.sampled_from([(1, 1), (1, 37), (41, 1), (33, 33), (32, 65)]),
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
)
OWN_SIZE = {
    "none": {},
    "corners": {"alignment": "corners"},
    "32k": {"multiple": 32},
    "32k + 1": {"multiple": 32, "remainder": 1, "alignment": "corners"},
}
RESIZED = {
    "none": Resize(rule="none"),
    "exact": Resize(rule="exact", size=(64, 64)),
    "exact, odd": Resize(rule="exact", size=(45, 52)),
    "area": Resize(rule="area", pixels=64 * 64),
    "area, small": Resize(rule="area", pixels=1000),
}


def noise(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def load_alone(path):
    return load(path, engine="onnxruntime", threads=1)


@pytest.fixture(scope="module", params=OWN_SIZE)
def own_size(request, tmp_path_factory, pointwise, make_card):
    path = tmp_path_factory.mktemp("rules") / "toy.onnx"
    write_card(pointwise(), make_card(**OWN_SIZE[request.param]), path)
    return load_alone(path)


@pytest.fixture(scope="module", params=RESIZED)
def resized(request, tmp_path_factory, pointwise, make_card):
    path = tmp_path_factory.mktemp("rules") / "toy.onnx"
    write_card(pointwise(), make_card(resize=RESIZED[request.param]), path)
    return load_alone(path)


@settings(max_examples=25)
@given(size=SIZES, seed=st.integers(0, 99))
def test_every_pixel_gets_its_own_class(own_size, expected_labels, size, seed):
    picture = noise(size, seed)
    labels = own_size.predict(picture).labels
    assert labels.shape == size
    np.testing.assert_array_equal(labels, expected_labels(picture))


@settings(max_examples=15)
@given(size=SIZES)
def test_the_answer_has_the_size_of_the_picture(resized, size):
    segmentation = resized.predict(noise(size))
    assert segmentation.size == segmentation.labels.shape == size
    assert segmentation.confidence.shape == size


@pytest.mark.parametrize("rule", ["32k", "32k + 1"])
def test_padding_stays_outside(make_model, make_table, pointwise, rule):
    """The network takes the zeros of the padding for class 1, the picture's ones for class 0."""
    weights = np.array([[1000, 0, 0], [0, 0, 0]], np.float32)
    network = pointwise(weights, np.array([0, 500], np.float32))
    model = load_alone(make_model(network=network, table=make_table(0, 1), **OWN_SIZE[rule]))
    for size in ((1, 1), (33, 34), (31, 64)):
        assert not model.predict(np.ones((*size, 3), np.uint8)).labels.any()


@pytest.fixture
def step_models(make_model, make_table, pointwise):
    """Class 1 where a picture is lighter than grey 128: full grid, mean of cells, every 4th."""

    def make(resize):
        weights = np.array([[0, 0, 0], [1, 1, 1]], np.float32)
        grids = {
            "full": ({}, {}),
            "cells": ({"pool": 4}, {"multiple": 4}),
            "corners": ({"stride": 4}, {"multiple": 4, "remainder": 1, "alignment": "corners"}),
        }
        for name, (grid, card) in grids.items():
            # Padding then has the grey of the border and takes no side.
            facts = card | {"table": make_table(0, 1), "mean": (128.0,) * 3, "resize": resize}
            network = pointwise(weights, np.zeros(2), **grid)
            yield name, load_alone(make_model(f"{name}.onnx", network=network, **facts))

    return make


@pytest.mark.parametrize("resize", RESIZED.values(), ids=RESIZED)
def test_an_edge_is_not_shifted(step_models, resize):
    """A ramp crosses the grey between the classes at a known line; so must the labels."""
    for name, model in step_models(resize):
        for height, width in ((32, 48), (37, 21), (21, 100)):
            y, x = np.indices((height, width), np.float64)
            y -= (height - 1) / 2 + 0.7
            x -= (width - 1) / 2 - 1.4
            slanted = (x * height + y * width) / np.hypot(height, width)
            for direction, distance in {"right": x, "down": y, "slanted": slanted}.items():
                grey = np.clip(128 + 2 * distance, 0, 255).round().astype(np.uint8)
                labels = model.predict(np.repeat(grey[..., None], 3, axis=2)).labels
                # Half a pixel, and the rounding of the ramp.
                wrong = (labels != (distance > 0)) & (np.abs(distance) > 0.75)
                # At the rim the mean of a cell takes in padding.
                inner = wrong[height // 4 : -height // 4, width // 4 : -width // 4]
                assert not inner.any(), (name, direction, height, width)


def smooth(size, seed):
    small = Image.fromarray(noise((5, 5), seed))
    return np.asarray(small.resize(size[::-1], Image.Resampling.BICUBIC))


@pytest.mark.parametrize("axis", [0, 1])
def test_flips_commute(resized, axis):
    picture = smooth((61, 40), 3)
    straight = resized.predict(picture).labels
    flipped = resized.predict(np.ascontiguousarray(np.flip(picture, axis))).labels
    assert (np.flip(flipped, axis) != straight).mean() < 0.005


def test_bgr_networks_see_blue_first(make_model, expected_labels):
    model = load_alone(make_model(colour_order="BGR"))
    picture = noise((9, 9))
    expected = expected_labels(picture[..., ::-1])
    np.testing.assert_array_equal(model.predict(picture).labels, expected)
    assert (expected != expected_labels(picture)).any()


def test_the_scale_of_the_card_counts(make_model):
    """Scaled to 0..1, all bands stay below the 60 of class 3."""
    model = load_alone(make_model(scale=1 / 255))
    assert (model.predict(noise((5, 5))).labels == 3).all()


def test_all_kinds_of_pictures_give_the_same(make_model, tmp_path):
    model = load_alone(make_model())
    picture = noise((20, 30))
    path = tmp_path / "picture.png"
    Image.fromarray(picture).save(path)
    expected = model.predict(picture).labels
    for source in (path, str(path), path.read_bytes(), Image.open(path), Image.fromarray(picture)):
        np.testing.assert_array_equal(model.predict(source).labels, expected)


def test_exif_orientation_turns_the_picture(make_model, expected_labels):
    picture = noise((20, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", exif=exif)
    labels = load_alone(make_model()).predict(buffer.getvalue()).labels
    np.testing.assert_array_equal(labels, expected_labels(np.rot90(picture, -1)))


def test_a_batch_keeps_its_order(make_model, expected_labels):
    model = load_alone(make_model(multiple=8))
    pictures = [noise(size, seed) for seed, size in enumerate([(8, 8), (3, 5), (8, 8), (7, 6)])]
    for picture, answer in zip(pictures, model.predict_batch(iter(pictures)), strict=True):
        np.testing.assert_array_equal(answer.labels, expected_labels(picture))
        np.testing.assert_array_equal(answer.image, picture)


def test_an_empty_batch_has_no_answers(make_model):
    assert load_alone(make_model()).predict_batch([]) == []


def test_the_arrays_of_the_caller_stay_as_they_are(make_model):
    picture = noise((4, 4))
    segmentation = load_alone(make_model()).predict(picture)
    assert picture.flags.writeable
    assert not segmentation.image.flags.writeable


def test_many_threads_get_their_own_answers(make_model, expected_labels):
    model = load_alone(make_model())
    pictures = [noise((20 + seed % 3, 30), seed) for seed in range(24)]
    with ThreadPoolExecutor(6) as pool:
        for picture, answer in zip(pictures, pool.map(model.predict, pictures), strict=True):
            np.testing.assert_array_equal(answer.labels, expected_labels(picture))


def test_the_result_says_where_it_came_from(make_model, tmp_path):
    model = load(make_model(multiple=8), engine="onnxruntime")
    Image.fromarray(noise((5, 9))).save(tmp_path / "a.png")
    provenance = model.predict(tmp_path / "a.png").provenance
    assert provenance.model == "toy"
    assert provenance.model_hash == model.sha256
    assert len(model.sha256) == 64
    assert provenance.engine == "onnxruntime cpu float32"
    assert provenance.network_size == (8, 16)
    assert "a.png" in provenance.source
    assert repr(model) == "Model('toy', 4 classes, onnxruntime cpu float32)"


def test_free_outputs_are_counted_at_the_first_run(make_model, make_table, pointwise):
    model = load_alone(make_model(network=pointwise(classes="C"), table=make_table(0, 1, 2)))
    with pytest.raises(EngineError, match="another shape") as caught:
        model.predict(noise((5, 5)))
    assert "(1, 4, 5, 5), expected (1, 3, h, w)" in caught.value.got


def test_a_network_of_fixed_size(make_model, pointwise, expected_labels):
    resize = Resize(rule="exact", size=(16, 16))
    network = pointwise(shape=(1, 3, 16, 16), classes=4)
    model = load_alone(make_model(network=network, resize=resize))
    pictures = [noise((16, 16), seed) for seed in range(3)]
    for picture, answer in zip(pictures, model.predict_batch(pictures), strict=True):
        np.testing.assert_array_equal(answer.labels, expected_labels(picture))
    assert model.predict(noise((9, 40))).size == (9, 40)


def test_scores_that_are_not_finite_are_an_error(make_model, pointwise):
    network = pointwise(bias=np.array([0, np.nan, 0, 0], np.float32))
    with pytest.raises(EngineError, match="cannot be used"):
        load_alone(make_model(network=network)).predict(noise((5, 5)))


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("absent.jpg", ImageFileError),
        (b"", ImageFileError),
        (b"no picture", ImageFileError),
        (np.zeros((4, 4, 7), np.uint8), ArrayError),
        (np.zeros((4, 4, 3), np.float32), ArrayError),
        (np.zeros((0, 4, 3), np.uint8), ArrayError),
        (None, UsageError),
        (7, UsageError),
    ],
)
def test_what_is_no_picture_is_refused(make_model, source, error):
    with pytest.raises(error):
        load_alone(make_model()).predict(source)


def test_large_files_are_refused_before_they_are_decoded(make_model, tmp_path):
    Image.fromarray(noise((200, 200))).save(tmp_path / "a.png")
    with pytest.raises(ImageFileError, match=r"large|megapixel"):
        load_alone(make_model()).predict(tmp_path / "a.png", max_megapixels=0.01)


def test_tiles_are_seen_at_the_scale_of_the_picture(make_model, expected_labels):
    """The card would bring the picture to a tenth of its pixels."""
    model = load_alone(make_model(resize=Resize(rule="area", pixels=500), multiple=8))
    picture = noise((61, 80))
    segmentation = model.predict(picture, tile=24)
    np.testing.assert_array_equal(segmentation.labels, expected_labels(picture))
    np.testing.assert_array_equal(segmentation.image, picture)
    assert segmentation.provenance.network_size == (24, 24)
    assert segmentation.provenance.settings == "tile 24, overlap 0.25, hann"
    assert model.predict(picture).provenance.settings == ""


def test_a_batch_in_tiles_keeps_its_order(make_model, expected_labels):
    model = load_alone(make_model())
    pictures = [noise(size, seed) for seed, size in enumerate([(40, 8), (3, 5), (9, 70)])]
    answers = model.predict_batch(pictures, tile=16, overlap=0.5, tta="mirror")
    for picture, answer in zip(pictures, answers, strict=True):
        np.testing.assert_array_equal(answer.labels, expected_labels(picture))


def test_an_overlap_without_tiles_is_refused(make_model):
    with pytest.raises(UsageError, match="needs tiles"):
        load_alone(make_model()).predict(noise((5, 5)), overlap=0.25)
