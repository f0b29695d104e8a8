from __future__ import annotations

import numpy as np
import pytest

from pixelwise import classical
from pixelwise.errors import SettingsError, UsageError

COLOURS = ((200, 30, 30), (30, 200, 30), (30, 30, 120), (240, 240, 240))


@pytest.mark.parametrize("method", [classical.kmeans, classical.gmm])
def test_colours_are_found_and_numbered_from_the_darkest(method, stripes):
    picture, numbers = stripes(*COLOURS)
    noisy = picture + np.random.default_rng(3).integers(0, 9, picture.shape, np.uint8)
    found = method(noisy, clusters=4)
    assert found.classes.names == ("region 1", "region 2", "region 3", "region 4")
    # CIELAB: blue is darkest, then red, green and white.
    np.testing.assert_array_equal(found.labels, np.array([2, 3, 1, 4])[numbers])


def test_probabilities_are_those_of_the_mixture(stripes):
    picture, _ = stripes((100, 100, 100), (130, 130, 130))
    noise = np.random.default_rng(1).normal(0, 12, picture.shape[:2])[..., None]
    found = classical.gmm(np.clip(picture + noise, 0, 255).astype(np.uint8), clusters=2)
    probabilities = found.probabilities()
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    assert ((probabilities > 0.1) & (probabilities < 0.9)).any()
    sure = classical.kmeans(picture, clusters=2)
    assert sure.confidence.min() == pytest.approx(1)


@pytest.mark.parametrize("method", [classical.kmeans, classical.gmm])
@pytest.mark.parametrize("size", [(40, 30), (250, 240)])
def test_the_seed_decides(method, size):
    """Over the start, and of larger pictures over the sample."""
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    first, again = method(picture, clusters=3, seed=4), method(picture, clusters=3, seed=4)
    np.testing.assert_array_equal(first.scores, again.scores)
    other = method(picture, clusters=3, seed=5)
    assert (other.labels != first.labels).any()


@pytest.mark.parametrize("method", [classical.kmeans, classical.gmm])
def test_more_clusters_than_colours_are_refused(method, stripes):
    picture, _ = stripes(*COLOURS)
    with pytest.raises(UsageError) as caught:
        method(picture, clusters=5)
    assert caught.value.got == "clusters=5, and the picture has 4 colours alone"
    assert not isinstance(caught.value, SettingsError)
    with pytest.raises(SettingsError) as caught:
        method(picture, clusters=1, seed=-1)
    assert "clusters=1, expected a whole number of 2 … 64" in caught.value.got
    assert "seed=-1" in caught.value.got
