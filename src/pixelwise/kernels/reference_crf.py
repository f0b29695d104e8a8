"""The NumPy twin of mean field: see `pixelwise.kernels.dense_crf`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pixelwise.kernels.types import Floats

__all__ = ["PermutohedralLattice", "mean_field", "smooth"]

_Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PermutohedralLattice:
    """Adams, Baek and Davis, "Fast high-dimensional filtering using the permutohedral lattice".

    Attributes:
        vertices: int64 [N, d + 1], the vertices around each pixel.
        weights: float64 [N, d + 1], how near each of them is; they sum to 1.
        neighbours: int64 [d + 1, M, 2], along each axis; M where there is none.
    """

    vertices: npt.NDArray[np.int64]
    weights: _Doubles
    neighbours: npt.NDArray[np.int64]

    @staticmethod
    def of(features: npt.NDArray[np.floating]) -> PermutohedralLattice:
        """The lattice of features [N, d], in standard deviations."""
        pixels, d = features.shape
        steps = np.arange(1, d + 1)
        scales = np.sqrt(2 / 3) * (d + 1) / np.sqrt(steps * (steps + 1.0))
        scaled = features.astype(np.float64) * scales
        # The sum of the coordinates behind each, the last first.
        after = np.zeros((pixels, d + 1))
        for i in range(d - 1, -1, -1):
            after[:, i] = after[:, i + 1] + scaled[:, i]
        elevated = after.copy()
        elevated[:, 1:] -= steps * scaled
        whole = np.floor(elevated / (d + 1) + 0.5)
        base = (whole * (d + 1)).astype(np.int64)
        offset = elevated - base
        earlier = np.tri(d + 1, k=-1, dtype=bool)
        before = offset[:, None, :] > offset[:, :, None]
        equal = offset[:, None, :] == offset[:, :, None]
        rank = (before | (equal & earlier)).sum(2) + whole.sum(1).astype(np.int64)[:, None]
        turns = (rank > d).astype(np.int64) - (rank < 0)
        rank -= turns * (d + 1)
        base -= turns * (d + 1)
        part = (elevated - base) / (d + 1)
        weights = np.zeros((pixels, d + 2))
        rows = np.arange(pixels)
        for i in range(d + 1):
            weights[rows, d - rank[:, i]] += part[:, i]
            weights[rows, d + 1 - rank[:, i]] -= part[:, i]
        weights[:, 0] += 1 + weights[:, d + 1]
        remainders = np.arange(d + 1)[:, None]
        keys = (base[:, None] + remainders - (rank[:, None] > d - remainders) * (d + 1))[..., :d]
        found, vertices = np.unique(keys.reshape(-1, d), axis=0, return_inverse=True)
        places = {key.tobytes(): place for place, key in enumerate(found)}
        neighbours = np.empty((d + 1, len(found), 2), np.int64)
        for axis in range(d + 1):
            step = np.full(d, -1)
            step[axis : axis + 1] += d + 1
            for side, moved in enumerate((found + step, found - step)):
                neighbours[axis, :, side] = [places.get(key.tobytes(), len(found)) for key in moved]
        return PermutohedralLattice(
            vertices.reshape(pixels, d + 1), weights[:, : d + 1], neighbours
        )

    def filter(self, values: _Doubles) -> _Doubles:
        """Values [C, N] summed with the weights of the Gaussian."""
        out = np.empty_like(values)
        count = self.neighbours.shape[1]
        for channel, of_pixels in enumerate(values):
            parts = (self.weights * of_pixels[:, None]).ravel()
            lines = np.bincount(self.vertices.ravel(), parts, count + 1)
            for pairs in self.neighbours:
                lines[:count] += 0.5 * (lines[pairs[:, 0]] + lines[pairs[:, 1]])
            out[channel] = (lines[self.vertices] * self.weights).sum(1)
        return out


def smooth(values: _Doubles, taps: Floats) -> _Doubles:
    """Values [C, H, W] under a Gaussian, along the rows and down the columns."""
    for axis in (2, 1):
        out = taps[0] * values
        for step in range(1, min(len(taps), values.shape[axis])):
            before, after = np.moveaxis(out, axis, 0), np.moveaxis(values, axis, 0)
            before[step:] += taps[step] * after[:-step]
            before[:-step] += taps[step] * after[step:]
        values = out
    return values


def mean_field(
    scores: Floats,
    features: Floats,
    taps: Floats,
    weights: tuple[float, float],
    iterations: int,
    keep: npt.NDArray[np.bool_],
) -> Floats:
    """See `pixelwise.kernels.dense_crf`; weights are those of colour and smoothness."""
    unary = scores.astype(np.float64)
    shape = unary.shape
    lattice = PermutohedralLattice.of(features.reshape(-1, features.shape[2]))

    def by_colour(values: _Doubles) -> _Doubles:
        return lattice.filter(values.reshape(len(values), -1)).reshape(values.shape)

    def by_place(values: _Doubles) -> _Doubles:
        return smooth(values, taps)

    parts = [
        (weight, kernel, _factors(kernel(keep[None].astype(np.float64)), keep))
        for weight, kernel in zip(weights, (by_colour, by_place), strict=True)
        if weight > 0
    ]
    found = _softmax(unary)
    for _ in range(iterations):
        found = found * keep
        message = np.zeros(shape)
        for weight, kernel, factors in parts:
            message += weight * factors * kernel(found * factors)
        found = _softmax(unary + message)
    return found.astype(np.float32)


def _factors(sums: _Doubles, keep: npt.NDArray[np.bool_]) -> _Doubles:
    counts = keep & (sums[0] > 0)
    return np.where(counts, 1 / np.sqrt(np.where(counts, sums[0], 1)), 0)


def _softmax(scores: _Doubles) -> _Doubles:
    terms = np.exp(scores - scores.max(0))
    out: _Doubles = terms / terms.sum(0)
    return out
