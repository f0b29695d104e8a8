from __future__ import annotations

from dataclasses import replace

import pytest

from pixelwise.classes import ClassTable
from pixelwise.data.convert.table_file import table_losses
from pixelwise.formats.class_file import table_file


@pytest.mark.parametrize("name", ["ade20k", "camvid", "cityscapes", "coco", "voc"])
def test_a_table_comes_back(name, tmp_path):
    table = ClassTable.builtin(name)
    (tmp_path / "classes.csv").write_bytes(table_file(table))
    read = ClassTable.from_csv(tmp_path / "classes.csv")
    assert replace(read, name=table.name, source=table.source) == table
    assert table_losses(table) == []


def test_an_ignored_id_without_colour_and_odd_names_come_back(tmp_path, table):
    odd = replace(table([0, 9], 65_535), ignore_colours=())
    quoted = replace(odd.classes[0], name='a "b", c', aliases=("d, e", "f"))
    odd = replace(odd, classes=(quoted, odd.classes[1]))
    (tmp_path / "classes.csv").write_bytes(table_file(odd))
    read = ClassTable.from_csv(tmp_path / "classes.csv")
    assert (read.classes, read.ignore_index, read.ignore_colours) == (odd.classes, 65_535, ())


def test_an_alias_with_the_sign_that_parts_them_is_a_loss(table):
    odd = table([1])
    odd = replace(odd, classes=(replace(odd.classes[0], aliases=("a|b",)),))
    assert len(table_losses(odd)) == 1
