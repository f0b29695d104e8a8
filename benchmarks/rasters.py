"""Peak memory and time of `pixelwise predict` on rasters, by their size.

    python -m benchmarks.rasters [--memory 1G] [--gigapixels 0.05 0.25] [--large] [--json FILE]

Each size is a tiled GeoTIFF of which only some blocks are stored (the others read as zero), so that
10 gigapixels take a few MB on the disk and all of the reading, running and writing. The network is
a 1 × 1 convolution to 19 classes with scores at a quarter of the sides: next to nothing, so that
what is measured is everything else. Figures are those of the whole process, from its start: the
peak of its resident memory as the system counted it, and wall time. `--large` adds 10 gigapixels,
which take some tens of minutes. The copy is rasterio's, block by block, of three bands to three.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from benchmarks.machine import describe_machine

CLASSES = 19
BLOCK = 512
LARGE = 10.0

# What the system counts for a child begins with the memory of the process that started it.
WATCHED = """
import atexit, sys
from pathlib import Path

def note(path=Path(sys.argv.pop(1))):
    lines = Path("/proc/self/status").read_text().splitlines()
    path.write_text(next(line.split()[1] for line in lines if line.startswith("VmHWM")))

atexit.register(note)
sys.argv[0] = "pixelwise"
from pixelwise.__main__ import main
main()
"""


def make_model(path: Path) -> None:
    """A model file: the mean of cells of 4 × 4 pixels, then a 1 × 1 convolution."""
    from onnx import TensorProto, helper, numpy_helper

    from pixelwise.classes import ClassInfo, ClassTable
    from pixelwise.colours import distinct_colours
    from pixelwise.export.onnx import write_card
    from pixelwise.inference.card import Card, Postprocessing, Preprocessing, Resize

    weights = np.random.default_rng(0).normal(size=(CLASSES, 3, 1, 1)).astype(np.float32)
    cells = {"kernel_shape": [4, 4], "strides": [4, 4]}
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["image"], ["cells"], **cells),
            helper.make_node("Conv", ["cells", "w"], ["logits"]),
        ],
        "pointwise",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["B", 3, "H", "W"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", CLASSES, "h", "w"])],
        [numpy_helper.from_array(weights, "w")],
    )
    opsets = [helper.make_opsetid("", 13)]
    network = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    colours = distinct_colours(CLASSES)
    table = ClassTable(
        "pointwise",
        tuple(ClassInfo(i, f"class {i}", colour) for i, colour in enumerate(colours)),
        None,
        "a benchmark",
    )
    card = Card(
        name="pointwise",
        class_table=table.to_dict(),
        preprocessing=Preprocessing(
            scale=1 / 255,
            mean=(0.5, 0.5, 0.5),
            std=(0.25, 0.25, 0.25),
            resize=Resize(rule="none"),
            multiple=32,
        ),
        postprocessing=Postprocessing(alignment="half_pixel"),
        weights_licence="none needed",
        data="none",
        data_licence="none needed",
        non_commercial=False,
        written_by="a benchmark",
    )
    write_card(network, card, path)


def make_raster(path: Path, side: int, *, stored: float, seed: int = 0) -> None:
    """A raster of `side` × `side` pixels; a part of its blocks holds smooth noise.

    The noise is cells of 16 × 16 pixels, so that labels have borders.
    """
    random = np.random.default_rng(seed)
    profile = {
        "driver": "GTiff",
        "height": side,
        "width": side,
        "count": 3,
        "dtype": "uint8",
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "compress": "deflate",
        "interleave": "pixel",
        "crs": "EPSG:32640",
        "transform": rasterio.Affine(0.3, 0, 3e5, 0, -0.3, 2.8e6),
        "SPARSE_OK": "TRUE",
        "BIGTIFF": "YES",
    }
    with rasterio.open(path, "w", **profile) as file:
        for top in range(0, side, BLOCK):
            for left in range(0, side, BLOCK):
                if random.random() >= stored:
                    continue
                cells = random.integers(0, 256, (3, BLOCK // 16, BLOCK // 16), np.uint8)
                block = cells.repeat(16, 1).repeat(16, 2)
                window = Window(left, top, min(BLOCK, side - left), min(BLOCK, side - top))
                file.write(block[:, : window.height, : window.width], window=window)


def measured(arguments: list[str], note: Path) -> tuple[float, float]:
    """Seconds of the command from its start to its end, and MiB at its peak."""
    begin = time.perf_counter()
    command = [sys.executable, "-c", WATCHED, str(note), *arguments]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    seconds = time.perf_counter() - begin
    return seconds, int(note.read_text()) / 1024


def copy(source: Path, target: Path) -> float:
    """Seconds to copy a raster block by block."""
    begin = time.perf_counter()
    with rasterio.open(source) as file:
        profile = {**file.profile, "BIGTIFF": "YES"}
        with rasterio.open(target, "w", **profile) as out:
            for _, window in file.block_windows(1):
                out.write(file.read(window=window), window=window)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memory", default="1G")
    parser.add_argument("--gigapixels", type=float, nargs="+", default=[0.05, 0.25])
    parser.add_argument("--large", action="store_true", help="also 10 gigapixels")
    parser.add_argument("--stored", type=float, default=0.2, help="part of the blocks with noise")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    sizes = [*given.gigapixels, *([LARGE] if given.large else [])]
    figures: list[dict[str, Any]] = []
    print(describe_machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder / "pointwise.onnx")
        for size in sizes:
            side = round((size * 1e9) ** 0.5)
            make_raster(folder / "x.tif", side, stored=given.stored)
            model = ["--model", str(folder / "pointwise.onnx"), "--memory", given.memory]
            command = ["predict", str(folder / "x.tif"), "-o", str(folder / f"out {size}"), *model]
            seconds, peak = measured(command, folder / "peak")
            copied = copy(folder / "x.tif", folder / "copy.tif")
            figures.append(
                {"gigapixels": size, "seconds": seconds, "peak_mib": peak, "copy_seconds": copied}
            )
            print(
                f"{size:g} gigapixels ({side} × {side}): {peak:,.0f} MiB, {seconds:,.1f} s; "
                f"a copy {copied:,.1f} s, {seconds / copied:.1f} times"
            )
    if given.json:
        given.json.write_text(json.dumps({"machine": describe_machine(), "figures": figures}))


if __name__ == "__main__":
    main()
