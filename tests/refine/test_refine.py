from __future__ import annotations

import numpy as np
import pytest

import pixelwise as pw
from pixelwise import refine
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.errors import ArrayError, ClassNameError, UsageError
from pixelwise.geometry import Geometry
from pixelwise.kernels.axis import Axis
from pixelwise.segmentation import Provenance, Segmentation

TABLE = ClassTable(
    "made",
    (
        ClassInfo(3, "sky", (0, 0, 0)),
        ClassInfo(5, "sea", (9, 9, 9)),
        ClassInfo(8, "sand", (1, 2, 3)),
    ),
    255,
    "a test",
)
MADE = Provenance("model", "hash", "engine", (4, 4), "picture", "0")


@pytest.fixture
def segmentation():
    """24 × 32 pixels from scores of half the size, and a photo of two colours."""
    random = np.random.default_rng(0)
    scores = random.normal(size=(3, 12, 16)).astype(np.float32)
    scores[0, :, :8] += 2
    scores[1, :, 8:] += 2
    image = np.zeros((24, 32, 3), np.uint8)
    image[:, :16] = (250, 40, 10)
    geometry = Geometry(Axis.half_pixel(24, 12), Axis.half_pixel(32, 16))
    return Segmentation(scores, TABLE, geometry, MADE, image=image, temperature=1.7)


def with_labels(segmentation, labels):
    parts = (segmentation.scores, TABLE, segmentation.geometry, MADE)
    return Segmentation(*parts, image=segmentation.image, labels=labels)


def test_crf_and_guided_filter_follow_the_photo(segmentation):
    truth = np.where(np.arange(32) < 16, 3, 5) * np.ones((24, 1), int)
    before = (segmentation.labels == truth).mean()
    for better in (refine.crf(segmentation), refine.guided(segmentation, radius=4)):
        assert better is not segmentation
        assert (better.labels == truth).mean() > before
        np.testing.assert_allclose(better.probabilities().sum(0), 1, atol=1e-5)
        ids = np.array(TABLE.ids)
        np.testing.assert_array_equal(better.labels, ids[better.probabilities().argmax(0)])
    assert (refine.crf(segmentation).labels == truth).all()


def test_a_crf_of_no_iterations_gives_the_same_probabilities(segmentation):
    same = refine.crf(segmentation, iterations=0)
    np.testing.assert_allclose(same.probabilities(), segmentation.probabilities(), atol=1e-6)


def test_steps_are_recorded_in_order(segmentation):
    made = refine.keep_largest(refine.min_area(refine.crf(segmentation), 6), "sea")
    assert [step.split(":")[0] for step in made.provenance.refined] == [
        "crf",
        "min_area",
        "keep_largest",
    ]
    assert segmentation.provenance.refined == ()
    assert '"refined": ["crf' in made.provenance_text({})["pixelwise"]


def test_label_maps_are_changed_and_probabilities_stay(segmentation):
    cleaned = refine.min_area(segmentation, 30)
    assert (cleaned.labels != segmentation.labels).any()
    np.testing.assert_array_equal(cleaned.probabilities(), segmentation.probabilities())
    ids = {number: channel for channel, number in enumerate(TABLE.ids)}
    channels = np.vectorize(ids.get)(cleaned.labels)
    expected = np.take_along_axis(cleaned.probabilities(), channels[None], 0)[0]
    np.testing.assert_allclose(cleaned.confidence, expected, atol=1e-6)
    assert sum(cleaned.shares.values()) == pytest.approx(1)
    assert min(segment.area for segment in cleaned.segments()) >= 30


def test_ignored_pixels_stay_in_every_step(segmentation):
    labels = segmentation.labels.copy()
    labels[5:9, 12:20] = 255
    ignored = labels == 255
    start = with_labels(segmentation, labels)
    regions = np.arange(24)[:, None] // 6 * 10 + np.arange(32) // 8
    for made in (
        refine.min_area(start, 40),
        refine.keep_largest(start, "sand"),
        refine.fill_holes(start, "sky"),
        refine.smooth(start, 3),
        refine.snap(start, regions),
    ):
        np.testing.assert_array_equal(made.labels == 255, ignored)
        assert set(np.unique(made.labels)) <= {3, 5, 8, 255}
        assert (made.confidence[ignored] == 0).all()


def test_regions_take_their_most_frequent_class(segmentation):
    regions = np.arange(24)[:, None] // 6 * 10 + np.arange(32) // 8
    snapped = refine.snap(segmentation, regions)
    for number in np.unique(regions):
        inside = segmentation.labels[regions == number]
        found, counts = np.unique(inside, return_counts=True)
        assert (snapped.labels[regions == number] == found[counts.argmax()]).all()


def test_steps_on_probabilities_come_first(segmentation):
    cleaned = refine.min_area(segmentation, 5)
    for step in (refine.crf, refine.guided):
        with pytest.raises(UsageError, match="would lose what was done to the labels"):
            step(cleaned)
    bare = Segmentation(segmentation.scores, TABLE, segmentation.geometry, MADE)
    with pytest.raises(UsageError, match="crf needs the photo"):
        refine.crf(bare)


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (lambda made: refine.min_area(made, 0), UsageError),
        (lambda made: refine.min_area(made, 2.5), UsageError),
        (lambda made: refine.smooth(made, 0), UsageError),
        (lambda made: refine.keep_largest(made, "moon"), ClassNameError),
        (lambda made: refine.fill_holes(made, "moon"), ClassNameError),
        (lambda made: refine.snap(made, np.zeros((3, 3), int)), ArrayError),
        (lambda made: refine.snap(made, np.zeros((24, 32))), ArrayError),
        (lambda made: refine.crf(made, colour_deviation=0), UsageError),
    ],
)
def test_what_cannot_be_is_refused(segmentation, step, error):
    with pytest.raises(error):
        step(segmentation)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.zeros((24, 32), np.uint8), "labels of no class"),
        (np.full((24, 31), 3, np.uint8), "expected uint8 or uint16"),
        (np.full((24, 32), 3, np.int64), "expected uint8 or uint16"),
    ],
)
def test_labels_are_of_the_table(segmentation, labels, said):
    with pytest.raises(ArrayError, match=said):
        with_labels(segmentation, labels)


def test_the_shipped_model_can_be_refined():
    seg = pw.load("street", engine="onnxruntime").predict("examples/photos/roundabout.jpg")
    better = pw.refine.min_area(pw.refine.guided(seg), 200)
    assert better.labels.shape == seg.labels.shape
    assert 0.9 < (better.labels == seg.labels).mean() < 1
