from __future__ import annotations

import numpy as np
import pytest

from pixelwise.errors import UsageError
from pixelwise.evaluation.refined import KeptPredictions, RefinedPredictions, Refiner
from pixelwise.evaluation.sources import ModelPredictions, Predicted
from pixelwise.inference.predictor import load
from pixelwise.refine.plan import Refinement


class Counted(ModelPredictions):
    """Counts how often the network runs."""

    def read(self, place, image):
        self.facts.setdefault("read", []).append(place)
        return super().read(place, image)


@pytest.fixture
def predictions(make_model):
    return Counted(load(make_model(), engine="onnxruntime", threads=1))


def photo(number):
    return np.random.default_rng(number).integers(0, 256, (20, 24, 3), np.uint8)


def test_the_network_runs_once_as_far_as_memory_goes(predictions):
    whole = KeptPredictions(predictions)
    first = [whole.read(place, photo(place)) for place in range(3)]
    again = [whole.read(place, photo(place)) for place in range(3)]
    assert predictions.facts["read"] == [0, 1, 2]
    assert all(one is other for one, other in zip(first, again, strict=True))
    # Ids, scores twice, and the photo.
    bytes_of_one = 20 * 24 * (1 + 2 * 4 * 4 + 3)
    little = KeptPredictions(predictions, most_bytes=2 * bytes_of_one)
    for _ in range(2):
        for place in range(3):
            found = little.read(place, photo(place))
            np.testing.assert_array_equal(found.ids, first[place].ids)
    assert predictions.facts["read"][3:] == [0, 1, 2, 2]


def test_each_place_has_its_own_refinement(predictions):
    refinements = [Refinement(), Refinement(smooth=1), Refinement("guided", min_area=9)]
    refined = RefinedPredictions(predictions, refinements, "refined for a test")
    assert refined.facts["predictions"].endswith(", refined for a test")
    for place, refinement in enumerate(refinements):
        plain = predictions.read(place, photo(place))
        found = refined.read(place, photo(place))
        np.testing.assert_array_equal(found.ids, refinement.apply(plain.segmentation).labels)
        assert (found.ids != plain.ids).any() == bool(refinement)


def test_label_maps_cannot_be_refined(predictions):
    predictions.read = lambda *_: Predicted(np.zeros((4, 5), np.uint8), None)
    refined = RefinedPredictions(predictions, [Refinement(smooth=1)], "")
    with pytest.raises(UsageError, match="only what a model predicts"):
        refined.read(0, None)


def test_common_steps_change_nothing(predictions):
    segmentation = predictions.read(0, photo(0)).segmentation
    made = []

    def squares(image):
        made.append(image)
        rows, columns = np.indices(image.shape[:2])
        return rows // 3 * 100 + columns // 3

    refiner = Refiner(segmentation, squares)
    crf = {"colour_weight": 2.0}
    for refinement in (
        Refinement(),
        Refinement("crf"),
        Refinement("crf", min_area=5),
        Refinement("crf", crf, snap=True, smooth=1),
        Refinement(snap=True),
        Refinement("crf"),
    ):
        expected = refinement.apply(segmentation, squares)
        count = len(made)
        found = refiner.apply(refinement)
        np.testing.assert_array_equal(found.labels, expected.labels)
        assert found.provenance == expected.provenance
    assert len(made) == count  # its own regions were made once, at the first snap
