from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.dataset import Dataset, Entry
from pixelwise.data.example_sheet import draw_example
from pixelwise.data.layouts.mask_files import MaskFiles
from pixelwise.training.examples import (
    ExamplePictures,
    example_file,
    example_places,
    final_examples,
)
from pixelwise.training.picture_counts import write_picture_counts
from pixelwise.training.run_folder import RunFolder
from pixelwise.training.scoring import Seen

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


def scene(height, width, seed=0):
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (height, width, 3), np.uint8)
    truth, labels = random.integers(0, 3, (2, height, width))
    return image, truth.astype(np.uint16), labels.astype(np.uint8)


def test_places_are_the_same_all_through_a_run():
    assert example_places(100, 8, seed=3) == example_places(100, 8, seed=3)
    assert example_places(100, 8, seed=3) != example_places(100, 8, seed=4)
    assert example_places(3, 8) == (0, 1, 2)
    assert example_places(0, 8) == ()
    chosen = example_places(1000, 8)
    assert len(set(chosen)) == 8
    assert list(chosen) == sorted(chosen)


@pytest.fixture
def dataset(tmp_path):
    """Small pictures; the third cannot be read."""
    entries = []
    for number in range(20):
        image, truth, _ = scene(20, 30, number)
        Image.fromarray(image).save(tmp_path / f"{number}.png")
        Image.fromarray(truth.astype(np.uint8)).save(tmp_path / f"{number}_mask.png")
        entries.append(Entry(f"{number}.png", f"{number}_mask.png"))
    (tmp_path / "2.png").write_bytes(b"no picture")
    three = ClassTable(
        "three", tuple(ClassInfo(i, str(i), (i, 0, 0)) for i in range(3)), None, "a test"
    )
    return Dataset(tmp_path, "by hand", three, tuple(entries), MaskFiles())


def ones(image):
    return np.ones(image.shape[:2], np.uint8)


def test_the_chosen_are_predicted_drawn_and_the_unreadable_left_out(dataset, tmp_path):
    examples = ExamplePictures(tmp_path / "out", TABLE, frozenset({1, 2, 3}), note="best")
    examples.draw(dataset, ones)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        example_file(1),
        example_file(3),
    ]
    image, truth, _ = scene(20, 30, 1)
    expected = draw_example(image, truth, ones(image), TABLE, name="1", note="best")
    assert (np.asarray(Image.open(tmp_path / "out" / example_file(1))) == expected).all()


def test_the_pictures_of_a_scoring_are_drawn_alike(dataset, tmp_path):
    examples = ExamplePictures(tmp_path / "out", TABLE, frozenset({1}))
    image, truth, labels = scene(20, 30)
    for place in (0, 1):
        examples.look(Seen(place, "name", image, truth, labels))
    (file,) = (tmp_path / "out").iterdir()
    assert file.name == example_file(1)
    expected = draw_example(image, truth, labels, TABLE, name="name")
    assert (np.asarray(Image.open(file)) == expected).all()


def test_at_the_end_the_worst_are_drawn_besides_the_chosen(dataset, tmp_path):
    folder = RunFolder(tmp_path / "run")
    final_examples(folder, dataset, TABLE, ones, seed=5)
    chosen = {example_file(place) for place in example_places(20, 8, seed=5)} - {example_file(2)}
    assert {file.name for file in folder.examples.iterdir()} == chosen
    counts = np.zeros((20, 3, 3), np.int64)
    counts[:, :, 0] = [100, 100, 100]
    counts[4:16, 0, 0] = range(12)
    write_picture_counts(
        folder.pictures,
        epoch=6,
        classes=TABLE,
        names=[entry.name for entry in dataset.entries],
        counts=counts,
    )
    final_examples(folder, dataset, TABLE, ones, seed=5)
    worst = {example_file(place) for place in range(4, 16)}
    assert {file.name for file in folder.examples.iterdir()} == chosen | worst
    image, truth, _ = scene(20, 30, 4)
    expected = draw_example(
        image, truth, ones(image), TABLE, name="4", note="the best weights, of epoch 7"
    )
    assert (np.asarray(Image.open(folder.examples / example_file(4))) == expected).all()
