from __future__ import annotations

import pytest

from pixelwise.errors import OutputError
from pixelwise.inference.raster_journal import Journal, Progress

PROGRESS = Progress(tile=(512, 256), batch=2, strips=2, stripes=7)


def test_what_was_written_is_read_again(tmp_path):
    journal = Journal(tmp_path / "partial" / "x", {"model": "a"})
    assert journal.progress() is None
    journal.write(PROGRESS)
    journal.close()
    again = Journal(tmp_path / "partial" / "x", {"model": "a"})
    assert again.progress() == PROGRESS
    (again.folder / "labels.stripes").write_bytes(b"x")
    again.remove()
    assert not (tmp_path / "partial").exists()


def test_other_facts_begin_anew(tmp_path):
    journal = Journal(tmp_path / "x", {"model": "a"})
    journal.write(PROGRESS)
    (journal.folder / "labels.stripes").write_bytes(b"x")
    journal.close()
    other = Journal(tmp_path / "x", {"model": "b"})
    assert other.progress() is None
    assert [path.name for path in other.folder.iterdir()] == ["lock"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"facts": {"model": "a"}, "progress": {"tile": 3}}']
)
def test_a_damaged_journal_is_none(tmp_path, text):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "journal.json").write_text(text)
    assert Journal(tmp_path / "x", {"model": "a"}).progress() is None


def test_one_process_at_a_time(tmp_path):
    first = Journal(tmp_path / "x", {})
    with pytest.raises(OutputError, match="another process"):
        Journal(tmp_path / "x", {})
    first.close()
    Journal(tmp_path / "x", {}).close()


def test_a_place_where_no_folder_can_be(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(OutputError):
        Journal(tmp_path / "x", {})
