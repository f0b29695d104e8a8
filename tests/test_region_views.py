from __future__ import annotations

import numpy as np
import pytest

from pixelwise.geometry import Geometry
from pixelwise.kernels import Axis
from pixelwise.segmentation import Provenance, Segmentation


@pytest.fixture
def make(make_table):
    """A segmentation of three classes."""

    def build(scores, geometry=None):
        height, width = scores.shape[1:]
        halves = Geometry(Axis.half_pixel(2 * height, height), Axis.half_pixel(2 * width, width))
        origin = Provenance("toy", "0" * 64, "numpy", (height, width), "photo", "0")
        return Segmentation(scores, make_table(2, 5, 9), geometry or halves, origin)

    return build


def test_tags_of_every_class_have_the_score_of_their_surest_place(make):
    scores = np.random.default_rng(4).normal(size=(3, 5, 6)).astype(np.float32) * 3
    seg = make(scores)
    soft = np.exp(scores) / np.exp(scores).sum(0)
    tags = seg.tag_scores()
    assert [tag.score for tag in tags] == sorted((tag.score for tag in tags), reverse=True)
    for tag in tags:
        place = seg.classes.index(tag.info.name)
        assert tag.score == pytest.approx(soft[place].max(), abs=1e-6)
        assert tag.share == seg.shares[tag.info.name]
        assert tag.area == (seg.labels == tag.info.id).sum()


def test_a_class_may_be_likely_that_is_nowhere_the_best(make):
    scores = np.zeros((3, 2, 2), np.float32)
    scores[0], scores[1] = 2, 1.9
    first, second, third = make(scores).tag_scores()
    assert (first.info.id, first.share) == (2, 1)
    assert (second.info.id, second.share, second.area) == (5, 0, 0)
    assert 0.4 < second.score < first.score
    assert third.score < 0.1


def test_scores_beside_the_picture_do_not_count(make):
    """Networks see pictures with padding, and what they say of that is not in the picture."""
    scores = np.zeros((3, 4, 4), np.float32)
    scores[0] = 1
    scores[2, 3, :] = scores[2, :, 3] = 9
    geometry = Geometry(Axis(3, 1.0, 0.0), Axis(3, 1.0, 0.0))
    tags = {tag.info.id: tag.score for tag in make(scores, geometry).tag_scores()}
    assert tags[9] < 0.3
    whole = Geometry(Axis(4, 1.0, 0.0), Axis(4, 1.0, 0.0))
    tags = {tag.info.id: tag.score for tag in make(scores, whole).tag_scores()}
    assert tags[9] > 0.9


def test_the_summary_has_the_scores_of_tags(make):
    seg = make(np.random.default_rng(4).normal(size=(3, 5, 6)).astype(np.float32))
    said = seg.summary()["tag_scores"]
    assert [*said.items()] == [(tag.info.name, tag.score) for tag in seg.tag_scores()]


def test_areas_are_in_the_summary_where_the_size_of_a_pixel_is_known(make):
    seg = make(np.random.default_rng(4).normal(size=(3, 5, 6)).astype(np.float32))
    for entry in seg.summary(spacing="2m")["classes"]:
        parts = [entry, *entry["regions"]]
        assert [part["area_m2"] for part in parts] == [4 * part["area"] for part in parts]
    entry = seg.summary()["classes"][0]
    assert "area_m2" not in {**entry, **entry["regions"][0]}
