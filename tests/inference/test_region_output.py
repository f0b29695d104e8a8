from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.errors import OutputExistsError
from pixelwise.formats.spacing import Spacing
from pixelwise.geometry import Geometry
from pixelwise.inference.job_list import Job
from pixelwise.inference.region_output import RegionOutput
from pixelwise.kernels import Axis
from pixelwise.segmentation import Provenance, Segmentation

CLASSES = ClassTable(
    "toy", (ClassInfo(0, "car", (9, 9, 9)), ClassInfo(1, "tree", (1, 1, 1))), 255, ""
)
JOB = Job(Path("in/a.jpg"), Path("a"))
FACTS = {"model_hash": "m", "source_hash": "s"}


def segmentation_of(place):
    """One tree in a picture of cars."""
    scores = np.zeros((2, 2, 3), np.float32)
    scores[0], scores[1].flat[place] = 1, 2
    rows, columns = Axis.half_pixel(2, 2), Axis.half_pixel(3, 3)
    origin = Provenance("toy", "m", "numpy", (2, 3), "in/a.jpg", "0")
    return Segmentation(scores, CLASSES, Geometry(rows, columns), origin)


@pytest.fixture
def output(tmp_path):
    made = RegionOutput.of(tmp_path, "svg")
    made.begin("m", CLASSES, [JOB])
    return made


def test_what_kills_left_between_journal_and_file_is_ours(output):
    """However often: the file that is there and the one that was meant are both known."""
    path = output.place(JOB)
    output.save(segmentation_of(0), JOB, b"", FACTS)
    first = path.read_bytes()
    for place in (1, 2, 3):
        output.save(segmentation_of(place), JOB, b"", FACTS)
        assert path.read_bytes() != first
        path.write_bytes(first)
    output.save(segmentation_of(4), JOB, b"", FACTS)
    path.write_bytes(first + b" ")
    with pytest.raises(OutputExistsError, match="changed since"):
        output.save(segmentation_of(5), JOB, b"", FACTS)
    assert path.read_bytes() == first + b" "


def test_a_shared_file_goes_on_after_kills_too(tmp_path):
    output = RegionOutput.of(tmp_path, "cvat")
    output.begin("m", CLASSES, [JOB])
    shared = output.place(JOB)
    contents = []
    for place in range(4):
        job = replace(JOB, name=Path(f"{place}"))
        output.save(segmentation_of(place), job, b"photo", FACTS)
        output.finish(CLASSES)
        contents.append(shared.read_bytes())
        shared.write_bytes(contents[0])
    output.finish(CLASSES)
    assert shared.read_bytes() == contents[-1]
    assert shared.read_bytes().count(b"<image ") == 4


def test_done_is_what_is_there_of_these_facts(output):
    assert not output.is_done(JOB, FACTS, overwrite=False)
    output.save(segmentation_of(0), JOB, b"", FACTS)
    assert output.is_done(JOB, FACTS, overwrite=False)
    assert not output.is_done(JOB, FACTS, overwrite=True)
    for other in (replace(output, spacing=Spacing(1, 1, "mm")), output):
        facts = FACTS if other is not output else FACTS | {"source_hash": "t"}
        with pytest.raises(OutputExistsError, match="another picture, model or setting"):
            other.is_done(JOB, facts, overwrite=False)
    output.place(JOB).unlink()
    assert not output.is_done(JOB, FACTS, overwrite=False)


def test_a_journal_that_is_damaged_makes_no_file_ours(output):
    output.save(segmentation_of(0), JOB, b"", FACTS)
    for path in (output.folder / ".pixelwise").rglob("*.json"):
        path.write_text('{"files": 3')
    with pytest.raises(OutputExistsError):
        output.begin("m", CLASSES, [JOB])


def test_what_a_killed_run_was_about_to_replace_is_not_done(output):
    output.save(segmentation_of(0), JOB, b"", FACTS)
    path = output.place(JOB)
    first = path.read_bytes()
    facts = FACTS | {"settings": "others"}
    output.save(segmentation_of(1), JOB, b"", facts)
    assert output.is_done(JOB, facts, overwrite=False)
    path.write_bytes(first)
    assert not output.is_done(JOB, facts, overwrite=False)
    path.write_bytes(b"corrected")
    assert output.is_done(JOB, facts, overwrite=False)


@pytest.mark.parametrize("text", ['{"files": {"a": 3}}', '{"files": {}, "facts": 1}'])
def test_a_journal_of_another_form_knows_nothing(text, output):
    output.save(segmentation_of(0), JOB, b"", FACTS)
    (entry,) = (output.folder / ".pixelwise" / "pictures").rglob("*.json")
    entry.write_text(text)
    assert not output.is_done(JOB, FACTS, overwrite=False)
