from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import pixelwise as pw
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.errors import ArrayError, UsageError
from pixelwise.formats.masks import read_png_text
from pixelwise.geometry import Geometry, Window
from pixelwise.kernels import Axis
from pixelwise.layer import mask_paths
from pixelwise.multi_label import MultiLabelSegmentation, least_logits, sigmoid
from pixelwise.segmentation import Provenance

FROM = Provenance("toy", "0", "numpy", (4, 6), "a.jpg", "0")


def make(table, scores, size, thresholds=None, **options):
    rows, columns = (
        Axis.half_pixel(side, cells) for side, cells in zip(size, scores.shape[1:], strict=True)
    )
    limits = thresholds or (0.5,) * len(table)
    return MultiLabelSegmentation(scores, table, Geometry(rows, columns), FROM, limits, **options)


@pytest.fixture
def result(make_table):
    """A left half, a right half two columns wider, and nothing of the third class."""
    scores = np.full((3, 8, 12), -5, np.float32)
    scores[0, :, :6] = 5
    scores[1, :, 4:] = 5
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    return make(make_table(0, 7, 300), scores, (8, 12), image=image)


@given(
    st.lists(st.floats(1e-44, 1, exclude_max=True), min_size=1, max_size=4),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=40)
def test_masks_are_the_probabilities_at_or_above_the_thresholds(thresholds, seed):
    table = ClassTable(
        "t", tuple(ClassInfo(n, f"c{n}", (n, 0, 0)) for n in range(len(thresholds))), None, "t"
    )
    random = np.random.default_rng(seed)
    near = least_logits(tuple(thresholds))[:, None, None]
    near = np.clip(near, -100, 100) + np.zeros((len(table), 3, 5), np.float32)
    # Some on the threshold itself, and its neighbours among the floats.
    scores = np.nextafter(near, random.choice([-1e9, 0, 1e9], near.shape).astype(np.float32))
    scores = np.where(random.random(near.shape) < 0.5, scores, near).astype(np.float32)
    seg = make(table, scores, (7, 9), tuple(thresholds))
    limits = np.array(thresholds, np.float32)[:, None, None]
    for window in (None, Window(2, 1, 8, 6)):
        expected = seg.probabilities(window) >= limits
        np.testing.assert_array_equal(seg.masks(window), expected)
    np.testing.assert_array_equal(seg.masks(), [layer.mask for layer in seg.layers()])


def test_the_least_logit_is_the_least():
    limits = (1e-3, 0.25, 0.5, 0.9, 0.999999, 1 - 1e-12, 1e-50)
    least = least_logits(limits)
    reached = np.array(limits, np.float32)
    assert (sigmoid(least) >= reached).all()
    below = np.nextafter(least, np.float32(-np.inf))
    assert (sigmoid(below) < reached)[:-1].all()


def test_probabilities_are_sigmoids_and_each_for_itself(result):
    x = result.logits().astype(np.float64)
    np.testing.assert_array_equal(result.probabilities(), (1 / (1 + np.exp(-x))).astype(np.float32))
    np.testing.assert_array_equal(result.layer(7).probability, result.probabilities()[1])
    assert result.probabilities().sum(axis=0).max() > 1.9
    assert sigmoid(np.array([-1000, 1000], np.float32)).tolist() == [0, 1]


def test_shares_need_not_sum_to_one(result):
    assert result.size == (8, 12)
    assert result.shares == {"class 0": 0.5, "class 7": 8 / 12, "class 300": 0}
    assert list(result.tags) == ["class 7", "class 0"]
    assert repr(result) == "MultiLabelSegmentation(8×12: class 7 67 %, class 0 50 %)"
    assert list(result.at(5, 0)) == ["class 0", "class 7", "class 300"]
    with pytest.raises(UsageError):
        result.at(12, 0)


def test_segments_of_classes_lie_over_each_other(result):
    first, second = result.segments()
    assert (first.info.id, first.box, first.area) == (7, (4, 0, 12, 8), 64)
    assert (second.info.id, second.box, second.area) == (0, (0, 0, 6, 8), 48)
    assert second.confidence == pytest.approx(1 / (1 + np.exp(-5)), abs=1e-6)
    assert second.contour.min(axis=0).tolist() == [0, 0]
    assert [segment.area for segment in result.segments(min_area=50)] == [64]
    summary = json.loads(json.dumps(result.summary()))
    assert [entry["threshold"] for entry in summary["classes"]] == [0.5, 0.5]
    assert summary["classes"][1]["regions"][0]["area"] == 48


def test_where_classes_overlap_their_colours_take_turns(make_table):
    table = make_table(0, 1)
    colours = [info.colour for info in table]
    scores = np.full((2, 1, 1), 5, np.float32)
    image = np.full((90, 120, 3), 100, np.uint8)
    seg = make(table, scores, (90, 120), image=image)
    drawn = np.asarray(seg.overlay(opacity=1.0, legend=False))
    shown = {tuple(pixel) for pixel in drawn.reshape(-1, 3).tolist()}
    assert shown == set(colours)
    equal = (drawn == np.array(colours[0])).all(axis=-1).mean()
    assert 0.4 < equal < 0.6
    faint = np.asarray(seg.overlay(opacity=0.0, legend=False))
    np.testing.assert_array_equal(faint, image)


def test_bare_pixels_stay_and_contours_are_in_full_colour(result):
    scores = np.full((1, 8, 12), -5, np.float32)
    scores[0, 2:6, 3:9] = 5
    table = ClassTable("t", (ClassInfo(4, "c", (250, 10, 20)),), None, "t")
    seg = make(table, scores, (8, 12), image=result.image)
    drawn = np.asarray(seg.overlay(legend=False))
    mask = seg.masks()[0]
    np.testing.assert_array_equal(drawn[~mask], result.image[~mask])
    assert drawn[2, 3].tolist() == drawn[5, 8].tolist() == [250, 10, 20]
    assert drawn[3, 4].tolist() != [250, 10, 20]
    assert np.asarray(seg.overlay()).shape[0] > 8


def test_nothing_found_is_the_photo(result):
    seg = make(result.classes, np.full((3, 2, 2), -9, np.float32), (8, 12), image=result.image)
    np.testing.assert_array_equal(np.asarray(seg.overlay()), result.image)
    assert seg.segments() == ()
    assert seg.summary()["classes"] == []


def test_saved_masks_open_as_a_data_set(result, tmp_path):
    (tmp_path / "images").mkdir()
    Image.fromarray(result.image).save(tmp_path / "images" / "a.png")
    result.save(tmp_path, "a")
    dataset = pw.data.open(tmp_path)
    assert dataset.layout == "layers"
    order = [dataset.classes.index(name) for name in result.classes.names]
    np.testing.assert_array_equal(dataset[0].target.layers[order], result.masks())
    text = read_png_text(tmp_path / "masks" / "class 7" / "a.png")
    assert json.loads(text["pixelwise"])["source"] == "a.jpg"


def test_layers_and_probabilities_are_saved(result, tmp_path):
    result.save_layers(tmp_path / "layers")
    assert len(list((tmp_path / "layers").iterdir())) == 6
    result.save_probabilities(tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz") as stored:
        np.testing.assert_array_equal(stored["probabilities"], result.probabilities())
        assert stored["names"].tolist() == list(result.classes.names)
    result.save_overlay(tmp_path / "o.png")
    assert result._repr_png_().startswith(b"\x89PNG")
    bare = make(result.classes, result.scores, (8, 12))
    assert bare._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(UsageError):
        bare.overlay()


def test_folders_of_masks_are_told_apart():
    names = ["a/b", "a:b", "..", "Cat", "cat!", "CAT."]
    table = ClassTable(
        "t", tuple(ClassInfo(n, name, (n, 0, 0)) for n, name in enumerate(names)), None, "t"
    )
    folders = [path.parts[1] for path in mask_paths(table, "sub/a")]
    assert folders == ["a_b_0", "a_b_1", "_", "Cat", "cat!", "_CAT"]
    assert mask_paths(table, "sub/a")[3].parts[2:] == ("sub", "a.png")


def test_all_faults_are_told_at_once(make_table):
    scores = np.full((1, 2, 2), np.nan, np.float32)
    image = np.zeros((3, 3, 3), np.uint8)
    with pytest.raises(ArrayError) as caught:
        make(make_table(0), scores, (4, 4), (1.0,), image=image)
    for part in ("not finite", "thresholds", "image"):
        assert part in str(caught.value)


def test_a_class_may_be_called_as_a_split_is(tmp_path):
    table = ClassTable(
        "t", (ClassInfo(0, "train", (9, 0, 0)), ClassInfo(1, "car", (0, 9, 0))), None, "t"
    )
    seg = make(table, np.ones((2, 2, 2), np.float32), (4, 6))
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    seg.save(tmp_path, "a")
    dataset = pw.data.open(tmp_path)
    assert sorted(dataset.classes.names) == ["car", "train"]
    assert dataset[0].target.layers.all()
