"""Metrics beside the steps that other tools take, on random and on drawn label maps."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from pixelwise.formats.masks import read_mask
from pixelwise.metrics import BoundaryFScore, BoundaryIoU, ConfusionMatrix, SurfaceDistances

IGNORED = 255
NUCLEI = Path(__file__).parents[2] / "examples" / "nuclei" / "masks"


def noise(classes, shape, seed):
    rng = np.random.default_rng(seed)
    truth, prediction = rng.integers(0, classes, (2, *shape)).astype(np.uint8)
    truth[rng.random(shape) < 0.1] = IGNORED
    return truth, prediction


def drawn():
    """A mask of the examples as the truth, moved by some pixels as the prediction."""
    truth = (read_mask(NUCLEI / "purple_1.png") > 0).astype(np.uint8)
    prediction = np.roll(truth, (2, -3), (0, 1))
    truth = truth.copy()
    truth[:20, :30] = IGNORED
    return truth, prediction


CASES = {
    "noise": (7, *noise(7, (40, 50), 0)),
    "drawn": (2, *drawn()),
    "empty classes": (9, *noise(3, (20, 20), 1)),
    "all ignored": (3, np.full((6, 7), IGNORED, np.uint8), noise(3, (6, 7), 2)[1]),
    "a single pixel": (3, np.array([[1]], np.uint8), np.array([[2]], np.uint8)),
    "one class only": (1, np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8)),
    "one of many classes": (5, np.full((9, 9), 3, np.uint8), np.full((9, 9), 3, np.uint8)),
    "a line": (4, *noise(4, (1, 60), 3)),
    "a column": (4, *noise(4, (60, 1), 4)),
}
everywhere = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def torchmetrics_counts(truth, prediction, classes):
    """The steps of its multi-class confusion matrix: a bin for each pair of ids."""
    target, found = (torch.from_numpy(ids).long().flatten() for ids in (truth, prediction))
    counted = target != IGNORED
    pairs = target[counted] * classes + found[counted]
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def torchmetrics_jaccard(counts, average):
    """The steps of its reduction: classes that are nowhere have no part in the mean."""
    both = torch.diag(counts)
    union = counts.sum(0) + counts.sum(1) - both
    jaccard = torch.where(union == 0, torch.nan, both / union)
    return jaccard if average is None else jaccard.nanmean()


@everywhere
def test_counts_and_jaccard_are_those_of_torchmetrics(case):
    classes, truth, prediction = case
    matrix = ConfusionMatrix(classes, ignore_index=IGNORED)
    matrix.update(truth, prediction)
    theirs = torchmetrics_counts(truth, prediction, classes)
    np.testing.assert_array_equal(matrix.counts, theirs.numpy())
    scores = matrix.compute()
    jaccard = torchmetrics_jaccard(theirs, None)
    np.testing.assert_allclose(scores.iou, jaccard.numpy(), rtol=1e-6)
    mean = float(torchmetrics_jaccard(theirs, "macro"))
    np.testing.assert_allclose(scores.mean_iou, mean, rtol=1e-6)


def authors_band(mask, ratio):
    """`mask_to_boundary` of the authors of boundary IoU, the erosion as a pooling."""
    height, width = mask.shape
    distance = max(1, round(ratio * math.sqrt(height**2 + width**2)))
    inner = functional.pad(torch.from_numpy(mask).float()[None, None], (1, 1, 1, 1))
    for _ in range(distance):
        # What is added around the picture by the pooling takes nothing away, as in OpenCV.
        inner = -functional.max_pool2d(-inner, 3, stride=1, padding=1)
    return mask & ~inner[0, 0, 1:-1, 1:-1].bool().numpy()


@everywhere
@pytest.mark.parametrize("ratio", [0.02, 0.1])
def test_boundary_iou_counts_the_authors_pixels(case, ratio):
    classes, truth, prediction = case
    metric = BoundaryIoU(classes, ignore_index=IGNORED, ratio=ratio)
    metric.update(truth, prediction)
    for id_ in range(classes):
        bands = [
            authors_band((ids == id_) & (truth != IGNORED), ratio) for ids in (truth, prediction)
        ]
        expected = [(bands[0] & bands[1]).sum(), bands[0].sum(), bands[1].sum()]
        assert metric.class_counts[:, id_].tolist() == expected


def surface_distances(truth, prediction, id_, spacing):
    """Of each surface pixel to the nearest of the other map, both ways, through all pairs."""
    points = []
    for ids in (truth, prediction):
        mask = torch.from_numpy((ids == id_) & (truth != IGNORED)).float()[None, None]
        cross = torch.tensor([[0.0, 1, 0], [1, 1, 1], [0, 1, 0]])[None, None]
        inner = functional.conv2d(mask, cross, padding=1) == 5
        points.append(torch.nonzero((mask.bool() & ~inner)[0, 0]) * torch.tensor(spacing))
    if not len(points[0]) or not len(points[1]):
        return None
    apart = torch.cdist(*points, compute_mode="donot_use_mm_for_euclid_dist")
    return apart.amin(1).numpy(), apart.amin(0).numpy()


@everywhere
def test_distances_are_those_of_all_pairs(case):
    classes, truth, prediction = case
    spacing = (1.5, 0.75)
    metric = SurfaceDistances(classes, ignore_index=IGNORED)
    contours = BoundaryFScore(classes, ignore_index=IGNORED, pixels=2)
    metric.update(truth, prediction, spacing=spacing)
    contours.update(truth, prediction)
    scores = metric.compute()
    for id_ in range(classes):
        both = surface_distances(truth, prediction, id_, spacing)
        if both is None:
            assert np.isnan(scores.hausdorff_95[id_])
            continue
        there, back = both
        average = np.concatenate([there, back]).mean(dtype=float)
        np.testing.assert_allclose(scores.average_distance[id_], average, rtol=1e-5)
        worst = max(np.percentile(there, 95), np.percentile(back, 95))
        np.testing.assert_allclose(scores.hausdorff_95[id_], worst, rtol=1e-5)
        there, back = surface_distances(truth, prediction, id_, (1.0, 1.0))
        near = [(back <= 2).sum(), len(back), (there <= 2).sum(), len(there)]
        assert contours.class_counts[:, id_].tolist() == near


@everywhere
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 3.1)])
def test_distances_are_those_of_scipys_transform(case, spacing):
    ndimage = pytest.importorskip("scipy.ndimage")
    classes, truth, prediction = case
    metric = SurfaceDistances(classes, ignore_index=IGNORED)
    metric.update(truth, prediction, spacing=spacing)
    for id_ in range(classes):
        surfaces = []
        for ids in (truth, prediction):
            mask = (ids == id_) & (truth != IGNORED)
            surfaces.append(mask & ~ndimage.binary_erosion(mask))
        if all(surface.any() for surface in surfaces):
            away = [
                ndimage.distance_transform_edt(~surface, sampling=spacing) for surface in surfaces
            ]
            both = [away[1][surfaces[0]], away[0][surfaces[1]]]
            expected = [
                np.concatenate(both).mean(),
                max(np.percentile(each, 95) for each in both),
            ]
            found = metric.class_counts[:2, id_]
            np.testing.assert_allclose(found, expected, rtol=1e-12)
        else:
            assert metric.class_counts[2, id_] == 0
