"""COCO's results and panoptic form as predictions."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise import data
from pixelwise.errors import DatasetError
from pixelwise.evaluation.choice import measures_of
from pixelwise.evaluation.evaluate import evaluate
from pixelwise.evaluation.object_files import file_of_objects
from pixelwise.evaluation.opening import set_subjects, set_truth, source_of
from pixelwise.evaluation.sources import LooseObjects, NumberedObjects
from pixelwise.formats.rle import column_counts, pack_counts
from pixelwise.inference.predictor import load

DATA = Path(os.environ.get("PIXELWISE_DATA") or Path(__file__).parents[3] / "shared" / "data")
SIZE = (20, 24)


def square(row, column, side=8):
    mask = np.zeros(SIZE, np.bool_)
    mask[row : row + side, column : column + side] = True
    return mask


PICTURES = [
    [(square(2, 2), 1, False), (square(2, 8), 2, False)],
    [(square(10, 12), 2, False)],
    [(square(0, 0), 1, False)],
]


def result(picture, mask, category, score):
    segmentation = {"size": list(SIZE), "counts": pack_counts(column_counts(mask))}
    return {
        "image_id": 7 * picture + 3,
        "category_id": category,
        "segmentation": segmentation,
        "score": score,
    }


RESULTS = [
    result(place, mask, category, 0.5 + 0.1 * category)
    for place, objects in enumerate(PICTURES)
    for mask, category, _ in objects
]


@pytest.fixture
def truth(write_coco):
    return set_truth(data.open(write_coco(PICTURES)), None)


@pytest.fixture
def subject_of_json(truth, tmp_path):
    def make(value, rules=()):
        path = tmp_path / "found.json"
        path.write_text(json.dumps(value))
        (subject,) = set_subjects([source_of(str(path))], truth, rules, loaded=load)
        return subject

    return make


def test_results_are_read_with_their_scores_and_overlaps(subject_of_json):
    subject = subject_of_json(RESULTS)
    judged = subject.read(0)
    assert isinstance(judged.objects, LooseObjects)
    assert judged.objects.scores.tolist() == [0.6, 0.7]
    names = subject.classes.names
    assert [names[n] for n in judged.objects.classes] == ["kind 1", "kind 2"]
    # The surer one is seen where both are, and the background where none is.
    assert names[judged.labels[3, 9]] == "kind 2"
    assert names[judged.labels[3, 3]] == "kind 1"
    assert names[judged.labels[19, 0]] == "background"
    measures = measures_of(subject, borders=False)
    assert [measure.name for measure in measures] == ["overlap", "detections"]
    assert "PQ is left out" in measures[-1].told
    evaluation = evaluate(subject, measures)
    assert evaluation.overall["mean_mask_ap"].value == 1
    assert evaluation.overall["mean_box_ap"].value == 1
    assert "COCO results of found.json" in subject.predictions.facts["predictions"]


def test_polygons_and_pictures_without_results_will_do(subject_of_json):
    polygon = {**RESULTS[0], "segmentation": [[2, 2, 10, 2, 10, 10, 2, 10]]}
    evaluation = evaluate(
        subject_of_json([polygon]), measures_of(subject_of_json([polygon]), borders=False)
    )
    # Of kind 1 there are two objects, of kind 2 two that are not found.
    assert evaluation.overall["mean_mask_ap"].value == pytest.approx(51 / 101 / 2)


def test_classes_of_results_are_mapped_as_any(subject_of_json):
    subject = subject_of_json(RESULTS, [("ignored", "kind 1")])
    assert subject.classes.names == ("background", "kind 2")
    assert subject.read(0).objects.classes.tolist() == [2, 1]
    evaluation = evaluate(subject, measures_of(subject, borders=False))
    assert evaluation.by_class["mask_ap"][1].value == 1
    swapped = subject_of_json(RESULTS, [("kind 1", "kind 2"), ("kind 2", "kind 1")])
    assert evaluate(swapped, measures_of(swapped)).overall["mean_mask_ap"].value == 0


def test_pictures_of_a_set_without_numbers_are_called_by_their_names(tmp_path):
    root = tmp_path / "yolo"
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    outline = " ".join(f"{x / SIZE[1]} {y / SIZE[0]}" for x, y in [(2, 2), (10, 2), (10, 10)])
    for name in ("000012", "other"):
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(root / "images" / f"{name}.png")
        (root / "labels" / f"{name}.txt").write_text(f"0 {outline}\n")
    (root / "data.yaml").write_text("train: images\nnames: [leaf]\n")
    found = [
        {"image_id": number, "category_id": 0, "score": 1, "segmentation": [[2, 2, 10, 2, 10, 10]]}
        for number in (12, "other")
    ]
    (tmp_path / "found.json").write_text(json.dumps(found))
    truth = set_truth(data.open(root), "all")
    again = replace(truth, dataset=truth.dataset.subset([0, 1, 0]))
    with pytest.raises(DatasetError, match="share an image_id"):
        set_subjects([source_of(str(tmp_path / "found.json"))], again, loaded=load)
    (subject,) = set_subjects([source_of(str(tmp_path / "found.json"))], truth, loaded=load)
    assert evaluate(subject, measures_of(subject)).overall["mean_mask_ap"].value == 1


def test_objects_that_are_not_sure_have_no_pixels_of_their_own(subject_of_json):
    unsure = [{**each, "score": 0.3} for each in RESULTS]
    subject = subject_of_json(unsure)
    assert {subject.classes.names[n] for n in np.unique(subject.read(0).labels)} == {"background"}
    assert evaluate(subject, measures_of(subject)).overall["mean_mask_ap"].value == 1


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([{**RESULTS[0], "category_id": 9}], "of a category that the truth lacks"),
        ([{**RESULTS[0], "score": "high"}], "no score"),
        ([{**RESULTS[0], "segmentation": None}], "no mask"),
        ([{"category_id": 1}], "no image_id"),
        ([{**RESULTS[0], "image_id": 4}], "image_id 4 without a picture"),
        ([], "no result of any of the 3 pictures"),
        ({"a": 1}, "no objects in a known form"),
        ({"annotations": [{}]}, "lacks file_name or segments_info"),
    ],
)
def test_what_is_wrong_in_a_file_is_told(subject_of_json, value, said):
    with pytest.raises(DatasetError, match=said):
        subject_of_json(value)


def test_a_mask_of_another_size_is_a_fault_of_its_picture(subject_of_json):
    wrong = {**RESULTS[0], "score": 0.1}
    wrong["segmentation"] = {"size": [2, 2], "counts": [4]}
    subject = subject_of_json([wrong, *RESULTS[1:]])
    evaluation = evaluate(subject, measures_of(subject, borders=False))
    assert [fault.file for fault in evaluation.faults] == ["images/p0"]
    assert len(evaluation.names) == 2


@pytest.fixture
def write_panoptic(tmp_path):
    """Segments of each picture as (number, category, mask, more); the PNGs beside the file."""

    def write(pictures, folder="panoptic"):
        root = tmp_path / folder
        root.mkdir()
        annotations = []
        for place, segments in enumerate(pictures):
            colours = np.zeros((*SIZE, 3), np.uint8)
            for number, _, mask, _ in segments:
                colours[mask] = number % 256, number // 256 % 256, number >> 16
            Image.fromarray(colours).save(root / f"p{place}.png")
            parts = [{"id": n, "category_id": c, **more} for n, c, _, more in segments]
            annotations.append({"file_name": f"p{place}.png", "segments_info": parts})
        (root / "found.json").write_text(json.dumps({"annotations": annotations}))
        return root

    return write


def test_segments_are_objects_even_where_they_touch(truth, write_panoptic):
    segments = [
        [(70_000, 1, square(2, 2), {"score": 0.25}), (5, 1, square(2, 10), {})],
        [(9, 2, square(10, 12), {})],
        [],
    ]
    root = write_panoptic(segments)
    (subject,) = set_subjects([source_of(str(root))], truth, loaded=load)
    judged = subject.read(0)
    assert isinstance(judged.objects, NumberedObjects)
    assert judged.objects.numbers[3, 3] == 2
    assert judged.objects.numbers[3, 12] == 1
    assert judged.objects.scores.tolist() == [1, 0.25]
    assert judged.labels[19, 0] == len(subject.classes)
    measures = measures_of(subject, borders=False)
    assert [measure.name for measure in measures] == ["overlap", "objects", "detections"]
    assert all("segments of the files" in measure.told for measure in measures[1:])
    found = evaluate(subject, measures)
    kinds = found.classes.names.index("kind 2")
    assert found.by_class["rq"][kinds].value == pytest.approx(2 / 3)


def test_segments_that_the_file_lacks_are_a_fault(truth, write_panoptic):
    root = write_panoptic([[(5, 1, square(2, 2), {})]] * 3)
    Image.fromarray(np.full((*SIZE, 3), 7, np.uint8)).save(root / "p1.png")
    (subject,) = set_subjects([source_of(str(root))], truth, loaded=load)
    (fault,) = evaluate(subject).faults
    assert "segments that the JSON file lacks" in fault.what


@pytest.mark.parametrize(
    ("segments", "said"),
    [
        ([(5, 9, square(2, 2), {})], "of no known category"),
        ([(5, 1, square(2, 2), {}), (5, 1, square(9, 9), {})], "no number of its own"),
        ([(5, 1, square(2, 2), {"score": float("nan")})], "a score is no number"),
    ],
)
def test_faulty_segments_are_told(truth, write_panoptic, segments, said):
    root = write_panoptic([segments, [], []])
    with pytest.raises(DatasetError, match=said):
        set_subjects([source_of(str(root))], truth, loaded=load)


def test_pictures_that_do_not_pair_are_told(truth, write_panoptic):
    root = write_panoptic([[], []])
    with pytest.raises(DatasetError, match="truth without prediction"):
        set_subjects([source_of(str(root))], truth, loaded=load)
    (root / "p1.png").unlink()
    with pytest.raises(DatasetError, match="PNG of the file is not there"):
        set_subjects([source_of(str(root))], truth, loaded=load)
    value = json.loads((root / "found.json").read_text())
    for name, said in (("../found/p0.png", "leads out"), ("p0.png", "stands twice")):
        value["annotations"][1]["file_name"] = name
        (root / "found.json").write_text(json.dumps(value))
        with pytest.raises(DatasetError, match=said):
            set_subjects([source_of(str(root))], truth, loaded=load)


def test_which_file_tells_objects(tmp_path, write_panoptic):
    root = write_panoptic([[]])
    assert file_of_objects(root) == root / "found.json"
    assert file_of_objects(root / "found.json") == root / "found.json"
    assert file_of_objects(root / "p0.png") is None
    assert file_of_objects(tmp_path / "nowhere") is None
    shutil.copy(root / "found.json", root / "again.json")
    with pytest.raises(DatasetError, match="several panoptic files"):
        file_of_objects(root)


@pytest.mark.skipif(not (DATA / "panopticapi_sample").is_dir(), reason="the data are not here")
def test_the_sample_of_coco_judged_by_itself_is_right(tmp_path):
    sample = DATA / "panopticapi_sample" / "sample_data"
    shutil.copytree(sample / "panoptic_examples", tmp_path / "own")
    shutil.copy(sample / "panoptic_examples.json", tmp_path / "own.json")
    truth = set_truth(data.open(DATA / "panopticapi_sample"), None)
    (subject,) = set_subjects([source_of(str(tmp_path / "own.json"))], truth, loaded=load)
    found = evaluate(subject, measures_of(subject, borders=False)).overall
    keys = ("mean_iou", "mean_pq", "mean_mask_ap", "mean_box_ap")
    assert [found[key].value for key in keys] == pytest.approx([1, 1, 1, 1])
