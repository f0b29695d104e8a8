"""The CRF beside the sum over all pairs of pixels, on small photos.

    python -m benchmarks.crf_oracle PHOTO... [--width N]

Each photo is segmented by the model `street`; photo and scores are brought to a width of 96 pixels,
and five iterations of mean field are done with the default settings, the position's deviation
scaled with the photo. One side is `kernels.dense_crf`, the other the definition: two matrices of
all pairs of pixels, normalised as there. The table shows how many pixels get the same class, how
much probabilities differ, and how many pixels the CRF changes at all.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import pixelwise
from pixelwise import kernels

ITERATIONS = 5
COLOUR_WEIGHT, COLOUR_DEVIATION, POSITION_DEVIATION = 10.0, 13.0, 80.0
SMOOTH_WEIGHT, SMOOTH_DEVIATION = 3.0, 3.0


def softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Over the first axis."""
    raised = np.exp(scores - scores.max(0))
    found: NDArray[np.float32] = raised / raised.sum(0)
    return found


def all_pairs(features: NDArray[np.float64]) -> NDArray[np.float32]:
    """The normalised Gaussian of features `[N, F]`, `[N, N]`."""
    squares = (features**2).sum(1)
    apart = np.maximum(squares[:, None] + squares - 2 * features @ features.T, 0)
    weights = np.exp(-apart / 2)
    root = 1 / np.sqrt(weights.sum(1))
    normalised: NDArray[np.float32] = (weights * root[:, None] * root).astype(np.float32)
    return normalised


def by_definition(
    scores: NDArray[np.float32], photo: NDArray[np.uint8], position_deviation: float
) -> NDArray[np.float32]:
    """Mean field with both matrices, `[C, H, W]`."""
    height, width = photo.shape[:2]
    places = np.stack(np.mgrid[:height, :width], axis=-1).reshape(-1, 2)
    colours = photo.reshape(-1, 3) / COLOUR_DEVIATION
    near_and_alike = all_pairs(np.concatenate([places / position_deviation, colours], axis=1))
    near = all_pairs(places / SMOOTH_DEVIATION)
    flat = scores.reshape(len(scores), -1)
    found = softmax(flat)
    for _ in range(ITERATIONS):
        found = softmax(
            flat + COLOUR_WEIGHT * (found @ near_and_alike) + SMOOTH_WEIGHT * (found @ near)
        )
    return found.reshape(scores.shape)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--width", type=int, default=96)
    options = parser.parse_args()
    model = pixelwise.load("street")
    print(f"{'photo':28}{'same class':>12}{'mean |dp|':>12}{'changed by it':>15}")
    for path in options.photos:
        segmentation = model.predict(path)
        height, width = segmentation.size
        size = (options.width, round(height * options.width / width))
        photo = np.asarray(Image.open(path).convert("RGB").resize(size))
        scores = np.stack(
            [
                np.asarray(Image.fromarray(layer).resize(size, Image.Resampling.BILINEAR))
                for layer in segmentation.logits()
            ]
        )
        deviation = POSITION_DEVIATION * options.width / width
        found = kernels.dense_crf(
            scores, photo, iterations=ITERATIONS, position_deviation=deviation
        )
        expected = by_definition(scores, photo, deviation)
        same = (found.argmax(0) == expected.argmax(0)).mean()
        changed = (expected.argmax(0) != scores.argmax(0)).mean()
        print(
            f"{path.name:28}{100 * same:10.2f} %{np.abs(found - expected).mean():12.5f}"
            f"{100 * changed:13.1f} %"
        )


if __name__ == "__main__":
    main()
