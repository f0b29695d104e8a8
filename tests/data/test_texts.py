from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from pixelwise.data.texts import Texts

WORDS = st.lists(st.text(max_size=6), max_size=40)


@given(WORDS, st.integers(-50, 50), st.integers(-50, 50), st.sampled_from([-3, -1, 1, 2]))
def test_texts_are_those_of_a_tuple(words, begin, end, step):
    texts = Texts.of(words)
    assert list(texts) == words
    assert [texts[place] for place in range(-len(words), len(words))] == words * 2
    assert list(texts[begin:end:step]) == words[begin:end:step]


def test_texts_may_be_many():
    words = [f"ß/{number}\udcff" for number in range(5000)]
    texts = Texts.of(words)
    assert list(texts) == words
    assert [texts[place] for place in (0, 1023, 1024, 2047, 2048, 4999, -1)] == [
        words[place] for place in (0, 1023, 1024, 2047, 2048, 4999, -1)
    ]
    assert len(texts) == 5000


def test_a_text_takes_few_bytes_beside_its_letters():
    tracemalloc.start()
    try:
        texts = Texts.of(f"images/{number:06}.jpg" for number in range(20_000))
        assert tracemalloc.get_traced_memory()[0] < len(texts) * (17 + 8)
    finally:
        tracemalloc.stop()
