"""Arrays in memory that is used again.

A batch is tens of megabytes that the system hands out page by page, zeroed, each time: that costs
a sixth of what making its samples from a cache does.
"""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["Recycler"]


class Recycler:
    """Makes arrays, and uses the memory of one again when nothing refers to it any more.

    Views count, as do tensors that share the memory. Threads may share it.
    """

    def __init__(self) -> None:
        self._free: dict[int, list[NDArray[np.uint8]]] = {}

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """As `numpy.empty`."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size == 0:
            return np.empty(shape, dtype)
        free = self._free.setdefault(size, [])
        try:
            memory = free.pop()
        except IndexError:
            memory = np.empty(size, np.uint8)
        # NumPy's views refer to the first array that got its memory from something else than an
        # array: that is this one, through the buffer, and not `memory`.
        owner = np.frombuffer(memory.data, dtype)
        weakref.finalize(owner, free.append, memory).atexit = False
        return owner.reshape(shape)
