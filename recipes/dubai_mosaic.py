"""One georeferenced raster of the aerial pictures of Dubai, to try rasters on.

    python recipes/dubai_mosaic.py DUBAI mosaic.tif --columns 2 --rows 1 --seed 0

Each tile of the set is a scene cut in nine; the nine are put together again, and scenes are drawn
by the seed to fill a grid of rows and columns, whose gaps hold no data. The scenes' true places are
not published: coordinates are made up (UTM zone 40 N, 0.3 m per pixel), areas only plausible. Of a
grid larger than the set the scenes come again, so that it may be of any size.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.windows import Window

_PARTS = 3
_METRES = 0.3
_WEST, _NORTH = 325_000.0, 2_785_000.0
_NODATA = 0


def scene(folder: Path) -> NDArray[np.uint8]:
    """The nine pictures of a tile as one, uint8 `[H, W, 3]`; black becomes nearly black."""
    parts = [
        [
            np.asarray(Image.open(folder / "images" / f"image_part_{3 * row + column + 1:03d}.jpg"))
            for column in range(_PARTS)
        ]
        for row in range(_PARTS)
    ]
    # The parts of a scene differ by a pixel at most.
    heights = [min(part.shape[0] for part in row) for row in parts]
    widths = [min(parts[row][column].shape[1] for row in range(_PARTS)) for column in range(_PARTS)]
    rows = [
        np.concatenate(
            [part[:height, :width, :3] for part, width in zip(row, widths, strict=True)], 1
        )
        for row, height in zip(parts, heights, strict=True)
    ]
    # No data is 0 in all bands: a black pixel of a picture must not be that.
    return np.maximum(np.concatenate(rows), 1)


def mosaic(
    data: Path, output: Path, *, rows: int, columns: int, seed: int, only: list[int] | None = None
) -> tuple[int, int]:
    """Writes the raster, tiled and compressed, and gives its size `(H, W)`."""
    folders = sorted(path for path in data.iterdir() if (path / "images").is_dir())
    if only:
        folders = [data / f"Tile {number}" for number in only]
    scenes = [scene(folder) for folder in folders]
    rng = np.random.default_rng(seed)
    order: list[int] = []
    while len(order) < rows * columns:
        order += rng.permutation(len(scenes)).tolist()
    cell = [max(picture.shape[axis] for picture in scenes) for axis in (0, 1)]
    size = rows * cell[0], columns * cell[1]
    profile = {
        "driver": "GTiff",
        "height": size[0],
        "width": size[1],
        "count": 3,
        "dtype": "uint8",
        "crs": "EPSG:32640",
        "transform": rasterio.Affine(_METRES, 0, _WEST, 0, -_METRES, _NORTH),
        "nodata": _NODATA,
        "photometric": "RGB",
        "interleave": "pixel",
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "deflate",
        "predictor": 2,
        "BIGTIFF": "IF_SAFER",
    }
    with rasterio.open(output, "w", **profile) as file:
        for number in range(rows * columns):
            picture = scenes[order[number]]
            top, left = number // columns * cell[0], number % columns * cell[1]
            window = Window(left, top, picture.shape[1], picture.shape[0])
            file.write(np.moveaxis(picture, -1, 0), window=window)
    return size


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--columns", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tiles", type=int, nargs="*", help="only these tiles of the set")
    given = parser.parse_args()
    height, width = mosaic(
        given.data,
        given.output,
        rows=given.rows,
        columns=given.columns,
        seed=given.seed,
        only=given.tiles,
    )
    print(f"{given.output}: {width} × {height} pixels")  # noqa: T201


if __name__ == "__main__":
    main()
