from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.errors import ArrayError, UsageError
from pixelwise.presence import LEVELS, Presence, cell_edges


@st.composite
def maps(draw):
    shape = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ids = draw(st.lists(st.integers(0, 65_535), min_size=1, max_size=5, unique=True))
    return np.array(ids, np.uint16)[random.integers(0, len(ids), shape)]


@settings(max_examples=40)
@given(labels=maps())
def test_cells_are_those_of_a_count_by_hand(labels):
    presence = Presence.of(labels)
    assert presence.ids.tolist() == np.unique(labels).tolist()
    for level in range(LEVELS):
        side = 2**level
        counts = presence.level(level)
        for row in range(side):
            for column in range(side):
                # The borders by their definition, in whole numbers.
                (top, bottom), (left, right) = (
                    (n * length // side, (n + 1) * length // side)
                    for n, length in ((row, labels.shape[0]), (column, labels.shape[1]))
                )
                cell = labels[top:bottom, left:right]
                expected = [(cell == id_).sum() for id_ in presence.ids]
                assert counts[:, row, column].tolist() == expected
                share = [(cell == id_).mean() if cell.size else 0 for id_ in presence.ids]
                assert presence.shares(level)[:, row, column].tolist() == share


@settings(max_examples=40)
@given(labels=maps())
def test_parents_are_sums_of_their_four_children(labels):
    presence = Presence.of(labels)
    for level in range(LEVELS - 1):
        fine = presence.level(level + 1)
        sums = fine[:, ::2, ::2] + fine[:, 1::2, ::2] + fine[:, ::2, 1::2] + fine[:, 1::2, 1::2]
        np.testing.assert_array_equal(presence.level(level), sums)
    assert presence.level(0).sum() == labels.size


@settings(max_examples=40)
@given(labels=maps())
def test_the_text_gives_the_same_back(labels):
    presence = Presence.of(labels)
    again = Presence.decode(presence.encode())
    assert again.size == labels.shape
    np.testing.assert_array_equal(again.ids, presence.ids)
    np.testing.assert_array_equal(again.counts, presence.counts)


def test_cells_are_as_equal_as_can_be():
    for side in range(1, 200):
        lengths = np.diff(cell_edges(side))
        assert lengths.sum() == side
        assert np.ptp(lengths) <= 1


def test_cells_of_gigapixels_keep_their_counts():
    counts = np.full((1, 8, 8), 2**36, np.int64)
    presence = Presence((2**21, 2**21), np.array([3]), counts)
    np.testing.assert_array_equal(Presence.decode(presence.encode()).counts, counts)


def damaged():
    text = Presence.of(np.arange(300, dtype=np.uint16).reshape(20, 15)).encode()
    content = bytearray(zlib.decompress(base64.b64decode(text)))
    pack = lambda data: base64.b64encode(zlib.compress(bytes(data))).decode()  # noqa: E731
    yield from ("", "no", text[:40], "ä", pack(b""), pack(content[:-1]), pack(content + b"\0"))
    yield pack(b"\x01" + b"\0" * 3 + content[4:])  # a picture too small for its counts
    yield pack(content[:8] + b"\xff" * 4 + content[12:])


@pytest.mark.parametrize("text", [*damaged()])
def test_another_text_is_refused(text):
    with pytest.raises(UsageError, match="no pyramid"):
        Presence.decode(text)


def test_what_is_no_label_map_is_refused():
    for array in (np.zeros((0, 3), np.uint8), np.zeros(3, np.uint8), np.zeros((3, 3)), [[1]]):
        with pytest.raises(ArrayError):
            Presence.of(array)


def test_there_are_four_levels():
    presence = Presence.of(np.zeros((3, 3), np.uint8))
    for number in (-1, 4, 1.5):
        with pytest.raises(UsageError, match="no such level"):
            presence.level(number)
