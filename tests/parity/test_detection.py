"""Average precision against pycocotools' COCOeval."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pycocotools.mask as coco
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pixelwise.metrics.detection import AveragePrecision
from pixelwise.metrics.objects import Detections, ObjectMasks, TrueObjects

CLASSES = 4
SIZE = (150, 160)
FIGURES = [
    "ap", "ap_50", "ap_75", "ap_small", "ap_medium", "ap_large",
    "ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large",
]  # fmt: skip


def random_masks(random, count):
    """Ellipses and frames, which overlap, from a pixel to nearly the whole picture."""
    y, x = np.indices(SIZE)
    masks = np.zeros((count, *SIZE), np.bool_)
    for mask in masks:
        radius = random.choice([1, 8, 14, 30, 60]) * random.uniform(0.7, 1.3, 2)
        centre = random.uniform((0, 0), SIZE)
        distance = ((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2
        mask[:] = (distance <= 1) & (distance >= random.choice([0, 0, 0.3]))
    return masks


def pictures(seed, count=5):
    """Truths and detections; some near the truths, some equal, some far; scores with ties."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        objects = random.choice([0, 1, 6])
        masks = random_masks(random, objects)
        classes = random.integers(0, CLASSES - 1, objects)  # the last class has no object
        crowd = random.random(objects) < 0.2
        near = random.integers(0, objects, random.integers(0, 9)) if objects else []
        moved = [
            np.roll(masks[n], random.integers(-4, 5, 2) * random.integers(0, 2), (0, 1))
            for n in near
        ]
        far = random_masks(random, random.integers(0, 5))
        detected = np.stack([*moved, *far]) if len(moved) + len(far) else masks[:0]
        of_class = np.concatenate(
            [classes[near] if objects else [], random.integers(0, CLASSES, len(far))]
        )
        scores = np.round(random.random(len(detected)), random.integers(1, 3))
        found.append(
            (
                TrueObjects(classes, ObjectMasks.from_arrays(masks), crowd=crowd),
                Detections(of_class.astype(int), scores, ObjectMasks.from_arrays(detected)),
            )
        )
    return found


def text_runs(masks, place):
    mask = np.zeros(masks.size, np.uint8, order="F")
    for start, end in zip(*masks.spans[place], strict=True):
        mask.ravel(order="K")[start:end] = 1
    return coco.encode(mask)


def xywh(box):
    x0, y0, x1, y1 = box.tolist()
    return [x0, y0, x1 - x0, y1 - y0]


def theirs(found, kind):
    """The evaluation of pycocotools, accumulated."""
    truths, results = [], []
    for number, (truth, detections) in enumerate(found):
        for place in range(len(truth)):
            truths.append(
                {
                    "id": len(truths) + 1,
                    "image_id": number,
                    "category_id": int(truth.classes[place]),
                    "iscrowd": int(truth.crowd[place]),
                    "segmentation": text_runs(truth.masks, place),
                    "bbox": xywh(truth.masks.boxes[place]),
                    "area": int(truth.masks.areas[place]),
                }
            )
        for place in range(len(detections)):
            shape = (
                {"segmentation": text_runs(detections.masks, place)}
                if kind == "mask"
                else {"bbox": xywh(detections.masks.boxes[place])}
            )
            of_class, score = int(detections.classes[place]), float(detections.scores[place])
            results.append({"image_id": number, "category_id": of_class, "score": score} | shape)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": n, "height": SIZE[0], "width": SIZE[1]} for n in range(len(found))],
            "categories": [{"id": n, "name": str(n)} for n in range(CLASSES)],
            "annotations": truths,
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "segm" if kind == "mask" else "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def ours(found, kind, **options):
    metric = AveragePrecision(CLASSES, kind=kind)
    for truth, detections in found:
        metric.update(truth, detections)
    return metric.compute(**options)


@pytest.mark.parametrize("kind", ["mask", "box"])
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_all_figures_are_equal(kind, seed):
    found = pictures(seed)
    if not sum(len(detections) for _, detections in found):
        return  # loadRes takes no empty list
    expected, scores = theirs(found, kind), ours(found, kind)
    figures = np.array([getattr(scores, name) for name in FIGURES])
    np.testing.assert_allclose(np.nan_to_num(figures, nan=-1), expected.stats, atol=1e-9)
    precision = expected.eval["precision"][..., 0, 2].mean(axis=1)  # [thresholds, C]
    np.testing.assert_allclose(
        np.nan_to_num(scores.class_ap, nan=-1), precision.mean(axis=0), atol=1e-9
    )
    np.testing.assert_allclose(np.nan_to_num(scores.class_ap_50, nan=-1), precision[0], atol=1e-9)
    np.testing.assert_allclose(np.nan_to_num(scores.class_ap_75, nan=-1), precision[5], atol=1e-9)
    recall = expected.eval["recall"][:, :, 0, 2].mean(axis=0)
    np.testing.assert_allclose(np.nan_to_num(scores.class_ar_100, nan=-1), recall, atol=1e-9)


@pytest.mark.parametrize("kind", ["mask", "box"])
def test_of_more_than_a_hundred_detections_the_rest_does_not_count(kind):
    random = np.random.default_rng(1)
    masks = random_masks(random, 130)
    found = [
        (
            TrueObjects(
                np.zeros(20, int), ObjectMasks.from_arrays(masks[-20:]), crowd=np.zeros(20, bool)
            ),
            Detections(np.zeros(130, int), random.random(130), ObjectMasks.from_arrays(masks)),
        )
    ]
    expected, scores = theirs(found, kind), ours(found, kind)
    assert 0 < scores.ap < 0.9
    figures = np.array([getattr(scores, name) for name in FIGURES])
    np.testing.assert_allclose(np.nan_to_num(figures, nan=-1), expected.stats, atol=1e-9)


@pytest.mark.parametrize("kind", ["mask", "box"])
def test_resampled_pictures_are_equal_too(kind):
    found = pictures(4, count=6)
    # No ties: copies of one picture stand one after the other in pycocotools, detection by
    # detection here.
    apart = iter(np.random.default_rng(0).permutation(999) / 999)
    found = [
        (truth, Detections(d.classes, np.array([next(apart) for _ in range(len(d))]), d.masks))
        for truth, d in found
    ]
    times = [2, 0, 1, 3, 0, 1]
    repeated = [pair for pair, n in zip(found, times, strict=True) for _ in range(n)]
    expected, scores = theirs(repeated, kind), ours(found, kind, times=times)
    figures = np.array([getattr(scores, name) for name in FIGURES])
    np.testing.assert_allclose(np.nan_to_num(figures, nan=-1), expected.stats, atol=1e-9)


@given(st.integers(0, 2**32))
def test_boxes_areas_and_overlaps_of_masks_are_equal(seed):
    random = np.random.default_rng(seed)
    one, two = (ObjectMasks.from_arrays(random_masks(random, 4)) for _ in range(2))
    runs = [text_runs(one, place) for place in range(4)]
    others = [text_runs(two, place) for place in range(4)]
    np.testing.assert_array_equal(one.areas, coco.area(runs))
    np.testing.assert_array_equal([xywh(box) for box in one.boxes], coco.toBbox(runs))
    common = [[coco.area(coco.merge([a, b], intersect=True)) for b in others] for a in runs]
    np.testing.assert_array_equal(one.overlaps(two), common)
