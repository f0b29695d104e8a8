"""The most memory that a training has taken."""

from __future__ import annotations

import sys

import torch

__all__ = ["peak_mib"]


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
