from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.errors import UsageError
from pixelwise.inference.augmentation import AUGMENTATIONS
from pixelwise.inference.card import Resize

NETWORKS = {
    "stride 1": ({}, {}),
    "stride 2": ({"stride": 2}, {"multiple": 4}),
    "stride 2, corners": (
        {"stride": 2, "corners": True},
        {"multiple": 4, "remainder": 1, "alignment": "corners"},
    ),
    "stride 1, area": ({}, {"resize": Resize(rule="area", pixels=900)}),
    "stride 2, exact": ({"stride": 2}, {"resize": Resize(rule="exact", size=(32, 40))}),
}
SIZES = st.one_of(
    st.sampled_from([(1, 1), (1, 37), (41, 1), (33, 33)]),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
)


def noise(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def with_views(model, picture, tta, **options):
    segmentation = model.predict(picture, tta=tta, **options)
    assert f"tta {tta}" in segmentation.provenance.settings
    return segmentation


@pytest.fixture(scope="module", params=NETWORKS)
def even(request, convolution, load_toy):
    """A network that gives a flipped picture its flipped scores."""
    network, card = NETWORKS[request.param]
    return load_toy(convolution(even=True, **network), **card)


@settings(max_examples=20)
@given(
    size=SIZES,
    tta=st.sampled_from(["mirror", "flips"]),
    tile=st.sampled_from([None, 20, 32]),
    seed=st.integers(0, 99),
)
def test_flips_change_nothing_for_a_network_without_sides(even, size, tta, tile, seed):
    picture = noise(size, seed)
    plain = even.predict(picture, tile=tile)
    flipped = with_views(even, picture, tta, tile=tile)
    np.testing.assert_array_equal(flipped.scores, plain.scores)
    assert flipped.geometry == plain.geometry


@pytest.mark.parametrize("tile", [None, 24])
def test_flips_are_the_mean_of_flipped_pictures(convolution, load_toy, tile):
    model = load_toy(convolution(), multiple=4)
    picture = noise((64, 48))
    ways = [(), (0,), (1,), (0, 1)]
    expected = np.mean(
        [
            np.flip(
                model.predict(np.ascontiguousarray(np.flip(picture, way)), tile=tile).scores,
                [axis + 1 for axis in way],
            )
            for way in ways
        ],
        axis=0,
    )
    scores = with_views(model, picture, "flips", tile=tile).scores
    if tile is None:
        np.testing.assert_array_equal(scores, expected)
    else:
        # The tiles of a flipped picture are cut elsewhere.
        assert np.median(np.abs(scores - expected)) == 0


def ramp(size, along):
    """Grey that rises by 2 a pixel, then stays: at every scale a straight line."""
    places = np.indices(size)[along]
    return np.repeat(np.clip(2 * places, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("along", [0, 1])
@pytest.mark.parametrize("tile", [None, 32])
@pytest.mark.parametrize("name", ["plain", "pooled", "corners"])
def test_scales_shift_nothing(pointwise, load_toy, name, tile, along):
    grids = {
        "plain": ({}, {}),
        "pooled": ({"pool": 4}, {"multiple": 4}),
        "corners": ({"stride": 4}, {"multiple": 4, "remainder": 1, "alignment": "corners"}),
    }
    network, card = grids[name]
    model = load_toy(pointwise(**network), **card)
    picture = ramp((96, 100), along)
    plain = model.predict(picture, tile=tile).logits()
    scaled = with_views(model, picture, "scales", tile=tile).logits()
    # Grey values are rounded, and at the rim cells take in padding. A shift of half a pixel would
    # be 3: one grey value, three times.
    inner = np.s_[:, 12:-12, 12:-12]
    assert np.abs(scaled[inner] - plain[inner]).max() <= 2
    assert np.abs((scaled - plain)[inner].mean()) < 0.3


def test_all_tiles_of_a_scale_have_one_shape(convolution, load_toy):
    """Engines that prepare for each shape would else do so again and again."""
    model = load_toy(convolution(), multiple=4)
    shapes = set()
    engine = model._engine

    class Watched:
        description = engine.description

        def run(self, batch):
            shapes.add(batch.shape)
            return engine.run(batch)

    watched = type(model)(model.file, Watched(), 1)
    vars(watched)["probe"] = model.probe
    watched.predict(noise((101, 135)), tile=48, tta="scales")
    assert {shape[2:] for shape in shapes} == {(48, 48), (36, 36), (60, 60)}


def test_scales_see_more_than_one_scale(convolution, load_toy):
    model = load_toy(convolution(), multiple=4)
    picture = noise((40, 40))
    assert (with_views(model, picture, "scales").scores != model.predict(picture).scores).any()


def test_pictures_of_a_batch_are_augmented_as_alone(convolution, load_toy):
    model = load_toy(convolution(), multiple=8)
    pictures = [noise((13, 15), 1), noise((16, 16), 2), noise((15, 12), 3)]
    for tta in AUGMENTATIONS:
        together = model.predict_batch(pictures, tta=tta)
        for picture, answer in zip(pictures, together, strict=True):
            np.testing.assert_array_equal(answer.scores, model.predict(picture, tta=tta).scores)


def test_none_is_the_picture_alone(convolution, load_toy):
    model = load_toy(convolution(), multiple=8)
    picture = noise((13, 15))
    answer = model.predict(picture, tta="none")
    assert answer.provenance.settings == ""
    np.testing.assert_array_equal(answer.scores, model.predict(picture).scores)


def test_what_cannot_be_is_refused(pointwise, load_toy):
    model = load_toy(pointwise())
    with pytest.raises(UsageError, match="no such test-time") as caught:
        model.predict(noise((5, 5)), tta="turns")
    assert "none, mirror, flips, scales" in caught.value.fix
    resize = Resize(rule="exact", size=(16, 16))
    fixed = load_toy(pointwise(shape=(1, 3, 16, 16), classes=4), resize=resize)
    with pytest.raises(UsageError, match="one size only"):
        fixed.predict(noise((5, 5)), tta="scales")
    assert fixed.predict(noise((5, 5)), tta="flips").size == (5, 5)
