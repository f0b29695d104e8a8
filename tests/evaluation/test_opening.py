from __future__ import annotations

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
    assert source_of("street") == ("street", None, None)
    (tmp_path / "run").mkdir()
    assert source_of(str(tmp_path / "run")) == ("", tmp_path / "run", None)
    (tmp_path / "run" / "model.onnx").write_bytes(b"")
    model = str(tmp_path / "run" / "model.onnx")
    assert source_of(str(tmp_path / "run")) == (model, None, None)
    (tmp_path / "found.json").write_text("[]")
    assert source_of(str(tmp_path / "found.json")) == ("", None, tmp_path / "found.json")


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
