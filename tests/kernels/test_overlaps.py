from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise import kernels
from pixelwise.errors import ArrayError
from pixelwise.kernels import reference_overlaps

TYPES = (np.uint8, np.uint16, np.int32, np.uint32, np.int64, np.bool_)
WAYS = {
    "compiled": lambda labels: kernels.count_overlaps(*labels),
    "threads": lambda labels: kernels.count_overlaps(*labels, threads=5),
    "twin": lambda labels: kernels.Overlaps(*reference_overlaps.count_overlaps(labels)),
}


@st.composite
def label_images(draw):
    """One to five images of a size, in runs or in noise, with the extremes of their types."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 90)))
    images = []
    for _ in range(draw(st.integers(1, 5))):
        dtype = draw(st.sampled_from(TYPES))
        values = [0, 1]
        if dtype is not np.bool_:
            values += [7, np.iinfo(dtype).max, np.iinfo(dtype).min]
        labels = np.array(values, dtype)[random.integers(0, len(values), shape)]
        run = draw(st.sampled_from([1, 3, 40]))
        images.append(np.repeat(labels, run, axis=1)[:, : shape[1]])
    return images


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=40)
@given(images=label_images())
def test_every_pixel_is_counted_under_its_labels(way, images):
    overlaps = WAYS[way](images)
    expected = Counter(zip(*(image.ravel().tolist() for image in images), strict=True))
    assert overlaps.labels.dtype == overlaps.pixels.dtype == np.int64
    rows = [tuple(row) for row in overlaps.labels.tolist()]
    assert rows == sorted(expected)
    assert dict(zip(rows, overlaps.pixels.tolist(), strict=True)) == expected


@pytest.mark.parametrize("way", WAYS)
def test_many_labels_over_many_blocks_of_pixels(way):
    random = np.random.default_rng(0)
    first = random.integers(0, 300, (700, 611)).astype(np.int32)
    second = np.repeat(random.integers(0, 9, (700, 47)), 13, axis=1).astype(np.uint8)
    overlaps = WAYS[way]([first, second])
    codes, pixels = np.unique(first * 9 + second, return_counts=True)
    np.testing.assert_array_equal(overlaps.labels, np.stack(np.divmod(codes, 9), axis=1))
    np.testing.assert_array_equal(overlaps.pixels, pixels)


def test_an_image_needs_no_order_in_memory_and_may_be_read_only():
    labels = np.arange(12, dtype=np.int32).reshape(3, 4)
    labels.setflags(write=False)
    overlaps = kernels.count_overlaps(labels.T, labels.T)
    np.testing.assert_array_equal(overlaps.labels, np.repeat(np.arange(12)[:, None], 2, axis=1))


def test_other_arrays_are_refused():
    labels = np.zeros((3, 4), np.int32)
    for wrong in (labels.astype(float), labels[0], labels[:0], labels.astype(np.uint64), "labels"):
        with pytest.raises(ArrayError, match=r"labels\[1\]"):
            kernels.count_overlaps(labels, wrong)
    with pytest.raises(ArrayError, match="differ in size") as raised:
        kernels.count_overlaps(labels, labels.T)
    assert "3 × 4 · 4 × 3" in raised.value.got
    with pytest.raises(ArrayError, match="nothing to count"):
        kernels.count_overlaps()
