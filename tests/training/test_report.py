from __future__ import annotations

import json

import numpy as np
import pytest

from pixelwise.errors import UsageError
from pixelwise.training.picture_counts import read_picture_counts, write_picture_counts
from pixelwise.training.report import make_report, write_report


def rewrite_counts(run, change, groups=None):
    """The counts of the best scoring, changed."""
    path = run.folder / "val_counts.json"
    counts = read_picture_counts(path)
    changed = counts.counts.copy()
    change(changed)
    write_picture_counts(
        path,
        epoch=counts.epoch,
        classes=run.table,
        names=counts.names,
        counts=changed,
        groups=groups,
    )


def warned(run, words):
    return any(words in warning for warning in make_report(run.folder).warnings)


def test_both_files_are_written_and_are_always_the_same(make_run):
    run = make_run()
    report = write_report(run.folder)
    first = [(run.folder / name).read_bytes() for name in ("report.json", "report.html")]
    write_report(run.folder)
    assert first == [(run.folder / name).read_bytes() for name in ("report.json", "report.html")]
    assert json.loads(first[0]) == json.loads(json.dumps(report.facts()))


def test_the_facts_are_those_of_the_best_scoring(make_run):
    run = make_run()
    best = max(run.of("score"), key=lambda line: line["mean_iou"])
    facts = make_report(run.folder).facts()
    assert facts["mean_iou"] == best["mean_iou"]
    assert facts["best_epoch"] == best["epoch"] + 1
    assert facts["interval"]["low"] < best["mean_iou"] < facts["interval"]["high"]
    assert facts["interval"]["by"] == "pictures"
    assert [row["iou"] for row in facts["classes"]] == best["iou"]
    assert facts["ended"] == "done"
    assert facts["epochs_done"] == 6
    assert len(facts["scores"]) == 6
    assert [choice["name"] for choice in facts["plan"]][:2] == ["data", "classes"]


def test_classes_are_told_by_their_counts(make_run):
    run = make_run(classes=3)

    def change(counts):
        counts[:, :, 1] = 0
        counts[:2, :, 1] = [[30, 40, 60], [0, 10, 0]]

    rewrite_counts(run, change)
    row = make_report(run.folder).classes[1]
    assert (row.precision, row.recall, row.pixels, row.pictures) == (0.5, 0.6, 50, 2)
    assert row.colour == run.table.classes[1].colour


def test_the_worst_pictures_come_first(make_run):
    run = make_run(pictures=20)

    def change(counts):
        counts[7, 0] = 0

    rewrite_counts(run, change)
    worst = make_report(run.folder).worst
    assert worst[0].name == "picture_007"
    assert worst[0].place == 7
    assert worst[0].mean_iou == 0
    assert len(worst) == 12


def test_the_protocol_stands_with_the_score(make_run):
    text = " ".join(make_report(make_run(pictures=40).folder).protocol)
    for words in (
        "Mean IoU (Jaccard index) over the 4 of 4 classes",
        "One confusion matrix is filled over all 40 validation pictures",
        "original size",
        "ignored pixels do not count",
        "averaged over the steps with a decay of 0.998",
        "jackknife over 40 pictures",
        "the epoch was chosen on them",
    ):
        assert words in text


def test_groups_are_named(make_run):
    run = make_run(pictures=40)
    rewrite_counts(run, lambda _: None, groups=[number // 4 for number in range(40)])
    report = make_report(run.folder)
    assert report.facts()["interval"]["by"] == "groups of pictures"
    assert "jackknife over 10 groups of pictures" in " ".join(report.protocol)
    assert not warned(run, "too narrow")


def test_few_groups_are_not_drawn(make_run):
    run = make_run(pictures=40)
    rewrite_counts(run, lambda _: None, groups=[number // 10 for number in range(40)])
    report = make_report(run.folder)
    assert report.facts()["interval"]["by"] == "pictures"
    assert report.facts()["interval"]["drawn_from"] == 40
    assert warned(run, "come in 4 groups")


def test_a_good_run_is_not_warned_of(make_run):
    run = make_run(epochs=30)
    best = max(run.of("score"), key=lambda line: line["mean_iou"])["epoch"]
    assert best < 28
    assert make_report(run.folder).warnings == ()


def test_an_unfinished_run_says_so(make_run):
    run = make_run(ended=None)
    report = write_report(run.folder)
    assert warned(run, "not over")
    assert report.facts()["ended"] is None
    assert report.facts()["epochs_done"] == 6


@pytest.mark.parametrize("kept", [0, 1, 5, 12])
def test_a_run_that_was_just_begun_makes_a_report(make_run, kept):
    run = make_run()
    del run.log[kept:], run.timing[kept:]
    run.write()
    report = write_report(run.folder)
    assert report.history.best is None or kept == 12
    assert (report.facts()["mean_iou"] is None) == (kept < 12)


def test_few_validation_pictures(make_run):
    assert warned(make_run(pictures=7), "7 validation pictures only")
    one = make_run(pictures=1, name="one")
    assert warned(one, "1 validation picture only")
    assert not warned(one, "are chance")


def test_a_score_that_still_rose(make_run):
    run = make_run(epochs=6)
    for number, score in enumerate(run.of("score")):
        score.update(mean_iou=0.1 * (number + 1), best=True)
    run.write()
    assert warned(run, "more epochs would probably help")
    run.log[-1]["why"] = "early stop"
    run.write()
    assert not warned(run, "more epochs would probably help")


@pytest.mark.parametrize(("loss", "words"), [(0.01, "by heart"), (9.0, "learning rate")])
def test_a_score_that_fell(make_run, loss, words):
    run = make_run()
    for number, score in enumerate(run.of("score")):
        score.update(mean_iou=0.7 - 0.05 * number, best=number == 0)
    run.of("score")[-1]["loss_train"] = loss
    run.write()
    assert warned(run, words)


def test_classes_without_truth_rare_and_not_found(make_run):
    run = make_run(names=["road", "bag", "bird", "sky"])
    for score in run.of("score"):
        score["iou"][1] = score["dice"][1] = None
        score["iou"][2] = 0.01
    run.write()

    def change(counts):
        counts[:, :, 1] = 0
        counts[2:, :, 3] = 0

    rewrite_counts(run, change)
    assert warned(run, "is not known: bag.")
    assert warned(run, "are chance: sky (2).")
    assert warned(run, "Hardly found at all: bird (1.0 %).")


def test_what_went_wrong_is_counted(make_run):
    run = make_run()
    run.log[5:5] = [
        {"event": "rolled back", "step": 4, "names": ["a"], "why": "no number"},
        {"event": "quarantined", "file": "a.png", "what": "cut off"},
        {"event": "quarantined", "file": "b.png", "what": "cut off"},
        {"event": "smaller batches", "micro_batch": 2},
    ]
    run.write()
    assert warned(run, "1 step had to be taken back")
    assert warned(run, "2 files could not be read")
    events = make_report(run.folder).facts()["events"]
    assert [event["event"] for event in events] == [
        "rolled back",
        "quarantined",
        "quarantined",
        "smaller batches",
    ]


def test_without_counts_there_is_a_report_without_interval(make_run):
    run = make_run()
    (run.folder / "val_counts.json").unlink()
    report = write_report(run.folder)
    assert report.interval is None
    assert report.facts()["interval"] is None
    assert report.worst[0].name == "picture_000"
    assert warned(run, "no counts of single pictures")


def test_nothing_counted_at_all_is_no_number(make_run):
    run = make_run()
    for score in run.of("score"):
        nothing = [None] * 4
        score.update(mean_iou=None, pixel_accuracy=None, iou=nothing, dice=nothing)
    run.write()
    rewrite_counts(run, lambda counts: counts.fill(0))
    report = write_report(run.folder)
    assert report.facts()["mean_iou"] is None
    assert report.interval is None
    assert np.isnan(report.history.counts.by_picture).all()


def test_no_run_no_report(tmp_path):
    with pytest.raises(UsageError, match="plan of the run"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []
