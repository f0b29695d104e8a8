"""Writes the tables of docs/results.md: the benchmarks' JSON and the cards of the models that ship.

python -m benchmarks.results_page
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.readme import RESULTS, mean_ious, put_between, read_results
from pixelwise.inference.card import Card, Score
from pixelwise.inference.model_file import read_model, shipped_models

PAGE = Path("docs/results.md")
REFINED_FIGURES = ("mean_iou", "mean_boundary_iou")
NOT_MEASURED = (
    "**Not measured yet.** The commands below do it, in about half an hour of one free core."
)
NOT_REFINED = "**Not measured yet.** The command below does it."


def shipped_text(cards: Mapping[str, Card], sizes: Mapping[str, int]) -> str:
    """A table of the models, and what the card of each says.

    Args:
        cards: by name.
        sizes: of the files, in bytes.
    """
    lines = ["| model | mIoU | size | use |", "|---|---|---|---|"]
    for name, card in cards.items():
        use = "**non-commercial only**" if card.non_commercial else "as its licences say"
        size = f"{sizes[name] / 1e6:.1f} MB"
        lines.append(f"| [`{name}`](#{name}) | {mean_ious(card)} | {size} | {use} |")
    for name, card in cards.items():
        lines += ["", f"### {name}", "", *_card_lines(card)]
    return "\n".join(lines)


def _card_lines(card: Card) -> list[str]:
    limit = "**yes**, the training data forbids other use" if card.non_commercial else "no"
    return [
        f"- what: {card.description}",
        f"- classes: {', '.join(card.classes.names)}",
        *(f"- {_score_text(score)}" for score in card.scores),
        f"- trained on: {card.data}",
        f"- licence of the data: {card.data_licence}",
        f"- licence of the weights: {card.weights_licence}",
        f"- non-commercial: {limit}",
        *([f"- command: `{card.command}`"] if card.command else []),
    ]


def _score_text(score: Score) -> str:
    return f"{score.metric} **{100 * score.value:.1f} %**: {score.protocol}"


def baselines_text(results: Mapping[str, Any]) -> str:
    """Budget, table and the scores of each class."""
    rows = results["rows"]
    classes = list(rows[0]["iou"])
    return "\n".join(
        [
            budget_text(results),
            "",
            "| | encoder | starts from | parameters | mIoU (95 % interval) | pixel accuracy "
            "| best epoch | core-seconds per step |",
            "|---|---|---|---|---|---|---|---|",
            *(baseline_row(row) for row in rows),
            "",
            f"Protocol: {results['protocol']}. IoU of each class, in %:",
            "",
            f"| | {' | '.join(classes)} |",
            "|---" * (len(classes) + 1) + "|",
            *(
                f"| {row['title']} | {' | '.join(_percent(iou) for iou in row['iou'].values())} |"
                for row in rows
            ),
            "",
            f"Machine: {results['machine']}; device {results['device']}, threads: "
            f"{results['threads']}, {results['budget']['precision']}, torch {results['torch']}.",
        ]
    )


def budget_text(results: Mapping[str, Any]) -> str:
    """What every architecture was given."""
    budget, first = results["budget"], results["rows"][0]
    height, width = budget["crop"]
    return (
        f"Each: {budget['epochs']} epochs over {first['train']} photos, {first['steps']:,} steps "
        f"of {budget['batch']}, {first['pictures_seen']:,} pictures seen; crops of {height}×{width}"
        f" (H×W), augmentation `{budget['augmentation']}`; loss `{budget['loss']}` with class "
        f"weights `{budget['class_weights']}`; AdamW, highest learning rate "
        f"{budget['learning_rate']:g}, {budget['warmup_steps']} steps of warm-up, then "
        f"`{budget['schedule']}`; {budget['precision']}; seed {budget['seed']}. Scored on "
        f"{first['val']} photos after the epochs "
        f"{' and '.join(str(epoch) for epoch, _ in first['scored'])}; the better one counts."
    )


def baseline_row(row: Mapping[str, Any]) -> str:
    """One architecture."""
    encoder = row["encoder"] + ("" if row["width"] == 1 else f", {row['width']:g} of the width")
    low, high = row["interval"]
    return (
        f"| {row['title']} | {encoder} | {_start(row['start'])} "
        f"| {row['parameters'] / 1e6:.1f} M "
        f"| **{_percent(row['mean_iou'])}** ({_percent(low)} to {_percent(high)}) "
        f"| {_percent(row['pixel_accuracy'])} | {row['epoch']} "
        f"| {row['core_seconds_per_step']:.2f} |"
    )


def _start(start: str) -> str:
    return "**nothing** (random weights)" if start == "random" else start


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def refinement_text(results: Mapping[str, Any]) -> str:
    """A table of what each refinement does to each model, and what the intervals are over."""
    rows = results["rows"]
    lines = ["| | settings | mIoU | boundary IoU |", "|---|---|---|---|"]
    firsts = [row for before, row in zip([None, *rows], rows, strict=False) if _is_new(before, row)]
    for first in firsts:
        own = [row for row in rows if row["data"] == first["data"]]
        plain = (f"{_percent(first['figures'][key]['a'])} %" for key in REFINED_FIGURES)
        pictures = f"{first['pictures']} pictures of {first['data']}"
        lines.append(f"| **`{first['model']}`, {pictures}** | as it is | {' | '.join(plain)} |")
        lines += [_refinement_row(row) for row in own]
    units = [f"{row['data']}: {row['interval']}" for row in firsts]
    return "\n".join(
        [
            *lines,
            "",
            f"Intervals are over: {'; '.join(units)}. Superpixels have some 256 pixels. Time for "
            f"each search: {results['budget_seconds']:g} s at most. Machine: {results['machine']}.",
        ]
    )


def _is_new(before: Mapping[str, Any] | None, row: Mapping[str, Any]) -> bool:
    return before is None or before["data"] != row["data"]


def _refinement_row(row: Mapping[str, Any]) -> str:
    settings = f"`{row['settings']}`" if row["settings"] else "nothing is recommended"
    cells = " | ".join(_points(row["figures"][key]) for key in REFINED_FIGURES)
    return f"| {row['refinement']} | {settings} | {cells} |"


def _points(figure: Mapping[str, Any]) -> str:
    """A difference in points with its interval; bold where that leaves out 0."""
    difference = f"{100 * figure['difference']:+.2f}"
    if figure["low"] is None:
        return difference
    if figure["low"] > 0 or figure["high"] < 0:
        difference = f"**{difference}**"
    return f"{difference} ({100 * figure['low']:+.2f} to {100 * figure['high']:+.2f})"


def filled(page: str) -> str:
    """The page with its tables as the stored results and the cards say."""
    files = {name: read_model(name) for name in shipped_models()}
    cards = {name: file.card for name, file in files.items()}
    sizes = {name: len(file.content) for name, file in files.items()}
    page = put_between(page, "shipped", shipped_text(cards, sizes))
    refined = (RESULTS / "refinement.json").is_file()
    text = refinement_text(read_results("refinement")) if refined else NOT_REFINED
    page = put_between(page, "refinement", text)
    measured = (RESULTS / "baselines.json").is_file()
    text = baselines_text(read_results("baselines")) if measured else NOT_MEASURED
    return put_between(page, "baselines", text)


def main() -> None:
    """The command line of this module."""
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
