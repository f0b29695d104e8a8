"""COCO's run lengths and polygons beside pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pixelwise.formats.polygons import fill, signed_area, trace
from pixelwise.formats.rle import column_counts, column_mask, pack_counts, unpack_counts

coco = pytest.importorskip("pycocotools.mask")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_text_is_equal_bit_for_bit(mask):
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert pack_counts(column_counts(mask)).encode() == theirs["counts"]


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_their_text_is_read(mask):
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    counts = unpack_counts(theirs["counts"])
    np.testing.assert_array_equal(column_mask(counts, mask.shape), mask)


def test_large_masks_are_equal():
    rng = np.random.default_rng(3)
    for chance in (0.0001, 0.01, 0.5):
        mask = rng.random((700, 900)) < chance
        theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert pack_counts(column_counts(mask)).encode() == theirs["counts"]


def distance_to_outline(points, ring):
    """Of each point `[N, 2]` to the nearest edge."""
    edge = np.roll(ring, -1, axis=0) - ring
    length = np.maximum((edge**2).sum(-1), 1e-12)
    along = (((points[:, None] - ring) * edge).sum(-1) / length).clip(0, 1)
    gap = points[:, None] - ring - along[..., None] * edge
    return np.sqrt((gap**2).sum(-1)).min(1)


@given(st.integers(0, 2**32), st.integers(3, 12))
def test_polygons_differ_on_the_outline_only(seed, corners):
    height, width = 50, 60
    ring = np.random.default_rng(seed).random((corners, 2)) * [width, height]
    coded = coco.frPyObjects([ring.ravel().tolist()], height, width)
    theirs = coco.decode(coded)[..., 0] > 0
    centres = np.argwhere(fill([ring], (height, width)) != theirs)[:, ::-1] + 0.5
    assert (distance_to_outline(centres, ring) < 0.25).all()


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_outlines_without_holes_are_filled_alike(mask):
    rings = trace(mask)
    if rings and all(signed_area(ring) > 0 for ring in rings):
        coded = coco.frPyObjects([ring.ravel().tolist() for ring in rings], *mask.shape)
        np.testing.assert_array_equal(coco.decode(coco.merge(coded)) > 0, mask)
