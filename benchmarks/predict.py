"""Photo to PNG against transformers' own path: warm in one process, and cold as whole processes.

    python -m benchmarks.predict [--json FILE] [--photo FILE] [--repeats N]

Warm: a SegFormer-B0-shaped network of 150 classes with random weights, the same in all paths, one
JPEG of 1024×683; each path reads the file and writes the label map as PNG. The paths take turns
in one process; figures are medians, ratios are medians of the turns' ratios.
Cold: a process that starts, reads one photo and writes its label map; wall time and peak resident
memory of the process, in turns. The peer runs the network above from a folder on disk, pixelwise
the model that ships.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.machine import describe_machine

CLASSES = 150
SIZE = 512
PHOTO_SIZE = (1024, 683)
OUR_MODEL = "ours.onnx"

PEER_SCRIPT = """
import sys
from PIL import Image
import torch
from transformers import AutoImageProcessor, SegformerForSemanticSegmentation
folder, photo, out = sys.argv[1:4]
processor = AutoImageProcessor.from_pretrained(folder)
network = SegformerForSemanticSegmentation.from_pretrained(folder).eval()
image = Image.open(photo).convert("RGB")
with torch.inference_mode():
    answer = network(**processor(image, return_tensors="pt"))
labels = processor.post_process_semantic_segmentation(answer, [image.size[::-1]])[0]
Image.fromarray(labels.numpy().astype("uint8")).save(out)
"""

OUR_SCRIPT = """
import sys
import pixelwise
model, engine, photo, out = sys.argv[1:5]
pixelwise.load(model, engine=engine).predict(photo).save(out)
"""


def make_networks(folder: Path) -> None:
    """Saves the peer's network and processor in `folder`, and a model file of its weights."""
    import torch
    from transformers import (
        SegformerConfig,
        SegformerForSemanticSegmentation,
        SegformerImageProcessor,
    )

    from pixelwise.classes import ClassTable
    from pixelwise.export.onnx import to_onnx, write_card
    from pixelwise.inference.card import Card, Postprocessing, Preprocessing, Resize

    torch.manual_seed(0)
    network = SegformerForSemanticSegmentation(
        SegformerConfig(num_labels=CLASSES, attn_implementation="eager")
    ).eval()
    network.save_pretrained(folder)
    SegformerImageProcessor(size={"height": SIZE, "width": SIZE}).save_pretrained(folder)

    class Scores(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.network(pixel_values=image).logits

    # The peer counts its classes from 0, the data set from 1.
    table = ClassTable(
        name="ade20k from 0",
        classes=tuple(replace(info, id=info.id - 1) for info in ClassTable.builtin("ade20k")),
        ignore_index=255,
        source="benchmark",
    )
    card = Card(
        name="segformer-b0-random",
        class_table=table.to_dict(),
        preprocessing=Preprocessing(
            scale=1 / 255,
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
            resize=Resize(rule="exact", size=(SIZE, SIZE)),
        ),
        postprocessing=Postprocessing(alignment="half_pixel"),
        weights_licence="none",
        data="none",
        data_licence="none",
        non_commercial=False,
        written_by="benchmarks.predict",
    )
    write_card(to_onnx(Scores(), (SIZE, SIZE)), card, folder / OUR_MODEL)


def make_photo(source: Path, target: Path) -> None:
    """A JPEG of the benchmark's size from any photo."""
    with Image.open(source) as image:
        image.convert("RGB").resize(PHOTO_SIZE, Image.Resampling.LANCZOS).save(target, quality=92)


def take_turns(paths: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each path in each turn, after one turn that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in paths}
    for turn in range(repeats + 1):
        for name, path in paths.items():
            started = time.perf_counter()
            path()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def warm(folder: Path, photo: Path, repeats: int) -> dict[str, object]:
    """Photo to PNG with everything loaded."""
    import torch
    from transformers import AutoImageProcessor, SegformerForSemanticSegmentation

    import pixelwise

    processor = AutoImageProcessor.from_pretrained(folder)
    network = SegformerForSemanticSegmentation.from_pretrained(folder).eval()

    def peer() -> None:
        image = Image.open(photo).convert("RGB")
        with torch.inference_mode():
            answer = network(**processor(image, return_tensors="pt"))
        labels = processor.post_process_semantic_segmentation(answer, [image.size[::-1]])[0]
        Image.fromarray(labels.numpy().astype("uint8")).save(folder / "peer.png")

    models = {
        name: pixelwise.load(folder / OUR_MODEL, engine=name)
        for name in ("onnxruntime", "openvino")
    }

    def path_of(name: str) -> Callable[[], None]:
        return lambda: models[name].predict(photo).save(folder / f"{name}.png")

    seconds = take_turns(
        {"transformers": peer, **{name: path_of(name) for name in models}}, repeats
    )
    reference = np.asarray(Image.open(folder / "peer.png"))
    return {
        name: {
            "milliseconds": 1000 * statistics.median(times),
            "times_faster": statistics.median(
                peer_time / own
                for peer_time, own in zip(seconds["transformers"], times, strict=True)
            ),
            "same_labels": float((np.asarray(Image.open(folder / f)) == reference).mean()),
        }
        for name, times in seconds.items()
        for f in ["peer.png" if name == "transformers" else f"{name}.png"]
    }


def run_process(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak resident MiB of one process."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[:4]} ended with {process.returncode}")
    return seconds, usage.ru_maxrss / 1024


def cold(folder: Path, photo: Path, repeats: int) -> dict[str, object]:
    """Whole processes, in turns."""
    python = [sys.executable, "-c"]
    out, ours = str(folder / "cold.png"), str(folder / OUR_MODEL)
    commands = {
        "transformers, SegFormer-B0": [*python, PEER_SCRIPT, str(folder), str(photo), out],
        "street, onnxruntime": [*python, OUR_SCRIPT, "street", "onnxruntime", str(photo), out],
        "street, openvino": [*python, OUR_SCRIPT, "street", "openvino", str(photo), out],
        "SegFormer-B0, onnxruntime": [*python, OUR_SCRIPT, ours, "onnxruntime", str(photo), out],
        "SegFormer-B0, openvino": [*python, OUR_SCRIPT, ours, "openvino", str(photo), out],
        "pixelwise predict (label map and overlay)": [
            sys.executable, "-m", "pixelwise", "predict", str(photo), "--overwrite",
            "-o", str(folder / "out"), "--engine", "onnxruntime",
        ],
    }  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    memory: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(repeats + 1):
        for name, command in commands.items():
            wall, peak = run_process(command)
            if turn:
                seconds[name].append(wall)
                memory[name].append(peak)
    peer = next(iter(commands))
    return {
        name: {
            "seconds": statistics.median(seconds[name]),
            "times_faster": statistics.median(
                a / b for a, b in zip(seconds[peer], seconds[name], strict=True)
            ),
            "peak_mib": statistics.median(memory[name]),
            "memory_share": statistics.median(memory[name]) / statistics.median(memory[peer]),
        }
        for name in commands
    }


def import_seconds(repeats: int) -> float:
    """Median of `import pixelwise`, beyond an empty interpreter."""

    def median_of(code: str) -> float:
        command = [sys.executable, "-c", code]
        return statistics.median(run_process(command)[0] for _ in range(repeats))

    return median_of("import pixelwise") - median_of("pass")


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--photo", type=Path, default=None)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    source = arguments.photo or next(iter(sorted(Path("examples/photos").glob("*.jpg"))))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photo = folder / "photo.jpg"
        make_photo(source, photo)
        # The peak memory that Linux notes of a process starts at its parent's: so the networks are
        # made elsewhere, and the whole processes come before this one grows.
        maker = f"import benchmarks.predict as b; b.make_networks(b.Path({name!r}))"
        run_process([sys.executable, "-c", maker])
        results = {
            "machine": describe_machine(),
            "import_seconds": import_seconds(arguments.repeats),
            "cold": cold(folder, photo, max(3, arguments.repeats // 2)),
            "warm": warm(folder, photo, arguments.repeats),
        }
    print(json.dumps(results, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
