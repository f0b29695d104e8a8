"""Data sets: opened whatever their layout, checked, split, converted, and fed to training."""

from __future__ import annotations

from pixelwise.data.dataset import Dataset, Entry, Sample
from pixelwise.data.faults import Fault
from pixelwise.data.mapping import candidates, mapped
from pixelwise.data.opening import LAYOUTS, open  # noqa: A004 - `pixelwise.data.open` is its name
from pixelwise.data.targets import (
    InstanceTarget,
    MaskTarget,
    MultiClassTarget,
    MultiLabelTarget,
)

__all__ = [
    "LAYOUTS",
    "Dataset",
    "Entry",
    "Fault",
    "InstanceTarget",
    "MaskTarget",
    "MultiClassTarget",
    "MultiLabelTarget",
    "Sample",
    "candidates",
    "mapped",
    "open",
]
