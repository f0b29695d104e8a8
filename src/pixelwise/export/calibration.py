"""What must be measured on pictures before a network can be computed in whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import EngineError
from pixelwise.export.network import Layer, Network, attributes, runner, with_outputs
from pixelwise.export.quantise import Calibration, Range, Scheme, whole_layer

__all__ = ["calibrate"]

_BINS = 2048
_LEVELS = 255
# Shares of the widest range that are tried.
_SHARES = np.concatenate([np.linspace(1.0, 0.5, 26), np.linspace(0.48, 0.1, 20)])
_POSITIONS = 512
# Of more inputs the moments cost more than they bring: errors of so many cancel by themselves.
_MOST_INPUTS = 1152
_SEED = 0


def calibrate(
    scheme: Scheme,
    inputs: Callable[[], Iterable[NDArray[np.float32]]],
    *,
    threads: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Calibration:
    """Measures ranges of tensors, and puts layers into whole numbers that suit their inputs.

    The range of a tensor is that of least squared error of what is rounded and what is cut off.
    Pictures are run twice: for the widest values, then for a histogram between them.

    Args:
        scheme: whose tensors and layers are meant.
        inputs: gives the network's inputs `[1, 3, H, W]`, the same in each call.
        threads: cores to use; 0 means all.
        progress: called with 1 after each run.

    Raises:
        EngineError: the network cannot be run, or gives values that are not finite.
    """
    network = scheme.network
    own = [name for name in scheme.tensors if name not in scheme.same]
    read = [network.nodes[layer.node].input[0] for layer in scheme.layers]
    watched = list(dict.fromkeys([*own, *read]))
    session = runner(with_outputs(network.model, watched), threads=threads, plain=True)
    widest = {name: np.zeros(2) for name in own}
    samples = [_Inputs(network, layer) for layer in scheme.layers]
    generator = np.random.default_rng(_SEED)
    for values in _runs(session, network.input, watched, inputs(), progress):
        for name in own:
            widest[name] = _wider(widest[name], name, values[name])
        for sample in samples:
            sample.add(values[sample.tensor], generator)
    counts = {name: np.zeros(_BINS, np.int64) for name in own}
    for values in _runs(session, network.input, own, inputs(), progress):
        for name in own:
            low, high = widest[name]
            if low < high:
                counts[name] += np.histogram(values[name], _BINS, (low, high))[0]
    found = {name: _best(widest[name], counts[name]) for name in own}
    if network.input in found:
        # The pixels of a picture are whole numbers already: rounding them is exact.
        found[network.input] = Range(*_with_zero(*widest[network.input]))
    ranges = found | {name: found[source] for name, source in scheme.same.items()}
    return Calibration(
        ranges,
        {
            layer.name: whole_layer(
                network, layer, ranges[sample.tensor], sample.mean, sample.moments
            )
            for layer, sample in zip(scheme.layers, samples, strict=True)
        },
    )


def _runs(
    session: Any,
    input_name: str,
    names: Sequence[str],
    inputs: Iterable[NDArray[np.float32]],
    progress: Callable[[int], object] | None,
) -> Iterator[Mapping[str, NDArray[np.float32]]]:
    inner = [name for name in names if name != input_name]
    for picture in inputs:
        values = session.run(inner, {input_name: picture})
        yield dict(zip(inner, values, strict=True)) | {input_name: picture}
        if progress is not None:
            progress(1)


def _wider(
    widest: NDArray[np.float64], name: str, value: NDArray[np.float32]
) -> NDArray[np.float64]:
    low, high = float(value.min()), float(value.max())
    if not np.isfinite(low + high):
        raise EngineError(
            "the network gives values that are not finite",
            where=name,
            got=f"{low:g} to {high:g} on a calibration picture",
            fix="train or convert the model again; it cannot give right answers",
        )
    return np.array([min(widest[0], low), max(widest[1], high)])


class _Inputs:
    """Sums over what a layer reads at positions drawn from each picture.

    Attributes:
        name: of the layer.
        tensor: that it reads.
    """

    def __init__(self, network: Network, layer: Layer) -> None:
        node = network.nodes[layer.node]
        self.name = layer.name
        self.tensor = str(node.input[0])
        self._is_convolution = node.op_type == "Conv"
        self._attributes = attributes(node)
        weights = network.constants[node.input[1]]
        self._kernel = weights.shape[2:]
        self._groups = self._attributes.get("group", 1) if self._is_convolution else 1
        self._size = weights.size // weights.shape[layer.axis]
        self._sum = np.zeros((self._groups, self._size))
        is_small = self._size <= _MOST_INPUTS
        self._products = np.zeros((self._groups, self._size, self._size)) if is_small else None
        self._count = 0

    @property
    def mean(self) -> NDArray[np.float64]:
        """Of each input, `[G, N]`."""
        return self._sum / max(1, self._count)

    @property
    def moments(self) -> NDArray[np.float64] | None:
        """Mean products of any two inputs, `[G, N, N]`; None where there are too many."""
        return None if self._products is None else self._products / max(1, self._count)

    def add(self, value: NDArray[np.float32], generator: np.random.Generator) -> None:
        """Takes the inputs at some positions of a picture."""
        if self._is_convolution:
            drawn = self._patches(value, generator)
        else:
            rows = value.reshape(-1, value.shape[-1])
            drawn = rows[generator.integers(0, len(rows), _POSITIONS)][None]
        self._count += drawn.shape[1]
        self._sum += drawn.sum(axis=1, dtype=np.float64)
        if self._products is not None:
            self._products += np.matmul(drawn.transpose(0, 2, 1), drawn)

    def _patches(
        self, value: NDArray[np.float32], generator: np.random.Generator
    ) -> NDArray[np.float32]:
        """`[1, C, H, W]` -> `[G, P, C / G · kernel]`."""
        steps = self._attributes.get("strides", [1, 1])
        spread = self._attributes.get("dilations", [1, 1])
        pads = self._attributes.get("pads", [0, 0, 0, 0])
        if self._attributes.get("auto_pad", b"NOTSET").startswith(b"SAME"):
            pads = 2 * [gap * (side // 2) for side, gap in zip(self._kernel, spread, strict=True)]
        padded = np.pad(value[0], ((0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
        places = []
        for side, kernel, step, gap in zip(
            padded.shape[1:], self._kernel, steps, spread, strict=True
        ):
            last = (side - gap * (kernel - 1) - 1) // step
            first = step * generator.integers(0, last + 1, _POSITIONS)
            places.append(first[:, None] + gap * np.arange(kernel))
        drawn = padded[:, places[0][:, :, None], places[1][:, None, :]]  # [C, P, kh, kw]
        grouped = drawn.reshape(self._groups, -1, _POSITIONS, *self._kernel)
        return np.ascontiguousarray(grouped.transpose(0, 2, 1, 3, 4)).reshape(
            self._groups, _POSITIONS, -1
        )


def _with_zero(low: float, high: float) -> tuple[float, float]:
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    return (low, high) if low < high else (0.0, 1.0)


def _best(widest: NDArray[np.float64], counts: NDArray[np.int64]) -> Range:
    """The range of least squared error, by the middles of the histogram's bins."""
    low, high = _with_zero(*widest)
    edges = np.linspace(widest[0], widest[1], _BINS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    best, least = Range(low, high), np.inf
    for share in _SHARES if counts.any() else ():
        tried = Range(share * low, share * high)
        kept = np.clip(middles, tried.low, tried.high)
        cut = ((middles - kept) ** 2 * counts).sum()
        inside = counts[(middles >= tried.low) & (middles <= tried.high)].sum()
        # Of values spread evenly over a step, the mean squared error is step² / 12.
        error = cut + inside * ((tried.high - tried.low) / _LEVELS) ** 2 / 12
        if error < least:
            best, least = tried, error
    return best
