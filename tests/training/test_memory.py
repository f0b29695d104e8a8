"""Arrays on their way to a device."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from pixelwise.training.memory import peak_mib, to_device


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_on_the_processor_nothing_is_copied(kind):
    array = np.arange(12, dtype=kind).reshape(1, 3, 4)
    tensor = to_device(array, torch.device("cpu"))
    assert tensor.data_ptr() == array.ctypes.data
    assert np.array_equal(tensor.numpy(), array)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_has_the_array_as_it_was():
    array = np.arange(1 << 20, dtype=np.uint8)
    tensor = to_device(array, torch.device("cuda"))
    array[:] = 0
    assert np.array_equal(tensor.cpu().numpy(), np.arange(1 << 20, dtype=np.uint8))


def test_memory_is_told():
    assert peak_mib(torch.device("cpu")) >= 0
