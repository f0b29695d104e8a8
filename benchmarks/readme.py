"""Writes the measured figures into the README: the benchmarks' JSON and the model's own card.

python -m benchmarks.decode --json benchmarks/results/decode.json
python -m benchmarks.predict --json benchmarks/results/predict.json
python -m benchmarks.loading --json benchmarks/results/loading.json
python -m benchmarks.check --json benchmarks/results/check.json
python -m benchmarks.training_step --json benchmarks/results/training_step.json
python -m benchmarks.upsampled_loss --threads 1 2 --json benchmarks/results/upsampled_loss.json
python -m benchmarks.metrics --json benchmarks/results/metrics.json
python -m benchmarks.panoptic --json benchmarks/results/panoptic.json
python -m benchmarks.tiles --json benchmarks/results/tiles.json
python -m benchmarks.polygons --json benchmarks/results/polygons.json
python -m benchmarks.refine PHOTO --json benchmarks/results/refine.json
python -m benchmarks.rasters --gigapixels 0.25 --large --json benchmarks/results/rasters.json
python -m benchmarks.evaluation --json benchmarks/results/evaluation.json
python -m benchmarks.search --json benchmarks/results/search.json
python -m benchmarks.readme
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pixelwise
from pixelwise.inference.card import Card

RESULTS = Path("benchmarks/results")
README = Path("README.md")


def put_between(text: str, marker: str, content: str) -> str:
    """The text with what stands between `<!-- marker -->` and `<!-- /marker -->` replaced."""
    pattern = re.compile(rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{README} has no place marked {marker}")
    return pattern.sub(lambda found: f"{found[1]}{content}\n{found[2]}", text)


def mean_ious(card: Card) -> str:
    """Mean IoUs and what they are of; of a model of several data sets in the terms of each.

    The first of several is over all sets in the model's own classes, where a set that leaves a
    class open counts against it.
    """
    found = [score for score in card.scores if score.metric == "mIoU"]
    shown = found[1:] if len(found) > 1 else found
    texts = [f"{100 * score.value:.1f} % ({score.protocol.split(',')[0]})" for score in shown]
    return "; ".join(texts) or "–"


def models_text() -> str:
    """A row for each shipped model, from its card."""
    lines = ["| model | knows | mIoU | weights |", "|---|---|---|---|"]
    for name, card in pixelwise.model_cards().items():
        knows = ", ".join(card.classes.names)
        scores = mean_ious(card)
        terms = "non-commercial" if card.non_commercial else card.data_licence
        lines.append(f"| `{name}` | {knows} | {scores} | {terms} |")
    return "\n".join(lines)


def read_results(name: str) -> dict[str, Any]:
    """One benchmark's JSON."""
    results: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return results


def decode_rows(results: dict[str, Any]) -> list[str]:
    """Exact decode against upsampling and argmax."""
    return [
        f"| scores → labels, {case['title']} "
        f"| torch interpolate + argmax {case['torch_ms']:.0f} ms "
        f"| {case['labels_ms']:.1f} ms | {case['times_faster']:.0f}× |"
        for case in results["cases"]
    ]


def full_loop_text(results: dict[str, Any]) -> str:
    """The exact decode against its own full loop, where no shortcut can be taken."""
    ratios = [
        next(row for row in rows if row["path"] == "labels")["median_ms"]
        / next(row for row in rows if row["path"] == "labels, full loop")["median_ms"]
        for case in results["cases"]
        if "noise" in case["title"]
        for rows in [[row for row in results["rows"] if row["case"] == case["title"]]]
    ]
    return (
        "where no shortcut can be taken, labels take "
        f"{' and '.join(f'{ratio:.2f}' for ratio in ratios)} times as long as the full loop alone."
    )


def predict_rows(results: dict[str, Any]) -> list[str]:
    """Photo to PNG, warm and cold."""
    warm, cold = results["warm"], results["cold"]
    peer = warm["transformers"]["milliseconds"]
    rows = [
        f"| photo → PNG, 1024×683, SegFormer-B0, 150 classes, {name} float32 "
        f"| transformers {peer:.0f} ms | {warm[name]['milliseconds']:.0f} ms "
        f"| {warm[name]['times_faster']:.1f}× |"
        for name in ("openvino", "onnxruntime")
    ]
    cold_peer = cold["transformers, SegFormer-B0"]
    for name in (
        "street, onnxruntime",
        "street, openvino",
        "SegFormer-B0, onnxruntime",
        "SegFormer-B0, openvino",
    ):
        own = cold[name]
        rows.append(
            f"| process start → PNG, {name} | transformers with SegFormer-B0 "
            f"{cold_peer['seconds']:.1f} s, {cold_peer['peak_mib']:.0f} MiB "
            f"| {own['seconds']:.2f} s, {own['peak_mib']:.0f} MiB "
            f"| {own['times_faster']:.1f}×, {100 * own['memory_share']:.0f} % of the memory |"
        )
    return rows


def loading_rows(results: dict[str, Any]) -> list[str]:
    """A training sample, from files and from the cache."""
    rates = {(row["source"], row["name"]): row["images_per_second"] for row in results["rows"]}
    rows = []
    for source in ("files", "cache"):
        own = rates[source, "pixelwise"]
        peers = [
            ("torchvision v2 on tensors", rates["files", "torchvision v2 on tensors"], "files"),
            ("torchvision v2 on PIL", rates["files", "torchvision v2 on PIL"], "files"),
            ("albumentations", rates[source, "albumentations"], source),
        ]
        usual = ", ".join(f"{name} {rate:.0f}/s" for name, rate, _ in peers)
        if source == "cache":
            usual = f"from files {usual} on the cache"
        times = ", ".join(f"{own / rate:.1f}×" for _, rate, _ in peers)
        rows.append(
            f"| JPEG and mask 1024×512 → augmented 384×512, from {source}, one core "
            f"| {usual} | {own:.0f}/s | {times} |"
        )
    return rows


def training_rows(results: dict[str, Any]) -> list[str]:
    """A training step against the peer's network and loss, each in both precisions."""
    cases: dict[tuple[str, str], dict[str, float]] = {}
    for row in results["rows"]:
        cases.setdefault((row["case"], row["what"]), {})[row["side"]] = row["median_ms"]
    rows = []
    for (case, what), sides in cases.items():
        own = sides["pixelwise"]
        peers = {side: time for side, time in sides.items() if not side.startswith("pixelwise")}
        usual = ", ".join(f"{side} {time:.0f} ms" for side, time in peers.items())
        times = ", ".join(f"{time / own:.1f}×" for time in peers.values())
        rows.append(
            f"| training {what}, batch 4, {case}, one core | {usual} | {own:.0f} ms | {times} |"
        )
    return rows


def loss_rows(results: dict[str, Any]) -> list[str]:
    """Enlarging and cross-entropy, forward and backward, in processor time: first and last case."""
    cases: dict[str, dict[str, dict[str, Any]]] = {}
    for row in results["rows"]:
        if row["threads"] == 1:
            cases.setdefault(row["case"], {})[row["path"]] = row
    rows = []
    for case in (next(iter(cases)), next(reversed(cases))):
        plain, own = cases[case]["plain PyTorch"], cases[case]["fused"]
        rows.append(
            f"| scores → loss and gradient, {case}, one core | torch interpolate + "
            f"cross_entropy {plain['processor_ms']:.0f} ms, {plain['peak_mib']:.0f} MiB "
            f"| {own['processor_ms']:.0f} ms, {own['peak_mib']:.0f} MiB "
            f"| {own['processor_ratio']:.0f}×, 1/{own['memory_ratio']:.0f} of the memory |"
        )
    return rows


def metric_rows(results: dict[str, Any]) -> list[str]:
    """Each metric against its peers, in processor time."""
    cases: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for row in results["rows"]:
        cases.setdefault((row["metric"], row["classes"]), {})[row["path"]] = row
    rows = []
    for (metric, classes), paths in cases.items():
        own = paths.pop("pixelwise")["processor_ms"]
        usual = ", ".join(f"{name} {row['processor_ms']:.0f} ms" for name, row in paths.items())
        times = ", ".join(f"{row['processor_times_faster']:.0f}×" for row in paths.values())
        if paths:
            rows.append(
                f"| {metric}, 1024×2048, {classes} classes, one core "
                f"| {usual} | {own:.1f} ms | {times} |"
            )
    return rows


def panoptic_rows(results: dict[str, Any]) -> list[str]:
    """Panoptic quality of a picture: the largest and the smallest gain."""
    pictures = [row for row in results["rows"] if row["step"] == "picture"]
    ordered = sorted(pictures, key=lambda row: row["ratio"])
    return [
        f"| panoptic quality, {row['case'].removesuffix('.png')}, one core "
        f"| panopticapi's steps {row['panopticapi_ms']:.0f} ms | {row['median_ms']:.1f} ms "
        f"| {row['ratio']:.0f}× |"
        for row in (ordered[-1], ordered[0])
    ]


def tile_rows(results: dict[str, Any]) -> list[str]:
    """Tiles through a network of one convolution, outside of the network."""
    rows = {(row["case"], row["path"]): row for row in results["rows"]}
    own, peer = (rows["1×1 convolution", path] for path in ("pixelwise", "monai"))
    return [
        "| photo of 8192×8192 in tiles, 19 classes, 1×1 convolution: outside the network "
        f"| MONAI SlidingWindowInferer {peer['outside']:.1f} s, {peer['peak_mib']:,.0f} MiB "
        f"| {own['outside']:.1f} s, {own['peak_mib']:.0f} MiB "
        f"| {peer['outside'] / own['outside']:.1f}×, "
        f"1/{peer['peak_mib'] / own['peak_mib']:.0f} of the memory |"
    ]


def polygon_rows(results: dict[str, Any]) -> list[str]:
    """Polygons of a label map, and measures of its regions, in processor time."""
    tasks: dict[str, dict[str, dict[str, Any]]] = {}
    for row in results["rows"]:
        tasks.setdefault(row["task"], {})[row["path"]] = row
    rows = []
    for task, paths in tasks.items():
        own = paths.pop("pixelwise")
        peers = {name: row for name, row in paths.items() if not name.startswith("pixelwise")}
        usual = ", ".join(f"{name} {row['processor_ms']:.0f} ms" for name, row in peers.items())
        times = ", ".join(f"{row['ratio']:.1f}×" for row in peers.values())
        rows.append(
            f"| {task} of a label map, 2048×1024, one core | {usual} "
            f"| {own['processor_ms']:.1f} ms | {times} |"
        )
    return rows


def refine_rows(results: dict[str, Any]) -> list[str]:
    """Refinement with all threads, against each peer."""
    rows = [row for row in results["rows"] if row["threads"] == max_threads(results)]
    return [
        f"| {row['task']}, 480×360 | {row['peer']} {row['peer_ms']:.0f} ms "
        f"| {row['median_ms']:.0f} ms | {row['ratio']:.1f}× |"
        for row in rows
    ]


def max_threads(results: dict[str, Any]) -> int:
    """The most threads of any row."""
    return max(int(row["threads"]) for row in results["rows"])


def size_text(rasters: dict[str, Any], evaluation: dict[str, Any]) -> str:
    """Rasters, and evaluation from disk, in sentences."""
    small, large = rasters["figures"][0], rasters["figures"][-1]
    judged = [row for row in evaluation["rows"] if row["measures"].startswith("overlap")]
    told = ", ".join(
        f"{row['classes']} classes {row['evaluate_s']:.0f} s ({row['ratio']:.1f} times decoding "
        f"alone, {row['all_mib']:.0f} MiB)"
        for row in judged
    )
    return (
        f"`pixelwise predict --memory 1G` takes {large['peak_mib']:.0f} MiB for a raster of "
        f"{large['gigapixels']:g} gigapixels and {small['peak_mib']:.0f} for "
        f"{small['gigapixels']:g} (`python -m benchmarks.rasters --large`). Judging "
        f"{judged[0]['pictures']} label maps of 2 megapixels from disk: {told} "
        "(`python -m benchmarks.evaluation`)."
    )


def check_text(results: dict[str, Any]) -> str:
    """Speed and memory of the check."""
    rates = results["speed"]["pairs_per_second"]
    few, many = results["memory"][0], results["memory"][-1]
    return (
        f"`pixelwise data check` reads {max(rates.values()):.0f} pictures of 480×360 with their "
        f"masks a second; {many['pairs']:,} take {many['peak_mib']:.0f} MiB of memory, "
        f"{few['pairs']:,} take {few['peak_mib']:.0f}. Made by `python -m benchmarks.check`."
    )


def main() -> None:
    """The command line of this module."""
    decode, predict = read_results("decode"), read_results("predict")
    loading, check = read_results("loading"), read_results("check")
    losses, metrics = read_results("upsampled_loss"), read_results("metrics")
    table = [
        "| | the usual way | pixelwise | |",
        "|---|---|---|---|",
        *decode_rows(decode),
        *predict_rows(predict),
        *loading_rows(loading),
        *training_rows(read_results("training_step")),
        *loss_rows(losses),
        *metric_rows(metrics),
        *panoptic_rows(read_results("panoptic")),
        *tile_rows(read_results("tiles")),
        *polygon_rows(read_results("polygons")),
        *refine_rows(read_results("refine")),
        "",
        f"On white noise, {full_loop_text(decode)} {check_text(check)}",
        "",
        size_text(read_results("rasters"), read_results("evaluation")),
        "",
        f"Medians, side by side and in turns, {predict['machine']}; `import pixelwise` takes "
        f"{1000 * predict['import_seconds']:.0f} ms; samples: {loading['machine']}; "
        f"losses: {losses['machine']}; metrics: {metrics['machine']}. Made by "
        "`python -m benchmarks.decode`, `python -m benchmarks.predict`, "
        "`python -m benchmarks.loading`, `python -m benchmarks.training_step` (bfloat16 on our "
        "side), `python -m benchmarks.upsampled_loss`, `python -m benchmarks.metrics` (these three "
        "in processor time), `python -m benchmarks.panoptic`, `python -m benchmarks.tiles`, "
        "`python -m benchmarks.polygons`, `python -m benchmarks.refine` and "
        "`python -m benchmarks.readme`.",
    ]
    text = put_between(README.read_text(), "benchmarks", "\n".join(table))
    README.write_text(put_between(text, "models", models_text()))


if __name__ == "__main__":
    main()
