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


def scene(size=(120, 160)):
    """Three areas, each of one colour with noise, and scores that are often wrong."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[: size[0], : size[1]]
    truth = ((x - size[1] / 2) ** 2 + (y - size[0] / 2) ** 2 < 1600).astype(int)
    truth[y > 90 + 6 * np.sin(x / 9)] = 2
    image = np.array([(200, 60, 40), (60, 180, 70), (40, 80, 190)])[truth]
    image = np.clip(image + random.normal(0, 20, image.shape), 0, 255).astype(np.uint8)
    scores = random.normal(size=(3, size[0] // 2, size[1] // 2)).astype(np.float32)
    scores += 0.5 * (truth[::2, ::2] == np.arange(3)[:, None, None])
    return in_half(scores, image)


def in_half(scores, image):
    height, width = image.shape[:2]
    rows = Axis.half_pixel(height, scores.shape[1])
    columns = Axis.half_pixel(width, scores.shape[2])
    return Segmentation(scores.astype(np.float32), TABLE, Geometry(rows, columns), MADE, image)


FINE = {"position_deviation": 8, "smooth_deviation": 2}


@pytest.fixture
def small_pieces(monkeypatch):
    """From now on pictures are worked in pieces of few pixels."""

    def use(pixels):
        monkeypatch.setattr(refine, "_floats_of_crf", lambda _: 1)
        monkeypatch.setattr(refine, "_floats_of_guided", lambda _: 1)
        monkeypatch.setattr(refine, "_MOST_FLOATS", pixels)

    return use


def test_a_crf_in_pieces_gives_nearly_the_same_labels(small_pieces):
    """At most 2 in 1,000 pixels are others, where the CRF itself changes more than 100."""
    before = scene()
    whole = refine.crf(before, **FINE)
    small_pieces(3000)
    pieces = refine.crf(before, **FINE)
    assert (whole.labels != before.labels).mean() > 0.1
    assert (pieces.probabilities() != whole.probabilities()).any()
    assert (pieces.labels != whole.labels).mean() <= 0.002


def test_a_crf_in_pieces_has_no_seams(small_pieces):
    """Where photo and scores hardly change, the step from pixel to pixel stays as small."""
    image = np.full((120, 160, 3), 128, np.uint8)
    scores = np.zeros((3, 60, 80), np.float32)
    scores[0] = np.linspace(-0.5, 0.5, 80)
    weak = {**FINE, "colour_weight": 1.0, "smooth_weight": 0.5}
    whole = refine.crf(in_half(scores, image), **weak).probabilities()
    small_pieces(2000)
    pieces = refine.crf(in_half(scores, image), **weak).probabilities()
    for axis in (1, 2):
        usual, found = (np.abs(np.diff(each, axis=axis)).max() for each in (whole, pieces))
        assert found < 1.1 * usual


def test_a_guided_filter_in_pieces_gives_the_same(small_pieces):
    before = scene()
    whole = refine.guided(before, radius=3)
    small_pieces(3000)
    pieces = refine.guided(before, radius=3)
    np.testing.assert_allclose(pieces.probabilities(), whole.probabilities(), atol=1e-6)
    np.testing.assert_array_equal(refine.guided(before, radius=0).labels, before.labels)
