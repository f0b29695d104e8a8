from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.check import check
from pixelwise.data.dataset import Dataset, Entry
from pixelwise.data.faults import Fault
from pixelwise.data.layouts.mask_files import MaskFiles
from pixelwise.data.report import by_kind, report_text, share

TABLE = ClassTable(
    "toy",
    (ClassInfo(0, "background", (0, 0, 0)), ClassInfo(1, "a class of a very long name", (9, 0, 0))),
    None,
    "made for a test",
)


@pytest.fixture
def make(tmp_path):
    """A data set of pictures of noise, `shares` of which are of class 1."""

    def make(*shares, splits=(), faults=(), notes=(), rest=None):
        entries = []
        for number, part in enumerate(shares):
            pixels = np.random.default_rng(number).integers(0, 256, (10, 20, 3), np.uint8)
            mask = np.zeros(200, np.uint8)
            mask[: round(200 * part)] = 1
            Image.fromarray(pixels).save(tmp_path / f"{number}.png")
            Image.fromarray(mask.reshape(10, 20)).save(tmp_path / f"{number}_mask.png")
            split = splits[number] if splits else ""
            entries.append(Entry(f"{number}.png", f"{number}_mask.png", split))
        return Dataset(
            tmp_path, "by hand", TABLE, tuple(entries), MaskFiles(), tuple(faults), tuple(notes),
            0.5, rest,
        )  # fmt: skip

    return make


def text_of(dataset):
    return "\n".join(report_text(check(dataset)))


def many(number, **others):
    return [
        Fault(**{"what": "w", "file": f"f{place}", "got": f"g{place}", "fix": "x"} | others)
        for place in range(number)
    ]


def test_kinds_come_with_errors_first_then_by_number():
    faults = [
        *many(3, what="few warnings", severity="warning"),
        *many(2, what="few errors"),
        *many(9, what="many warnings", severity="warning"),
        *many(5, what="many errors"),
    ]
    kinds = by_kind(faults)
    assert [kind.what for kind in kinds] == [
        "many errors", "few errors", "many warnings", "few warnings",
    ]  # fmt: skip
    assert [len(kind.faults) for kind in kinds] == [5, 2, 9, 3]


def test_each_fix_is_told_once_the_frequent_first():
    (kind,) = by_kind([*many(1, fix="rare"), *many(2, fix="frequent"), *many(3, fix="")])
    assert kind.fixes == ("frequent", "rare")


def test_five_files_of_a_kind_are_shown_and_the_rest_counted(make):
    text = text_of(make(0.1, faults=many(8, what="something is wrong")))
    assert "error × 8: something is wrong" in text
    assert [f"f{n}" in text for n in range(8)] == [True] * 5 + [False] * 3
    assert "g4" in text
    assert "… and 3 more (--json lists all)" in text
    assert text.count("fix: x") == 1
    assert text.endswith("8 errors, 0 warnings")


def test_a_sound_data_set_is_told_in_a_few_lines(make):
    text = text_of(make(0.1, 0.3, splits=("train", "val"), notes=["masks hold ids"]))
    lines = text.splitlines()
    assert lines[0].endswith("2 pictures (train 1, val 1)")
    assert "by hand, a guess (0.50)" in text
    assert "--layout" in text
    assert "masks hold ids" in text
    assert "2 of 2 pictures have a readable truth; every pixel counts" in text
    assert "all 20×10 (width × height)" in text
    assert "PNG, RGB, 8 bits × 2" in text
    assert lines[-1] == "no faults found"


def test_what_is_sure_is_not_asked_for(make):
    dataset = replace(make(0.1, 0.3), sureness=0.97)
    assert "by hand, sure (0.97)" in text_of(dataset)
    assert "--layout" not in text_of(dataset)


def test_one_is_told_as_one(make):
    text = text_of(make(0.1))
    assert text.splitlines()[0].endswith(": 1 picture")
    assert "1 of 1 picture has a readable truth" in text


def test_classes_come_by_their_share_in_all_and_in_each_split(make):
    lines = text_of(make(0.9, 0.7, splits=("train", "val"))).splitlines()
    start = next(n for n, line in enumerate(lines) if line.split()[:2] == ["id", "class"])
    assert lines[start].split() == ["id", "class", "pixels", "pictures", "train", "val"]
    assert lines[start + 1].split()[0] == "1"
    assert "…  80.0 %         2  90.0 %  70.0 %" in lines[start + 1]
    assert " ".join(lines[start + 2].split()).startswith("0 background 20.0 % 2 10.0 % 30.0 %")


def test_the_rest_is_explained(make):
    assert "'background' means: any class but the others of this table" in text_of(
        make(0.1, rest=0)
    )


def test_lines_keep_to_eighty_columns(make):
    faults = many(3, got="word " * 90, fix="do this and that " * 9, what="long words " * 12)
    notes = ["a note that is quite long, " * 8]
    for line in report_text(check(make(0.1, 0.3, faults=faults, notes=notes))):
        if not line.startswith(str(make().root)):
            assert len(line) <= 80


def test_nothing_readable_is_told(tmp_path):
    dataset = Dataset(tmp_path, "by hand", TABLE, (Entry("a.png", ""),), MaskFiles())
    text = text_of(dataset)
    assert "none can be read" in text
    assert "no class has a pixel" in text
    assert text.endswith("1 error, 0 warnings")


@given(st.floats(0, 1))
def test_what_is_there_is_never_told_as_nothing(part):
    assert (share(part) == "–") == (part == 0)
    assert not share(part).startswith("0.00 ")


def test_shares_have_digits_enough():
    assert [share(part) for part in (1, 0.123, 0.00456, 0.00001)] == [
        "100.0 %", "12.3 %", "0.46 %", "<0.01 %",
    ]  # fmt: skip
