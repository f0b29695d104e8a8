"""Whether the right step is found, and nothing where nothing helps."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from pixelwise.errors import DatasetError, UsageError
from pixelwise.evaluation import tune_refine as module
from pixelwise.evaluation.predictions import subject_of
from pixelwise.evaluation.refine_search import search
from pixelwise.evaluation.sources import TrueMask
from pixelwise.evaluation.tune_refine import steps_of, tune_refine
from pixelwise.inference.predictor import load
from pixelwise.refine.plan import Refinement

WEIGHTS = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 3], [1, 1, 1]], np.float32)
SIZE = (18, 24)


def photo(number):
    """Two halves of one colour each, under noise."""
    random = np.random.default_rng(number)
    colours = random.permutation([[150, 80, 80], [80, 150, 80], [80, 80, 150]])[:2]
    left = np.arange(SIZE[1]) < random.integers(7, 17)
    clean = np.where(left[None, :, None], *colours)
    noisy = clean + random.normal(0, 28, (*SIZE, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


@dataclass
class Truth:
    """What refinements make of a model's answers, as if it were true."""

    model: object
    refinements: list
    names: tuple = ()
    known: tuple = ()
    facts: dict = field(default_factory=lambda: {"data": "toys", "split": "val"})

    def __post_init__(self):
        self.classes = self.model.classes
        self.names = self.names or tuple(f"{number}-{7 * number}" for number in range(self.count))

    @property
    def count(self):
        return len(self.refinements)

    def spacing(self, _):
        return None

    def read(self, place):
        image = photo(place)
        found = self.refinements[place].apply(self.model.predict(image))
        return TrueMask(found.labels.copy(), None, image)


@pytest.fixture
def model(make_model, pointwise, make_card):
    network = pointwise(0.05 * WEIGHTS, np.array([0, 0, 0, 2]))
    path = make_model(network=network, card=make_card())
    return load(path, engine="onnxruntime", threads=1)


@pytest.fixture
def tuned(model):
    def run(*refinements, names=(), **options):
        return tune_refine(subject_of(Truth(model, list(refinements), names), model), **options)

    return run


def test_what_is_right_already_needs_nothing(tuned):
    result = tuned(*[Refinement()] * 4)
    assert result.recommended is None
    assert result.chosen == Refinement()
    assert result.parts == (Refinement(),) * 4
    assert "even the pictures of the search" in result.reason
    assert result.differences["mean_iou"].difference == 0
    assert result.singles["crf"].gain < 0


@pytest.mark.parametrize(
    "wanted",
    [Refinement(min_area=16), Refinement("crf"), Refinement("guided", {"radius": 4})],
    ids=lambda refinement: refinement.method,
)
def test_the_right_step_is_found(tuned, wanted):
    result = tuned(*[wanted] * 4)
    assert result.recommended == wanted
    assert result.parts == (wanted,) * 4
    for figure in result.differences.values():
        assert figure.b == pytest.approx(1)
        assert 0 < figure.low <= figure.difference == pytest.approx(1 - figure.a)
    assert (result.searched, len(result.comparison.names)) == (4, 4)
    assert "snapping" in result.notes[0]


@pytest.fixture
def cheap(monkeypatch):
    """Steps that take no time alone."""
    monkeypatch.setattr(module, "KINDS", ("smooth", "min_area"))


@pytest.mark.usefixtures("cheap")
def test_what_helps_some_and_harms_others_is_not_recommended(tuned):
    wanted = [Refinement(smooth=1)] * 2 + [Refinement()] * 2
    result = tuned(*wanted)
    assert result.recommended is None
    figure = result.differences["mean_iou"]
    assert figure.low <= 0


def test_regions_are_snapped_to_where_something_makes_them(tuned, monkeypatch):
    monkeypatch.setattr(module, "KINDS", ("snap", "smooth", "min_area"))

    def squares(image):
        rows, columns = np.indices(image.shape[:2])
        return rows // 4 * 100 + columns // 4

    class Snapped(Refinement):
        def apply(self, segmentation):
            return super().apply(segmentation, squares)

    wanted = Refinement(snap=True)
    result = tuned(*[Snapped(snap=True)] * 4, superpixels=squares)
    assert result.recommended == wanted
    assert result.notes == ()


def test_a_search_without_time_recommends_nothing_and_says_so(tuned):
    result = tuned(*[Refinement(min_area=16)] * 5, seconds=1e-9)
    assert result.recommended is None
    assert result.reason == "time was over before anything was tried"
    assert "a longer --budget" in result.notes[-1]


def test_groups_are_never_on_both_sides(tuned, monkeypatch):
    seen = []

    class Watched(module.Search):
        def __init__(self, own, kinds):
            seen.append(own)
            super().__init__(own, kinds)

    monkeypatch.setattr(module, "Search", Watched)
    names = tuple(f"patient {number // 2}/{7 * number}" for number in range(6))
    told = []
    result = tuned(*[Refinement()] * 6, names=names, seconds=1e-9, progress=told.append)
    assert "patient" in result.grouping or "folder" in result.grouping
    *parts, whole = seen
    assert whole.all()
    assert len(parts) == 3
    for own in parts:
        assert own.sum() == 4
        assert (own[::2] == own[1::2]).all()
    assert sum(told) <= steps_of(6)
    seen.clear()
    assert tuned(*[Refinement()] * 6, names=names, seconds=1e-9, by="image").grouping == (
        "every picture by itself"
    )
    assert [own.sum() for own in seen].count(5) == 4  # of five parts one has two pictures


def test_each_picture_is_refined_with_what_the_others_chose(tuned, monkeypatch):
    first, rest = Refinement(min_area=16), Refinement(smooth=1)

    class Known(module.Search):
        def __init__(self, own, kinds):
            super().__init__(own, kinds)
            self._sees_first = own[0]

        def answer(self):
            return rest if self._sees_first else first

    monkeypatch.setattr(module, "Search", Known)
    result = tuned(first, *[rest] * 4, by="image", seconds=1e-9)
    np.testing.assert_array_equal(result.comparison.by_picture[:, 1], 1)
    assert (result.comparison.by_picture[:, 0] < 1).all()


def test_settings_that_some_picture_does_not_allow_are_not_recommended(tuned, monkeypatch):
    class Stubborn(Refinement):
        def apply(self, segmentation, superpixels=None):
            if superpixels is None and segmentation.image[0, 0, 0] == photo(2)[0, 0, 0]:
                raise UsageError("not this picture")
            return super().apply(segmentation, superpixels)

    monkeypatch.setattr(module.Search, "answer", lambda _: Stubborn(smooth=1))
    result = tuned(*[Refinement()] * 5, seconds=1e-9)
    assert result.recommended is None
    assert result.reason == "what was chosen by some pictures cannot be done with others"
    assert [fault.what for fault in result.faults] == ["not this picture"]
    assert len(result.comparison.names) == 4


@pytest.mark.usefixtures("cheap")
def test_many_pictures_are_searched_by_some(tuned, monkeypatch):
    monkeypatch.setattr(module, "_SEARCHED", 4)
    result = tuned(*[Refinement(min_area=16)] * 6)
    assert (result.searched, len(result.comparison.names)) == (4, 6)
    assert result.recommended == Refinement(min_area=16)


def test_too_few_pictures_are_told(tuned):
    with pytest.raises(DatasetError, match="4 pictures are needed at least"):
        tuned(*[Refinement()] * 3)


def test_label_maps_cannot_be_refined(subject_from):
    maps = {f"{number}-{7 * number}": np.full((6, 8), number % 2, np.uint8) for number in range(4)}
    subject = subject_from(maps, maps)
    with pytest.raises(DatasetError, match="only what a model predicts"):
        tune_refine(subject)
    with pytest.raises(DatasetError, match=r"can no longer be read\n.*\n.*no scores of a model"):
        search(subject, [0, 1], [module.Search(np.ones(2, np.bool_), ("smooth",))])


def test_borders_must_not_suffer():
    def comparison(low, border):
        figures = {"mean_iou": SimpleNamespace(low=low)}
        figures["mean_boundary_iou"] = SimpleNamespace(high=border)
        return SimpleNamespace(overall=figures)

    chosen = Refinement("crf")
    assert module._reason(chosen, comparison(0.01, 0.0)) == ""
    assert module._reason(chosen, comparison(0.01, None)) == ""
    assert "boundary IoU falls" in module._reason(chosen, comparison(0.01, -0.001))
    for low in (None, 0.0, -0.01):
        assert "more than chance" in module._reason(chosen, comparison(low, 0.1))
