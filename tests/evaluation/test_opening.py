from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import pixelwise as pw
from pixelwise.errors import DatasetError, UsageError
from pixelwise.evaluation.opening import folder_subject, set_subjects, set_truth, source_of


@pytest.fixture
def dataset(tmp_path, make_photos):
    def make(*splits):
        root = tmp_path / "set"
        for split in splits:
            names = [f"{split}_{number}.png" for number in range(2)]
            make_photos(root / split / "images", *names, size=(4, 5))
            (root / split / "masks").mkdir()
            for name in names:
                ids = np.arange(20, dtype=np.uint8).reshape(4, 5) % 2
                Image.fromarray(ids).save(root / split / "masks" / name)
        return pw.data.open(root)

    return make


def test_sources(tmp_path):
    assert source_of("street") == ("street", None, None, None)
    (tmp_path / "run").mkdir()
    assert source_of(str(tmp_path / "run")) == ("", tmp_path / "run", None, None)
    (tmp_path / "run" / "model.onnx").write_bytes(b"")
    model = str(tmp_path / "run" / "model.onnx")
    assert source_of(str(tmp_path / "run")) == (model, None, None, tmp_path / "run")
    (tmp_path / "found.json").write_text("[]")
    assert source_of(str(tmp_path / "found.json")) == ("", None, tmp_path / "found.json", None)


def test_the_split_that_is_judged(dataset):
    whole = dataset("train", "val")
    assert set_truth(whole, None).split == "val"
    assert set_truth(whole, "train").split == "train"
    everything = set_truth(whole, "all")
    assert (everything.split, len(everything.names)) == ("", 4)
    with pytest.raises(UsageError, match="no such split"):
        set_truth(whole, "tst")


def test_which_split_must_be_clear(dataset):
    whole = dataset("train")
    with pytest.raises(UsageError, match="not clear"):
        set_truth(whole, None)
    with pytest.raises(DatasetError, match="no pictures"):
        set_truth(whole[:0], None)


@pytest.fixture
def unsplit(tmp_path, make_photos):
    root = tmp_path / "plain"
    names = [f"p{number}.png" for number in range(4)]
    make_photos(root / "images", *names, size=(4, 5))
    make_photos(root / "masks", *names, size=(4, 5))
    for name in names:
        ids = np.arange(20, dtype=np.uint8).reshape(4, 5) % 2
        Image.fromarray(ids).save(root / "masks" / name)
    return pw.data.open(root)


def run_of(folder, *sets):
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"")
    made = [
        {
            "name": name,
            "train": [f"images/p{number}.png" for number in train],
            "validation": [f"images/p{number}.png" for number in validation],
        }
        for name, train, validation in sets
    ]
    (folder / "splits.json").write_text(json.dumps({"sets": made}))
    return source_of(str(folder))


def test_a_run_is_judged_by_what_it_kept_back(unsplit, tmp_path):
    first = run_of(tmp_path / "first", ("other", [3], [2]), ("plain", [0, 1], [2, 3]))
    truth = set_truth(unsplit, None, [first])
    assert truth.names == ("images/p2", "images/p3")
    assert truth.facts["split"] == "kept back by first"
    assert truth.facts["learned"] == "first learned from 0 of these 2 pictures"
    everything = set_truth(unsplit, "all", [first])
    assert everything.facts["learned"] == "first learned from 2 of these 4 pictures"
    second = run_of(tmp_path / "second", ("renamed", [0, 3], [1, 2]))
    both = set_truth(unsplit, None, [first, second])
    assert both.names == ("images/p2",)
    assert both.facts["split"] == "kept back by first and second"
    third = run_of(tmp_path / "third", ("plain", [2, 3], [0, 1]))
    with pytest.raises(UsageError, match="no picture was kept back by every run"):
        set_truth(unsplit, None, [first, third])


def test_what_a_run_learned_from_is_read_or_refused(unsplit, tmp_path):
    run = run_of(tmp_path / "run", ("plain", [0], [1]))
    for text in ("{", "[]", '{"sets": [{"name": "plain", "train": [3], "validation": []}]}'):
        (tmp_path / "run" / "splits.json").write_text(text)
        with pytest.raises(DatasetError, match="learned from cannot be read"):
            set_truth(unsplit, None, [run])
    (tmp_path / "run" / "splits.json").unlink()
    assert len(set_truth(unsplit, None, [run]).names) == 4


def test_label_maps_of_a_split_leave_the_others_alone(dataset, tmp_path):
    whole = dataset("train", "val")
    folder = tmp_path / "predicted"
    folder.mkdir()
    for name in ("train_0", "val_0", "val_1"):
        Image.fromarray(np.zeros((4, 5), np.uint8)).save(folder / f"{name}.png")
    (subject,) = set_subjects([source_of(str(folder))], set_truth(whole, None), loaded=pw.load)
    assert [path.stem for path in subject.predictions.files] == ["val_0", "val_1"]
    (folder / "classes.csv").write_text("id,name\n5,one\n")
    with pytest.raises(pw.PixelwiseError, match="do not match"):
        set_subjects([source_of(str(folder))], set_truth(whole, None), loaded=pw.load)


def test_the_table_of_two_folders(write_maps, table_of):
    ids = np.array([[0, 1, 255]], np.uint8)
    true, found = write_maps("t/true", {"a": ids}), write_maps("p/found", {"a": ids % 2})
    assert folder_subject(found, true).truths.classes.names == ("class 0", "class 1")
    assert folder_subject(found, true).truths.classes.ignore_index == 255
    (true.parent / "classes.csv").write_text("id,name\n0,sky\n1,sea\n2,land\n")
    assert folder_subject(found, true).classes.names == ("sky", "sea", "land")
    table = table_of("x", "y", ignore_index=None)
    assert folder_subject(found, true, classes=table).classes.names == ("x", "y")
    without = folder_subject(found, true, classes=table, ignore_index=0)
    assert without.classes.names == ("y",)
    assert without.truths.classes.ignore_index == 0
