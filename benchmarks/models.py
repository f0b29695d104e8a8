"""Forward passes of the architectures on a CPU, beside the implementations others use.

    python -m benchmarks.models [--only NAME] [--repeats N] [--json FILE]
    python -m benchmarks.models --write benchmarks/results/models.json

One random picture of 512x512, 21 classes, random weights; the twin gets the same weights. Both run
in one process, in turns, on two threads; the table shows medians, and the median of the ratios of
neighbouring turns. Where the twin enlarges its scores to the picture inside its forward pass, ours
are enlarged for the comparison too. torch.compile and the engines give the scores of the network,
as prediction takes them. Memory is the peak above what the process held before the pass, in a
process of its own. `--write` puts a JSON file of this benchmark into docs/models.md.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.cost import cost_of
from benchmarks.machine import describe_machine
from benchmarks.readme import put_between
from pixelwise.classes import ClassTable
from pixelwise.export.onnx import to_onnx
from pixelwise.inference.card import CARD_KEY, Card, Postprocessing, Preprocessing, Resize
from pixelwise.inference.engines import make_engine
from pixelwise.inference.model_file import check_model
from pixelwise.inference.onnx_file import with_metadata
from pixelwise.models.build import ARCHITECTURES, build
from pixelwise.models.checkpoint import load_tensors
from pixelwise.models.layers import resize
from pixelwise.models.network import SegmentationNetwork

SIZE = 512
CLASSES = 21
THREADS = 2
PAGE = Path("docs/models.md")


@dataclass(frozen=True)
class Case:
    """One network, and the implementation it is compared with, if there is one."""

    architecture: str
    encoder: str
    source: str = ""
    twin: Callable[[], nn.Module] | None = None
    enlarged: bool = False

    @property
    def name(self) -> str:
        """Architecture and encoder."""
        return f"{self.architecture}, {self.encoder}"

    def network(self) -> SegmentationNetwork:
        """Ours, with the twin's weights to come."""
        options = {"source": self.source} if self.source else {}
        return build(self.architecture, classes=CLASSES, encoder=self.encoder, **options).eval()


def _smp(name: str, encoder: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import segmentation_models_pytorch

        kind = getattr(segmentation_models_pytorch, name)
        twin: nn.Module = kind(encoder, encoder_weights=None, classes=CLASSES)
        return twin

    return make


def _torchvision(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        from torchvision.models import segmentation

        kind = getattr(segmentation, name)
        options = {} if name.startswith("lraspp") else {"aux_loss": True}
        twin: nn.Module = kind(weights=None, weights_backbone=None, num_classes=CLASSES, **options)
        return twin

    return make


def _segformer_b0() -> nn.Module:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    twin: nn.Module = SegformerForSemanticSegmentation(SegformerConfig(num_labels=CLASSES))
    return twin


def _upernet_convnext() -> nn.Module:
    from transformers import ConvNextConfig, UperNetConfig, UperNetForSemanticSegmentation

    backbone = ConvNextConfig(
        hidden_sizes=[96, 192, 384, 768],
        depths=[3, 3, 9, 3],
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    twin: nn.Module = UperNetForSemanticSegmentation(
        UperNetConfig(backbone_config=backbone, num_labels=CLASSES, auxiliary_in_channels=384)
    )
    return twin


SMP = "segmentation_models_pytorch"
CASES = [
    Case("deeplabv3", "resnet50", "torchvision", _torchvision("deeplabv3_resnet50"), enlarged=True),
    Case("deeplabv3plus", "resnet50", SMP, _smp("DeepLabV3Plus", "resnet50"), enlarged=True),
    Case("fcn", "resnet50", "torchvision", _torchvision("fcn_resnet50"), enlarged=True),
    Case("fcn8s", "vgg16"),
    Case(
        "lraspp",
        "mobilenet_v3_large",
        "torchvision",
        _torchvision("lraspp_mobilenet_v3_large"),
        enlarged=True,
    ),
    Case("pspnet", "resnet50", SMP, _smp("PSPNet", "resnet50"), enlarged=True),
    Case("segformer", "mit_b0", "transformers", _segformer_b0),
    Case("segnet", "vgg16_bn"),
    Case("unet", "plain"),
    Case("unet", "resnet34", SMP, _smp("Unet", "resnet34")),
    Case("upernet", "convnext_tiny", "transformers", _upernet_convnext, enlarged=True),
]


@dataclass(frozen=True)
class Row:
    """One network: milliseconds of a pass, and MiB of its peak."""

    name: str
    parameters: float
    multiply_adds: float
    eager_ms: float
    compiled_ms: float
    onnxruntime_ms: float
    openvino_ms: float
    peak_mib: float
    twin: str = ""
    compared_ms: float = 0.0  # ours in eager mode, enlarged where the twin enlarges
    twin_ms: float = 0.0
    twin_ratio: float = 0.0  # ours over the twin's
    twin_peak_mib: float = 0.0


def _scores_of(answer: Any) -> torch.Tensor:
    """What the twins wrap their scores in."""
    if isinstance(answer, torch.Tensor):
        return answer
    scores: torch.Tensor = answer["out"] if "out" in answer else answer["logits"]
    return scores


def make_pair(case: Case) -> tuple[SegmentationNetwork, nn.Module | None]:
    """Ours and the twin with the same weights."""
    torch.manual_seed(0)
    network = case.network()
    if case.twin is None:
        return network, None
    twin = case.twin().eval()
    convert = ARCHITECTURES[case.architecture].sources[case.source].convert
    load_tensors(network, convert(twin.state_dict()), where=case.name)
    return network, twin


def passes_of(
    case: Case, network: SegmentationNetwork, twin: nn.Module | None
) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """The functions to compare."""

    def compared(picture: torch.Tensor) -> torch.Tensor:
        scores = network(picture)
        if not case.enlarged:
            return scores
        return resize(scores, picture.shape[-2:], alignment=network.alignment)

    passes: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"eager": network}
    if twin is not None:
        passes |= {"compared": compared, "twin": lambda picture: _scores_of(twin(picture))}
    return passes


def in_turns(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Milliseconds of each, after one unmeasured turn."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(repeats + 1):
        order = list(functions) if turn % 2 else list(reversed(functions))
        for name in order:
            start = time.perf_counter()
            functions[name]()
            if turn:
                times[name].append((time.perf_counter() - start) * 1e3)
    return times


def engine_passes(network: SegmentationNetwork, picture: torch.Tensor) -> dict[str, Any]:
    """The exported network in both engines, float32."""
    card = Card(
        name="benchmark",
        class_table=ClassTable.builtin("voc").to_dict(),
        preprocessing=Preprocessing(
            scale=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), resize=Resize(rule="none")
        ),
        postprocessing=Postprocessing(alignment=network.alignment),
        weights_licence="none",
        data="none",
        data_licence="none",
        non_commercial=False,
        written_by="benchmarks.models",
    )
    content = with_metadata(to_onnx(network), {CARD_KEY: card.to_json()})
    file = check_model(content, Path("benchmark.onnx"))
    array = picture.numpy()
    engines = {
        name: make_engine(file, engine=name, threads=THREADS)
        for name in ("onnxruntime", "openvino")
    }
    with torch.inference_mode():
        expected = network(picture).numpy()
    passes = {name: (lambda engine=engine: engine.run(array)) for name, engine in engines.items()}
    for name, run in passes.items():
        if not np.allclose(run(), expected, atol=1e-3 * np.abs(expected).max()):
            raise RuntimeError(f"{name} gives other scores")
    return passes


def measure(case: Case, repeats: int) -> Row:
    """All figures of a case."""
    torch.set_num_threads(THREADS)
    network, twin = make_pair(case)
    picture = torch.randn(1, 3, SIZE, SIZE)
    cost = cost_of(network, SIZE)
    with torch.inference_mode():
        passes = passes_of(case, network, twin)
        if twin is not None:
            difference = (passes["compared"](picture) - passes["twin"](picture)).abs().max()
            if difference > 1e-3:
                raise RuntimeError(f"{case.name}: the twin gives other scores ({difference:.1e})")
        bound = {name: (lambda run=run: run(picture)) for name, run in passes.items()}
        times = in_turns(bound, repeats)
    torch.compiler.reset()
    compiled = torch.compile(copy.deepcopy(network))
    with torch.no_grad():
        others = {"compiled": lambda: compiled(picture), **engine_passes(network, picture)}
        times |= in_turns(others, repeats)
    medians = {name: statistics.median(values) for name, values in times.items()}
    row = Row(
        name=case.name,
        parameters=cost.parameters,
        multiply_adds=cost.multiply_adds,
        eager_ms=medians["eager"],
        compiled_ms=medians["compiled"],
        onnxruntime_ms=medians["onnxruntime"],
        openvino_ms=medians["openvino"],
        peak_mib=peak_in_child(case, "compared" if twin is not None else "eager"),
    )
    if twin is None:
        return row
    ratios = [ours / theirs for ours, theirs in zip(times["compared"], times["twin"], strict=True)]
    return Row(
        **{
            **asdict(row),
            "twin": case.source,
            "compared_ms": medians["compared"],
            "twin_ms": medians["twin"],
            "twin_ratio": statistics.median(ratios),
            "twin_peak_mib": peak_in_child(case, "twin"),
        }
    )


def peak_in_child(case: Case, side: str) -> float:
    """MiB that one pass needs above what its process held before."""
    command = [sys.executable, "-m", "benchmarks.models", "--peak", case.name, side]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_peak(case: Case, side: str) -> None:
    """In the child: runs one pass and prints the growth of its peak resident size."""
    torch.set_num_threads(THREADS)
    network, twin = make_pair(case)
    run = passes_of(case, network, twin)[side]
    picture = torch.randn(1, 3, SIZE, SIZE)
    with torch.inference_mode():
        run(torch.randn(1, 3, 64, 64))
        Path("/proc/self/clear_refs").write_text("5")
        before = _resident("VmHWM")
        run(picture)
    print((_resident("VmHWM") - before) / 1024)


def _resident(entry: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(entry))


def table_of(results: dict[str, Any]) -> str:
    """The Markdown tables of docs/models.md."""
    rows = [Row(**row) for row in results["rows"]]
    lines = [
        "| network | M parameters | GFLOPs | torch eager | torch.compile | onnxruntime | OpenVINO "
        "| best engine over eager |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        best = row.eager_ms / min(row.compiled_ms, row.onnxruntime_ms, row.openvino_ms)
        lines.append(
            f"| {row.name} | {row.parameters:.1f} | {row.multiply_adds:.1f} "
            f"| {row.eager_ms:.0f} ms | {row.compiled_ms:.0f} ms | {row.onnxruntime_ms:.0f} ms "
            f"| {row.openvino_ms:.0f} ms | {best:.1f}× |"
        )
    lines += [
        "",
        "| network | twin | twin, eager | pixelwise, eager | ratio | twin's peak | ours |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.name} | {row.twin} | {row.twin_ms:.0f} ms | {row.compared_ms:.0f} ms "
        f"| {row.twin_ratio:.2f} | {row.twin_peak_mib:.0f} MiB | {row.peak_mib:.0f} MiB |"
        for row in rows
        if row.twin
    ]
    lines += [
        "",
        f"One picture of {SIZE}×{SIZE}, {CLASSES} classes, float32, {THREADS} threads, medians of "
        f"{results['repeats']} turns side by side; {results['machine']}. Made by "
        "`python -m benchmarks.models`.",
    ]
    return "\n".join(lines)


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description="forward passes beside other implementations")
    parser.add_argument("--only", help="an architecture, or architecture and encoder")
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", type=Path, help="put this JSON into docs/models.md")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        name, side = arguments.peak
        print_peak(next(case for case in CASES if case.name == name), side)
        return
    if arguments.write:
        results = json.loads(arguments.write.read_text())
        PAGE.write_text(put_between(PAGE.read_text(), "benchmark", table_of(results)))
        return
    cases = [case for case in CASES if arguments.only in {None, case.architecture, case.name}]
    if not cases:
        parser.error(f"--only {arguments.only}: one of {', '.join(case.name for case in CASES)}")
    results: dict[str, Any] = {
        "machine": describe_machine(),
        "repeats": arguments.repeats,
        "rows": [],
    }
    for case in cases:
        results["rows"].append(asdict(measure(case, arguments.repeats)))
        print(json.dumps(results["rows"][-1]), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    print(table_of(results))


if __name__ == "__main__":
    main()
