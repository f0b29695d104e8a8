"""One Ray for all of these tests: it takes seconds to start."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet
import pytest

from pixelwise.errors import ClusterError, ImageFileError, OutputError, UsageError
from pixelwise.inference.cluster import LOCAL, Hand, Placement, run_on_cluster, session
from pixelwise.inference.job_list import Job

if importlib.util.find_spec("ray") is None:
    pytest.skip("needs the extra ray", allow_module_level=True)

CORES = 2


@pytest.fixture(scope="module")
def cluster(cache_apart):
    # As where another part of a program has loaded Ray: it must not listen elsewhere for that.
    import ray  # noqa: F401

    with session(LOCAL, CORES) as within:
        yield within


@pytest.fixture
def address(cluster):
    return cluster.ray.get_runtime_context().gcs_address


def jobs_of(*sizes):
    return [Job(Path(f"{n}.jpg"), Path(str(n)), size) for n, size in enumerate(sizes)]


@pytest.fixture
def run(cluster):
    def work_through(jobs, make_work, **options):
        return run_on_cluster(jobs, len(jobs), make_work, cluster, **options)

    return work_through


def test_it_listens_on_the_loopback_interface_and_tells_nobody(cluster, address):
    assert address.startswith("127.0.0.1:")
    assert cluster.is_local
    assert cluster.places() == CORES
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_results_and_errors_come_back_whole(run):
    def make_work():
        def work(job):
            number = int(str(job.name))
            if number == 3:
                raise ImageFileError("broken", where=str(job.source), got="x", fix="y")
            if number == 4:
                try:
                    raise OSError(errno.ENOSPC, "full")
                except OSError as error:
                    raise OutputError("the disk is full") from error
            return number

        return work

    outcomes = {str(o.job.name): o for o in run(jobs_of(*range(40)), make_work)}
    assert len(outcomes) == 40
    for name, outcome in outcomes.items():
        assert outcome.result == (None if name in {"3", "4"} else int(name))
    assert isinstance(outcomes["3"].error, ImageFileError)
    assert (outcomes["3"].error.where, outcomes["3"].error.fix) == ("3.jpg", "y")
    assert outcomes["4"].error.__cause__.errno == errno.ENOSPC


def test_a_killed_worker_loses_nothing(run):
    def make_work():
        def work(job):
            time.sleep(0.02)
            return os.getpid()

        return work

    killed = None
    names = []
    for outcome in run(jobs_of(*range(60)), make_work):
        assert outcome.error is None
        names.append(int(str(outcome.job.name)))
        if killed is None:
            killed = outcome.result
            os.kill(killed, signal.SIGKILL)
    assert sorted(names) == list(range(60))


def test_a_picture_that_kills_every_worker_is_given_up_alone(run):
    def make_work():
        def work(job):
            if str(job.name) == "5":
                os._exit(9)
            return str(job.name)

        return work

    outcomes = {str(o.job.name): o for o in run(jobs_of(*range(12)), make_work)}
    assert len(outcomes) == 12
    assert isinstance(outcomes["5"].error, ClusterError)
    assert outcomes["5"].error.where == "5.jpg"
    assert all(o.result == name for name, o in outcomes.items() if name != "5")


def test_what_a_worker_cannot_make_is_raised_here(run):
    def make_work():
        raise UsageError("no such engine", got="tensorrt")

    with pytest.raises(UsageError, match="no such engine"):
        list(run(jobs_of(1, 2), make_work, workers=1))


@pytest.mark.parametrize("kind", ["folder", "output"])
def test_a_folder_that_a_worker_does_not_see(tmp_path, kind):
    placement = Placement(**{kind: str(tmp_path / "absent")})
    with pytest.raises(UsageError, match="does not see this folder") as caught:
        Hand().begin(lambda: str, placement)
    assert "absent" in caught.value.where


def test_an_unforeseen_error_is_not_hidden():
    def make_work():
        def work(job):
            raise ZeroDivisionError

        return work

    hand = Hand()
    hand.begin(make_work, Placement())
    with pytest.raises(ZeroDivisionError):
        hand.work(jobs_of(1, 2))


def rows(folder):
    table = pyarrow.parquet.read_table(folder / "summary")
    return {row["name"]: row for row in table.to_pylist()}, table.num_rows


def files(folder, kind):
    found = sorted(path for path in (folder / kind).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.fixture
def work(tmp_path, make_model, make_photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path / "f", *(f"g{n % 3}/{n}.png" for n in range(30)), size=(40, 60))
    make_model()
    return tmp_path


@pytest.fixture
def environment(cluster, command_environment):
    """With what `session` set: the token, and which interface to use."""
    return command_environment | {k: v for k, v in os.environ.items() if k.startswith("RAY_")}


@pytest.fixture
def predict(work, environment):
    def go(*options):
        arguments = ["predict", "f", "--model", "toy.onnx", "--engine", "onnxruntime"]
        return subprocess.run(
            [sys.executable, "-m", "pixelwise", *arguments, *options],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    return go


def test_the_same_files_as_without_and_a_summary(work, predict, address):
    steps = ("--refine", "guided:radius=2", "--min-area", "3")
    plain = predict("-o", "plain", "--json", *steps)
    (work / "f" / "broken.png").write_bytes(b"no picture")
    done = predict("-o", "out", "--ray", address, *steps)
    assert done.returncode == 1
    assert done.stderr.count("error:") == 1
    assert "broken.png" in done.stderr
    assert done.stdout.splitlines()[-1] == (
        "30 done, 1 failed (out/not_done.txt): out/labels, out/summary"
    )
    assert (work / "out" / "not_done.txt").read_text() == "f/broken.png\n"
    for kind in ("labels", "overlays"):
        assert files(work / "out", kind) == files(work / "plain", kind)
    told, count = rows(work / "out")
    assert count == len(told) == 30
    for picture in json.loads(plain.stdout)["pictures"]:
        row = told[picture["source"][2:-4]]
        assert row["source"] == picture["source"]
        assert (row["height"], row["width"]) == (picture["height"], picture["width"])
        assert len(row["classes"]) == len(picture["classes"])
        for ours, theirs in zip(row["classes"], picture["classes"], strict=True):
            assert (ours["id"], ours["name"]) == (theirs["id"], theirs["name"])
            assert ours["share"] == theirs["share"]
            assert [ours[key] for key in ("x1", "y1", "x2", "y2")] == theirs["box"]
    # All but the broken one is known: a second run needs no worker, so no Ray either.
    (work / "f" / "broken.png").unlink()
    again = predict("-o", "out", "--json", "--ray", "127.0.0.1:1", *steps)
    assert (again.returncode, again.stderr) == (0, "")
    document = json.loads(again.stdout)
    assert (document["done"], document["already_there"]) == (0, 30)
    assert not (work / "out" / "not_done.txt").exists()
    # What was made without Ray is taken into the summary.
    known = predict("-o", "plain", "--threads", "1", "--ray", address, *steps)
    assert (known.returncode, known.stderr) == (0, "")
    assert "0 done, 30 already there" in known.stdout
    assert rows(work / "plain")[0].keys() == told.keys()


def test_a_killed_command_goes_on_where_it_stood(work, predict, address, environment):
    arguments = ["predict", "f", "--model", "toy.onnx", "--engine", "onnxruntime"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pixelwise", *arguments, "--ray", address],
        cwd=work,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until = time.monotonic() + 60
    while len(list((work / "out" / "labels").rglob("*.png"))) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.001)
    process.kill()
    process.communicate()
    again = predict("--ray", address)
    assert (again.returncode, again.stderr) == (0, "")
    told, count = rows(work / "out")
    assert count == len(told) == 30
    assert len(files(work / "out", "labels")) == 30
    assert [path for path in (work / "out").rglob("*.tmp") if path.is_file()] == []
    assert files(work / "out", "labels") == (
        predict("-o", "plain") and files(work / "plain", "labels")
    )


def test_a_ray_of_its_own_leaves_nothing_and_says_nothing(work, predict, cluster):
    done = predict("--ray")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "30 done: out/labels, out/summary"
    assert {path.name for path in (work / "out").iterdir()} == {"labels", "overlays", "summary"}


def test_no_cluster_there(work, predict):
    done = predict("--ray", "127.0.0.1:1")
    assert done.returncode == 2
    assert "cannot be reached" in done.stderr
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [(["--at", "1,1"], "--at"), (["-o", "memory://out"], "memory://out")],
    ids=str,
)
def test_what_cannot_be(predict, options, told):
    done = predict("--ray", *options)
    assert done.returncode == 2
    assert told in done.stderr
