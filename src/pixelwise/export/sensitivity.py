"""Which layers bear 8 bits, and which are better left in float."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.export.network import Network, runner
from pixelwise.export.quantise import Calibration, quantised, scheme_of

__all__ = ["Search", "Sensitivity", "search"]

# So many of the worst layers are tried in float, one number after the other.
_STEPS = (1, 2, 4, 8, 16)
_MOST_SHARE = 0.5


@dataclass(frozen=True)
class Sensitivity:
    """What becomes of the scores when one layer alone is quantised.

    Attributes:
        layer: its name.
        error: root of the mean squared difference of the scores, as a share of their deviation.
        agreement: share of scores' cells with the same label.
    """

    layer: str
    error: float
    agreement: float


@dataclass(frozen=True)
class Search:
    """Which layers to leave in float.

    Attributes:
        floats: their names, the worst first.
        agreement: share of the scores' cells with the same label, with those in float.
        sensitivities: of every layer, the worst first; empty where none had to be left.
    """

    floats: tuple[str, ...]
    agreement: float
    sensitivities: tuple[Sensitivity, ...]


def search(
    network: Network,
    measured: Calibration,
    inputs: Sequence[NDArray[np.float32]],
    *,
    least: float,
    progress: Callable[[int], object] | None = None,
) -> Search:
    """Leaves the layers in float that bear 8 bits worst, until enough labels agree.

    Where that never comes about, the number of layers is taken that agreed best.

    Args:
        network: in float32.
        measured: on pictures.
        inputs: the network's inputs to compare on, `[1, 3, H, W]`.
        least: share of labels that must agree.
        progress: called with 1 for every layer that was tried.
    """
    expected = _scores(network, None, (), inputs)
    found = _compare(expected, _scores(network, measured, (), inputs))
    if found[1] >= least:
        return Search((), found[1], ())
    names = [layer.name for layer in network.layers]
    tried = []
    for name in names:
        others = [other for other in names if other != name]
        error, agreement = _compare(expected, _scores(network, measured, others, inputs))
        tried.append(Sensitivity(name, error, agreement))
        if progress is not None:
            progress(1)
    tried.sort(key=lambda each: -each.error)
    best = Search((), found[1], tuple(tried))
    for count in (each for each in _STEPS if each <= _MOST_SHARE * len(names)):
        floats = tuple(each.layer for each in tried[:count])
        agreement = _compare(expected, _scores(network, measured, floats, inputs))[1]
        if agreement > best.agreement:
            best = Search(floats, agreement, tuple(tried))
        if agreement >= least:
            break
    return best


def _scores(
    network: Network,
    measured: Calibration | None,
    floats: Sequence[str],
    inputs: Sequence[NDArray[np.float32]],
) -> list[NDArray[np.float32]]:
    model = network.model if measured is None else quantised(scheme_of(network, floats), measured)
    session = runner(model)
    return [session.run([network.output], {network.input: each})[0] for each in inputs]


def _compare(
    expected: Sequence[NDArray[np.float32]], given: Sequence[NDArray[np.float32]]
) -> tuple[float, float]:
    """Error as a share of the scores' deviation, and share of equal labels."""
    squares = sum(float(((a - b) ** 2).sum()) for a, b in zip(expected, given, strict=True))
    spread = sum(float(((a - a.mean()) ** 2).sum()) for a in expected)
    same = [a.argmax(1) == b.argmax(1) for a, b in zip(expected, given, strict=True)]
    agreement = sum(int(each.sum()) for each in same) / sum(each.size for each in same)
    return float(np.sqrt(squares / max(spread, 1e-12))), agreement
