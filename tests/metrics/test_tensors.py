from __future__ import annotations

import numpy as np
import pytest
import torch

from pixelwise.errors import ArrayError
from pixelwise.metrics import BoundaryFScore, BoundaryIoU, ConfusionMatrix, SurfaceDistances
from pixelwise.metrics.tensors import count_on_device, ids_of, lie_on_one_device

METRICS = [ConfusionMatrix, BoundaryIoU, BoundaryFScore, SurfaceDistances]


def pair(seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, (9, 14))
    truth[rng.random(truth.shape) < 0.2] = 255
    return truth, rng.integers(0, 4, (9, 14))


@pytest.mark.parametrize("kind", METRICS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_tensors_count_as_arrays_do(kind, dtype):
    truth, prediction = pair()
    of_arrays, of_tensors = (kind(4, ignore_index=255) for _ in range(2))
    of_arrays.update(truth, prediction)
    of_tensors.update(torch.from_numpy(truth).to(dtype), torch.from_numpy(prediction).to(dtype))
    np.testing.assert_array_equal(of_tensors.class_counts, of_arrays.class_counts)
    of_tensors.update(torch.from_numpy(truth), prediction)
    of_arrays.update(truth, prediction)
    np.testing.assert_array_equal(of_tensors.class_counts, of_arrays.class_counts)


def test_tensors_of_the_cpu_are_not_copied():
    ids = torch.arange(6)
    assert np.shares_memory(ids_of("truth", ids), ids.numpy())
    assert not lie_on_one_device(ids, ids)


def test_tensors_elsewhere_are_counted_there():
    ids = torch.zeros(2, device="meta")
    assert lie_on_one_device(ids, ids)
    assert not lie_on_one_device(ids, np.zeros(2))
    assert not lie_on_one_device(ids, torch.zeros(2))


@pytest.mark.parametrize("ignored", [None, 255, 2])
def test_counting_on_a_device_counts_as_the_kernel_does(ignored):
    """What runs on a device is made of tensors alone, which the CPU can do as well."""
    truth, prediction = pair(1)
    if ignored != 255:
        truth %= 4
    matrix = ConfusionMatrix(4, ignore_index=ignored)
    matrix.update(truth, prediction)
    tensors = torch.from_numpy(truth).int(), torch.from_numpy(prediction)
    counts = count_on_device(*tensors, 4, ignored)
    np.testing.assert_array_equal(counts, matrix.counts)
    assert counts.dtype == np.int64
    nothing = torch.zeros(0, dtype=torch.uint8)
    assert not count_on_device(nothing, nothing, 4, ignored).any()


def test_under_ignored_pixels_a_device_takes_any_prediction():
    truth, prediction = torch.tensor([0, 255]), torch.tensor([0, -9])
    assert count_on_device(truth, prediction, 2, 255).tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize(
    ("truth", "prediction", "said"),
    [
        (torch.tensor([0, 4]), torch.tensor([0, 0]), r"truth holds ids .*\n  ids \[4\]"),
        (torch.tensor([0, 0]), torch.tensor([0, -2]), r"prediction holds ids .*\n  ids \[-2\]"),
        (torch.tensor([0, 0]), torch.tensor([0]), r"differ in size\n  truth \(2,\)"),
        (
            torch.tensor([0.0]),
            torch.tensor([0]),
            "truth must hold integer .*\n  dtype torch.float32",
        ),
        (
            torch.tensor([0]),
            torch.tensor([True]),
            "prediction must hold integer .*\n  dtype torch.bool",
        ),
    ],
)
def test_tensors_that_cannot_be_counted_are_errors_everywhere(truth, prediction, said):
    with pytest.raises(ArrayError, match=said):
        count_on_device(truth, prediction, 4, 255)
    with pytest.raises(ArrayError, match=said):
        ConfusionMatrix(4, ignore_index=255).update(truth, prediction)


def test_metrics_do_not_load_torch(run_python):
    done = run_python(
        "import sys, numpy as np, pixelwise as pw\n"
        "matrix = pw.metrics.ConfusionMatrix(2)\n"
        "matrix.update(np.zeros((2, 2), int), np.zeros((2, 2), int))\n"
        "print('torch' in sys.modules, matrix.compute().mean_iou)"
    )
    assert done.stdout.split() == ["False", "1.0"]
