"""What a model can be exported to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pixelwise.errors import UsageError, did_you_mean
from pixelwise.export.gate import Limits

__all__ = ["TARGETS", "Target", "target_of"]


@dataclass(frozen=True)
class Target:
    """A kind of export.

    Attributes:
        name: of it.
        precision: what it is computed in.
        engine: which it is made for; `"auto"`: any.
        limits: what it may differ by.
    """

    name: str
    precision: Literal["float32", "bf16", "int8"]
    engine: Literal["auto", "onnxruntime", "openvino"]
    limits: Limits


_SAME = Limits(agreement=0.999, worst=0.998, score_error=2e-3, drop=0.1)
_NEAR = Limits(agreement=0.985, worst=0.97, score_error=0.15, drop=0.2)
_QUANTISED = Limits(agreement=0.975, worst=0.95, score_error=0.3, drop=0.3)

TARGETS = {
    target.name: target
    for target in (
        Target("onnx", "float32", "auto", _SAME),
        Target("openvino", "float32", "openvino", _SAME),
        Target("onnx-int8", "int8", "onnxruntime", _QUANTISED),
        Target("openvino-int8", "int8", "openvino", _QUANTISED),
        Target("bf16", "bf16", "openvino", _NEAR),
    )
}
"""By name."""


def target_of(name: str) -> Target:
    """The target of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in TARGETS:
        raise UsageError(
            "a model cannot be exported to this",
            got=f"--to {name}",
            fix=did_you_mean(name, TARGETS),
        )
    return TARGETS[name]
