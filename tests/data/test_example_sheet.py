from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pixelwise.data
from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.example_sheet import draw_example
from pixelwise.errors import ArrayError

DATA = Path(os.environ.get("PIXELWISE_DATA") or Path(__file__).resolve().parents[3] / "shared/data")
TABLE = ClassTable(
    "toy",
    (
        ClassInfo(0, "ground", (10, 20, 30)),
        ClassInfo(4, "dog", (200, 30, 40)),
        ClassInfo(9, "a class of a rather long name", (50, 210, 60)),
    ),
    None,
    "made for a test",
)
COLOURS = np.array([info.colour for info in TABLE], np.uint8)
MISSED, INVENTED, CONFUSED = (255, 176, 32), (70, 160, 255), (255, 70, 60)


def scene(height, width, seed=0):
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (height, width, 3), np.uint8)
    truth, labels = random.integers(0, 3, (2, height, width))
    return image, truth.astype(np.uint16), labels.astype(np.uint8)


def find(sheet, part):
    """Upper left corner of where `part` lies in the sheet."""
    height, width = part.shape[:2]
    room = sheet[: len(sheet) - height + 1, : sheet.shape[1] - width + 1]
    rows, columns = np.nonzero((room == part[0, 0]).all(axis=2))
    for top, left in zip(rows.tolist(), columns.tolist(), strict=True):
        if (sheet[top, left : left + width] == part[0]).all() and (
            sheet[top : top + height, left : left + width] == part
        ).all():
            return top, left
    return None


def magnified(array, factor):
    return array.repeat(factor, axis=0).repeat(factor, axis=1)


@pytest.mark.parametrize(
    ("height", "width", "factor"), [(1, 1, 256), (37, 61, 4), (300, 257, 1), (512, 90, 1)]
)
def test_parts_stand_unshifted_in_the_colours_of_the_table(height, width, factor):
    image, truth, labels = scene(height, width)
    sheet = draw_example(image, truth, labels, TABLE, name="x")
    corners = [
        find(sheet, magnified(part, factor)) for part in (image, COLOURS[truth], COLOURS[labels])
    ]
    assert None not in corners
    assert len(set(corners)) == (3 if height > 1 else len(set(corners)))
    wrong = magnified(truth != labels, factor)
    red = (sheet == CONFUSED).all(axis=2)
    assert np.count_nonzero(red) >= np.count_nonzero(wrong)
    marked = np.where(wrong[..., None], np.uint8(1), np.uint8(0)) * np.ones(3, np.uint8)
    assert find((red[..., None] * np.ones(3)).astype(np.uint8), marked) is not None


@given(height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 99))
@settings(max_examples=15)
def test_any_size_gives_whole_parts(height, width, seed):
    image, truth, labels = scene(height, width, seed)
    sheet = draw_example(image, truth, labels, TABLE, name="x", background=0)
    factor = 256 // max(height, width)
    assert find(sheet, magnified(COLOURS[labels], factor)) is not None


@pytest.mark.parametrize("shape", [(3000, 2000), (5, 4000), (4000, 5), (600, 600)])
def test_huge_pictures_are_shown_small_and_not_shifted(shape):
    """A cross of two pixels' width in the middle stays in the middle, in all parts alike."""
    height, width = shape
    truth = np.zeros(shape, np.uint16)
    truth[height // 2 :] += 1
    truth[:, width // 2 :] += 1
    image = np.repeat((truth * 100).astype(np.uint8)[..., None], 3, axis=2)
    sheet = draw_example(image, truth, truth.astype(np.uint8), TABLE, name="x")
    assert max(sheet.shape) < 2200
    scale = 512 / max(shape)
    small = max(1, round(height * scale)), max(1, round(width * scale))
    rows = (np.arange(small[0]) + 0.5) * height / small[0] >= height // 2
    columns = (np.arange(small[1]) + 0.5) * width / small[1] >= width // 2
    expected = rows[:, None].astype(int) + columns[None, :]
    assert find(sheet, COLOURS[expected]) is not None
    # Nothing but letters of the title.
    assert np.count_nonzero((sheet == CONFUSED).all(axis=2)) < 100


def test_ignored_pixels_are_striped_and_never_wrong():
    image, _, labels = scene(40, 40)
    sheet = draw_example(image, np.full((40, 40), 65_535), labels, TABLE, name="x")
    for grey in ((96, 96, 100), (150, 150, 155)):
        assert np.count_nonzero((sheet == grey).all(axis=2)) > 1000
    assert np.count_nonzero((sheet == CONFUSED).all(axis=2)) < 100  # letters of the title
    other = np.full((40, 40), 3, np.uint16)
    assert (draw_example(image, other, labels, TABLE, name="x") == sheet).all()


def test_errors_are_told_apart_where_there_is_a_background():
    image = np.zeros((256, 256, 3), np.uint8)
    truth, labels = np.zeros((2, 256, 256), np.uint16)
    truth[:100, :10] = 1  # missed
    labels[:100, 20:50] = 2  # invented
    truth[:100, 60:80], labels[:100, 60:80] = 1, 2  # confused

    def count(sheet, colour):
        return np.count_nonzero((sheet == colour).all(axis=2))

    told = draw_example(image, truth, labels, TABLE, name="x", background=0)
    # The words of the title have the same colours.
    for colour, pixels in ((MISSED, 1000), (INVENTED, 3000), (CONFUSED, 2000)):
        assert pixels <= count(told, colour) < pixels + 200
    alike = draw_example(image, truth, labels, TABLE, name="x")
    assert count(alike, CONFUSED) >= 6000


def test_the_same_picture_gives_the_same_bytes(tmp_path):
    image, truth, labels = scene(50, 70)
    first = draw_example(image, truth, labels, TABLE, name="a/b", note="epoch 3")
    assert (first == draw_example(image, truth, labels, TABLE, name="a/b", note="epoch 3")).all()
    other = draw_example(image, truth, labels, TABLE, name="a/b", note="epoch 4")
    assert other.shape == first.shape
    assert (other != first).any()


@pytest.mark.parametrize("name", ["", "\x1b[2J\n", "名" * 300, "\udcff", "x" * 5000])
def test_any_name_can_be_drawn(name):
    assert draw_example(*scene(20, 30), TABLE, name=name).shape[1] < 2200


def test_rasters_are_shown_by_their_first_bands():
    _, truth, labels = scene(300, 300)
    bands = np.random.default_rng(0).normal(size=(300, 300, 5)).astype(np.float32)
    assert draw_example(bands, truth, labels, TABLE, name="x").dtype == np.uint8


def test_sizes_that_differ_and_labels_of_no_class_are_refused():
    image, truth, labels = scene(20, 30)
    for wrong in ((image[1:], truth, labels), (image, truth[1:], labels), (image, truth, labels.T)):
        with pytest.raises(ArrayError, match="differ in size"):
            draw_example(*wrong, TABLE, name="x")
    with pytest.raises(ArrayError, match="prediction holds ids outside"):
        draw_example(image, truth, np.full_like(labels, 3), TABLE, name="x")


@pytest.mark.parametrize(
    ("name", "place"), [("camvid", 5), ("dsb2018", 3), ("drive", 1), ("dubai_aerial", 2)]
)
def test_real_pictures_show_their_truth_unshifted(name, place):
    if not (DATA / name).is_dir():
        pytest.skip(f"{name} is not there: set PIXELWISE_DATA to the folder that holds it")
    dataset = pixelwise.data.open(DATA / name)
    sample = dataset[place]
    channel = np.full(65_536, 65_535, np.uint16)
    channel[list(dataset.classes.ids)] = np.arange(len(dataset.classes))
    truth = channel[sample.mask]
    labels = np.where(truth == 65_535, 0, truth)
    sheet = draw_example(sample.image, truth, labels, dataset.classes, name=sample.name)
    height, width = truth.shape
    scale = min(1, 512 / max(truth.shape))
    small = round(height * scale), round(width * scale)
    # In fractions: Pillow's "nearest" rounds, and takes a neighbour where it is half way.
    rows, columns = (
        [int(Fraction(2 * place + 1, 2) * size / shown) for place in range(shown)]
        for size, shown in zip((height, width), small, strict=True)
    )
    colours = np.array([info.colour for info in dataset.classes], np.uint8)
    assert find(sheet, colours[labels[np.ix_(rows, columns)]]) is not None
