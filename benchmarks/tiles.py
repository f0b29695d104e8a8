"""Tiles through a network and their joining, against MONAI's SlidingWindowInferer.

    python -m benchmarks.tiles [--side N] [--tile N] [--threads N] [--repeats N] [--model NAME]
                               [--json FILE]

The first case is a picture of `side` × `side` pixels, 19 classes and a network that is a single
1×1 convolution, so that nearly all the time is spent outside of it. MONAI runs the same
convolution in PyTorch and its answer ends with an argmax; `copy` runs our engine over our tiles and
copies the scores of each once: the least that any joining does. The second case is a model that
ships, on 2048 × 2048 pixels. All paths share their overlap, a quarter of a tile, and run one tile
at a time. Of pixelwise the network runs in one thread, as in the other paths, and reading and
joining in two others: `processor` adds up all threads.

Each run is a process of its own, in turns; figures are medians. `network` is the time of the bare
network on the tiles of that path, and `outside` what is left of the whole. Peak memory is above
what the process has once network and picture are there.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.machine import describe_machine

CLASSES = 19
OVERLAP = 0.25
MODEL_SIDE = 2048
POINTWISE = "1×1 convolution"
PATHS = {POINTWISE: ("pixelwise", "copy", "monai"), "model": ("pixelwise", "network")}


@dataclass(frozen=True)
class Row:
    """One path of one case."""

    case: str
    path: str
    seconds: float
    network: float
    outside: float
    processor: float  # seconds of all threads together
    peak_mib: float
    labels: str  # hash of the label map; empty where there is none


def picture_of(side: int) -> NDArray[np.uint8]:
    """A picture of soft blobs, made strip by strip to need no memory of its own."""
    small = np.random.default_rng(0).integers(0, 256, (max(2, side // 32),) * 2 + (3,), np.uint8)
    picture = np.empty((side, side, 3), np.uint8)
    for top in range(0, side, 256):
        rows = min(256, side - top)
        box = (0.0, top * len(small) / side, len(small), (top + rows) * len(small) / side)
        strip = Image.fromarray(small).resize((side, rows), Image.Resampling.BICUBIC, box)
        picture[top : top + rows] = np.asarray(strip)
    return picture


def weights() -> NDArray[np.float32]:
    """Of the convolution, `[classes, 3]`: small whole numbers, exact in float32."""
    return np.random.default_rng(1).integers(-99, 100, (CLASSES, 3)).astype(np.float32)


def write_pointwise(path: Path) -> None:
    """A model file of the convolution."""
    from onnx import TensorProto, helper, numpy_helper

    from pixelwise.classes import ClassInfo, ClassTable
    from pixelwise.export.onnx import write_card
    from pixelwise.inference.card import Card, Postprocessing, Preprocessing, Resize

    float32 = TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "w"], ["logits"])],
        "pointwise",
        [helper.make_tensor_value_info("image", float32, ["B", 3, "H", "W"])],
        [helper.make_tensor_value_info("logits", float32, ["B", CLASSES, "h", "w"])],
        [numpy_helper.from_array(weights()[:, :, None, None], "w")],
    )
    opsets = [helper.make_opsetid("", 13)]
    network = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    table = ClassTable(
        name="pointwise",
        classes=tuple(ClassInfo(n, f"class {n}", (n, n, n)) for n in range(CLASSES)),
        ignore_index=None,
        source="made for a benchmark",
    )
    card = Card(
        name="pointwise",
        class_table=table.to_dict(),
        preprocessing=Preprocessing(
            scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3, resize=Resize(rule="none"), multiple=32
        ),
        postprocessing=Postprocessing(alignment="half_pixel"),
        weights_licence="none needed",
        data="none",
        data_licence="none needed",
        non_commercial=False,
        written_by="a benchmark",
    )
    write_card(network, card, path)


def measure(path: str, model: str, side: int, tile: int, threads: int) -> dict[str, object]:
    """One run, in this process."""
    run = run_monai if path == "monai" else run_ours
    whole, network, tiles = run(path, model, picture_of(side), tile, threads)
    ctypes.CDLL(None).malloc_trim(0)  # what making the picture has left behind
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = peak_resident_mib()
    start, started = time.perf_counter(), time.process_time()
    labels = whole()
    seconds, processor = time.perf_counter() - start, time.process_time() - started
    peak = peak_resident_mib() - before
    start = time.perf_counter()
    for _ in range(tiles):
        network()
    bare = time.perf_counter() - start
    return {
        "seconds": seconds,
        "network": bare,
        "outside": seconds - bare,
        "processor": processor,
        "peak_mib": peak,
        "labels": "" if labels is None else hashlib.sha256(labels.tobytes()).hexdigest()[:12],
    }


Run = tuple[Callable[[], NDArray[np.uint8] | None], Callable[[], object], int]


def run_ours(path: str, name: str, picture: NDArray[np.uint8], tile: int, threads: int) -> Run:
    """The whole, the bare network on one tile, and how many tiles there are."""
    from pixelwise.inference.predictor import load
    from pixelwise.inference.tiles import ArraySource, plan_tiles, stream_tiles

    model = load(name, engine="onnxruntime", threads=threads)
    plan = plan_tiles(picture.shape[:2], model, tile=tile, overlap=OVERLAP)
    inputs = np.ones((1, 3, *plan.tile), np.float32)
    model.run(inputs)

    def network() -> object:
        return model.run(inputs)

    def labels() -> NDArray[np.uint8]:
        found = np.empty(picture.shape[:2], np.uint8)
        for stripe in stream_tiles(model, ArraySource(picture), plan):
            window = stripe.window
            found[window.top : window.bottom, window.left : window.right] = stripe.labels
        return found

    def copies() -> None:
        for _ in range(plan.tiles):
            model.run(inputs).copy()

    def alone() -> None:
        for _ in range(plan.tiles):
            model.run(inputs)

    wholes = {"pixelwise": labels, "copy": copies, "network": alone}
    return wholes[path], network, plan.tiles


def run_monai(path: str, name: str, picture: NDArray[np.uint8], tile: int, threads: int) -> Run:
    """As `run_ours`; the inferer weighs tiles by a Gaussian and divides by the sum of weights."""
    del path, name
    import torch
    from monai.data.utils import dense_patch_slices
    from monai.inferers import SlidingWindowInferer
    from monai.inferers.utils import _get_scan_interval

    torch.set_num_threads(threads)
    kernel = torch.from_numpy(weights())[:, :, None, None]
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    inferer = SlidingWindowInferer((tile, tile), 1, OVERLAP, mode="gaussian")
    size = picture.shape[:2]
    interval = _get_scan_interval(size, (tile, tile), 2, (OVERLAP, OVERLAP))
    tiles = len(dense_patch_slices(size, (tile, tile), interval))
    inputs = torch.ones(1, 3, tile, tile)

    def predict(batch: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(batch, kernel)

    @torch.inference_mode()
    def labels() -> NDArray[np.uint8]:
        return inferer(image, predict).argmax(1)[0].to(torch.uint8).numpy()

    @torch.inference_mode()
    def network() -> object:
        return predict(inputs)

    network()
    return labels, network, tiles


def peak_resident_mib() -> float:
    """The most memory that this process has had, Linux."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def in_turns(case: str, model: str, options: argparse.Namespace) -> list[Row]:
    """All paths of a case, each run in a process of its own."""
    runs: dict[str, list[dict[str, float | str]]] = {path: [] for path in PATHS[case]}
    code = (
        "import json, sys; from benchmarks.tiles import measure; "
        "print(json.dumps(measure(*sys.argv[1:3], *map(int, sys.argv[3:]))))"
    )
    for _ in range(options.repeats):
        for path, done in runs.items():
            side = options.side if case != "model" else min(options.side, MODEL_SIDE)
            numbers = map(str, (side, options.tile, options.threads))
            command = [sys.executable, "-c", code, path, model, *numbers]
            answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            done.append(json.loads(answer.splitlines()[-1]))
    name = case if case != "model" else model
    rows = []
    for path, done in runs.items():
        keys = ("seconds", "network", "outside", "processor", "peak_mib")
        figures = {key: statistics.median(float(run[key]) for run in done) for key in keys}
        rows.append(Row(name, path, labels=str(done[0]["labels"]), **figures))
    return rows


def main() -> None:
    """Prints the table, and writes it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--tile", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="aerial")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    about = describe_machine()
    protocol = (
        f"{options.side}² pixels ({MODEL_SIDE}² of the model), tiles of {options.tile}, "
        f"network on {options.threads} thread(s), median of {options.repeats} processes in turns"
    )
    print(f"{about}\n{protocol}\n")
    titles = ("seconds", "network", "outside", "processor", "peak MiB")
    print(f"{'case':18}{'path':12}" + "".join(f"{title:>12}" for title in titles) + "  labels")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        pointwise = Path(folder) / "pointwise.onnx"
        write_pointwise(pointwise)
        for case, model in ((POINTWISE, str(pointwise)), ("model", options.model)):
            for row in in_turns(case, model, options):
                rows.append(row)
                figures = (row.seconds, row.network, row.outside, row.processor, row.peak_mib)
                cells = "".join(f"{figure:12.2f}" for figure in figures)
                print(f"{row.case:18}{row.path:12}{cells}  {row.labels}", flush=True)
    if options.json:
        content = {"machine": about, "protocol": protocol, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
