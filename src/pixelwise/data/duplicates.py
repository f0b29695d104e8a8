"""Pictures that look alike: a hash that survives scaling and JPEG, and all near pairs of hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import combinations
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise.errors import ArrayError, UsageError

__all__ = [
    "MOST_DISTANT",
    "NEAR_DISTANCE",
    "UNKNOWN_HASH",
    "content_hash",
    "hash_distances",
    "is_blank",
    "join",
    "near_distance",
    "near_pairs",
    "perceptual_hash",
]

NEAR_DISTANCE = 6
"""Bits in which the hashes of near-duplicates differ at most: see `near_distance`."""
MOST_DISTANT = 15
UNKNOWN_HASH = 0
"""Stands for a picture that could not be read; no picture has it, and it is near to nothing."""

_SIDE = 32
_BITS = 64
_LEAST_RANGE = 3
_MOST_PAIRS_BY_CHANCE = 3
_LEAST_DISTANCE_OF_STRANGERS = 20
_BAND_BITS = 16
_BANDS = _BITS // _BAND_BITS
_CANDIDATES_AT_ONCE = 1 << 20
_MOST_PAIRS = 2_000_000


def _cosines(count: int) -> NDArray[np.float64]:
    """The first rows of the discrete cosine transform (type II), float64 `[count, 32]`."""
    places = np.arange(_SIDE) + 0.5
    rows: NDArray[np.float64] = np.cos(np.pi / _SIDE * np.outer(np.arange(count), places))
    return rows


def _lowest_frequencies() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the 64 lowest frequencies, the mean left out, diagonal by diagonal."""
    places = [(row, total - row) for total in range(1, 11) for row in range(total + 1)]
    rows, columns = np.array(places[:_BITS]).T
    return rows, columns


_ROWS, _COLUMNS = _lowest_frequencies()
_COSINES = _cosines(11)
_ONES = np.array([number.bit_count() for number in range(1 << _BAND_BITS)], np.uint8)


def perceptual_hash(image: NDArray[np.uint8]) -> int:
    """64 bits that are nearly the same for pictures that look nearly the same.

    The picture is made grey and 32×32; of its 64 lowest frequencies (discrete cosine transform)
    each gives a bit: whether it is above their median (after Zauner, "Implementation and
    benchmarking of perceptual image hash functions", 2010). At most 32 bits are set.

    A picture that shows nothing, whose 32×32 greys lie within 3 of 255, would give noise. Its hash
    has at least 33 bits set and tells its colour, so that black and white differ: `is_blank`.

    Args:
        image: uint8 `[H, W, 3]` RGB.

    Returns:
        1 … 2^64 - 1.

    Raises:
        ArrayError: the picture has another shape or type, or no pixels.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ArrayError(
            "a picture to hash is uint8 [H, W, 3]",
            where="argument image",
            got=f"{image.dtype} {list(image.shape)}",
        )
    # The gap lets Pillow average blocks first, which is several times faster.
    small = Image.fromarray(image).resize(
        (_SIDE, _SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0
    )
    greys = np.asarray(small.convert("L"), np.float64)
    if greys.max() - greys.min() < _LEAST_RANGE:
        return _hash_of_colour(small)
    waves = (_COSINES @ greys @ _COSINES.T)[_ROWS, _COLUMNS]
    # Steps of 1/32 of a grey level, so that frequencies which are not there do not flicker.
    waves = np.rint(waves / 16)
    bits = waves > np.sort(waves)[_BITS // 2 - 1]
    return int.from_bytes(np.packbits(bits).tobytes(), "big") or 1


def _hash_of_colour(small: Image.Image) -> int:
    colour = np.asarray(small).reshape(-1, 3).mean(axis=0)
    steps = np.rint(colour / 8).astype(np.uint8)
    code = int.from_bytes(hashlib.blake2b(steps.tobytes(), digest_size=8).digest(), "big")
    return (1 << _BITS) - (1 << 31) | code & (1 << 31) - 1


def content_hash(content: bytes) -> bytes:
    """16 bytes (BLAKE2b) that only equal contents share."""
    return hashlib.blake2b(content, digest_size=16).digest()


def is_blank(hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether each is the hash of a picture that shows nothing, bool `[N]`."""
    return _ones(hashes) > _BITS // 2


def hash_distances(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """In how many bits the hashes differ, 0 … 64, element by element."""
    return _ones(first ^ second)


def near_distance(hashes: NDArray[np.uint64], *, seed: int = 0) -> int:
    """The distance up to which hashes of this data set tell near-duplicates.

    It is the largest of 0 … 6 at which strangers would make three pairs at most by chance: 6 for
    some ten thousand photos, whose hashes differ in 31 bits, give or take 5, and less for more, as
    their pairs are many. And it is 0 where all pictures are taken alike (an eye in the middle, one
    fixed camera), so that the hashes of strangers differ in fewer than 20 bits.

    Args:
        hashes: uint64 `[N]`.
        seed: of the random pairs that tell how far strangers are apart.
    """
    shown = hashes[(hashes != UNKNOWN_HASH) & ~is_blank(hashes)]
    if len(shown) < 2:
        return NEAR_DISTANCE
    random = np.random.default_rng(seed)
    first = random.integers(0, len(shown), 4096)
    second = (first + random.integers(1, len(shown), 4096)) % len(shown)
    distances = hash_distances(shown[first], shown[second])
    middle = float(np.median(distances))
    # Of few pictures nothing can be said.
    if middle < _LEAST_DISTANCE_OF_STRANGERS and len(shown) >= 10:
        return 0
    # The farther half alone, as there may be many duplicates among the nearer.
    spread = float(np.sqrt(np.mean((distances[distances >= middle] - middle) ** 2)))
    strangers = NormalDist(middle, max(spread, 1))
    pairs = len(shown) * (len(shown) - 1) / 2
    for distance in range(NEAR_DISTANCE, 0, -1):
        if pairs * strangers.cdf(distance + 0.5) <= _MOST_PAIRS_BY_CHANCE:
            return distance
    return 0


def near_pairs(hashes: NDArray[np.uint64], distance: int = NEAR_DISTANCE) -> NDArray[np.int32]:
    """Pairs of pictures whose hashes differ in at most `distance` bits.

    Exact, in time that grows little faster than N: of four bands of 16 bits, two near hashes
    differ in one by at most `distance // 4` bits, so that its few neighbours can be looked up
    (Norouzi, Punjani, Fleet, "Fast search in Hamming space with multi-index hashing", CVPR 2012).

    Two rules keep many alike pictures from making N² pairs. Equal hashes are each paired with the
    first of them alone, and only that first one with others. From 2 million pairs on, only
    such are added as join pictures that no chain of pairs joins yet. So what hangs together always
    does in the pairs.

    Unknown hashes and those of blank pictures are in no pair: that both show nothing says nothing.

    Args:
        hashes: uint64 `[N]`.
        distance: 0 … 15.

    Returns:
        int32 `[M, 2]`, places in `hashes`, the lower first; sorted.

    Raises:
        UsageError: `distance` is out of range.
    """
    if not 0 <= distance <= MOST_DISTANT:
        raise UsageError(
            f"near hashes differ in 0 to {MOST_DISTANT} bits", got=f"distance={distance!r}"
        )
    distinct, representatives, equal = _distinct(hashes)
    near = _limited(_blocks_of_pairs(distinct, distance), len(distinct))
    pairs = np.concatenate([equal, np.sort(representatives[near], axis=1)])
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _distinct(
    hashes: NDArray[np.uint64],
) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.int32]]:
    """The hashes that occur `[U]`, the first place of each, and pairs `[E, 2]` of it and others."""
    places = np.flatnonzero((hashes != UNKNOWN_HASH) & ~is_blank(hashes)).astype(np.int32)
    distinct, first, inverse = np.unique(hashes[places], return_index=True, return_inverse=True)
    representatives = places[first]  # [U]
    own = representatives[inverse.reshape(-1)]  # [P]
    others = own != places
    return distinct, representatives, np.stack([own[others], places[others]], axis=1)


def join(labels: NDArray[np.int64], pairs: NDArray[np.int32]) -> NDArray[np.int64]:
    """Labels of groups after joining pairs: the samples of one group share its lowest label.

    Args:
        labels: int64 `[N]`, each 0 … N - 1 the place of a sample of the group.
        pairs: `[M, 2]`, places of samples whose groups become one.

    Returns:
        int64 `[N]`, new.
    """
    parents = labels.copy()
    left, right = pairs[:, 0], pairs[:, 1]
    while True:
        low = np.minimum(parents[left], parents[right])
        high = np.maximum(parents[left], parents[right])
        apart = low != high
        if not apart.any():
            return parents
        np.minimum.at(parents, high[apart], low[apart])
        while True:
            lower = parents[parents]
            if np.array_equal(lower, parents):
                break
            parents = lower


def _ones(numbers: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Set bits of each number; NumPy has its own count from version 2 on only."""
    bands = np.ascontiguousarray(numbers, np.uint64)[..., None].view(np.uint16)
    ones = np.zeros(numbers.shape, np.uint8)
    # One after the other: NumPy makes an index of 64 bits of each band.
    for band in range(_BANDS):
        ones += _ONES[bands[..., band]]
    return ones


def _limited(blocks: Iterator[NDArray[np.int32]], count: int) -> NDArray[np.int32]:
    """The pairs of all blocks `[M, 2]`; beyond the limit, those that join what is apart."""
    kept: list[NDArray[np.int32]] = []
    total = 0
    labels: NDArray[np.int64] | None = None
    for block in blocks:
        pairs = block
        if total + len(block) > _MOST_PAIRS:
            if labels is None:
                labels = join(np.arange(count), _stacked(kept))
            ends = np.sort(labels[block], axis=1)
            # One pair for each two groups, however many would do.
            _, chosen = np.unique(ends[:, 0] * count + ends[:, 1], return_index=True)
            pairs = block[chosen[ends[chosen, 0] != ends[chosen, 1]]]
            labels = join(labels, pairs)
        kept.append(pairs)
        total += len(pairs)
        if labels is not None and not labels.any():
            break
    return _stacked(kept)


def _stacked(blocks: list[NDArray[np.int32]]) -> NDArray[np.int32]:
    return np.concatenate([np.zeros((0, 2), np.int32), *blocks])


def _blocks_of_pairs(distinct: NDArray[np.uint64], distance: int) -> Iterator[NDArray[np.int32]]:
    """Each near pair of distinct hashes once, in blocks `[M, 2]`."""
    radius = distance // _BANDS
    flips = np.array(
        [
            sum(1 << bit for bit in bits)
            for number in range(radius + 1)
            for bits in combinations(range(_BAND_BITS), number)
        ]
    )
    for band in range(_BANDS):
        keys = _band(distinct, band)
        order = np.argsort(keys, kind="stable")
        sizes = np.bincount(keys, minlength=1 << _BAND_BITS)
        starts = np.cumsum(sizes) - sizes
        for flip in flips:
            partners = keys ^ flip
            for left, right in _expanded(starts[partners], sizes[partners], order):
                yield _chosen(distinct, left, right, band, distance)


def _expanded(
    starts: NDArray[np.int64], counts: NDArray[np.int64], order: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Each hash with each of its candidates, about a million at a time."""
    sums = np.cumsum(counts)
    begin = 0
    while begin < len(counts):
        before = sums[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(sums, before + _CANDIDATES_AT_ONCE, "right")))
        number = counts[begin:end]
        left = np.repeat(np.arange(begin, end), number)
        within = np.arange(len(left)) - np.repeat(sums[begin:end] - number - before, number)
        yield left, order[np.repeat(starts[begin:end], number) + within]
        begin = end


def _chosen(
    distinct: NDArray[np.uint64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    band: int,
    distance: int,
) -> NDArray[np.int32]:
    """The candidates that are near, are in order, and were not found in an earlier band."""
    ordered = left < right
    left, right = left[ordered], right[ordered]
    different = distinct[left] ^ distinct[right]
    near = _ones(different) <= distance
    for earlier in range(band):
        near &= _ONES[_band(different, earlier)] > distance // _BANDS
    return np.stack([left[near], right[near]], axis=1).astype(np.int32)


def _band(numbers: NDArray[np.uint64], band: int) -> NDArray[np.int64]:
    shifted = numbers >> np.uint64(_BAND_BITS * band)
    return (shifted & np.uint64((1 << _BAND_BITS) - 1)).astype(np.int64)
