from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.errors import ImageFileError, OutOfMemoryError, OutputExistsError
from pixelwise.formats.files import write_atomic
from pixelwise.formats.masks import encode_mask, read_mask
from pixelwise.inference.jobs import Job, Outputs, read_job, run_jobs, source_facts
from pixelwise.inference.predictor import load


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def facts_of(job, model_hash, settings=""):
    return source_facts(read_job(job, max_megapixels=1), model_hash, settings)


def jobs_of(count):
    return [Job(Path(f"{number}.jpg"), Path(str(number))) for number in range(count)]


@pytest.mark.parametrize("workers", [1, 3])
def test_outcomes_come_in_order_and_an_error_stops_nobody(workers):
    def work(job):
        number = int(str(job.name))
        time.sleep(0.002 * (number % 3))
        if number % 5 == 2:
            raise ImageFileError("broken", where=str(job.source))
        return number

    outcomes = list(run_jobs(jobs_of(20), work, workers=workers))
    assert [str(outcome.job.name) for outcome in outcomes] == [str(n) for n in range(20)]
    for number, outcome in enumerate(outcomes):
        broken = number % 5 == 2
        assert outcome.result == (None if broken else number)
        assert isinstance(outcome.error, ImageFileError) == broken


@pytest.mark.parametrize("workers", [1, 2])
def test_an_unforeseen_error_is_not_hidden(workers):
    def work(job):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(run_jobs(jobs_of(5), work, workers=workers))


def test_few_jobs_are_under_way_at_once():
    begun = []
    outcomes = run_jobs(jobs_of(50), begun.append, workers=2)
    for given in range(10):
        next(outcomes)
        time.sleep(0.002)
        assert len(begun) <= given + 4
    outcomes.close()
    assert len(begun) < 20


def test_stopping_early_finishes_what_is_under_way_and_starts_nothing():
    gate, finished = threading.Event(), []

    def work(job):
        if str(job.name) != "0":
            gate.wait(10)
        finished.append(str(job.name))

    outcomes = run_jobs(jobs_of(50), work, workers=2)
    next(outcomes)
    timer = threading.Timer(0.2, gate.set)
    timer.start()
    outcomes.close()
    timer.join()
    assert sorted(finished) == ["0", "1", "2"]


@pytest.fixture
def result(work, make_photos, make_model):
    make_photos(work, "a.png")
    model = load(make_model(), engine="onnxruntime", threads=1)
    return Job(Path("a.png"), Path("sub/a")), model


def outputs_of(job, **options):
    return Outputs.of(job, Path("out"), **{"layers": False, "probabilities": False} | options)


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_results_have_their_places(result):
    job, model = result
    outputs = outputs_of(job, layers=True, probabilities=True)
    outputs.save(model.predict(job.source), facts_of(job, model.sha256), overwrite=False)
    assert outputs.paths() == {
        "labels": "out/labels/sub/a.png",
        "overlay": "out/overlays/sub/a.png",
        "layers": "out/layers/sub/a",
        "probabilities": "out/probabilities/sub/a.npz",
    }
    assert outputs.labels.is_file()
    assert outputs.overlay.is_file()
    assert len(list(outputs.layers.iterdir())) == 2 * len(model.classes)
    assert np.load(outputs.probabilities)["probabilities"].shape == (4, 12, 16)


def test_a_name_that_ends_like_a_file_stays_whole(work):
    outputs = outputs_of(Job(Path("a.v1.png"), Path("a.v1")), layers=True, probabilities=True)
    assert outputs.labels.name == "a.v1.png"
    assert outputs.layers.name == "a.v1"
    assert outputs.probabilities.name == "a.v1.npz"


def test_a_whole_result_is_known_again(result):
    job, model = result
    outputs, facts = outputs_of(job), facts_of(job, model.sha256)
    assert not outputs.are_done(facts, model.classes)
    outputs.save(model.predict(job.source), facts, overwrite=False)
    assert outputs.are_done(facts, model.classes)
    assert sum(outputs.stored_shares().values()) == pytest.approx(1, abs=1e-5)
    assert not outputs_of(job, layers=True).are_done(facts, model.classes)
    assert not outputs_of(job, probabilities=True).are_done(facts, model.classes)


@pytest.mark.parametrize(
    "shares", ["x", "[1]", '{"a": "b"}', "5", 5, "[" * 100_000, '{"a": NaN}', '{"a": 2}', None]
)
def test_shares_that_make_no_sense_are_none(shares, work):
    outputs = outputs_of(Job(Path("a.png"), Path("a")))
    said = json.dumps({"shares": shares})
    write_atomic(
        work / outputs.labels, encode_mask(np.zeros((2, 2), np.uint8), text={"pixelwise": said})
    )
    assert outputs.stored_shares() == {}


def test_another_setting_is_another_result(result):
    job, model = result
    outputs, plain = outputs_of(job), facts_of(job, model.sha256)
    tiled = facts_of(job, model.sha256, "tile 8, overlap 0.25, hann")
    assert plain.keys() == {"model_hash", "source_hash"}
    for facts, other in ((tiled, plain), (plain, tiled)):
        outputs.save(model.predict(job.source), facts, overwrite=True)
        assert outputs.are_done(facts, model.classes)
        with pytest.raises(OutputExistsError, match="setting"):
            outputs.are_done(other, model.classes)
        assert not outputs.are_done(other, model.classes, overwrite=True)


def test_only_what_lacks_is_added(result):
    job, model = result
    facts = facts_of(job, model.sha256)
    segmentation = model.predict(job.source)
    outputs_of(job).save(segmentation, facts, overwrite=False)
    before = times(Path("out"))
    more = outputs_of(job, layers=True, probabilities=True)
    more.save(segmentation, facts, overwrite=False)
    assert more.are_done(facts, model.classes)
    assert before.items() <= times(Path("out")).items()
    lost = next(more.layers.iterdir())
    lost.unlink()
    assert not more.are_done(facts, model.classes)


@pytest.mark.parametrize("kind", ["layers", "probabilities"])
def test_parts_of_another_model_do_not_count(result, kind):
    """They would stand beside the new label map as if they belonged to it."""
    job, model = result
    segmentation, facts = model.predict(job.source), facts_of(job, model.sha256)
    more = outputs_of(job, **{kind: True})
    more.save(segmentation, facts | {"model_hash": "another"}, overwrite=False)
    more.labels.unlink()
    outputs_of(job).save(segmentation, facts, overwrite=False)
    with pytest.raises(OutputExistsError, match=kind):
        more.are_done(facts, model.classes)
    more.save(segmentation, facts, overwrite=True)
    assert more.are_done(facts, model.classes)


def test_a_foreign_npz_is_kept(result):
    job, model = result
    outputs = outputs_of(job, probabilities=True)
    outputs.probabilities.parent.mkdir(parents=True)
    for content in (b"no archive", b""):
        outputs.probabilities.write_bytes(content)
        with pytest.raises(OutputExistsError):
            outputs.are_done(facts_of(job, model.sha256), model.classes)
    np.savez(outputs.probabilities, mine=np.zeros(3))
    with pytest.raises(OutputExistsError):
        outputs.are_done(facts_of(job, model.sha256), model.classes)


def test_the_label_map_is_written_last(result, monkeypatch):
    """A result that was broken off must not be taken for whole."""
    job, model = result
    order = []

    def note(path, content):
        order.append(path.parts[1])

    monkeypatch.setattr("pixelwise.inference.jobs.write_whole", note)
    outputs = outputs_of(job, layers=True, probabilities=True)
    outputs.save(model.predict(job.source), facts_of(job, "0"), overwrite=False)
    assert set(order) == {"overlays", "layers", "probabilities", "labels"}
    assert order[-1] == "labels"


@pytest.mark.parametrize("change", ["photo", "model", "foreign", "broken", "overlay"])
def test_what_was_made_otherwise_is_not_taken_for_ours(result, change):
    job, model = result
    outputs = outputs_of(job)
    outputs.save(model.predict(job.source), facts_of(job, model.sha256), overwrite=False)
    model_hash = model.sha256
    if change == "photo":
        Image.fromarray(np.full((12, 16, 3), 9, np.uint8)).save(job.source)
    elif change == "model":
        model_hash = "0" * 64
    elif change == "foreign":
        Image.fromarray(np.zeros((3, 3), np.uint8)).save(outputs.labels)
    elif change == "broken":
        outputs.labels.write_bytes(outputs.labels.read_bytes()[:20])
    else:
        outputs.overlay.write_text("not ours")
    with pytest.raises(OutputExistsError) as caught:
        outputs.are_done(facts_of(job, model_hash), model.classes)
    ours = change in {"photo", "model"}
    assert ("--overwrite" in caught.value.fix) == ours
    if not ours:
        with pytest.raises(OutputExistsError):
            outputs.are_done(facts_of(job, model_hash), model.classes, overwrite=True)


def test_a_touched_photo_is_the_same_photo(result):
    job, model = result
    outputs = outputs_of(job)
    outputs.save(model.predict(job.source), facts_of(job, model.sha256), overwrite=False)
    os.utime(job.source, ns=(0, 0))
    assert outputs.are_done(facts_of(job, model.sha256), model.classes)


def test_too_little_memory_for_one_picture_lets_the_others_go_on():
    def work(job):
        if job.name == Path("b"):
            raise MemoryError("40 GiB")
        return job.name.name

    jobs = [Job(Path(name), Path(name)) for name in "abc"]
    outcomes = list(run_jobs(jobs, work, workers=2))
    assert [outcome.result for outcome in outcomes] == ["a", None, "c"]
    assert isinstance(outcomes[1].error, OutOfMemoryError)


def test_overwriting_replaces_all(result):
    job, model = result
    outputs = outputs_of(job)
    outputs.labels.parent.mkdir(parents=True)
    outputs.labels.write_text("old")
    segmentation = model.predict(job.source)
    outputs.save(segmentation, facts_of(job, model.sha256), overwrite=True)
    np.testing.assert_array_equal(read_mask(outputs.labels), segmentation.labels)


def test_a_photo_that_is_gone_is_an_image_error(work):
    with pytest.raises(ImageFileError) as caught:
        facts_of(Job(Path("absent.jpg"), Path("absent")), "0")
    assert "absent.jpg" in caught.value.where


def test_what_an_earlier_run_made_otherwise_does_not_stay_beside_new_labels(result):
    job, model = result
    first = outputs_of(job, layers=True, probabilities=True)
    segmentation = model.predict(job.source)
    first.save(segmentation, facts_of(job, model.sha256, "mirror"), overwrite=False)
    mine = [first.layers / "notes.png", first.layers / "000_mine.mask.png"]
    mine[0].write_bytes(next(first.layers.iterdir()).read_bytes())
    mine[1].write_bytes(b"drawn by hand")
    made = {path for path in first.layers.iterdir() if path not in mine}
    facts = facts_of(job, model.sha256)
    plain = outputs_of(job)
    removed = plain.save(segmentation, facts, overwrite=True)
    assert set(removed) == {first.probabilities, *made}
    assert not any(path.exists() for path in removed)
    assert all(path.exists() for path in mine)
    first.save(segmentation, facts, overwrite=False)
    assert plain.save(segmentation, facts, overwrite=True) == ()
    assert first.probabilities.exists()


def test_layers_of_classes_that_are_no_more_go_and_an_empty_folder_too(result, monkeypatch):
    job, model = result
    outputs = outputs_of(job, layers=True)
    segmentation = model.predict(job.source)
    outputs.save(segmentation, facts_of(job, model.sha256, "mirror"), overwrite=False)
    old = outputs.layers / "077_gone.mask.png"
    old.write_bytes(next(outputs.layers.iterdir()).read_bytes())
    assert outputs.save(segmentation, facts_of(job, model.sha256), overwrite=True) == (old,)
    assert len(list(outputs.layers.iterdir())) == 2 * len(model.classes)
    outputs_of(job).save(segmentation, facts_of(job, model.sha256, "flips"), overwrite=True)
    assert not outputs.layers.exists()
