"""What is a lack of memory, what is one bad batch, and what ends a run."""

from __future__ import annotations

import pytest
import torch

from pixelwise.errors import DatasetError, EngineError, OutOfMemoryError, UsageError
from pixelwise.training.step_faults import (
    is_out_of_memory,
    lack_of_memory_told,
    step_error,
    too_many_skipped,
)


@pytest.mark.parametrize(
    ("skipped", "steps", "ends"),
    [
        ([(0, 0)], 10, False),
        ([(0, 4), (0, 5), (0, 6)], 100, False),
        ([(0, 4), (0, 5), (0, 6), (0, 7)], 1000, True),
        ([(0, 8), (0, 9), (1, 0), (1, 1)], 10, True),
        ([(0, 7), (0, 9), (1, 0), (1, 1)], 10, False),
        ([(0, 0), (0, 2), (0, 4), (0, 6)], 100, True),
        ([(0, 0), (0, 2), (0, 4), (0, 6)], 1000, False),
        ([(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)], 10, False),
    ],
)
def test_four_in_a_row_or_a_hundredth_of_an_epoch_end_a_run(skipped, steps, ends):
    assert too_many_skipped(skipped, steps) is ends


def test_a_real_allocation_that_fails_is_a_lack_of_memory():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    with pytest.raises(OutOfMemoryError, match="memory does not suffice"), lack_of_memory_told("x"):
        torch.empty(2**60, dtype=torch.uint8)


def test_a_convolution_that_cannot_be_prepared_lacks_memory():
    assert is_out_of_memory(RuntimeError("could not create a primitive"))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 memory format"),
        RuntimeError("could not create a primitive descriptor for a convolution"),
        ValueError("x"),
    ],
)
def test_other_errors_are_none(error):
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)), lack_of_memory_told("x"):
        raise error


def test_our_own_errors_pass():
    with pytest.raises(DatasetError), lack_of_memory_told("x"):
        raise DatasetError("the picture is broken")


@pytest.mark.parametrize(
    ("error", "kind", "fix"),
    [
        (MemoryError(), EngineError, "--crop"),
        (ValueError("Expected more than 1 value per channel when training"), UsageError, "--batch"),
        (RuntimeError("Kernel size can't be greater\nthan input"), EngineError, "--crop"),
        (RuntimeError(""), EngineError, "--crop"),
    ],
)
def test_errors_of_a_step_have_a_fix(error, kind, fix):
    told = step_error(error, 2, alone=True)
    assert type(told) is kind
    assert fix in told.fix
    assert "\n" not in told.got


def test_errors_among_several_processes_are_told_apart_elsewhere():
    error = RuntimeError("Connection closed by peer")
    assert step_error(error, 1, alone=False) is error
