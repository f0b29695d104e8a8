from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.errors import ArrayError, ClassNameError, OutputError, UsageError
from pixelwise.formats.masks import read_mask
from pixelwise.formats.png import read_png_text
from pixelwise.geometry import Geometry, Window
from pixelwise.kernels import Axis
from pixelwise.layer import layer_file_names
from pixelwise.presence import Presence
from pixelwise.segmentation import Provenance, Segmentation

PROVENANCE = Provenance(
    model="toy",
    model_hash="0" * 64,
    engine="none",
    network_size=(8, 8),
    source="ä ☂.png",
    version="0",
)
IDS = (0, 1, 2, 5, 90, 200)


@pytest.fixture(scope="module")
def make(make_table):
    """A segmentation of smooth noise, `size` pixels over `cells` scores."""

    def build(
        *, ids=IDS, size=(21, 30), cells=(6, 7), seed=0, photo=True, scores=None, alignment="half"
    ):
        generator = np.random.default_rng(seed)
        if scores is None:
            scores = generator.normal(0, 3, (len(ids), *cells)).astype(np.float32)
        axis = Axis.half_pixel if alignment == "half" else Axis.corners
        image = generator.integers(0, 256, (*size, 3), np.uint8) if photo else None
        return Segmentation(
            scores=scores,
            classes=make_table(*ids),
            geometry=Geometry(axis(size[0], scores.shape[1]), axis(size[1], scores.shape[2])),
            provenance=PROVENANCE,
            image=image,
            threads=1,
        )

    return build


@pytest.fixture(scope="module")
def seg(make):
    return make()


@pytest.fixture(scope="module")
def painted(make, make_table):
    """A segmentation whose labels are exactly those painted."""

    def build(labels, ids=IDS):
        labels = np.array(labels)
        scores = np.where(labels == np.array(ids)[:, None, None], 4, 0).astype(np.float32)
        return make(ids=ids, size=labels.shape, scores=scores)

    return build


@settings(max_examples=30)
@given(
    ids=st.sets(st.integers(0, 400), min_size=1, max_size=7).map(sorted).map(tuple),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    cells=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    alignment=st.sampled_from(["half", "corners"]),
    seed=st.integers(0, 99),
)
def test_all_views_say_the_same(make, ids, size, cells, alignment, seed):
    seg = make(ids=ids, size=size, cells=cells, alignment=alignment, seed=seed)
    probabilities, labels = seg.probabilities(), seg.labels
    assert labels.dtype == (np.uint8 if max(ids) < 256 else np.uint16)
    assert probabilities.dtype == seg.logits().dtype == seg.confidence.dtype == np.float32
    assert probabilities.shape == (len(ids), *size)
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    best = np.searchsorted(ids, labels)
    # Classes within the rounding of the softmax may change places.
    chosen = np.take_along_axis(probabilities, best[None], 0)[0]
    np.testing.assert_allclose(chosen, probabilities.max(0), rtol=1e-5)
    np.testing.assert_allclose(seg.confidence, probabilities.max(0), rtol=1e-5)
    softmax = np.exp(seg.logits() - seg.logits().max(0))
    np.testing.assert_allclose(softmax / softmax.sum(0), probabilities, atol=2e-6)
    one_hot = seg.one_hot()
    assert one_hot.dtype == np.uint8
    np.testing.assert_array_equal(one_hot.sum(0), 1)
    np.testing.assert_array_equal(np.array(ids)[one_hot.argmax(0)], labels)
    for layer, info, mask, probability in zip(
        seg.layers(), seg.classes, one_hot, probabilities, strict=True
    ):
        assert layer.info == info
        np.testing.assert_array_equal(layer.mask, mask == 1)
        assert layer.mask.dtype == np.bool_
        np.testing.assert_allclose(layer.probability, probability, atol=1e-6)
        assert layer.share == seg.shares[info.name] == pytest.approx(mask.mean())
    assert sum(seg.shares.values()) == pytest.approx(1)


@settings(max_examples=25)
@given(st.data())
def test_windows_are_slices(seg, data):
    height, width = seg.size
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right = data.draw(st.integers(left + 1, width))
    bottom = data.draw(st.integers(top + 1, height))
    window = Window(left, top, right, bottom)
    for work_out in (seg.probabilities, seg.logits, seg.one_hot):
        part = work_out()[:, top:bottom, left:right]
        np.testing.assert_array_equal(work_out(window), part)


@given(st.integers(0, 29), st.integers(0, 20))
def test_scores_at_a_pixel(seg, x, y):
    scores = seg.at(x, y)
    expected = seg.probabilities()[:, y, x]
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    assert scores == dict(zip(seg.classes.names, expected.tolist(), strict=True))
    assert next(iter(scores)) == seg.classes.find(int(seg.labels[y, x])).name


def test_equal_scores_go_to_the_lowest_id(make):
    seg = make(scores=np.zeros((len(IDS), 2, 2), np.float32))
    assert not seg.labels.any()
    assert list(seg.at(3, 3)) == list(seg.classes.names)
    assert seg.confidence == pytest.approx(1 / len(IDS))
    assert list(seg.tags) == ["class 0"]


@pytest.mark.parametrize(
    "window",
    [(3, 0, 3, 5), (0, 5, 5, 5), (-1, 0, 5, 5), (0, 0, 31, 5), (0, 0, 5, 22), (5, 0, 3, 5)],
)
def test_a_window_outside_is_refused(seg, window):
    for work_out in (seg.probabilities, seg.logits, seg.one_hot):
        with pytest.raises(UsageError, match="window"):
            work_out(Window(*window))


@pytest.mark.parametrize(("x", "y"), [(-1, 0), (0, -1), (30, 0), (0, 21), (1.5, 2)])
def test_a_pixel_outside_is_refused(seg, x, y):
    with pytest.raises(UsageError):
        seg.at(x, y)


def test_a_layer_is_found_by_name_and_id(seg):
    assert seg.layer("CLASS 90").info.id == 90
    assert seg.layer(90).info.id == 90
    assert repr(seg.layer(90)) == f"Layer('class 90', {100 * seg.layer(90).share:.1f} %)"
    with pytest.raises(ClassNameError, match="no such class"):
        seg.layer("class 91")
    with pytest.raises(ClassNameError):
        seg.layer(3)


def test_an_alias_finds_a_layer():
    scores = np.random.default_rng(0).normal(size=(11, 6, 8)).astype(np.float32)
    seg = Segmentation(
        scores=scores,
        classes=ClassTable.builtin("camvid"),
        geometry=Geometry(Axis.half_pixel(24, 6), Axis.half_pixel(32, 8)),
        provenance=PROVENANCE,
        threads=1,
    )
    assert seg.layer("person").info.name == "pedestrian"
    assert seg.layer("pavement").info.id == seg.classes.find("sidewalk").id
    np.testing.assert_array_equal(seg.layer("person").mask, seg.labels == 9)


def test_tags_are_the_classes_that_occur_the_largest_first(painted):
    seg = painted([[5, 5, 5, 1], [5, 5, 1, 90]])
    assert list(seg.tags.items()) == [("class 5", 0.625), ("class 1", 0.25), ("class 90", 0.125)]
    assert seg.shares["class 0"] == 0
    assert repr(seg) == "Segmentation(2×4: class 5 62 %, class 1 25 %, class 90 12 %)"


def test_segments_are_the_connected_regions(painted):
    seg = painted([[0, 5, 5, 0, 90], [0, 0, 5, 0, 0], [5, 0, 0, 0, 90]])
    found = {(part.info.id, part.box): part for part in seg.segments()}
    assert set(found) == {
        (0, (0, 0, 5, 3)),
        (5, (1, 0, 3, 2)),
        (5, (0, 2, 1, 3)),
        (90, (4, 0, 5, 1)),
        (90, (4, 2, 5, 3)),
    }
    part = found[5, (1, 0, 3, 2)]
    assert (part.area, part.share) == (3, 0.2)
    assert part.centroid == pytest.approx((5 / 3, 1 / 3))
    assert part.confidence == pytest.approx(seg.confidence[0, 1], abs=1e-6)
    areas = [part.area for part in seg.segments()]
    assert areas == sorted(areas, reverse=True)
    assert [part.area for part in seg.segments(min_area=3)] == [9, 3]


def test_regions_that_touch_at_a_corner_are_one(painted):
    assert [part.area for part in painted([[0, 5, 0], [5, 0, 0]]).segments()] == [4, 2]


def test_segments_cover_the_picture(seg):
    parts = seg.segments()
    assert sum(part.area for part in parts) == seg.labels.size
    assert sum(part.share for part in parts) == pytest.approx(1)
    mean = sum(part.confidence * part.area for part in parts) / seg.labels.size
    assert mean == pytest.approx(seg.confidence.mean(), rel=1e-5)


def test_the_summary_is_plain_data_that_agrees(seg):
    summary = json.loads(json.dumps(seg.summary()))
    assert (summary["height"], summary["width"]) == seg.size
    assert summary["tags"] == list(seg.tags)
    assert summary["provenance"] == json.loads(json.dumps(asdict(PROVENANCE)))
    assert [entry["name"] for entry in summary["classes"]] == list(seg.tags)
    for entry in summary["classes"]:
        mask = seg.layer(entry["name"]).mask
        ys, xs = np.nonzero(mask)
        assert entry["id"] == seg.classes.find(entry["name"]).id
        assert entry["area"] == mask.sum() == sum(part["area"] for part in entry["regions"])
        assert entry["share"] == pytest.approx(mask.mean())
        assert entry["box"] == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        assert entry["centroid"] == pytest.approx([xs.mean(), ys.mean()])
        assert entry["confidence"] == pytest.approx(seg.confidence[mask].mean(), rel=1e-5)


def test_arrays_cannot_be_changed_under_it(seg):
    layer = seg.layers()[0]
    for array in (seg.labels, seg.confidence, seg.scores, seg.image, layer.mask, layer.probability):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_arrays_of_the_caller_stay_theirs(make_table):
    scores, image = np.zeros((1, 2, 2), np.float32), np.zeros((4, 4, 3), np.uint8)
    axis = Axis.half_pixel(4, 2)
    Segmentation(scores, make_table(0), Geometry(axis, axis), PROVENANCE, image)
    scores[0] = 1
    image[0] = 1


@pytest.mark.parametrize(
    ("scores", "image", "faults"),
    [
        (np.zeros((6, 2, 2)), None, ["scores float64 (6, 2, 2), expected float32 [C, h, w]"]),
        (np.zeros((6, 2), np.float32), None, ["expected float32 [C, h, w]"]),
        (np.zeros((5, 2, 2), np.float32), None, ["scores of 5 classes, the table has 6"]),
        (np.full((6, 2, 2), np.nan, np.float32), None, ["not finite"]),
        (np.full((6, 2, 2), -np.inf, np.float32), None, ["not finite"]),
        (
            np.zeros((5, 2, 2), np.float32),
            np.zeros((30, 21, 3), np.uint8),
            ["scores of 5 classes", "image uint8 (30, 21, 3), expected uint8 (21, 30, 3)"],
        ),
        (np.zeros((6, 2, 2), np.float32), np.zeros((21, 30, 3), np.float32), ["image float32"]),
        (np.zeros((6, 2, 2), np.float32), np.zeros((21, 30), np.uint8), ["image uint8 (21, 30)"]),
    ],
)
def test_arrays_that_do_not_fit_are_refused_with_all_faults(make_table, scores, image, faults):
    geometry = Geometry(Axis.half_pixel(21, 2), Axis.half_pixel(30, 2))
    with pytest.raises(ArrayError) as caught:
        Segmentation(scores, make_table(*IDS), geometry, PROVENANCE, image)
    for fault in faults:
        assert fault in caught.value.got


def opened(content):
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        return picture


@pytest.mark.parametrize("ids", [(0, 1), IDS, (1, 255), (0, 256), (3, 65_534), "coco"])
def test_a_saved_label_map_reads_back(make, tmp_path, ids):
    ids = ClassTable.builtin("coco").ids if ids == "coco" else ids
    seg = make(ids=ids)
    path = tmp_path / "new folder" / "labels.png"
    seg.save(path)
    again = read_mask(path)
    assert again.dtype == seg.labels.dtype == (np.uint8 if max(ids) < 256 else np.uint16)
    np.testing.assert_array_equal(again, seg.labels)
    picture = opened(path.read_bytes())
    if max(ids) < 256:
        assert picture.mode == "P"
        colours = np.asarray(picture.convert("RGB"))
        np.testing.assert_array_equal(colours, seg.classes.palette[seg.labels])
    else:
        assert picture.mode.startswith("I")


def test_the_file_says_where_it_came_from(seg, tmp_path):
    for save in (seg.save, seg.save_overlay):
        save(tmp_path / "a.png")
        facts = json.loads(read_png_text(tmp_path / "a.png")["pixelwise"])
        expected = json.loads(json.dumps(asdict(PROVENANCE)))
        # What has no settings says nothing of them, as before there were any.
        assert expected.pop("settings") == ""
        assert json.loads(opened((tmp_path / "a.png").read_bytes()).text["pixelwise"]) == facts
        of_labels = {key: facts.pop(key, None) for key in ("shares", "classes", "presence")}
        assert facts == expected
        if save == seg.save:
            assert json.loads(of_labels["shares"]) == pytest.approx(seg.tags, abs=1e-6)
            names = {str(info.id): info.name for info in seg.classes}
            assert json.loads(of_labels["classes"]) == names
            presence = Presence.decode(of_labels["presence"])
            np.testing.assert_array_equal(presence.counts, Presence.of(seg.labels).counts)
        else:
            assert not any(of_labels.values())


def test_facts_are_added_to_the_provenance(seg):
    for encode in (seg.encode, seg.encode_overlay):
        facts = json.loads(opened(encode(photo="x", model="y")).text["pixelwise"])
        assert (facts["photo"], facts["model"], facts["engine"]) == ("x", "y", "none")


def test_saved_layers(seg, tmp_path):
    seg.save_layers(tmp_path / "layers")
    assert len(list((tmp_path / "layers").iterdir())) == 2 * len(IDS)
    for layer in seg.layers():
        mask_name, heat_name = layer_file_names(layer.info)
        mask = np.asarray(Image.open(tmp_path / "layers" / mask_name))
        np.testing.assert_array_equal(mask, layer.mask * 255)
        heat = np.asarray(Image.open(tmp_path / "layers" / heat_name)).astype(int)
        assert heat.shape == (*seg.size, 3)
        # Lightness rises with the probability.
        order = np.argsort(layer.probability.ravel())
        assert (np.diff(heat.sum(-1).ravel()[order]) >= -3).all()


def test_file_names_of_layers_hold_nothing_a_path_stumbles_over():
    info = ClassInfo(7, "a/b: c*?..\\d", (0, 0, 0))
    assert layer_file_names(info) == ("007_a_b__c_____d.mask.png", "007_a_b__c_____d.heat.png")


def test_saved_probabilities(make, tmp_path):
    seg = make(ids=(0, 7, 300))
    seg.save_probabilities(tmp_path / "p.npz")
    stored = np.load(tmp_path / "p.npz", allow_pickle=False)
    np.testing.assert_array_equal(stored["probabilities"], seg.probabilities())
    assert stored["names"].tolist() == ["class 0", "class 7", "class 300"]
    assert stored["ids"].tolist() == [0, 7, 300]


@pytest.mark.parametrize("what", ["save", "save_overlay", "save_probabilities", "save_layers"])
def test_a_place_that_cannot_be_written(seg, tmp_path, what):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError):
        getattr(seg, what)(tmp_path / "file" / ("a.npz" if "prob" in what else "a.png"))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("what", ["save", "save_overlay", "save_probabilities"])
def test_a_photo_is_not_written_over(seg, tmp_path, what):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"kept in a \.(png|npz) file"):
        getattr(seg, what)(photo)
    assert photo.read_bytes() == b"mine"


def test_a_notebook_shows_the_overlay(make):
    seg = make(size=(40, 200))
    shown = np.asarray(opened(seg._repr_png_()))
    np.testing.assert_array_equal(shown, np.asarray(seg.overlay()))
    bare = make(photo=False)
    np.testing.assert_array_equal(np.asarray(opened(bare._repr_png_())), bare.labels)


def test_an_overlay_needs_the_photo(make, tmp_path):
    bare = make(photo=False)
    for work_out in (bare.overlay, lambda: bare.save_overlay(tmp_path / "a.png")):
        with pytest.raises(UsageError, match="without its photo"):
            work_out()
    assert bare.image is None
    bare.save(tmp_path / "labels.png")


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan")])
def test_opacity_has_its_range(seg, opacity):
    with pytest.raises(UsageError, match="opacity"):
        seg.overlay(opacity=opacity)


def test_opacity_mixes_photo_and_colours(make):
    seg = make(size=(30, 200), scores=np.zeros((len(IDS), 2, 2), np.float32))
    colour = np.array(seg.classes.find(0).colour)
    for opacity in (0, 0.25, 1):
        shown = np.asarray(seg.overlay(opacity=opacity, legend=False))
        expected = seg.image * (1 - opacity) + colour * opacity
        assert shown.shape == (30, 200, 3)
        assert np.abs(shown - expected).max() <= 1


def test_a_picture_of_one_pixel(make):
    seg = make(size=(1, 1), cells=(1, 1))
    assert seg.labels.shape == (1, 1)
    assert len(seg.segments()) == 1
    assert seg.overlay().size[0] >= 1
    assert list(seg.tags.values()) == [1.0]
    assert json.dumps(seg.summary())


def test_saving_takes_text_and_paths(seg, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seg.save("a.png")
    seg.save_overlay(Path("b.png"))
    assert Path("a.png").read_bytes() == seg.encode()
    assert Path("b.png").read_bytes() == seg.encode_overlay()
