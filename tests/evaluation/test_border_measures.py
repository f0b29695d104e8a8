from __future__ import annotations

import numpy as np

from pixelwise.data.drawing import IGNORED
from pixelwise.evaluation.border_measures import Borders, Distances
from pixelwise.evaluation.evaluate import confusion_of
from pixelwise.evaluation.spacing import Spacings
from pixelwise.metrics import BoundaryFScore, BoundaryIoU, SurfaceDistances


def scene(seed=0):
    random = np.random.default_rng(seed)
    truth, labels = (np.kron(random.integers(0, 3, (4, 5)), np.ones((6, 6), int)) for _ in range(2))
    truth[:4, :4] = IGNORED
    return truth, labels


def test_borders_are_those_of_the_metrics(judged_of):
    truth, labels = scene()
    judged = judged_of(truth, labels)
    measure = Borders()
    counts = measure.counts(judged, confusion_of(judged, 3))
    band, contours = (metric(3, ignore_index=IGNORED) for metric in (BoundaryIoU, BoundaryFScore))
    band.update(truth, labels)
    contours.update(truth, labels)
    values = measure.values(counts[None].astype(float))
    np.testing.assert_allclose(values["boundary_iou"][0], band.compute().boundary_iou)
    np.testing.assert_allclose(values["boundary_f"][0], contours.compute().f_score)
    assert values["mean_boundary_iou"][0] == band.compute().mean_boundary_iou
    assert {figure.key for figure in measure.figures} == set(values)


def test_distances_are_those_of_the_metric(judged_of):
    truth, labels = scene(1)
    labels[labels == 2] = 1
    judged = judged_of(truth, labels)
    measure = Distances()
    counts = measure.counts(judged, confusion_of(judged, 3))
    surfaces = SurfaceDistances(3, ignore_index=IGNORED)
    surfaces.update(truth, labels)
    values = measure.values(counts[None])
    np.testing.assert_allclose(values["hausdorff_95"][0], surfaces.compute().hausdorff_95)
    np.testing.assert_allclose(values["average_distance"][0], surfaces.compute().average_distance)
    assert values["one_sided"][0].tolist() == [0, 0, 1]
    assert {figure.key for figure in measure.figures} == set(values)


def test_distances_go_by_the_size_of_each_pixel(judged_of):
    truth, labels = scene(2)
    measure = Distances(Spacings("mm", ((1.0, 1.0), (0.5, 3.0)), "as given"))
    for place, spacing in enumerate([(1.0, 1.0), (0.5, 3.0)]):
        judged = judged_of(truth, labels, place=place)
        surfaces = SurfaceDistances(3, ignore_index=IGNORED)
        surfaces.update(truth, labels, spacing=spacing)
        counts = measure.counts(judged, confusion_of(judged, 3))
        np.testing.assert_array_equal(counts, surfaces.class_counts)
    assert {figure.unit for figure in measure.figures} == {"mm", "%"}
    assert "in mm: a pixel is 0.5 … 1 × 1 … 3 mm (height × width)" in measure.told
    assert "in pixels" in Distances().told


def test_predictions_of_no_class_end_a_class(judged_of):
    truth, labels = np.zeros((12, 12), int), np.zeros((12, 12), int)
    labels[:, 6:] = 2
    judged = judged_of(truth, labels)
    confusion = confusion_of(judged, 2)
    counts = Borders().counts(judged, confusion)
    assert counts.shape == (7, 2)
    assert Borders().values(counts[None] * 1.0)["boundary_iou"][0][0] < 1
    assert Distances().counts(judged, confusion).shape == (4, 2)
