from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.errors import EngineError, ImageFileError, OutOfMemoryError, UsageError
from pixelwise.inference.tiles import ArraySource, plan_tiles, stream_tiles, tiled_scores

# How far the 7 × 7 pixels (stride 2: 12 × 12 or 11 × 11) that a score sees reach from it.
NETWORKS = {
    "stride 1": ({}, {"multiple": 4}, 3),
    "stride 1, corners": ({}, {"multiple": 4, "remainder": 1, "alignment": "corners"}, 3),
    "stride 2": ({"stride": 2}, {"multiple": 4}, 6),
    "stride 2, corners": (
        {"stride": 2, "corners": True},
        {"multiple": 4, "remainder": 1, "alignment": "corners"},
        5,
    ),
}
SIZES = st.one_of(
    st.sampled_from([(1, 1), (1, 131), (140, 1), (64, 64), (65, 129)]),
    st.tuples(st.integers(1, 150), st.integers(1, 150)),
)


def noise(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def in_one(stripes, size):
    """The arrays of all stripes, put together; every pixel must come once."""
    whole, times = {}, np.zeros(size, int)
    for stripe in stripes:
        window = stripe.window
        place = (slice(window.top, window.bottom), slice(window.left, window.right))
        times[place] += 1
        for name in ("labels", "confidence", "probabilities"):
            part = getattr(stripe, name)
            if part is not None:
                shape = (*part.shape[:-2], *size)
                whole.setdefault(name, np.zeros(shape, part.dtype))[(..., *place)] = part
    assert (times == 1).all()
    return whole


@pytest.fixture(scope="module", params=NETWORKS)
def sighted(request, convolution, load_toy):
    """A network that sees its surroundings, and how far."""
    network, card, reach = NETWORKS[request.param]
    return load_toy(convolution(**network), **card), reach


@settings(max_examples=40)
@given(
    size=SIZES,
    tile=st.integers(24, 80),
    overlap=st.floats(0, 0.5),
    blend=st.sampled_from(["hann", "flat"]),
    seed=st.integers(0, 99),
)
def test_tiles_that_see_enough_give_the_scores_of_the_whole(
    sighted, size, tile, overlap, blend, seed
):
    model, reach = sighted
    picture = noise(size, seed)
    plan = plan_tiles(size, model, tile=tile, overlap=overlap, blend=blend)
    scores = tiled_scores(model, ArraySource(picture), plan)
    whole = model.predict(picture)
    assert plan.geometry == whole.geometry
    beyond = [
        reach if blend == "flat" else reach + axis.fade * axis.grid.stride / 2
        for axis in (plan.rows, plan.columns)
        if axis.tiles > 1
    ]
    shared = [axis.shared for axis in (plan.rows, plan.columns) if axis.tiles > 1]
    step = plan.grid.stride
    if all(far + step <= pixels / 2 for far, pixels in zip(beyond, shared, strict=True)):
        np.testing.assert_array_equal(scores, whole.scores)
    stripes = in_one(stream_tiles(model, ArraySource(picture), plan), size)
    np.testing.assert_array_equal(stripes["labels"], replace_scores(whole, scores).labels)


def replace_scores(segmentation, scores):
    return type(segmentation)(
        scores=scores,
        classes=segmentation.classes,
        geometry=segmentation.geometry,
        provenance=segmentation.provenance,
        threads=1,
        temperature=segmentation.temperature,
    )


def test_tiles_that_see_too_little_are_noticed(sighted):
    """Else the test above would pass whatever it compares."""
    model, _ = sighted
    # Tiles of 32 pixels that share no more than they must.
    size = (32 + 3 * 28 + model.card.preprocessing.remainder,) * 2
    picture = noise(size)
    plan = plan_tiles(size, model, tile=32, overlap=0, blend="flat")
    scores = tiled_scores(model, ArraySource(picture), plan)
    assert (scores != model.predict(picture).scores).any()


@settings(max_examples=25)
@given(size=SIZES, tile=st.integers(1, 200), overlap=st.floats(0, 0.5), seed=st.integers(0, 99))
def test_a_pointwise_network_never_sees_a_tile(plain, expected_labels, size, tile, overlap, seed):
    # Tiles of a pixel or two would take an hour.
    tile = max(tile, max(size) // 8)
    picture = noise(size, seed)
    np.testing.assert_array_equal(
        plain.predict(picture, tile=tile, overlap=overlap).labels, expected_labels(picture)
    )


@pytest.fixture(scope="module")
def plain(pointwise, load_toy):
    return load_toy(pointwise())


@pytest.fixture(scope="module")
def uneven(load_toy, make_table):
    """Its scores have all bits, its ids need 16, and its temperatures differ."""
    from pixelwise.inference.card import Postprocessing

    weights = np.random.default_rng(8).normal(size=(3, 3)).astype(np.float32)
    card = Postprocessing(alignment="half_pixel", temperature=(50.0, 60.0, 70.0))
    return weights, {"table": make_table(2, 7, 300), "postprocessing": card, "multiple": 4}


@pytest.fixture(scope="module")
def odd_model(uneven, pointwise, load_toy):
    weights, card = uneven
    return load_toy(pointwise(weights, np.zeros(3, np.float32), pool=4), **card)


@pytest.mark.parametrize("strips", [1, 2, 3])
def test_all_results_are_those_of_the_whole(odd_model, strips):
    size = (70, 301)
    picture = noise(size)
    whole = odd_model.predict(picture)
    options = {"tile": 24, "confidence": True, "probabilities": True}
    plan = plan_tiles(size, odd_model, strips=strips, **options)
    assert len(plan.strips) == strips
    found = in_one(stream_tiles(odd_model, ArraySource(picture), plan), size)
    assert found["labels"].dtype == np.uint16
    np.testing.assert_array_equal(found["labels"], whole.labels)
    np.testing.assert_allclose(found["confidence"], whole.confidence, rtol=1e-5)
    np.testing.assert_allclose(found["probabilities"], whole.probabilities(), rtol=1e-5)


@pytest.mark.parametrize("strips", [1, 2])
def test_a_run_that_was_killed_goes_on_with_the_same_bits(sighted, strips):
    model, _ = sighted
    size = (150, 160)
    picture = noise(size)
    plan = plan_tiles(size, model, tile=40, strips=strips, confidence=True)
    stripes = list(stream_tiles(model, ArraySource(picture), plan))
    assert [stripe.window for stripe in stripes] == list(plan.windows)
    for start in range(len(stripes) + 1):
        again = list(stream_tiles(model, ArraySource(picture), plan, start=start))
        assert len(again) == len(stripes) - start
        for one, other in zip(again, stripes[start:], strict=True):
            assert one.window == other.window
            np.testing.assert_array_equal(one.labels, other.labels)
            np.testing.assert_array_equal(one.confidence, other.confidence)


def test_batches_change_nothing(sighted):
    model, _ = sighted
    picture = noise((90, 170))
    scores = [
        tiled_scores(
            model, ArraySource(picture), plan_tiles((90, 170), model, tile=40, batch=batch)
        )
        for batch in (1, 2, 5)
    ]
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0], scores[2])


def test_progress_counts_every_tile(plain):
    plan = plan_tiles((50, 50), plain, tile=16)
    done = []
    list(stream_tiles(plain, ArraySource(noise((50, 50))), plan, progress=done.append))
    assert sum(done) == plan.tiles


class Limited:
    """An engine that can hold so many input pixels at once."""

    def __init__(self, engine, most):
        self.description = engine.description
        self._engine = engine
        self._most = most
        self.shapes = []

    def run(self, batch):
        self.shapes.append(batch.shape)
        if batch.shape[0] * batch.shape[2] * batch.shape[3] > self._most:
            raise OutOfMemoryError("not enough")
        return self._engine.run(batch)


def test_smaller_batches_then_smaller_tiles_once_memory_runs_out(sighted):
    model, _ = sighted
    picture = noise((100, 400))
    plan = plan_tiles((100, 400), model, tile=80, batch=4)
    limited = Limited(model._engine, 50 * 50)
    small = type(model)(model.file, limited, 1)
    vars(small)["probe"] = model.probe
    scores = tiled_scores(small, ArraySource(picture), plan)
    batches = [shape[0] for shape in limited.shapes]
    assert batches[:3] == [4, 2, 1]
    assert all(shape[0] == 1 and max(shape[2:]) <= 50 for shape in limited.shapes[3:])
    expected = tiled_scores(model, ArraySource(picture), plan)
    # A quarter of 40 pixels is enough for this network.
    np.testing.assert_array_equal(scores, expected)


def test_not_even_a_small_tile(plain):
    small = type(plain)(plain.file, Limited(plain._engine, 0), 1)
    vars(small)["probe"] = plain.probe
    with pytest.raises(OutOfMemoryError):
        list(stream_tiles(small, ArraySource(noise((9, 9))), plan_tiles((9, 9), small)))


class Broken(ArraySource):
    """A source that can be read for a while."""

    def __init__(self, picture, reads):
        super().__init__(picture)
        self._left = reads

    def read(self, window):
        self._left -= 1
        if self._left < 0:
            raise ImageFileError("the file changed while it was read")
        return super().read(window)


def test_what_a_source_raises_comes_out_and_no_thread_stays(plain):
    plan = plan_tiles((200, 40), plain, tile=16)
    before = threading.active_count()
    with pytest.raises(ImageFileError, match="changed"):
        list(stream_tiles(plain, Broken(noise((200, 40)), 20), plan))
    stripes = stream_tiles(plain, ArraySource(noise((200, 40))), plan)
    next(stripes)
    stripes.close()
    assert threading.active_count() == before


def test_scores_that_are_not_finite_are_an_error(pointwise, load_toy):
    model = load_toy(pointwise(bias=np.array([0, np.inf, 0, 0], np.float32)))
    plan = plan_tiles((20, 20), model, tile=8)
    with pytest.raises(EngineError, match="cannot be used"):
        list(stream_tiles(model, ArraySource(noise((20, 20))), plan))


def test_a_source_must_have_the_size_of_the_plan(plain):
    plan = plan_tiles((20, 20), plain)
    with pytest.raises(UsageError, match="another size"):
        stream_tiles(plain, ArraySource(noise((20, 21))), plan)
    with pytest.raises(UsageError, match="stripe"):
        stream_tiles(plain, ArraySource(noise((20, 20))), plan, start=2)


def test_networks_that_do_not_grow_evenly_are_noticed(plain):
    plan = plan_tiles((30, 30), plain, tile=16)
    grid = replace(plan.grid, stride=2, step=2)
    odd = replace(
        plan, rows=replace(plan.rows, grid=grid), columns=replace(plan.columns, grid=grid)
    )
    with pytest.raises(EngineError, match="grow evenly"):
        list(stream_tiles(plain, ArraySource(noise((30, 30))), odd))


@pytest.mark.parametrize("scale", [0.4, 1.7])
def test_another_scale_is_that_of_a_resized_picture(plain, scale):
    """The scores of tiles are those of the picture that Pillow resizes as a whole."""
    from PIL import Image

    picture = noise((101, 143))
    plan = plan_tiles((101, 143), plain, tile=24, scale=scale)
    height, width = plan.resized
    assert (height, width) == (round(101 * scale), round(143 * scale))
    resized = np.asarray(
        Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
    )
    scores = tiled_scores(plain, ArraySource(picture), plan)
    expected = plain.predict(resized).scores
    # A grey value may be rounded the other way.
    assert np.abs(scores - expected).max() <= 3
    assert (scores != expected).mean() < 0.003
    found = in_one(stream_tiles(plain, ArraySource(picture), plan), (101, 143))
    assert found["labels"].shape == (101, 143)
