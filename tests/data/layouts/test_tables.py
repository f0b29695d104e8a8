from __future__ import annotations

import pytest

from pixelwise.classes import ClassTable
from pixelwise.data.layouts.tables import find_table, numbered_table, read_table
from pixelwise.data.listing import Listing
from pixelwise.errors import ClassTableError


def table_in(root, name, text):
    (root / name).write_text(text)
    return find_table(Listing.of(root))


def test_classes_csv_is_read_with_ignored_ids(tmp_path):
    table = table_in(
        tmp_path, "classes.csv", "id,name,r,g,b,use\n0,sky,1,2,3,class\n9,void,0,0,0,ignore\n"
    )
    assert (table.names, table.ignore_index) == (("sky",), 9)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.txt", "0 sky\n1 tall building\n7 road\n"),
        ("classes.txt", "0: sky\n1: tall building\n7: road\n"),
        ("labels.txt", "\n# ids and names\n0,sky\n1,tall building\n7,road\n"),
    ],
)
def test_lines_of_id_and_name(tmp_path, name, text):
    table = table_in(tmp_path, name, text)
    assert (table.ids, table.names) == ((0, 1, 7), ("sky", "tall building", "road"))


def test_lines_of_names_are_numbered_from_zero(tmp_path):
    assert table_in(tmp_path, "names.txt", "sky\nroad 2\n").names == ("sky", "road 2")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("label_colors.txt", "64 128 64\tAnimal\n192 0 128\t\tArchway\n"),
        ("class_dict.csv", "name,r,g,b\nAnimal, 64, 128, 64\nArchway,192,0,128\n"),
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\nAnimal:64,128,64::\nArchway:192,0,128::\n",
        ),
    ],
)
def test_lines_of_colour_and_name(tmp_path, name, text):
    table = table_in(tmp_path, name, text)
    assert table.names == ("Animal", "Archway")
    assert [info.colour for info in table] == [(64, 128, 64), (192, 0, 128)]


@pytest.mark.parametrize("text", ["", "12 13\n", "0 sky\nroad\n", "name,r,g,b\nsky,1,2\n"])
def test_texts_that_are_no_tables_are_passed_over(tmp_path, text):
    assert table_in(tmp_path, "labels.txt", text) is None


def test_a_broken_classes_csv_is_told(tmp_path):
    with pytest.raises(ClassTableError, match="header"):
        table_in(tmp_path, "classes.csv", "number,label\n0,sky\n")


def test_a_table_is_given_by_name_file_or_itself(tmp_path):
    camvid = ClassTable.builtin("camvid")
    assert read_table("camvid") == camvid
    assert read_table(camvid) is camvid
    (tmp_path / "mine.txt").write_text("sky\nroad\n")
    assert read_table(tmp_path / "mine.txt").names == ("sky", "road")
    (tmp_path / "bad.txt").write_text("1 2 3\n")
    with pytest.raises(ClassTableError, match="no class table"):
        read_table(tmp_path / "bad.txt")
    with pytest.raises(ClassTableError, match="camvid"):
        read_table("camvit")


@pytest.mark.parametrize(
    ("names", "dark"),
    [
        ([(0, "class 0"), (1, "class 1")], 0),
        ([(0, "null"), (1, "bag")], 0),
        ([(1, "bag"), (2, "Background")], 2),
        ([(0, "bag"), (1, "belt")], None),
        ([(3, "class 3"), (4, "class 4")], None),
    ],
)
def test_the_background_of_numbered_tables_is_black_and_no_other(names, dark):
    table = numbered_table("any", names, None, "a test")
    assert [info.id for info in table if info.colour == (0, 0, 0)] == (
        [] if dark is None else [dark]
    )
    assert len({info.colour for info in table}) == len(names)


@pytest.mark.parametrize("name", ["none.csv", "tables/none", "none.txt"])
def test_a_table_file_that_is_not_there_is_told(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ClassTableError, match="no such class table file"):
        read_table(name)
    with pytest.raises(ClassTableError, match="no such built-in"):
        read_table("camvit")


def test_a_list_of_names_in_another_encoding_is_told(tmp_path):
    (tmp_path / "names.txt").write_bytes("Straße\n".encode("latin-1"))
    with pytest.raises(ClassTableError, match="save it as UTF-8"):
        read_table(tmp_path / "names.txt")


@pytest.mark.parametrize("text", ["id,name\n4,sky\n7,road\n", "id;name\n4;sky\n7;road\n"])
def test_labels_csv_may_have_ids_and_no_colours(tmp_path, text):
    table = table_in(tmp_path, "labels.csv", text)
    assert dict(zip(table.ids, table.names, strict=True)) == {4: "sky", 7: "road"}
