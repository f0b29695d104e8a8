"""Memory that is kept between steps instead of being given back and fetched again."""

from __future__ import annotations

import contextlib
import ctypes

__all__ = ["keep_buffers"]

# From glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_NEVER_TRIM = 2**31 - 1
_PAD_BYTES = 256 << 20


def keep_buffers() -> None:
    """Lets the C library keep large buffers; where it is not glibc, nothing happens.

    A training step allocates and frees the same large buffers again and again, and each fetch from
    the system costs a fault for every page.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, _NEVER_TRIM)
        library.mallopt(_TOP_PAD, _PAD_BYTES)
