"""Classical methods beside the calls of the libraries that they wrap."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import color, feature, filters, segmentation
from sklearn.mixture import GaussianMixture

from pixelwise import classical
from pixelwise.formats.images import read_image

NUCLEI = Path(__file__).parents[2] / "examples" / "nuclei" / "images"


@pytest.fixture(scope="module")
def picture():
    return read_image(NUCLEI / "purple_1.png")[:120, :150]


@pytest.fixture(scope="module")
def grey(picture):
    return np.rint(color.rgb2gray(picture) * 255).astype(np.uint8)


def test_otsu(picture, grey):
    np.testing.assert_array_equal(
        classical.otsu(picture).labels, grey > filters.threshold_otsu(grey)
    )


def test_multi_otsu(picture, grey):
    expected = np.digitize(grey, filters.threshold_multiotsu(grey, 3), right=True)
    assert (classical.multi_otsu(picture).labels != expected + 1).mean() < 0.01


def test_adaptive(picture, grey):
    expected = grey > filters.threshold_local(grey, 31, offset=-4)
    np.testing.assert_array_equal(classical.adaptive(picture, block=31, margin=4).labels, expected)


def test_gmm(picture):
    colours = color.rgb2lab(picture.astype(np.float32) / 255).reshape(-1, 3).astype(np.float64)
    mixture = GaussianMixture(3, random_state=5).fit(colours)
    order = np.lexsort(mixture.means_.T[::-1])
    expected = mixture.predict_proba(colours)[:, order].T.reshape(3, *picture.shape[:2])
    found = classical.gmm(picture, clusters=3, seed=5).probabilities()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_superpixels(picture, grey):
    def same(found, expected):
        """Whether two numberings part the picture alike."""
        pairs = np.unique(np.stack([found.ravel(), expected.ravel()]), axis=1).shape[1]
        return pairs == len(np.unique(found)) == len(np.unique(expected))

    assert same(
        classical.superpixels(picture, "slic", regions=80),
        segmentation.slic(picture, 80, 10.0, start_label=0),
    )
    assert same(
        classical.superpixels(picture, "felzenszwalb", scale=50.0),
        segmentation.felzenszwalb(picture, 50.0, 0.8, 50),
    )
    slope = np.round(filters.sobel(filters.gaussian(grey / 255, 2.0)), 6)
    assert same(classical.superpixels(picture, "watershed"), segmentation.watershed(slope))


def test_edges_and_chan_vese(picture, grey):
    lines = feature.canny(grey / 255, 2.0)
    assert classical.edges(picture, close=0, min_area=1).labels[lines].all()
    part = segmentation.chan_vese(grey / 255, mu=0.25, max_num_iter=20)
    found = classical.chan_vese(picture, iterations=20).labels.astype(bool)
    assert (found == part).all() or (found != part).all()


def test_random_walker(picture):
    markers = np.zeros(picture.shape[:2], np.int32)
    markers[40, 60], markers[100, 20], markers[10, 140] = 1, 2, 3
    expected = segmentation.random_walker(
        picture / 255, markers, beta=90, mode="bf", return_full_prob=True, channel_axis=-1
    )
    found = classical.random_walker(picture, seeds=markers, beta=90).probabilities()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_grabcut(picture):
    mask = np.zeros(picture.shape[:2], np.uint8)
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    bgr = np.ascontiguousarray(picture[..., ::-1])
    cv2.grabCut(bgr, mask, (20, 10, 80, 90), *models, 5, cv2.GC_INIT_WITH_RECT)
    np.testing.assert_array_equal(
        classical.grabcut(picture, box=(20, 10, 100, 100)).labels, mask & 1
    )
