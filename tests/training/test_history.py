from __future__ import annotations

import pytest

from pixelwise.errors import UsageError
from pixelwise.training.history import read_history


def test_all_of_a_run_is_read(make_run):
    run = make_run(epochs=4, steps=5)
    history = read_history(run.folder)
    assert [step.step for step in history.steps] == list(range(1, 21))
    assert [score.epoch for score in history.scores] == [0, 1, 2, 3]
    best = max(history.scores, key=lambda score: score.mean_iou)
    assert history.best == best
    assert history.counts.epoch == best.epoch
    assert history.stopped.why == "done"
    assert history.seconds == 20 * 0.5 + 4 * 2
    assert history.images_per_second == 30
    assert history.memory_mib is None
    assert history.model is None
    assert history.examples == {}


def test_choices_come_with_the_reasons_beside_them(make_run):
    history = read_history(make_run(epochs=4).folder)
    reasons = {choice.name: choice.reason for choice in history.plan if choice.reason}
    assert reasons == {"epochs": "as many as fit: # of them"}
    assert history.choice("epochs") == 4
    assert history.choice("data") == [{"path": "data/toy"}]
    assert history.choice("no such choice") is None


def test_reasons_are_read_from_plans_edited_by_hand(make_run):
    run = make_run()
    (run.folder / "plan.yaml").write_text(
        'loss: "dice # 1"   # small objects\n'
        "crop:\n  - 32\n  - 64\n"
        "# a line of its own\n"
        "seed: 3 # lucky\n"
        "batch: 8\n"
    )
    choices = read_history(run.folder).plan
    assert [(choice.name, choice.value, choice.reason) for choice in choices] == [
        ("loss", "dice # 1", "small objects"),
        ("crop", [32, 64], ""),
        ("seed", 3, "lucky"),
        ("batch", 8, ""),
    ]


def test_counts_of_another_scoring_do_not_count(make_run):
    run = make_run()
    last = run.of("score")[-1]
    run.log.insert(-1, {**last, "epoch": last["epoch"] + 1, "step": 99, "best": True})
    run.write()
    assert read_history(run.folder).counts is None


def test_a_file_left_out_at_every_scoring_is_told_once(make_run):
    run = make_run()
    out = {"event": "quarantined", "file": "a.png", "what": "cut off"}
    run.log.extend([out, out, {**out, "file": "b.png"}])
    run.write()
    assert [incident.file for incident in read_history(run.folder).incidents] == ["a.png", "b.png"]


def test_a_run_that_has_not_begun_is_empty(make_run, tmp_path):
    plan = make_run().folder / "plan.yaml"
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "plan.yaml").write_bytes(plan.read_bytes())
    history = read_history(fresh)
    assert (history.start, history.steps, history.best, history.seconds) == (None, (), None, 0)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="plan of the run cannot be read"):
        read_history(tmp_path)
    (tmp_path / "plan.yaml").write_text("a: [")
    with pytest.raises(UsageError, match="plan of the run cannot be read"):
        read_history(tmp_path)


def test_a_broken_model_file_is_none(make_run):
    run = make_run()
    (run.folder / "model.onnx").write_bytes(b"half of it")
    assert read_history(run.folder).model is None


def test_the_finished_model_is_read(make_run, make_model):
    run = make_run()
    make_model().rename(run.folder / "model.onnx")
    assert read_history(run.folder).model.card.name == "toy"


def test_examples_are_found_by_their_place(make_run):
    run = make_run()
    folder = run.folder / "examples"
    folder.mkdir()
    for name in ("val_000003.png", "val_1234567.png", "val_3.png", "notes.txt"):
        (folder / name).write_bytes(b"")
    assert read_history(run.folder).examples == {
        3: folder / "val_000003.png",
        1234567: folder / "val_1234567.png",
    }
