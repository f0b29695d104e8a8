from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.errors import ClassTableError, DatasetError, MaskFileError, UsageError
from pixelwise.evaluation.label_maps import (
    Held,
    found_table,
    held_by,
    label_maps,
    numbered,
    paired,
    prediction_files,
    read_ids,
    refuse_colours,
)


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


def test_ids_that_have_names_are_classes_whether_they_occur_or_not(write_maps):
    folder = write_maps("maps", {"a": np.array([[0, 255]], np.uint8)})
    named = {0: "sky", 2: "sea", 255: "land"}
    table = numbered(sorted(folder.iterdir()), ignore_index=None, workers=0, names=named)
    assert (table.names, table.ignore_index) == (("sky", "sea", "land"), None)
    assert numbered([], ignore_index=9, workers=0, names={1: "a"}).ignore_index == 9


def test_files_of_predictions(write_maps, tmp_path):
    ids = np.zeros((2, 3), np.uint8)
    own = write_maps("own", {"labels/a": ids, "overlays/a": ids})
    assert prediction_files(own) == ({"a": own / "labels" / "a.png"}, {})
    (own / "probabilities").mkdir()
    (own / "probabilities" / "a.npz").write_bytes(b"")
    assert prediction_files(own)[1] == {"a": own / "probabilities" / "a.npz"}
    (own / "labels" / "a.png").unlink()
    assert prediction_files(own) == ({}, {"a": own / "probabilities" / "a.npz"})
    plain = write_maps("plain", {"x/a": ids})
    (plain / "x" / "a.NPY").write_bytes(b"")
    labels, probabilities = prediction_files(plain)
    assert labels == {"x/a": plain / "x" / "a.png"}
    assert probabilities == {"x/a": plain / "x" / "a.NPY"}
    (plain / "x" / "a.npz").write_bytes(b"")
    with pytest.raises(DatasetError, match="have one name"):
        prediction_files(plain)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no label maps"):
        prediction_files(tmp_path / "empty")


def painted(table, ids):
    return Image.fromarray(table.palette[ids])


IDS = np.array([[0, 1, 2], [2, 1, 255]], np.uint8)


@pytest.fixture
def town():
    classes = (
        ClassInfo(0, "road", (255, 255, 255)),
        ClassInfo(1, "roof", (0, 0, 0)),
        ClassInfo(2, "tree", (0, 128, 0)),
    )
    return ClassTable("town", classes, 255, "made for a test", ((9, 9, 9),))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_are_read_by_the_class_table(tmp_path, town, mode):
    path = tmp_path / "a.png"
    painted(town, IDS).convert(mode, palette=Image.Palette.ADAPTIVE).save(path)
    held = held_by([path], town)
    assert "colours of the class table" in held.note
    np.testing.assert_array_equal(read_ids(path, town, held.masks), IDS)


def test_colours_that_look_like_greys_are_those_of_the_table(tmp_path, town):
    path = tmp_path / "a.png"
    painted(town, IDS % 2).save(path)
    np.testing.assert_array_equal(read_ids(path, town, held_by([path], town).masks), IDS % 2)


def test_ids_as_greys_of_three_channels(tmp_path, town):
    path = tmp_path / "a.png"
    Image.fromarray(np.stack([IDS] * 3, axis=-1)).save(path)
    np.testing.assert_array_equal(read_ids(path, town, held_by([path], town).masks), IDS)


def test_0_and_255_are_the_two_classes_of_a_table(tmp_path, table_of):
    path, table = tmp_path / "a.png", table_of("a", "b", ignore_index=None)
    Image.fromarray(np.array([[0, 255]], np.uint8)).save(path)
    held = held_by([path], table)
    assert "0 and 255" in held.note
    assert read_ids(path, table, held.masks).tolist() == [[0, 1]]


def test_numbers_are_ids(tmp_path, town):
    paths = [tmp_path / "own.png", tmp_path / "grey.png"]
    indexed = Image.fromarray(IDS)
    indexed.putpalette(town.palette.ravel().tolist())
    indexed.save(paths[0])
    Image.fromarray(IDS).save(paths[1])
    assert held_by(paths, town) == Held()
    assert held_by([], town) == Held()
    (tmp_path / "broken.png").write_bytes(b"")
    assert held_by([tmp_path / "broken.png"], town) == Held()


def test_what_pixelwise_wrote_holds_ids_whatever_its_palette_shows(tmp_path, town):
    info = PngInfo()
    info.add_text("pixelwise", "{}")
    swapped = Image.fromarray(IDS % 2)
    swapped.putpalette([0, 0, 0, 255, 255, 255])
    swapped.save(tmp_path / "a.png")
    assert held_by([tmp_path / "a.png"], town).masks.reading == "colours"
    swapped.save(tmp_path / "a.png", pnginfo=info)
    assert held_by([tmp_path / "a.png"], town) == Held()


def test_unknown_colours_are_listed_with_their_counts(tmp_path, town):
    pixels = town.palette[IDS]
    pixels[0, 0], pixels[1, :2] = (1, 2, 3), (7, 7, 7)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    held = held_by([tmp_path / "a.png"], town)
    with pytest.raises(MaskFileError, match="colours outside the table") as caught:
        read_ids(tmp_path / "a.png", town, held.masks)
    assert caught.value.got == "2 colours: (7, 7, 7) × 2, (1, 2, 3) × 1"
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "b.png")
    with pytest.raises(MaskFileError) as caught:
        read_ids(tmp_path / "b.png", town, held_by([tmp_path / "b.png"], town).masks)
    assert "smoothed edges" in caught.value.fix


def test_colours_that_do_not_tell_the_class_are_refused_at_once(tmp_path):
    classes = (ClassInfo(0, "a", (1, 2, 3)), ClassInfo(1, "b", (1, 2, 3)))
    table = ClassTable("same", classes, None, "")
    Image.new("RGB", (2, 2), (1, 2, 3)).save(tmp_path / "a.png")
    with pytest.raises(ClassTableError, match="share a colour"):
        held_by([tmp_path / "a.png"], table)


def test_colours_without_a_table_are_listed(tmp_path, town):
    for name, ids in (("a", IDS), ("b", IDS[:1])):
        painted(town, ids).save(tmp_path / f"{name}.png")
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    with pytest.raises(UsageError, match="what they mean is not said") as caught:
        refuse_colours(paths, where="maps", workers=1)
    assert caught.value.got.startswith("4 colours: ")
    assert "(0, 128, 0) × 3" in caught.value.got
    assert "--classes camvid" in caught.value.fix
    Image.fromarray(IDS).save(paths[0])
    refuse_colours(paths[:1], where="maps", workers=1)
    painted(town, IDS).save(tmp_path / "c.jpg")
    with pytest.raises(UsageError) as caught:
        refuse_colours([tmp_path / "c.jpg"], where="maps", workers=1)
    assert "JPEG keeps no colour" in caught.value.fix
    with pytest.raises(MaskFileError, match="cannot hold class ids"):
        read_ids(tmp_path / "c.jpg", town, held_by([tmp_path / "c.jpg"], town).masks)
