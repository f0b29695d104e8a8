"""A planted error of each kind must be found by the report, from files to page."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

import pixelwise as pw
from pixelwise.evaluation.error_kinds import ErrorKind
from pixelwise.evaluation.opening import Source, set_subjects, set_truth
from pixelwise.evaluation.report import make_report
from pixelwise.evaluation.report_page import report_page
from pixelwise.evaluation.report_pictures import drawn

COLOURS = np.array([[250, 20, 20], [20, 250, 20], [20, 20, 250], [90, 90, 90]], np.uint8)
NAMES = ("ground", "wall", "dog", "<b>cat&amp;")


def scene():
    """Ground, a wall above, and two dogs."""
    ids = np.zeros((60, 80), np.uint8)
    ids[:20] = 1
    ids[30:40, 10:20] = 2
    ids[30:40, 40:50] = 2
    return ids


def planted():
    """By name: what the picture shows, so what the model sees, and what the truth says."""
    shifted, missed, invented, renamed, unlabelled = (scene() for _ in range(5))
    shifted[20:22] = 1
    missed[30:40, 10:20] = 0
    invented[45:55, 60:70] = 2
    renamed[30:40, 10:20] = 3
    mistaken = scene()
    mistaken[30:40, 40:50] = 0
    return {
        "good": (scene(), scene()),
        "shifted": (shifted, scene()),
        "missed": (missed, scene()),
        "invented": (invented, scene()),
        "renamed": (renamed, scene()),
        "unlabelled": (unlabelled, mistaken),
    }


@pytest.fixture
def subject(tmp_path, make_model, pointwise, make_table):
    root = tmp_path / "set"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for name, (seen, truth) in planted().items():
        Image.fromarray(COLOURS[seen]).save(root / "images" / f"{name}.png")
        Image.fromarray(truth).save(root / "masks" / f"{name}.png")
    lines = [f"{number},{name}" for number, name in enumerate(NAMES)]
    (root / "classes.csv").write_text("\n".join(["id,name", *lines]) + "\n")
    dataset = pw.data.open(root)
    # Nearest colour: -|x - c|² = 2 c·x - |c|² + what is the same for all.
    colours = COLOURS.astype(np.float32)
    network = pointwise(weights=colours / 500, bias=-(colours**2).sum(1) / 1000)
    model = make_model(network=network, table=dataset.classes)
    (made,) = set_subjects(
        [Source(str(model), None)],
        set_truth(dataset, None),
        loaded=lambda name: pw.load(name, engine="onnxruntime"),
    )
    return made


@pytest.fixture
def report(subject):
    return make_report(subject, workers=2)


def test_each_planted_error_is_of_its_kind(report):
    kinds = {kind: report.kinds[kind] for kind in ErrorKind}
    assert kinds[ErrorKind.BOUNDARY].tolist() == [160, 0, 0, 0]
    assert kinds[ErrorKind.MISSED].tolist() == [0, 0, 100, 0]
    assert kinds[ErrorKind.INVENTED].tolist() == [0, 0, 200, 0]
    assert kinds[ErrorKind.WRONG_CLASS].tolist() == [0, 0, 100, 0]
    assert kinds[ErrorKind.EXTENT].sum() == 0
    assert report.kinds.sum() == 6 * 4800


def test_the_forgotten_label_is_the_first_in_doubt(report, subject):
    first = report.doubted[0]
    assert first.suspect.area == 100
    doubted = {subject.truths.names[each.place].split("/")[-1] for each in report.doubted}
    assert doubted == {"missed", "invented", "renamed", "unlabelled"}
    boxes = {each.suspect.box for each in report.doubted}
    assert (40, 30, 50, 40) in boxes


def test_pairs_sizes_and_borders(report, subject):
    first = report.pairs[0]
    assert (first.pair.truth, first.pair.found, first.pair.pixels) == (0, 2, 200)
    example = subject.truths.names[first.place].split("/")[-1]
    assert example in {"invented", "unlabelled"}
    assert report.sizes[1].tolist() == [11, 9, 1100, 900]
    assert report.borders[:, 0].sum() == 6 * 4800
    assert report.calibration.pixels == 6 * 4800
    assert report.curves is None


def test_the_page_holds_all_and_every_name_is_text(report):
    page = report_page(report, drawn(report, workers=1))
    for title in (
        "Scores", "Classes", "Confusion", "Most confused", "Kinds of errors", "Size of objects",
        "Distance to borders", "Calibration", "Worst pictures", "Labels in doubt",
    ):  # fmt: skip
        assert f">{title}</h2>" in page
    assert "<b>cat" not in page
    assert "&lt;b&gt;cat&amp;amp;" in page
    assert "<script" not in page
    assert not re.search(r'(src|href)="(?!data:image/jpeg;base64,|#)', page)
    assert page.count("<img ") == page.count('alt="photo, truth')
    assert "default-src 'none'" in page
    links = set(re.findall(r'href="#(\w+)"', page))
    assert links == set(re.findall(r'<h2 id="(\w+)"', page))
    # What scrolls is reached by keyboard.
    assert page.count('class="scroll"') == page.count('class="scroll" tabindex="0"')


def test_sheets_are_drawn_for_what_is_shown(report):
    pictures = drawn(report)
    assert set(pictures.worst) == set(report.evaluation.worst(6))
    assert set(pictures.doubted) == set(range(len(report.doubted)))
    assert set(pictures.pairs) == set(range(min(4, len(report.pairs))))
    assert pictures.median == {}
    for address in (*pictures.worst.values(), *pictures.doubted.values()):
        assert address.startswith("data:image/jpeg;base64,")


def test_label_maps_alone_make_a_report_too(subject_from):
    true = {name: truth for name, (_, truth) in planted().items()}
    found = {name: seen for name, (seen, _) in planted().items()}
    report = make_report(subject_from(true, found))
    assert report.doubted == ()
    page = report_page(report, drawn(report))
    assert "Labels in doubt" not in page
    assert "Calibration" not in page
    assert "Worst pictures" in page


def test_pictures_that_cannot_be_judged_are_told(subject_from):
    true = {name: truth for name, (_, truth) in planted().items()}
    subject = subject_from(true, true)
    subject.predictions.files[2].write_bytes(b"")
    report = make_report(subject)
    page = report_page(report, drawn(report))
    assert "1 picture could not be judged" in page
    assert ">Not judged</h2>" in page


def test_predictions_of_no_class_are_shown(subject_from, table_of):
    ids = scene()
    ids[30:40, 10:20] = 0
    seen = scene()
    own, true = table_of("c0", "c1", "c2"), table_of("c0", "c1")
    from pixelwise.evaluation.matching import match_classes
    from pixelwise.evaluation.predictions import Subject

    base = subject_from({"a": np.minimum(ids, 1)}, {"a": seen}, own)
    match = match_classes(own, true, [("c2", "nothing")])
    report = make_report(Subject(base.truths, base.predictions, match))
    page = report_page(report, drawn(report))
    assert "(no class" in page
    assert report.evaluation.confusion[:, -1].sum() == 200


def test_a_truth_that_is_ignored_everywhere_makes_a_page_without_scores(subject_from, table_of):
    ids = np.full((20, 30), 255, np.uint8)
    subject = subject_from({"a": ids}, {"a": ids // 255}, table_of("x", "y"))
    report = make_report(subject)
    assert report.evaluation.overall["mean_iou"].value is None
    page = report_page(report, drawn(report))
    assert "nan" not in page.lower()
    assert "No pixel is wrong." in page
