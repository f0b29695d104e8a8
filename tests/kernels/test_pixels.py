from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise import kernels
from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import reference

FEW = settings(max_examples=60, deadline=None)


@st.composite
def pictures(draw):
    """Labels in runs or as noise, a palette that has all of them, and an image."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 70))
    classes = draw(st.sampled_from([1, 2, 19, 256, 300]))
    labels = rng.integers(0, classes, (height, width))
    if draw(st.booleans()):
        labels = labels[:, np.arange(width) // 12]
    dtype = np.uint16 if classes > 256 else draw(st.sampled_from([np.uint8, np.uint16]))
    palette = rng.integers(0, 256, (classes, 3), np.uint8)
    return rng.integers(0, 256, (height, width, 3), np.uint8), labels.astype(dtype), palette


@FEW
@given(pictures(), st.one_of(st.sampled_from([0, 0.5, 1]), st.floats(0, 1)), st.booleans())
def test_blending_follows_its_formula_and_its_twin(picture, opacity, borders):
    image, labels, palette = picture
    out = kernels.blend(image, labels, palette, opacity=opacity, borders=borders)
    weight = int(np.floor(256 * opacity + 0.5))
    colour = palette.astype(int)[labels]
    expected = (image.astype(int) * (256 - weight) + colour * weight + 128) // 256
    if borders:
        right = np.pad(labels, ((0, 0), (0, 1)), mode="edge")[:, 1:]
        below = np.pad(labels, ((0, 1), (0, 0)), mode="edge")[1:]
        border = (labels != right) | (labels != below)
        expected = np.where(border[..., None], colour, expected)
    np.testing.assert_array_equal(out, expected)
    twin = reference.blend(image, labels, palette, opacity=opacity, borders=borders)
    np.testing.assert_array_equal(twin, expected)


@FEW
@given(pictures(), st.sampled_from([np.uint8, np.uint16]), st.integers(0, 3))
def test_labels_become_their_entries(picture, dtype, spare):
    labels = picture[1]
    rng = np.random.default_rng(labels.size)
    entries = int(labels.max()) + 1 + spare
    table = rng.integers(0, np.iinfo(dtype).max, entries, dtype, endpoint=True)
    out = kernels.relabel(labels, table)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out, table[labels])
    if highest := int(labels.max()):
        with pytest.raises(ArrayError, match=f"label {highest}, expected 0 to {highest - 1}"):
            kernels.relabel(labels, table[:highest])


def test_labels_are_replaced_by_tables_of_ids_alone():
    with pytest.raises(ArrayError, match="table has the wrong type"):
        kernels.relabel(np.zeros((2, 2), np.uint8), np.zeros(3))


def test_opacity_0_is_the_picture_and_1_the_colours():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (9, 9, 3), np.uint8)
    labels = rng.integers(0, 4, (9, 9), np.uint8)
    palette = rng.integers(0, 256, (4, 3), np.uint8)
    same = kernels.blend(image, labels, palette, opacity=0, borders=False)
    np.testing.assert_array_equal(same, image)
    colours = kernels.blend(image, labels, palette, opacity=1)
    np.testing.assert_array_equal(colours, palette[labels])


def test_an_image_in_another_order_is_blended_alike():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (3, 12, 15), np.uint8).transpose(1, 2, 0)
    labels = rng.integers(0, 4, (15, 12), np.uint8).T
    palette = rng.integers(0, 256, (4, 3), np.uint8)
    out = kernels.blend(image, labels, palette, opacity=0.4)
    again = kernels.blend(image.copy("C"), labels.copy("C"), palette, opacity=0.4)
    np.testing.assert_array_equal(out, again)


@FEW
@given(pictures())
def test_counts_are_those_of_bincount(picture):
    _, labels, palette = picture
    counts = kernels.count_labels(labels, len(palette))
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, np.bincount(labels.ravel(), minlength=len(palette)))
    np.testing.assert_array_equal(reference.count_labels(labels, len(palette)), counts)


@FEW
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(1, 5)),
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
    st.sampled_from(["uint8", "uint16", "int16", "float32"]),
)
def test_normalising_scales_shifts_and_pads(seed, shape, padding, dtype):
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        image = rng.normal(0, 1000, shape).astype(dtype)
    else:
        image = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shape, dtype)
    scale, shift = rng.normal(size=(2, shape[2])).astype(np.float32)
    size = (shape[0] + padding[0], shape[1] + padding[1])
    out = kernels.normalise(image, scale, shift, size)
    expected = np.zeros((shape[2], *size), np.float32)
    values = image.transpose(2, 0, 1).astype(np.float32)
    inside = values * scale[:, None, None] + shift[:, None, None]
    expected[:, : shape[0], : shape[1]] = inside
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(reference.normalise(image, scale, shift, size), expected)


@pytest.mark.parametrize("implementation", [kernels, reference])
def test_what_is_no_number_becomes_the_mean(implementation):
    image = np.array([[[np.nan, 1], [np.inf, 2], [-np.inf, 3], [3e38, 4]]], np.float32)
    scale, shift = np.array([10, 1], np.float32), np.array([5, 0], np.float32)
    out = implementation.normalise(image, scale, shift, (1, 5))
    np.testing.assert_array_equal(out[:, 0], [[0, 0, 0, 0, 0], [1, 2, 3, 4, 0]])


def test_the_number_of_threads_changes_nothing():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (700, 901, 3), np.uint8)
    labels = (rng.integers(0, 20, (700, 901)) // 7).astype(np.uint8)
    palette = rng.integers(0, 256, (20, 3), np.uint8)
    scale = shift = np.ones(3, np.float32)
    for threads in (2, 5):
        for function in (
            lambda n: kernels.blend(image, labels, palette, opacity=0.3, threads=n),
            lambda n: kernels.count_labels(labels, 20, threads=n),
            lambda n: kernels.normalise(image, scale, shift, (704, 904), threads=n),
        ):
            np.testing.assert_array_equal(function(threads), function(1))


IMAGE = np.zeros((4, 5, 3), np.uint8)
LABELS = np.zeros((4, 5), np.uint8)
PALETTE = np.zeros((2, 3), np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("place", [(0, 0), (3, 4)])
def test_labels_outside_the_table_are_refused(dtype, place):
    labels = LABELS.astype(dtype)
    labels[place] = 7
    with pytest.raises(ArrayError, match=r"label 7, expected 0 to 1"):
        kernels.blend(IMAGE, labels, PALETTE, opacity=0.5)
    with pytest.raises(ArrayError, match=r"label 7, expected 0 to 1"):
        kernels.count_labels(labels, 2)


@pytest.mark.parametrize(
    ("image", "labels", "palette"),
    [
        (IMAGE[:3], LABELS, PALETTE),
        (IMAGE[..., :2], LABELS, PALETTE),
        (IMAGE.astype(float), LABELS, PALETTE),
        (IMAGE, LABELS.astype(np.int64), PALETTE),
        (IMAGE, LABELS[0], PALETTE),
        (IMAGE, LABELS[:0], PALETTE),
        (IMAGE, LABELS, PALETTE[:0]),
        (IMAGE, LABELS, PALETTE[:, :2]),
        (IMAGE, LABELS, PALETTE.tolist()),
        (None, LABELS, PALETTE),
    ],
)
def test_blending_refuses_other_arrays(image, labels, palette):
    with pytest.raises(ArrayError):
        kernels.blend(image, labels, palette, opacity=0.5)


@pytest.mark.parametrize("opacity", [-0.1, 1.1, np.nan, "half", None])
def test_opacity_is_a_share(opacity):
    with pytest.raises(UsageError, match="opacity"):
        kernels.blend(IMAGE, LABELS, PALETTE, opacity=opacity)


@pytest.mark.parametrize("classes", [0, -1, 65537, 1.5])
def test_counting_refuses_other_numbers_of_classes(classes):
    with pytest.raises(UsageError, match="classes"):
        kernels.count_labels(LABELS, classes)


@pytest.mark.parametrize("values", [[1, 2], [1, 2, np.nan], "abc", [[1, 2, 3]], [1, 2, None]])
def test_normalising_takes_one_finite_number_per_band(values):
    with pytest.raises(ArrayError, match="scale"):
        kernels.normalise(IMAGE, values, [0, 0, 0], (4, 5))
    with pytest.raises(ArrayError, match="shift"):
        kernels.normalise(IMAGE, [1, 1, 1], values, (4, 5))


@pytest.mark.parametrize("size", [(3, 5), (4, 4), (4, 5, 3), (4.5, 5), 4])
def test_normalising_refuses_sizes_below_the_picture(size):
    with pytest.raises(UsageError, match="size"):
        kernels.normalise(IMAGE, [1, 1, 1], [0, 0, 0], size)


def test_normalising_refuses_other_images():
    with pytest.raises(ArrayError, match="image"):
        kernels.normalise(LABELS, [1], [0], (4, 5))


@pytest.mark.parametrize("threads", [-1, 0.5, None])
def test_other_numbers_of_threads_are_refused(threads):
    with pytest.raises(UsageError, match="threads"):
        kernels.blend(IMAGE, LABELS, PALETTE, opacity=0.5, threads=threads)
    with pytest.raises(UsageError, match="threads"):
        kernels.count_labels(LABELS, 2, threads=threads)
    with pytest.raises(UsageError, match="threads"):
        kernels.normalise(IMAGE, [1, 1, 1], [0, 0, 0], (4, 5), threads=threads)
