"""Objects that a user points at: a box, scribbles or points, and the method finds the outline."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise.class_entries import is_whole
from pixelwise.class_entries import shown as told
from pixelwise.classical.clusters import MOST_SEED
from pixelwise.classical.faults import Faults
from pixelwise.classical.photo import AnyPhoto, Photo, open_photo
from pixelwise.classical.results import GROUND, Recipe, certain, likely, named_classes
from pixelwise.classical.seeds import Seeds, Shown, place_seeds
from pixelwise.extras import extra
from pixelwise.segmentation import Segmentation

__all__ = ["grabcut", "random_walker"]

# 1.9 s and some 0.6 GB of equations; more than a megapixel would take half a minute and 3 GB.
_MOST_UNKNOWNS = 400_000
_GROUND_NAMES = ("background", "foreground")


def grabcut(
    image: AnyPhoto,
    *,
    box: tuple[int, int, int, int] | None = None,
    seeds: Seeds | None = None,
    iterations: int = 5,
    seed: int = 0,
) -> Segmentation:
    """The object in a box: colours of both parts as mixtures, and a border of least cost.

    Rother, Kolmogorov and Blake, "GrabCut: interactive foreground extraction using iterated graph
    cuts" (SIGGRAPH 2004), by OpenCV.

    Args:
        image: a path, the bytes of an image file, a PIL image, or an array `[H, W, 3]` RGB.
        box: `(x1, y1, x2, y2)` in pixels, x2 and y2 just outside; beyond it all is background.
        seeds: pixels known to be background (1) or foreground (2): a label map, or its file, 0
            unknown; or points `(x, y, "foreground")`. They never change.
        iterations: 1 … 100.
        seed: of the start of the mixtures; 0 … 4,294,967,295.

    Returns:
        Classes background (0) and foreground (1).

    Raises:
        ImageFileError: the picture cannot be read.
        MaskFileError: the scribbles cannot be read.
        UsageError: a setting that cannot be; neither box nor seeds; a box or seeds outside the
            picture; seeds of one class and no box; nothing left to be background or foreground.
        MissingExtraError: the extra `classical` is not installed.
    """
    photo = open_photo(image)
    faults = Faults("grabcut", photo.name)
    faults.whole("iterations", iterations, 1, 100)
    faults.whole("seed", seed, 0, MOST_SEED)
    with extra("classical"):
        import cv2
    start = np.full(photo.size, cv2.GC_PR_BGD, np.uint8)
    if box is not None:
        window = _window(box, photo, faults)
        start[:] = cv2.GC_BGD
        start[window] = cv2.GC_PR_FGD
    settings: dict[str, object] = {"box": box}
    if seeds is not None:
        shown = place_seeds(
            seeds, photo.size, faults, names=_GROUND_NAMES, only_these=box is not None
        )
        start[shown.ids == 1] = cv2.GC_BGD
        start[shown.ids == 2] = cv2.GC_FGD
        settings["seeds"] = shown.sha256[:12]
    elif box is None:
        faults.setting("neither a box nor seeds: nothing says where the object is")
    faults.tell()
    is_foreground = (start == cv2.GC_FGD) | (start == cv2.GC_PR_FGD)
    if is_foreground.all() or not is_foreground.any():
        part = "background" if is_foreground.all() else "foreground"
        faults.add(f"box and seeds leave no pixel to be {part}")
    faults.tell()
    # The generator is one of each thread.
    cv2.setRNGSeed(seed & 0x7FFFFFFF)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(
        np.ascontiguousarray(photo.pixels[..., ::-1]),
        start,
        (0, 0, 1, 1),
        *models,
        iterations,
        cv2.GC_INIT_WITH_MASK,
    )
    found = (start == cv2.GC_FGD) | (start == cv2.GC_PR_FGD)
    settings |= {"iterations": iterations, "seed": seed}
    recipe = Recipe("grabcut", "cv2", settings)
    return certain(found, GROUND, photo, recipe)


def random_walker(
    image: AnyPhoto,
    *,
    seeds: Seeds,
    names: tuple[str, ...] | None = None,
    beta: float = 130.0,
) -> Segmentation:
    """Where a walker that avoids edges first meets a seed, from every pixel.

    Grady, "Random walks for image segmentation" (IEEE Transactions on Pattern Analysis and Machine
    Intelligence, 2006), by scikit-image. Probabilities are those of the walker. Pictures of more
    than 400,000 pixels are walked on a smaller copy, and its probabilities are interpolated.

    Args:
        image: as in `grabcut`.
        seeds: scribbles (a label map, or its file, 0 unknown) or points `(x, y, name)`.
        names: of their classes, in the order of the ids 1 …; None: see `place_seeds`.
        beta: how much edges hinder, 0 … 1,000,000.

    Returns:
        The classes of the seeds.

    Raises:
        ImageFileError: the picture cannot be read.
        MaskFileError: the scribbles cannot be read.
        UsageError: a setting that cannot be, seeds outside the picture, unknown classes, or seeds
            of one class alone.
        MissingExtraError: the extra `classical` is not installed.
    """
    photo = open_photo(image)
    faults = Faults("random-walker", photo.name)
    shown = place_seeds(seeds, photo.size, faults, names=names)
    faults.real("beta", beta, 0, 1e6)
    small, ids = _reduced(photo, shown, faults)
    faults.tell()
    probabilities = np.zeros((len(shown.names), *ids.shape))
    if ids.all():
        probabilities[ids - 1, *np.indices(ids.shape)] = 1
    else:
        # A class without a seed has no equation, and probability 0.
        known = np.unique(ids)
        found = _walked(small, np.searchsorted(known, ids), beta)
        probabilities[known[known > 0] - 1] = found
    settings = {"seeds": shown.sha256[:12], "beta": beta}
    recipe = Recipe("random-walker", "skimage", settings)
    return likely(probabilities, named_classes(shown.names), photo, recipe)


def _reduced(
    photo: Photo, shown: Shown, faults: Faults
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Picture and seeds at a size whose equations fit into a few hundred megabytes."""
    factor = math.ceil(math.sqrt(photo.pixels[..., 0].size / _MOST_UNKNOWNS))
    if factor <= 1:
        return photo.pixels, shown.ids
    height, width = (-(-side // factor) for side in photo.size)
    small = Image.fromarray(photo.pixels).resize((width, height), Image.Resampling.BOX)
    rows, columns = np.nonzero(shown.ids)
    places = (
        (2 * rows + 1) * height // (2 * photo.size[0]),
        (2 * columns + 1) * width // (2 * photo.size[1]),
    )
    values = shown.ids[rows, columns]
    lowest = np.full((height, width), np.iinfo(np.int32).max, np.int32)
    highest = np.zeros((height, width), np.int32)
    np.minimum.at(lowest, places, values)
    np.maximum.at(highest, places, values)
    mixed = np.argwhere((highest > 0) & (lowest != highest))
    if len(mixed):
        y, x = (mixed[0] * factor).tolist()
        faults.add(
            f"seeds of two classes within {factor} pixels, near {x},{y}: the walker sees so large "
            f"a picture {factor} times smaller"
        )
    return np.asarray(small), highest


def _walked(
    pixels: NDArray[np.uint8], markers: NDArray[np.intp], beta: float
) -> NDArray[np.float64]:
    """Probability of each marker 1 … n, float64 `[n, h, w]`; 0 is unknown."""
    with extra("classical"):
        from skimage.segmentation import random_walker as walked
    values = pixels / 255
    if not values.std():
        # Edges are measured by the deviation of all values, which must not be nothing.
        values[0, 0] += 1e-9
    # The iterative solvers take a hundred times as long where seeds are few.
    found: NDArray[np.float64] = walked(
        values, markers, beta=beta, mode="bf", return_full_prob=True, channel_axis=-1
    )
    return found


def _window(box: tuple[int, int, int, int], photo: Photo, faults: Faults) -> tuple[slice, slice]:
    height, width = photo.size
    if (
        not isinstance(box, tuple | list)
        or len(box) != 4
        or not all(is_whole(side) for side in box)
    ):
        faults.setting(f"box={told(box)}, expected four whole numbers x1, y1, x2, y2")
        return slice(0), slice(0)
    x1, y1, x2, y2 = box
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        faults.add(
            f"box {x1},{y1},{x2},{y2} is empty or leaves the picture, x 0 … {width}, y 0 … {height}"
        )
    return slice(max(y1, 0), max(y2, 0)), slice(max(x1, 0), max(x2, 0))
