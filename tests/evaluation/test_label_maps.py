from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.errors import ClassTableError, DatasetError, MaskFileError, UsageError
from pixelwise.evaluation.label_maps import found_table, label_maps, numbered, paired, read_ids


def files(*names):
    return {name: Path(f"{name}.png") for name in names}


def test_files_are_named_by_their_path(write_maps):
    ids = np.zeros((2, 3), np.uint8)
    folder = write_maps("maps", {"b": ids, "f/a.x": ids})
    (folder / "notes.txt").write_text("no label map")
    assert label_maps(folder) == {"b": folder / "b.png", "f/a.x": folder / "f" / "a.x.png"}


def test_of_a_folder_of_predict_the_labels_count(write_maps):
    ids = np.zeros((2, 3), np.uint8)
    folder = write_maps("out", {"labels/a": ids, "overlays/a": ids})
    assert label_maps(folder) == {"a": folder / "labels" / "a.png"}


def test_two_files_of_one_name_and_no_files(write_maps, tmp_path):
    folder = write_maps("maps", {"a": np.zeros((2, 3), np.uint8)})
    Image.new("L", (3, 2)).save(folder / "a.tif")
    with pytest.raises(DatasetError) as caught:
        label_maps(folder)
    assert "a.png" in caught.value.got
    assert "a.tif" in caught.value.got
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no label maps"):
        label_maps(tmp_path / "empty")


def test_names_pair_by_the_longest_end_that_is_clear():
    found = paired(["val/x/a", "val/y/a", "val/z/b"], files("x/a", "y/a", "q/b"))
    assert [path.stem for path in found] == ["a", "a", "b"]
    assert [path.parent.name for path in found] == ["x", "y", "q"]
    assert paired(["a"], files("deep/a"))[0].name == "a.png"


def test_what_does_not_pair_is_listed_all_at_once():
    with pytest.raises(DatasetError) as caught:
        paired(["p/a", "q/a", "b", "c"], files("a", "d", "e"), where="maps")
    lines = caught.value.got.splitlines()
    assert lines[0] == "truth without prediction (2): b, c"
    assert lines[1].strip() == "prediction without truth (2): d, e"
    assert lines[2].strip() == "prediction of several pictures (1): a"


def test_label_maps_of_other_splits_are_left_alone():
    assert paired(["val/a"], files("a", "b"), known=["val/a", "train/b"]) == (Path("a.png"),)
    with pytest.raises(DatasetError, match="do not pair"):
        paired(["val/a"], files("a", "b"), known=["val/a"])


def test_the_table_lies_in_the_folder_or_above(write_maps, tmp_path):
    folder = write_maps("data/masks", {"a": np.zeros((2, 3), np.uint8)})
    assert found_table(folder, above=True) is None
    (tmp_path / "data" / "classes.csv").write_text("id,name\n0,sky\n1,sea\n")
    assert found_table(folder, above=False) is None
    assert found_table(folder, above=True).names == ("sky", "sea")
    (folder / "classes.csv").write_text("id,name\n0,a\n0,b\n")
    with pytest.raises(ClassTableError):
        found_table(folder, above=True)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_ids_outside_the_table_are_refused(write_maps, table_of, kind):
    folder = write_maps("maps", {"a": np.array([[0, 1, 255]], kind), "b": np.array([[0, 7]], kind)})
    table = table_of("sky", "sea")
    assert read_ids(folder / "a.png", table).tolist() == [[0, 1, 255]]
    with pytest.raises(MaskFileError) as caught:
        read_ids(folder / "b.png", table)
    assert "7 × 1" in caught.value.got


def test_indexed_grey_and_16_bit_tell_the_same(tmp_path, table_of):
    ids = np.array([[0, 1], [2, 255]], np.uint8)
    indexed = Image.fromarray(ids)
    indexed.putpalette([value for index in range(256) for value in (index, 0, 255 - index)])
    indexed.save(tmp_path / "p.png")
    Image.fromarray(ids).save(tmp_path / "l.png")
    Image.fromarray(ids.astype(np.uint16)).save(tmp_path / "i.png")
    for name in "pli":
        np.testing.assert_array_equal(
            read_ids(tmp_path / f"{name}.png", table_of("a", "b", "c")), ids
        )


def test_ids_make_a_table_where_there_is_none(write_maps):
    folder = write_maps(
        "maps", {"a": np.array([[0, 3]], np.uint8), "b": np.array([[5, 255]], np.uint8)}
    )
    paths = sorted(folder.iterdir())
    table = numbered(paths, ignore_index=None, workers=0)
    assert (table.ids, table.ignore_index) == ((0, 3, 5), 255)
    assert numbered(paths, ignore_index=0, workers=2).ids == (3, 5, 255)
    noise = write_maps("noise", {"a": np.arange(2000, dtype=np.uint16).reshape(40, 50)})
    with pytest.raises(UsageError, match="no classes"):
        numbered(list(noise.iterdir()), ignore_index=None, workers=0)
