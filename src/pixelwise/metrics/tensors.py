"""Class ids as NumPy arrays or PyTorch tensors, wherever these lie.

PyTorch is not imported: who has no tensor needs none.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import ArrayError
from pixelwise.kernels.confusion import check_ids, check_pair

__all__ = ["count_on_device", "ids_of", "lie_on_one_device"]


def ids_of(name: str, ids: Any) -> NDArray[Any]:
    """The ids as a NumPy array; a tensor of the CPU is not copied.

    Args:
        name: what an error calls them.
        ids: anything that NumPy takes, or a tensor.

    Raises:
        ArrayError: a tensor that holds something else.
    """
    if not _is_tensor(ids):
        return np.asarray(ids)
    if not _holds_ids(ids):
        raise ArrayError(f"{name} must hold integer class ids", got=f"dtype {ids.dtype}")
    return np.asarray(ids.detach().cpu().numpy())


def lie_on_one_device(truth: Any, prediction: Any) -> bool:
    """Are both tensors, on one device other than the CPU?"""
    return (
        _is_tensor(truth)
        and _is_tensor(prediction)
        and truth.device == prediction.device
        and truth.device.type != "cpu"
    )


def count_on_device(
    truth: Any, prediction: Any, classes: int, ignore_index: int | None
) -> NDArray[np.int64]:
    """`pixelwise.kernels.confusion_counts` of tensors, where they lie: only counts are copied.

    Args:
        truth: an integer tensor of any shape.
        prediction: another of the same shape, on the same device.
        classes: as there.
        ignore_index: as there.

    Raises:
        ArrayError: as there.
    """
    if truth.shape != prediction.shape or not (_holds_ids(truth) and _holds_ids(prediction)):
        check_pair(ids_of("truth", truth), ids_of("prediction", prediction))
    ids, found = truth.reshape(-1).long(), prediction.reshape(-1).long()
    outside = (ids < 0) | (ids >= classes) | (found < 0) | (found >= classes)
    cells = ids * classes + found
    if ignore_index is not None:
        ignored = ids == ignore_index
        outside &= ~ignored
        cells = cells.masked_fill(ignored, classes**2)
    if bool(outside.any()):
        check_ids(ids_of("truth", ids), ids_of("prediction", found), classes, ignore_index)
    counts = cells.bincount(minlength=classes**2 + 1)[: classes**2]
    return np.asarray(counts.reshape(classes, classes).cpu().numpy(), np.int64)


def _holds_ids(tensor: Any) -> bool:
    kind = tensor.dtype
    return not (kind.is_floating_point or kind.is_complex or kind == sys.modules["torch"].bool)


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
