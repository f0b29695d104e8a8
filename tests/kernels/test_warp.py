from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise import kernels
from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import reference_warp, warp

FEW = settings(max_examples=60, deadline=None)
SAME = np.eye(3)
PLAIN = {"scale": (1, 1, 1), "shift": (0, 0, 0)}


def matrix_of(rng, kind, most_shrink=2.2):
    """A straight, a turned or a bent matrix, shrinking by up to e^most_shrink."""
    scale = np.exp(rng.uniform(-2, most_shrink, 2)) * rng.choice([-1, 1], 2)
    matrix = np.diag([*scale, 1.0])
    matrix[:2, 2] = rng.uniform(-10, 70, 2)
    if kind != "straight":
        matrix[[0, 1], [1, 0]] = rng.normal(size=2)
    if kind == "bent":
        matrix[2, :2] = rng.normal(size=2) / 100
    return matrix


@st.composite
def cases(draw, most_shrink=2.2):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sides = st.integers(1, 60)
    image = rng.integers(0, 256, (draw(sides), draw(sides), 3), np.uint8)
    kind = draw(st.sampled_from(["straight", "turned", "bent"]))
    return rng, image, matrix_of(rng, kind, most_shrink), (draw(sides), draw(sides))


@pytest.fixture
def twin(monkeypatch):
    """Runs the NumPy twin of a kernel."""

    def run(function, *arguments, **options):
        with monkeypatch.context() as patch:
            patch.setattr(warp, "COMPILED", False)
            return function(*arguments, **options)

    return run


def bits(array):
    return array.view(np.int32) if array.dtype == np.float32 else array


@FEW
@given(cases(), st.sampled_from([1.0, 0.5, 1.3, 4.0]))
def test_all_paths_variants_and_the_twin_give_the_same_bits(case, gamma):
    pytest.importorskip("pixelwise.kernels._native")
    from pixelwise.kernels import _native

    rng, image, matrix, size = case
    ids = rng.integers(-5, 9, image.shape[:2], np.int32)
    colours = warp._colours(
        np.eye(3, 4) + rng.normal(size=(3, 4)) / 3,
        gamma,
        rng.uniform(0, 255, 3),
        *rng.normal(size=(2, 3)),
    )
    reduce = warp._reduction(matrix, size, image)
    expected = np.empty((3, *size), np.float32)
    reference_warp.warp_image(image, matrix, colours, reduce, expected)
    expected_bytes = np.empty((*size, 3), np.uint8)
    reference_warp.warp_bytes(image, matrix, colours, reduce, expected_bytes)
    expected_ids = np.empty(size, np.int32)
    reference_warp.warp_ids(ids, matrix, -77, expected_ids)
    for variant in _native.variants():
        for general in (False, True):
            values, pixels, nearest = (
                np.empty_like(array) for array in (expected, expected_bytes, expected_ids)
            )
            _native.warp_image(image, matrix, colours, *reduce, values, general, variant)
            _native.warp_bytes(image, matrix, colours, *reduce, pixels, general, variant)
            _native.warp_ids(ids, matrix, -77, nearest, general, variant)
            np.testing.assert_array_equal(bits(values), bits(expected))
            np.testing.assert_array_equal(pixels, expected_bytes)
            np.testing.assert_array_equal(nearest, expected_ids)


@FEW
@given(cases())
def test_the_identity_is_the_picture(case):
    rng, image, _, _ = case
    size = image.shape[:2]
    np.testing.assert_array_equal(kernels.warp_bytes(image, SAME, size), image)
    values = kernels.warp_image(image, SAME, size, scale=(0.5, 1, 2), shift=(1, 0, -3))
    expected = image * np.float32([0.5, 1, 2]) + np.float32([1, 0, -3])
    np.testing.assert_array_equal(values, expected.transpose(2, 0, 1))
    ids = rng.integers(0, 65536, size).astype(np.uint16)
    np.testing.assert_array_equal(kernels.warp_ids(ids, SAME, size, fill=0), ids)


@FEW
@given(cases())
def test_a_flip_is_a_slice_backwards_and_a_shift_one_onwards(case):
    _, image, _, _ = case
    height, width = image.shape[:2]
    flip = [[-1, 0, width], [0, 1, 0], [0, 0, 1]]
    turned = [[-1, 0, width], [0, -1, height], [0, 0, 1]]
    moved = [[1, 0, 2], [0, 1, 1], [0, 0, 1]]
    for matrix, expected in ((flip, image[:, ::-1]), (turned, image[::-1, ::-1])):
        np.testing.assert_array_equal(kernels.warp_bytes(image, matrix, (height, width)), expected)
        again = kernels.warp_bytes(np.ascontiguousarray(expected), matrix, (height, width))
        np.testing.assert_array_equal(again, image)
    out = kernels.warp_bytes(image, moved, (height, width), fill=(1, 2, 3))
    canvas = np.full_like(image, (1, 2, 3))
    canvas[: height - 1, : max(0, width - 2)] = image[1:, 2:]
    np.testing.assert_array_equal(out, canvas)


@FEW
@given(cases())
def test_ids_are_those_of_the_pixels_under_the_centres(case):
    rng, image, matrix, size = case
    ids = rng.integers(0, 9, image.shape[:2], np.uint8)
    out = kernels.warp_ids(ids, matrix, size, fill=200)
    y, x = np.indices(size) + 0.5
    u, v, w = np.tensordot(matrix, np.stack([x, y, np.ones(size)]), 1)
    with np.errstate(all="ignore"):
        column, row = np.floor(u / w), np.floor(v / w)
    inside = (w > 0) & (column >= 0) & (column < ids.shape[1]) & (row >= 0) & (row < ids.shape[0])
    places = [np.where(inside, place, 0).astype(int) for place in (row, column)]
    expected = np.where(inside, ids[tuple(places)], 200)
    # Rounding may put a centre on the other side of a border between two pixels.
    assert (out != expected).mean() <= 0.01
    assert set(np.unique(out)) <= {*np.unique(ids), 200}


def test_a_centre_between_two_pixels_takes_the_right_and_the_lower_one():
    ids = np.arange(16, dtype=np.uint8).reshape(4, 4)
    half = [[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]]
    np.testing.assert_array_equal(kernels.warp_ids(ids, half, (4, 4), fill=99), ids)
    double = [[2, 0, 0], [0, 2, 0], [0, 0, 1]]
    np.testing.assert_array_equal(
        kernels.warp_ids(ids, double, (2, 2), fill=99), [[5, 7], [13, 15]]
    )


@FEW
@given(cases(most_shrink=0.69))
def test_image_and_mask_stay_aligned_to_the_pixel(case):
    rng, image, matrix, size = case
    blocks = rng.integers(0, 5, (12, 12), np.uint8).repeat(5, axis=0).repeat(5, axis=1)
    mask = np.ascontiguousarray(blocks[: image.shape[0], : image.shape[1]])
    if kernels.warp._reduction(matrix, size, mask) != (1, 1):
        return
    ids = kernels.warp_ids(mask, matrix, size, fill=9)
    shown = kernels.warp_bytes(np.stack([mask * 20] * 3, axis=-1), matrix, size, fill=[180] * 3)
    layers = [
        kernels.warp_bytes(np.stack([(mask == c) * np.uint8(255)] * 3, axis=-1), matrix, size)
        for c in range(5)
    ]
    agree = np.all([(layer == 0) | (layer == 255) for layer in layers], axis=0)[..., 0]
    outside = ids == 9
    np.testing.assert_array_equal(shown[agree, 0], ids[agree] * 20)
    np.testing.assert_array_equal(shown[outside], np.full((outside.sum(), 3), 180))


def test_composed_matrices_are_one_warp_after_the_other_on_smooth_pictures():
    y, x = np.mgrid[:80, :90]
    waves = [np.sin(x / a + b) + np.cos(y / a - b) for a, b in ((14, 0), (17, 1), (20, 2))]
    image = (127 + 60 * np.stack(waves, axis=-1)).astype(np.uint8)
    turn = np.array([[0.96, 0.2, 4], [-0.2, 0.96, 12], [0, 0, 1]])
    bend = np.array([[1.1, 0, 3], [0, 0.9, 5], [0.0005, -0.0004, 1]])
    first = kernels.warp_bytes(image, turn, (80, 90))
    both = kernels.warp_bytes(first, bend, (60, 60))
    at_once = kernels.warp_bytes(image, turn @ bend, (60, 60))
    ones = np.ones((80, 90), np.uint8)
    inside = kernels.warp_ids(
        kernels.warp_ids(ones, turn, (80, 90), fill=0), bend, (60, 60), fill=0
    )
    deep = inside & np.roll(inside, 2, 0) & np.roll(inside, -2, 1) & np.roll(inside, 2, 1)
    assert deep.mean() > 0.7
    difference = np.abs(both.astype(int) - at_once)[deep > 0]
    assert difference.max() <= 4
    assert difference.mean() < 0.5


@FEW
@given(cases(), st.sampled_from([1.0, 0.5, 1.7]))
def test_colours_follow_their_formula(case, gamma):
    rng, image, _, _ = case
    colour = np.eye(3, 4) + rng.normal(size=(3, 4)) / 4
    colour[:, 3] *= 100
    scale, shift = rng.uniform(0.01, 0.02, 3), rng.normal(size=3)
    options = {"colour": colour, "gamma": gamma, "scale": scale, "shift": shift}
    out = kernels.warp_image(image, SAME, image.shape[:2], **options)
    mixed = np.clip(image @ colour[:, :3].T + colour[:, 3], 0, 255)
    expected = 255 * (mixed / 255) ** gamma * scale + shift
    np.testing.assert_allclose(out, expected.transpose(2, 0, 1), atol=2e-4)
    pixels = kernels.warp_bytes(image, SAME, image.shape[:2], colour=colour, gamma=gamma)
    assert np.abs(pixels - 255 * (mixed / 255) ** gamma).max() <= 0.501


def test_what_lies_outside_changes_its_colours_too_and_does_not_mix():
    image = np.full((4, 4, 3), 200, np.uint8)
    colour = np.hstack([np.eye(3) / 2, [[10], [0], [0]]])
    matrix = [[1, 0, -2.5], [0, 1, 0], [0, 0, 1]]
    out = kernels.warp_bytes(image, matrix, (4, 6), colour=colour, fill=(100, 60, 20))
    np.testing.assert_array_equal(out[:, :2], np.full((4, 2, 3), (60, 30, 10)))
    np.testing.assert_array_equal(out[:, 2:], np.full((4, 4, 3), (110, 100, 100)))


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_shrinking_takes_means_of_blocks(factor):
    rng = np.random.default_rng(factor)
    image = rng.integers(0, 256, (13, 17, 3), np.uint8)
    size = (13 // factor, 17 // factor)
    whole = image[: size[0] * factor, : size[1] * factor].astype(float)
    blocks = whole.reshape(size[0], factor, size[1], factor, 3)
    expected = np.floor(blocks.mean(axis=(1, 3)) + 0.5)
    matrix = np.diag([factor, factor, 1.0])
    np.testing.assert_array_equal(kernels.warp_bytes(image, matrix, size), expected)
    turned = np.array([[0, factor, 0], [factor, 0, 0], [0, 0, 1.0]])
    out = kernels.warp_bytes(image, turned, size[::-1])
    np.testing.assert_array_equal(out, expected.transpose(1, 0, 2))
    values = kernels.warp_raster(image, matrix, size, fill=(0, 0, 0), **PLAIN)
    np.testing.assert_allclose(values, blocks.mean(axis=(1, 3)).transpose(2, 0, 1), rtol=1e-6)


def test_a_fine_pattern_does_not_alias():
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    image = np.stack([board] * 3, axis=-1)
    for shrink in (4, 4.7, 9):
        out = kernels.warp_bytes(image, np.diag([shrink, shrink, 1]), (6, 6))
        assert np.ptp(out.astype(int)) <= 60 / shrink


@FEW
@given(cases())
def test_a_raster_is_sampled_as_an_image(case):
    rng, image, matrix, size = case
    if kernels.warp._reduction(matrix, size, image) != (1, 1):
        return
    options = {"scale": rng.normal(size=3), "shift": rng.normal(size=3), "fill": (1, 2, 3)}
    expected = kernels.warp_image(image, matrix, size, **options)
    for dtype in (np.uint8, np.uint16, np.float32):
        out = kernels.warp_raster(image.astype(dtype), matrix, size, **options)
        np.testing.assert_array_equal(bits(out), bits(expected))


@FEW
@given(cases(), st.integers(1, 9), st.sampled_from([np.uint8, np.uint16, np.float32]))
def test_rasters_get_the_same_bits_from_all_variants_and_the_twin(case, bands, dtype):
    pytest.importorskip("pixelwise.kernels._native")
    from pixelwise.kernels import _native

    rng, _, matrix, size = case
    raster = (rng.random((*rng.integers(1, 40, 2), bands)) * 255).astype(dtype)
    raster.flat[0] = np.nan if dtype == np.float32 else 0
    vectors = tuple(rng.normal(size=(3, bands)).astype(np.float32))
    reduce = warp._reduction(matrix, size, raster)
    reduced = raster if reduce == (1, 1) else reference_warp.block_means(raster, reduce)
    expected = np.empty((bands, *size), np.float32)
    reference_warp.warp_raster(reduced, raster.shape[:2], matrix, vectors, reduce, expected)
    for variant in _native.variants():
        out = np.empty_like(expected)
        sides = raster.shape[:2]
        _native.warp_raster(reduced, *sides, matrix, *vectors, *reduce, out, variant)
        np.testing.assert_array_equal(out, expected)
    scale, shift = vectors[1:]
    public = kernels.warp_raster(raster, matrix, size, fill=vectors[0], scale=scale, shift=shift)
    np.testing.assert_array_equal(public, expected)


@FEW
@given(cases(), st.floats(0.1, 3))
def test_blurring_is_the_sum_of_its_weights_and_that_of_its_twin(case, deviation):
    rng, _, _, size = case
    planes = rng.normal(size=(2, *size)).astype(np.float32)
    out = kernels.blur(planes, deviation)
    radius = int(np.ceil(3 * deviation))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / deviation) ** 2)
    weights /= weights.sum()
    expected = planes.astype(float)
    for axis in (1, 2):
        padding = [(0, 0), (0, 0), (0, 0)]
        padding[axis] = (radius, radius)
        padded = np.pad(expected, padding, mode="edge")
        expected = sum(
            weight * padded.take(np.arange(planes.shape[axis]) + k, axis)
            for k, weight in enumerate(weights)
        )
    np.testing.assert_allclose(out, expected, atol=1e-5)
    halves = weights[radius:].astype(np.float32)
    reference = np.empty_like(planes)
    reference_warp.blur(planes, halves, reference)
    if kernels.COMPILED:
        from pixelwise.kernels import _native

        for variant in _native.variants():
            answer = np.empty_like(planes)
            _native.blur(planes, halves, answer, variant)
            np.testing.assert_array_equal(bits(answer), bits(reference))


def test_the_twins_answer_where_nothing_is_compiled(twin):
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (20, 30, 3), np.uint8)
    matrix = matrix_of(rng, "turned", 0.5)
    calls = [
        (kernels.warp_image, (image, matrix, (9, 8)), PLAIN),
        (kernels.warp_bytes, (image, matrix, (9, 8)), {}),
        (kernels.warp_ids, (image[..., 0], matrix, (9, 8)), {"fill": 3}),
        (kernels.warp_raster, (image, matrix, (9, 8)), PLAIN | {"fill": (0, 0, 0)}),
        (kernels.blur, (image.astype(np.float32), 1.0), {}),
    ]
    for function, arguments, options in calls:
        expected = function(*arguments, **options)
        np.testing.assert_array_equal(twin(function, *arguments, **options), expected)


def test_results_go_into_the_arrays_given():
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    batch = np.zeros((2, 3, 9, 9), np.float32)
    out = kernels.warp_image(image, SAME, (9, 9), out=batch[1], **PLAIN)
    assert np.shares_memory(out, batch)
    np.testing.assert_array_equal(batch[1], image.transpose(2, 0, 1))
    assert not batch[0].any()


IMAGE = np.zeros((4, 5, 3), np.uint8)
IDS = np.zeros((4, 5), np.uint8)


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(2),
        np.zeros((3, 3)),
        np.diag([1, 1, -1]),
        np.full((3, 3), np.nan),
        np.diag([np.inf, 1, 1]),
        np.diag([1e12, 1, 1]),
        "abc",
        None,
    ],
)
def test_other_matrices_are_refused(matrix):
    for call in (
        lambda: kernels.warp_image(IMAGE, matrix, (2, 2), **PLAIN),
        lambda: kernels.warp_bytes(IMAGE, matrix, (2, 2)),
        lambda: kernels.warp_ids(IDS, matrix, (2, 2), fill=0),
    ):
        with pytest.raises(UsageError, match="matrix"):
            call()


def test_a_matrix_may_have_any_factor():
    ids = np.arange(20, dtype=np.uint8).reshape(4, 5)
    np.testing.assert_array_equal(kernels.warp_ids(ids, 3 * SAME, (4, 5), fill=99), ids)


def test_shrinking_out_of_all_measure_is_refused():
    with pytest.raises(UsageError, match="shrinks"):
        kernels.warp_bytes(IMAGE, np.diag([5000, 1, 1]), (2, 2))


@pytest.mark.parametrize("size", [(0, 2), (2,), (2, 2.5), 4, (2, 2**24)])
def test_other_sizes_are_refused(size):
    with pytest.raises(UsageError, match="size"):
        kernels.warp_bytes(IMAGE, SAME, size)


@pytest.mark.parametrize("gamma", [0, 9, np.nan, "1", None])
def test_other_exponents_are_refused(gamma):
    with pytest.raises(UsageError, match="gamma"):
        kernels.warp_bytes(IMAGE, SAME, (2, 2), gamma=gamma)


@pytest.mark.parametrize("image", [IDS, IMAGE.astype(float), IMAGE[..., :2], IMAGE[:0], None])
def test_other_images_are_refused(image):
    with pytest.raises(ArrayError, match="image"):
        kernels.warp_bytes(image, SAME, (2, 2))


@pytest.mark.parametrize("colour", [np.eye(3), np.full((3, 4), np.nan), "abc"])
def test_other_colour_matrices_are_refused(colour):
    with pytest.raises(ArrayError, match="colour"):
        kernels.warp_bytes(IMAGE, SAME, (2, 2), colour=colour)


@pytest.mark.parametrize(
    "out",
    [
        np.empty((2, 2), np.uint8),
        np.empty((2, 2, 3), np.float32),
        np.empty((2, 4, 3), np.uint8)[:, ::2],
        "abc",
    ],
)
def test_other_places_to_write_into_are_refused(out):
    with pytest.raises(ArrayError, match="write into"):
        kernels.warp_bytes(IMAGE, SAME, (2, 2), out=out)


def test_ids_and_fills_that_do_not_fit_are_refused():
    with pytest.raises(ArrayError, match="ids"):
        kernels.warp_ids(IDS.astype(np.int64), SAME, (2, 2), fill=0)
    with pytest.raises(UsageError, match="fill"):
        kernels.warp_ids(IDS, SAME, (2, 2), fill=256)
    with pytest.raises(UsageError, match="deviation"):
        kernels.blur(np.zeros((1, 2, 2), np.float32), 0)
    planes = np.zeros((1, 2, 2), np.float32)
    with pytest.raises(ArrayError, match="overlaps"):
        kernels.blur(planes, 1, out=planes)
