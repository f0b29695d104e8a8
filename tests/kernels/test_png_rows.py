from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise import kernels
from pixelwise.errors import ArrayError, UsageError
from pixelwise.kernels import reference_png

PIXEL_BYTES = [1, 2, 3, 4, 6, 8]
FEW = settings(max_examples=80, deadline=None)


def by_the_book(filtered, pixel_bytes):
    """Section 9 of the specification, byte by byte."""
    out = [[0] * filtered.shape[1]]
    for kind, *row in filtered.tolist():
        above, here = out[-1], [0] * filtered.shape[1]
        for i, value in enumerate(row):
            a = here[i - pixel_bytes] if i >= pixel_bytes else 0
            b = above[i]
            c = above[i - pixel_bytes] if i >= pixel_bytes else 0
            p = a + b - c
            nearest = min((a, b, c), key=lambda neighbour: abs(p - neighbour))
            here[i] = (value + [0, a, b, (a + b) // 2, nearest][kind]) % 256
        out.append(here)
    return np.array(out[1:], np.uint8)[:, :-1]


@st.composite
def filtered_rows(draw):
    """Rows of all filter types: noise, zeros, or zeros with a few changes, as in label maps."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pixel_bytes = draw(st.sampled_from(PIXEL_BYTES))
    height, width = draw(st.integers(1, 6)), draw(st.integers(1, 45))
    share = draw(st.sampled_from([0, 0.04, 1]))
    shape = (height, 1 + width * pixel_bytes)
    filtered = rng.integers(0, 256, shape) * (rng.random(shape) < share)
    filtered[0, 1 : 1 + pixel_bytes] = rng.integers(0, 256, pixel_bytes)
    filtered[:, 0] = rng.integers(0, 5, height)
    return filtered.astype(np.uint8), pixel_bytes


@FEW
@given(filtered_rows())
def test_rows_are_undone_as_the_specification_says(case):
    filtered, pixel_bytes = case
    expected = by_the_book(filtered, pixel_bytes)
    out = kernels.undo_png_filters(filtered, pixel_bytes=pixel_bytes)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out, expected)
    twin = reference_png.undo_png_filters(filtered, pixel_bytes=pixel_bytes)
    np.testing.assert_array_equal(twin, expected)


def test_paeth_takes_the_right_neighbour_for_all_three_values():
    # Two rows of two pixels per triple of neighbours: corner and above, left and the predicted.
    values = [0, 1, 2, 3, 63, 64, 65, 84, 85, 86, 127, 128, 129, 170, 253, 254, 255]
    corner, above, left = (a.ravel() for a in np.meshgrid(values, values, values))
    for c, b, a in zip(corner.tolist(), above.tolist(), left.tolist(), strict=True):
        # The first pixel of a Paeth row is predicted by the one above.
        rows = np.array([[0, c, b], [4, (a - c) % 256, 0]], np.uint8)
        out = kernels.undo_png_filters(rows, pixel_bytes=1)
        np.testing.assert_array_equal(out, by_the_book(rows, 1))


@pytest.fixture(params=[kernels.COMPILED, False])
def either_kernel(request, monkeypatch):
    monkeypatch.setattr("pixelwise.kernels.png_rows.COMPILED", request.param)


@pytest.mark.usefixtures("either_kernel")
@pytest.mark.parametrize("kind", [5, 255])
@pytest.mark.parametrize("row", [0, 2])
def test_an_unknown_filter_type_is_refused(kind, row):
    filtered = np.zeros((3, 7), np.uint8)
    filtered[row, 0] = kind
    with pytest.raises(ArrayError, match=f"type {kind} in row {row}"):
        kernels.undo_png_filters(filtered, pixel_bytes=3)


@pytest.mark.parametrize("pixel_bytes", [0, 5, 7, 9, -1, 1.5])
def test_pixels_of_another_size_are_refused(pixel_bytes):
    with pytest.raises(UsageError, match="pixel_bytes"):
        kernels.undo_png_filters(np.zeros((2, 1 + 5 * 7 * 9), np.uint8), pixel_bytes=pixel_bytes)


@pytest.mark.parametrize("columns", [1, 3, 6])
def test_rows_without_whole_pixels_are_refused(columns):
    with pytest.raises(UsageError, match="whole pixels"):
        kernels.undo_png_filters(np.zeros((2, columns), np.uint8), pixel_bytes=3)


@pytest.mark.parametrize(
    "filtered",
    [np.zeros(9, np.uint8), np.zeros((0, 4), np.uint8), np.zeros((2, 4), np.uint16), b"\0\1"],
)
def test_other_arrays_are_refused(filtered):
    with pytest.raises(ArrayError, match="filtered"):
        kernels.undo_png_filters(filtered, pixel_bytes=1)


@pytest.mark.skipif(not kernels.COMPILED, reason="needs the compiled kernels")
@pytest.mark.parametrize(
    ("shape", "out_shape", "pixel_bytes"),
    [((2, 7), (2, 7), 1), ((2, 7), (3, 6), 1), ((2, 7), (2, 6), 5), ((2, 8), (2, 7), 2)],
)
def test_the_compiled_side_checks_sizes_again(shape, out_shape, pixel_bytes):
    from pixelwise.kernels import _native

    with pytest.raises(ValueError, match="size"):
        _native.undo_png_filters(
            np.zeros(shape, np.uint8), pixel_bytes, np.zeros(out_shape, np.uint8)
        )


@pytest.mark.usefixtures("either_kernel")
def test_rows_in_another_order_are_undone_alike():
    rng = np.random.default_rng(0)
    filtered = rng.integers(0, 5, (13, 9), np.uint8).T
    out = kernels.undo_png_filters(filtered, pixel_bytes=2)
    np.testing.assert_array_equal(out, by_the_book(filtered, 2))
