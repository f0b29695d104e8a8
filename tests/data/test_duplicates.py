from __future__ import annotations

import hashlib
import io
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pixelwise.data.duplicates
from pixelwise.data.duplicates import (
    NEAR_DISTANCE,
    content_hash,
    hash_distances,
    is_blank,
    join,
    near_distance,
    near_pairs,
    perceptual_hash,
)
from pixelwise.errors import ArrayError, UsageError


def photo(seed, height=120, width=160):
    """Smooth random colours, as a blurred photo has."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def through_jpeg(image, quality):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def distance(first, second):
    return (perceptual_hash(first) ^ perceptual_hash(second)).bit_count()


def plain(colour):
    return np.full((40, 60, 3), colour, np.uint8)


def reference_pairs(hashes, most):
    """Pairs of distinct hashes by trying all of them, as a set."""
    first = {}
    for place, number in enumerate(hashes.tolist()):
        first.setdefault(number, place)
    pairs = {(first[n], place) for place, n in enumerate(hashes.tolist()) if first[n] != place}
    for (one, a), (two, b) in itertools.combinations(first.items(), 2):
        if (one ^ two).bit_count() <= most:
            pairs.add((min(a, b), max(a, b)))
    return pairs


def groups_by(pairs, count):
    return join(np.arange(count), np.asarray(pairs).reshape(-1, 2)).tolist()


@pytest.mark.parametrize("seed", range(8))
def test_scaled_and_compressed_pictures_stay_near(seed):
    image = photo(seed)
    for width, height in ((80, 60), (119, 91), (320, 240), (33, 40)):
        scaled = np.asarray(Image.fromarray(image).resize((width, height)))
        assert distance(image, scaled) <= NEAR_DISTANCE
    assert distance(image, through_jpeg(image, 30)) <= NEAR_DISTANCE


def test_different_pictures_are_far():
    numbers = [perceptual_hash(photo(seed)) for seed in range(40)]
    pairs = itertools.combinations(numbers, 2)
    assert min((one ^ two).bit_count() for one, two in pairs) > NEAR_DISTANCE


def test_pictures_that_show_nothing_are_told_apart_by_colour():
    noise = np.random.default_rng(1).integers(-1, 2, (40, 60, 3))
    black, white, red = plain(0), plain(255), plain((200, 0, 0))
    grainy = (plain(128) + noise).astype(np.uint8)
    hashes = np.array([perceptual_hash(i) for i in (black, white, red, grainy, black)], np.uint64)
    assert is_blank(hashes).all()
    assert len(set(hashes[:4].tolist())) == 4
    assert hashes[0] == hashes[4]
    assert len(near_pairs(hashes)) == 0


def test_pictures_with_contents_are_never_taken_for_blank():
    stripes = plain(0)
    stripes[::8, :] = 90
    dot = plain(10)
    dot[12:24, 20:40] = 250
    pictures = [photo(1), stripes, dot, dot[:, ::-1], 255 - dot]
    hashes = np.array([perceptual_hash(image) for image in pictures], np.uint64)
    assert not is_blank(hashes).any()
    assert (hashes != 0).all()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(image):
    with pytest.raises(ArrayError, match="uint8"):
        perceptual_hash(image)


def test_hash_of_contents_is_blake2b():
    assert content_hash(b"abc") == hashlib.blake2b(b"abc", digest_size=16).digest()


@given(
    seed=st.integers(0, 10**6),
    most=st.integers(0, 15),
    flips=st.lists(st.tuples(st.integers(0, 19), st.integers(0, 2**64 - 1)), max_size=20),
)
def test_pairs_are_those_of_a_full_search(seed, most, flips):
    random = np.random.default_rng(seed)
    numbers = random.integers(1, 2**32, 20, dtype=np.uint64).tolist()
    # Neighbours at every distance: some bits of `mask` flipped.
    for place, mask in flips:
        few = mask & int(random.integers(0, 2**63)) & int(random.integers(0, 2**63))
        numbers.append(numbers[place] ^ few & 0xFFFF_0000_FFFF or 1)
    hashes = np.array(numbers, np.uint64)
    hashes = hashes[~is_blank(hashes)]
    pairs = near_pairs(hashes, most)
    assert {tuple(pair) for pair in pairs.tolist()} == reference_pairs(hashes, most)
    assert len({tuple(pair) for pair in pairs.tolist()}) == len(pairs)


def test_equal_hashes_are_paired_with_the_first_alone():
    hashes = np.full(20_000, 0x1234_5678, np.uint64)
    pairs = near_pairs(hashes, 6)
    assert len(pairs) == 19_999
    assert (pairs[:, 0] == 0).all()


def test_unknown_hashes_are_in_no_pair():
    assert len(near_pairs(np.array([0, 0, 1, 0], np.uint64), 6)) == 0
    assert len(near_pairs(np.zeros(0, np.uint64), 6)) == 0


def test_too_many_pairs_still_join_the_same_pictures(monkeypatch):
    random = np.random.default_rng(2)
    base = random.integers(1, 2**30, 3, dtype=np.uint64)
    flips = (random.random((900, 64)) < 0.03) @ (1 << np.arange(63, -1, -1, dtype=np.uint64))
    hashes = np.repeat(base, 300) ^ flips.astype(np.uint64)
    everything = near_pairs(hashes, 6)
    monkeypatch.setattr(pixelwise.data.duplicates, "_MOST_PAIRS", 500)
    monkeypatch.setattr(pixelwise.data.duplicates, "_CANDIDATES_AT_ONCE", 200)
    fewer = near_pairs(hashes, 6)
    assert len(fewer) < 2000 < len(everything)
    assert groups_by(fewer, 900) == groups_by(everything, 900)


@pytest.mark.parametrize("most", [-1, 16])
def test_distances_out_of_range_are_refused(most):
    with pytest.raises(UsageError, match="0 to 15"):
        near_pairs(np.zeros(2, np.uint64), most)


def test_pictures_taken_alike_count_only_when_equal():
    random = np.random.default_rng(3)
    strangers = random.integers(1, 2**40, 50, dtype=np.uint64)
    few_bits = (random.random((50, 64)) < 0.1) @ (1 << np.arange(63, -1, -1, dtype=np.uint64))
    alike = strangers[0] ^ few_bits.astype(np.uint64)
    assert near_distance(strangers) == NEAR_DISTANCE
    assert near_distance(alike) == 0
    assert near_distance(alike[:1]) == NEAR_DISTANCE


def test_the_more_pictures_the_nearer_must_duplicates_be():
    # Some bits are set in most pictures, as by skies above.
    random = np.random.default_rng(4)
    bits = np.argsort(random.random((60_000, 64)) + np.linspace(0, 0.6, 64), axis=1) < 32
    hashes = np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)
    distances = [near_distance(hashes[:count]) for count in (1000, 60_000)]
    assert distances[0] == NEAR_DISTANCE
    assert distances[1] < distances[0]
    assert len(near_pairs(hashes, distances[1])) <= 6
    assert len(near_pairs(hashes, NEAR_DISTANCE)) > 20
    # Half of the pictures being duplicates does not hide how far strangers are apart.
    assert near_distance(np.repeat(hashes[:500], 2)) == NEAR_DISTANCE


def test_distances_are_counted_bits():
    assert hash_distances(
        np.array([0, 7, 2**64 - 1], np.uint64), np.array([0, 0, 0], np.uint64)
    ).tolist() == [0, 3, 64]


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=15))
def test_joining_gives_the_connected_parts(edges):
    labels = groups_by(np.array(edges, np.int32).reshape(-1, 2), 12)
    parts = [{place} for place in range(12)]
    for one, two in edges:
        merged = next(p for p in parts if one in p) | next(p for p in parts if two in p)
        parts = [p for p in parts if not p & merged] + [merged]
    assert labels == [min(next(p for p in parts if place in p)) for place in range(12)]
