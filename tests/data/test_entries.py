from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.data.dataset import Entry
from pixelwise.data.entries import Entries

ENTRIES = st.lists(
    st.builds(
        Entry,
        st.text(max_size=4),
        st.text(max_size=4),
        st.sampled_from(["", "train", "val"]),
        st.integers(-1, 9),
    ),
    max_size=20,
)


@given(ENTRIES, st.integers(-20, 20), st.integers(-20, 20), st.sampled_from([-1, 1, 2]))
def test_entries_are_those_of_a_tuple(listed, begin, end, step):
    entries = Entries.of(listed)
    assert list(entries) == listed
    assert [entries[place] for place in range(-len(listed), len(listed))] == listed * 2
    assert entries[begin:end:step] == listed[begin:end:step]
    assert pickle.loads(pickle.dumps(entries)) == entries


def test_entries_are_equal_to_any_sequence_of_the_same():
    listed = [Entry("a", "b"), Entry("c", "d", "val", 3)]
    assert Entries.of(listed) == listed
    assert tuple(listed) == Entries.of(listed)
    assert Entries.of(listed) != listed[:1]
    assert Entries.of(listed) != listed[::-1]
    assert Entries.of(listed) != 3


def test_there_is_no_entry_beyond_the_last():
    with pytest.raises(IndexError):
        Entries.of([Entry("a", "b")])[1]
