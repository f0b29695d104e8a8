"""The AP that `evaluate` prints against pycocotools, run on the same files and regions."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pycocotools.mask as coco
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pixelwise import data
from pixelwise.evaluation.choice import measures_of
from pixelwise.evaluation.evaluate import evaluate
from pixelwise.evaluation.opening import set_subjects, set_truth, source_of
from pixelwise.inference.predictor import load

SIZE = (90, 120)
PICTURES = 8


def ellipse(random):
    y, x = np.indices(SIZE)
    radius, centre = random.uniform(4, 30, 2), random.uniform((0, 0), SIZE)
    return ((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2 <= 1


def pictures(random):
    """Objects that overlap, of two categories; one in ten is a crowd."""
    made = []
    for _ in range(PICTURES):
        masks = [mask for mask in (ellipse(random) for _ in range(6)) if mask.any()]
        made.append(
            [(mask, int(random.integers(1, 3)), bool(random.random() < 0.1)) for mask in masks]
        )
    return made


def regions(mask):
    """Connected by 8 neighbours, in raster order of first pixels: flooded one after the other."""
    left = {(y, x) for y, x in np.argwhere(mask).tolist()}
    for first in sorted(left):
        if first not in left:
            continue
        region, edge = np.zeros(mask.shape, np.bool_), [first]
        left.discard(first)
        while edge:
            y, x = edge.pop()
            region[y, x] = True
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
        yield region


def encoded(mask):
    runs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(SIZE), "counts": runs["counts"].decode()}


def theirs(file, results):
    """AP, AP50, AP75 of masks and boxes."""
    found = []
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(file))
        for kind in ("segm", "bbox"):
            own = COCOeval(truth, truth.loadRes([dict(each) for each in results]), kind)
            own.evaluate()
            own.accumulate()
            own.summarize()
            found += own.stats[:3].tolist()
    return found


def ours(root, predictions):
    (subject,) = set_subjects(
        [source_of(str(predictions))], set_truth(data.open(root), None), loaded=load
    )
    found = evaluate(subject, measures_of(subject, borders=False)).overall
    return [
        found[f"mean_{kind}_ap{at}"].value for kind in ("mask", "box") for at in ("", "_50", "_75")
    ]


@pytest.mark.parametrize("seed", [0, 1])
def test_results_with_overlaps_crowds_and_ties(write_coco, tmp_path, seed):
    random = np.random.default_rng(seed)
    made = pictures(random)
    root = write_coco(made)
    results = [
        {
            "image_id": 7 * place + 3,
            "category_id": category if random.random() < 0.8 else 3 - category,
            "segmentation": encoded(np.roll(mask, random.integers(-3, 4, 2), (0, 1))),
            "score": round(float(random.random()), 1),
        }
        for place, objects in enumerate(made)
        for mask, category, _ in objects
        for _ in range(random.integers(0, 3))
    ]
    (tmp_path / "results.json").write_text(json.dumps(results))
    expected = theirs(root / "instances.json", results)
    assert 0.2 < expected[0] < 0.9
    assert ours(root, tmp_path / "results.json") == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_regions_of_label_maps(write_coco, tmp_path, seed):
    random = np.random.default_rng(seed)
    made = pictures(random)
    root = write_coco(made)
    folder = tmp_path / "maps"
    folder.mkdir()
    results = []
    for place, objects in enumerate(made):
        labels = np.zeros(SIZE, np.uint8)
        for mask, category, _ in objects:
            labels[np.roll(mask, random.integers(-2, 3, 2), (0, 1))] = category
        Image.fromarray(labels).save(folder / f"p{place}.png")
        for category in (1, 2):
            results += [
                {
                    "image_id": 7 * place + 3,
                    "category_id": category,
                    "segmentation": encoded(region),
                    "score": 1.0,
                }
                for region in regions(labels == category)
            ]
    expected = theirs(root / "instances.json", results)
    assert 0.02 < expected[0] < 0.9
    assert ours(root, folder) == pytest.approx(expected, abs=1e-9)
