from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import fsspec
import pytest

from pixelwise.errors import MissingExtraError, OutputExistsError
from pixelwise.inference.job_list import Job
from pixelwise.inference.picture_facts import ClassFact, PictureFacts
from pixelwise.inference.remote import RemotePath
from pixelwise.inference.summary import Summary

if importlib.util.find_spec("pyarrow") is None:
    pytest.skip("needs the extra ray", allow_module_level=True)

FACTS = PictureFacts(
    4, 6, (ClassFact(3, "sky", 0.75, (0, 0, 6, 3)), ClassFact(1, "road", 0.25, (0, 3, 6, 4)))
)


def job_of(name, size=10, stamp=7):
    return Job(Path(f"{name}.jpg"), Path(name), size, stamp)


@pytest.fixture(params=["path", "store"])
def folder(request, tmp_path):
    yield tmp_path if request.param == "path" else RemotePath("memory://summary/out")
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def opened(folder):
    def make(*, model_hash="m", asked=""):
        summary = Summary(folder, model="toy", model_hash=model_hash, asked=asked)
        summary.open()
        return summary

    return make


def rows(folder):
    import pyarrow.parquet

    place = folder / "summary"
    if isinstance(place, Path):
        return pyarrow.parquet.read_table(place).to_pylist()
    filesystem = fsspec.filesystem("memory")
    return pyarrow.parquet.read_table(place.address[8:], filesystem=filesystem).to_pylist()


def test_a_row_says_all(folder, opened):
    summary = opened()
    summary.add(job_of("g/a"), FACTS, "hash")
    summary.finish()
    (row,) = rows(folder)
    assert row.pop("state")
    assert row == {
        "source": "g/a.jpg",
        "name": "g/a",
        "height": 4,
        "width": 6,
        "bytes": 10,
        "source_hash": "hash",
        "model": "toy",
        "model_hash": "m",
        "classes": [
            {"id": 3, "name": "sky", "share": 0.75, "x1": 0, "y1": 0, "x2": 6, "y2": 3},
            {"id": 1, "name": "road", "share": 0.25, "x1": 0, "y1": 3, "x2": 6, "y2": 4},
        ],
    }
    assert summary.totals() == (1, [("sky", 0.75, 1), ("road", 0.25, 1)])


def test_what_is_done_is_known_by_the_next_run_only_if_nothing_changed(opened):
    summary = opened()
    summary.add(job_of("a"), FACTS, "hash")
    # A run that is killed now has not finished.
    summary.flush()
    again = opened()
    assert again.holds(job_of("a"))
    assert not again.holds(job_of("b"))
    assert not again.holds(job_of("a", size=11))
    assert not again.holds(job_of("a", stamp=8))
    assert not again.holds(job_of("a", stamp=0))
    assert not opened(model_hash="n").holds(job_of("a"))
    assert not opened(asked="layers").holds(job_of("a"))


def test_parts_become_one_and_the_last_row_of_a_name_stays(folder, opened):
    summary = opened()
    for number in range(5):
        summary.add(job_of(str(number)), FACTS, "old")
        summary.flush()
    again = opened()
    again.add(job_of("3", stamp=9), FACTS, "new")
    again.finish()
    found = {row["name"]: row["source_hash"] for row in rows(folder)}
    assert len(rows(folder)) == 5
    assert found == {"0": "old", "1": "old", "2": "old", "3": "new", "4": "old"}
    place = folder / "summary"
    left = list(place.iterdir()) if isinstance(place, Path) else place.entries()
    assert len(left) == 1
    assert opened().totals()[0] == 5


def test_a_kill_between_new_parts_and_old_is_mended(folder, opened):
    summary = opened()
    summary.add(job_of("a"), FACTS, "one")
    summary.flush()
    summary.add(job_of("a"), FACTS, "two")
    summary.flush()
    assert len(rows(folder)) == 2
    opened().finish()
    assert [row["source_hash"] for row in rows(folder)] == ["two"]


def test_a_broken_part_is_told_and_kept(tmp_path):
    (tmp_path / "summary").mkdir()
    part = tmp_path / "summary" / "part-000000000000-01234567.parquet"
    part.write_bytes(b"broken")
    (tmp_path / "summary" / "notes.txt").write_text("mine")
    with pytest.raises(OutputExistsError) as caught:
        Summary(tmp_path, model="toy", model_hash="m", asked="").open()
    assert caught.value.where == str(part)
    assert part.read_bytes() == b"broken"


def test_nothing_done_writes_nothing(tmp_path):
    summary = Summary(tmp_path, model="toy", model_hash="m", asked="")
    summary.open()
    summary.finish()
    assert summary.totals() == (0, [])
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_no_text(tmp_path):
    summary = Summary(tmp_path, model="toy", model_hash="m", asked="")
    summary.open()
    summary.add(job_of("\udce9"), FACTS, "hash")
    summary.finish()
    assert rows(tmp_path)[0]["name"] == "\\udce9"


def test_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError) as caught:
        Summary(tmp_path, model="toy", model_hash="m", asked="")
    assert caught.value.fix == 'pip install "pixelwise[ray]"'
