from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from pixelwise.searching.blocks import (
    DamagedError,
    Facts,
    Files,
    Places,
    block_of,
    check_sections,
    entries_of,
    pack,
    read_head,
    unpack,
)
from pixelwise.searching.entries import RESULT, Entry

CELLS = np.zeros((2, 64), np.int64)
CELLS[0, 3], CELLS[1, 63] = 2**40, 7
ENTRIES = [
    Entry("a.png", 10, -1),
    Entry(
        "b/ü.png",
        2**40,
        5,
        RESULT,
        "b.jpg",
        (3, 4),
        ("car", "sky"),
        ("sky", ""),
        CELLS.sum(1),
        CELLS,
    ),
    Entry("c.tif", 0, 2**60, RESULT, "\udcff", (1, 2), ("road",), ("road",), np.array([2]), None),
]


def test_entries_come_back_from_their_bytes():
    sections = []
    for section in block_of(ENTRIES):
        stream = io.BytesIO(pack(section))
        length, checksum = read_head(stream)
        sections.append(unpack(type(section), stream.read(length), checksum))
        assert read_head(stream) is None
    check_sections(*sections)
    found = entries_of(*sections)
    assert list(found) == [entry.path for entry in ENTRIES]
    for entry in ENTRIES:
        again = vars(found[entry.path])
        for name, value in vars(entry).items():
            if name in {"pixels", "cells"} and value is not None:
                np.testing.assert_array_equal(again[name], value)
            elif name != "pixels":
                assert again[name] == value


def test_no_entries_at_all():
    sections = block_of([])
    again = [
        unpack(type(each), pack(each)[8:], read_head(io.BytesIO(pack(each)))[1])
        for each in sections
    ]
    assert entries_of(*again) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"kind": np.zeros(2, np.uint8)},
        {"kind": np.array([0, 0, 9], np.uint8)},
        {"count": np.array([0, 2, 2])},
        {"count": np.array([-1, 3, 1])},
        {"name": np.array([0, 1, 40])},
        {"table": np.array([0, 1, 9])},
    ],
)
def test_sections_that_do_not_fit_are_damaged(change):
    files, facts, places = block_of(ENTRIES)
    with pytest.raises(DamagedError):
        check_sections(files, replace(facts, **change), places)


def test_other_bytes_are_damaged():
    content = pack(block_of(ENTRIES)[0])
    with pytest.raises(DamagedError):
        unpack(Files, content[8:], 1)
    with pytest.raises(DamagedError):
        read_head(io.BytesIO(content[:5]))
    assert {Files, Facts, Places} == {type(section) for section in block_of(ENTRIES)}
