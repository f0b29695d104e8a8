"""Memory: from arrays to a device, and the most that a training has taken."""

from __future__ import annotations

import sys
from typing import Any

import torch
from numpy.typing import NDArray

__all__ = ["device_name", "peak_mib", "to_device"]


def to_device(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """The array as a tensor; on the processor it is the same memory.

    A GPU fetches it from memory that stays in its place, while the processor goes on: the array
    may be written anew at once.
    """
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def device_name(device: torch.device) -> str:
    """The name of the GPU; else the kind of the device, such as "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def peak_mib(device: torch.device) -> int:
    """MiB: of the GPU, else of this process; 0 where the system does not tell, as on Windows."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device) // 2**20)
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, others KiB.
    return int(peak // (2**20 if sys.platform == "darwin" else 2**10))
