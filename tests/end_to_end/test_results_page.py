"""docs/results.md: its tables are what the stored results and the cards say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import pixelwise
from benchmarks import baselines, results_page
from pixelwise.inference.card import Score

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "results.md").read_text("utf-8")


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture
def results():
    """The stored results of the baselines."""
    path = ROOT / "benchmarks" / "results" / "baselines.json"
    if not path.is_file():
        pytest.skip("the baselines were not run: python -m benchmarks.baselines")
    return json.loads(path.read_text("utf-8"))


def test_the_page_is_up_to_date():
    assert results_page.filled(PAGE) == PAGE, "run python -m benchmarks.results_page"


def test_another_figure_makes_another_table(results):
    before = results_page.baselines_text(results)
    results["rows"][3]["mean_iou"] = 0.1234
    after = results_page.baselines_text(results)
    (line,) = set(after.splitlines()) - set(before.splitlines())
    assert line.startswith(f"| {results['rows'][3]['title']} |")
    assert "**12.3**" in line


def test_all_six_were_measured_under_one_budget(results):
    rows = results["rows"]
    assert [row["name"] for row in rows] == list(baselines.SMALL)
    assert {(row["train"], row["val"]) for row in rows} == {(367, 101)}
    assert len({(row["pictures_seen"], row["steps"]) for row in rows}) == 1
    budget = json.loads(json.dumps(baselines.BUDGET))
    assert {key: results["budget"][key] for key in budget} == budget
    for row in rows:
        counted = [iou for iou in row["iou"].values() if iou is not None]
        assert row["mean_iou"] == pytest.approx(sum(counted) / len(counted), abs=1e-6)
        assert row["interval"][0] < row["mean_iou"] < row["interval"][1]
        assert row["mean_iou"] == max(score for _, score in row["scored"])


def test_what_starts_from_nothing_is_called_so(results):
    for row in results["rows"]:
        line = results_page.baseline_row(row)
        assert ("nothing" in line) == (baselines.SMALL[row["name"]].weights is None)


def test_a_card_is_told_whole():
    card = pixelwise.model_cards()["street"]
    scores = (
        Score(metric="mIoU", value=0.4, protocol="set A + set B, 5 classes"),
        Score(metric="mIoU", value=0.5, protocol="set A, its 3 classes"),
        Score(metric="mIoU", value=0.25, protocol="set B, its 4 classes"),
    )
    text = results_page.shipped_text(
        {
            "closed": card.model_copy(update={"non_commercial": True, "scores": scores}),
            "free": card.model_copy(update={"non_commercial": False, "command": ""}),
        },
        {"closed": 5_700_000, "free": 1_000_000},
    )
    table, closed, free = re.split(r"^### .*$", text, flags=re.MULTILINE)
    assert "| 50.0 % (set A); 25.0 % (set B) | 5.7 MB | **non-commercial only** |" in table
    assert "**non-commercial" not in table.partition("free")[2]
    for part in (card.description, card.data, card.data_licence, card.weights_licence):
        assert part in closed
    assert f"`{card.command}`" in closed
    assert "mIoU **25.0 %**: set B, its 4 classes" in closed
    assert "non-commercial: **yes**" in closed
    assert "non-commercial: no" in free
    assert "command" not in free


def test_a_table_of_refinements():
    def row(data, refinement, settings, low, high):
        figures = {"a": 0.5, "b": 0.51, "difference": 0.01, "low": low, "high": high}
        return {
            "data": data,
            "model": f"model of {data}",
            "refinement": refinement,
            "settings": settings,
            "pictures": 7,
            "figures": {"mean_iou": figures, "mean_boundary_iou": figures | {"difference": -0.1}},
            "interval": f"7 pictures of {data}",
        }

    text = results_page.refinement_text(
        {
            "machine": "a machine",
            "budget_seconds": 60.0,
            "rows": [
                row("one", "crf", "--refine crf", 0.001, 0.02),
                row("one", "tuned", "", -0.001, 0.02),
                row("two", "smooth", "--smooth 2", None, None),
            ],
        }
    )
    assert text.splitlines()[2:7] == [
        "| **`model of one`, 7 pictures of one** | as it is | 50.0 % | 50.0 % |",
        "| crf | `--refine crf` | **+1.00** (+0.10 to +2.00) | **-10.00** (+0.10 to +2.00) |",
        "| tuned | nothing is recommended | +1.00 (-0.10 to +2.00) | -10.00 (-0.10 to +2.00) |",
        "| **`model of two`, 7 pictures of two** | as it is | 50.0 % | 50.0 % |",
        "| smooth | `--smooth 2` | +1.00 | -10.00 |",
    ]
    assert "one: 7 pictures of one; two: 7 pictures of two" in text


def test_the_commands_are_understood():
    commands = re.findall(r"^python -m benchmarks\.baselines (.+)$", PAGE, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        assert baselines.make_parser().parse_args(command.split()).json is not None
