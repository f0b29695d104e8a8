from __future__ import annotations

import numpy as np
import pytest

from pixelwise import classical
from pixelwise.errors import SettingsError, UsageError

METHODS = [classical.slic, classical.felzenszwalb, classical.watershed]


@pytest.mark.parametrize("method", METHODS)
def test_regions_are_grouped_by_colour(method, disc, iou):
    picture, mask = disc
    found = method(picture, clusters=2)
    assert found.classes.names == ("region 1", "region 2")
    assert iou(found.labels == 2, mask) > 0.9


@pytest.mark.parametrize("method", ["slic", "felzenszwalb", "watershed"])
def test_every_region_is_of_one_class(method):
    picture = np.random.default_rng(2).integers(0, 256, (40, 50, 3), np.uint8)
    options = {"min_area": 5, "sigma": 0.0} if method == "felzenszwalb" else {}
    regions = classical.superpixels(picture, method, **options)
    assert regions.shape == (40, 50)
    count = int(regions.max()) + 1
    assert count > 6
    labels = classical.segment(picture, method, clusters=4, **options).labels
    pairs = {*zip(regions.ravel().tolist(), labels.ravel().tolist(), strict=True)}
    assert len(pairs) == count
    assert 2 <= len({label for _, label in pairs}) <= 4


def test_few_regions_are_classes_of_their_own(stripes):
    picture, numbers = stripes((200, 0, 0), (0, 0, 120), (250, 250, 250), width=20)
    found = classical.felzenszwalb(picture, sigma=0.0, clusters=20)
    np.testing.assert_array_equal(found.labels, np.array([2, 1, 3])[numbers])


def test_thousands_of_regions_need_no_scores_of_their_own():
    picture = np.random.default_rng(2).integers(0, 256, (120, 160, 3), np.uint8)
    assert classical.superpixels(picture, regions=3000, compactness=1e4).max() > 1000
    found = classical.slic(picture, regions=3000, compactness=1e4, clusters=5)
    assert found.scores.shape == (5, 120, 160)


def test_seeds_grow_to_the_edge(disc, iou):
    picture, mask = disc
    found = classical.watershed(picture, seeds=[(40, 30, "disc"), (2, 2, "rest")])
    assert found.classes.names == ("disc", "rest")
    assert iou(found.labels == 1, mask) > 0.9


def test_what_cannot_be_is_told(disc):
    picture, _ = disc
    with pytest.raises(SettingsError) as caught:
        classical.slic(picture, regions=0, compactness=0, clusters=1)
    assert [line.split("=")[0].strip() for line in caught.value.got.splitlines()] == [
        "clusters",
        "regions",
        "compactness",
    ]
    with pytest.raises(SettingsError, match="cannot be run"):
        classical.watershed(picture, names=("a", "b"))
    with pytest.raises(UsageError) as caught:
        classical.superpixels(picture, "slick")
    assert "did you mean slic" in caught.value.fix
    with pytest.raises(SettingsError) as caught:
        classical.superpixels(picture, "slic", region=5)
    assert "did you mean regions" in caught.value.got
