from __future__ import annotations

import numpy as np
import pytest


def make_disc(*, height=64, width=80, y=30, x=40, radius=14, inside=200, outside=50):
    """A grey picture of a disc, `[H, W, 3]`, and where the disc is."""
    rows, columns = np.ogrid[:height, :width]
    mask = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    grey = np.where(mask, inside, outside).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2), mask


def make_stripes(*colours, height=20, width=8):
    """Stripes of these colours, `[H, W * N, 3]`, and the number of each pixel's stripe."""
    numbers = np.repeat(np.arange(len(colours)), width)[None].repeat(height, axis=0)
    return np.array(colours, np.uint8)[numbers], numbers


def overlap(found, mask):
    return (found & mask).sum() / (found | mask).sum()


@pytest.fixture
def disc():
    return make_disc()


@pytest.fixture
def stripes():
    return make_stripes


@pytest.fixture
def iou():
    return overlap
