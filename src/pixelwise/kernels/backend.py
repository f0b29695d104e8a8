"""Whether the compiled kernels are there."""

from __future__ import annotations

import importlib
import warnings

__all__ = ["COMPILED"]


def _is_compiled() -> bool:
    try:
        importlib.import_module("pixelwise.kernels._native")
    except ImportError as error:
        # Installed without a compiler, or built for another Python: the twins take over.
        warnings.warn(
            "pixelwise runs without its compiled kernels, many times slower "
            f"({error}); install a C++ compiler (g++ or clang++) and then reinstall with "
            "pip install --force-reinstall --no-cache-dir --no-deps pixelwise",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


COMPILED: bool = _is_compiled()
"""Do the kernels run compiled? False: the NumPy twins of `pixelwise.kernels.reference` do."""
