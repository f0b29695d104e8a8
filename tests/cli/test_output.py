from __future__ import annotations

import json

import pytest
import typer

from pixelwise.cli.output import (
    ExitCode,
    error_facts,
    fail,
    print_columns,
    print_error,
    print_json,
    print_line,
    print_wrapped,
)
from pixelwise.errors import UsageError

ERROR = UsageError("what is wrong", where="here", got="this", fix="that")


def test_exit_codes_are_pinned():
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "SOME_FAILED": 1,
        "NOT_STARTED": 2,
        "INTERRUPTED": 130,
    }


def test_columns_line_up(capsys):
    rows = [("a long name", "5.0 %"), ("b", "95.0 %")]
    print_columns(("class", "share"), rows, title="of a.png")
    assert capsys.readouterr().out.splitlines() == [
        "of a.png",
        "  class         share",
        "  a long name   5.0 %",
        "  b            95.0 %",
    ]


def test_a_table_without_rows_is_its_titles(capsys):
    print_columns(("class", "share"), [])
    assert capsys.readouterr().out == "  class  share\n"


def test_json_keeps_every_script(capsys):
    print_json({"name": "☂ [b]"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"name": "☂ [b]"}


def test_errors_go_to_standard_error(capsys):
    print_error(ERROR)
    out, error = capsys.readouterr()
    assert out == ""
    assert error == "error: what is wrong\n  here\n  this\n  fix: that\n"


def test_an_error_as_plain_data():
    assert error_facts(ERROR) == {
        "error": "UsageError",
        "what": "what is wrong",
        "where": "here",
        "got": "this",
        "fix": "that",
    }


def test_failing_ends_with_2(capsys):
    with pytest.raises(typer.Exit) as caught:
        fail(ERROR)
    assert caught.value.exit_code == 2
    assert "what is wrong" in capsys.readouterr().err


def test_line_breaks_and_control_characters_of_names_are_shown(capsys):
    print_line("error: a\nb\x1b[31m\r.png")
    print_columns(("name",), [("c\nd",)])
    assert capsys.readouterr().out == "error: a\\nb\\x1b[31m\\r.png\n  name\n  c\\nd\n"


def test_sentences_are_wrapped_at_80_columns(capsys):
    print_wrapped("note: " + "word " * 40 + "a\nb")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) == 3
    assert lines[-1].startswith("  word")
    assert lines[-1].endswith("a\\nb")
