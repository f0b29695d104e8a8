"""Foreground by its outline: edges, contours that evolve, and a snake."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pixelwise.class_entries import shown
from pixelwise.classical.faults import Faults
from pixelwise.classical.photo import AnyPhoto, Photo, open_photo
from pixelwise.classical.results import GROUND, Recipe, certain
from pixelwise.extras import extra
from pixelwise.segmentation import Segmentation

__all__ = ["chan_vese", "edges", "snake"]

_PACKAGE = "skimage"
_MOST_STEPS = 100_000
# The spline that the snake slides on needs a few pixels along each side.
_LEAST_SIDE = 8
_CIRCLE_POINTS = 200


def edges(
    image: AnyPhoto, *, sigma: float = 2.0, close: int = 2, min_area: int = 20
) -> Segmentation:
    """Foreground is what closed edges enclose, and the edges.

    Canny, "A computational approach to edge detection" (IEEE Transactions on Pattern Analysis and
    Machine Intelligence, 1986), by scikit-image; gaps are closed and holes filled after it.

    Args:
        image: a path, the bytes of an image file, a PIL image, or an array `[H, W, 3]` RGB.
        sigma: of the Gaussian that smooths before, in pixels, 0 … 100.
        close: gaps up to about twice this many pixels are closed, 0 … 50.
        min_area: smaller objects are left out, in pixels.

    Returns:
        Classes background (0) and foreground (1).

    Raises:
        ImageFileError: the picture cannot be read.
        UsageError: a setting that cannot be.
        MissingExtraError: the extra `classical` is not installed.
    """
    photo = open_photo(image)
    faults = Faults("edges", photo.name)
    faults.real("sigma", sigma, 0, 100)
    faults.whole("close", close, 0, 50)
    faults.whole("min_area", min_area, 1, 10**9)
    faults.tell()
    with extra("classical"):
        from scipy.ndimage import binary_closing, binary_fill_holes
        from skimage.feature import canny
        from skimage.measure import label
        from skimage.morphology import disk
    lines = canny(photo.grey / 255, sigma)
    if close:
        # Beyond the rim there is nothing that an erosion could take from.
        room = np.pad(lines, close)
        lines = binary_closing(room, disk(close))[close:-close, close:-close]
    objects = label(binary_fill_holes(lines), connectivity=2)
    large = np.bincount(objects.ravel()) >= min_area
    large[0] = False
    settings = {"sigma": sigma, "close": close, "min_area": min_area}
    return certain(large[objects], GROUND, photo, Recipe("edges", _PACKAGE, settings))


def chan_vese(
    image: AnyPhoto,
    *,
    smoothness: float = 0.25,
    iterations: int = 100,
    dark: bool = False,
) -> Segmentation:
    """Two parts, each of about one brightness, with a short border between them.

    Chan and Vese, "Active contours without edges" (IEEE Transactions on Image Processing, 2001), by
    scikit-image, from a checkerboard.

    Args:
        image: as in `edges`.
        smoothness: weight of the length of the border (the paper's μ), 0 … 100.
        iterations: at most, 1 … 100,000; about 0.03 s each for a megapixel.
        dark: whether the foreground is the darker part.

    Returns:
        Classes background (0) and foreground (1); a picture that falls into one part is background.

    Raises:
        ImageFileError: the picture cannot be read.
        UsageError: a setting that cannot be.
        MissingExtraError: the extra `classical` is not installed.
    """
    photo = open_photo(image)
    faults = Faults("chan-vese", photo.name)
    faults.real("smoothness", smoothness, 0, 100)
    faults.whole("iterations", iterations, 1, _MOST_STEPS)
    faults.flag("dark", dark)
    faults.tell()
    with extra("classical"):
        from skimage.segmentation import chan_vese as evolved
    grey = photo.grey / 255
    part = evolved(grey, mu=smoothness, max_num_iter=iterations)
    # Where all is one brightness nothing moves, and the checkerboard is left.
    if part.all() or not part.any() or grey.min() == grey.max():
        found = np.zeros(photo.size, np.bool_)
    else:
        is_bright = grey[part].mean() > grey[~part].mean()
        found = part if is_bright != dark else ~part
    settings = {"smoothness": smoothness, "iterations": iterations, "dark": dark}
    return certain(found, GROUND, photo, Recipe("chan-vese", _PACKAGE, settings))


def snake(
    image: AnyPhoto,
    *,
    circle: tuple[float, float, float] | None = None,
    contour: Sequence[tuple[float, float]] | None = None,
    tension: float = 0.015,
    stiffness: float = 10.0,
    sigma: float = 3.0,
    iterations: int = 2500,
) -> Segmentation:
    """A closed curve that is drawn from where it is laid to the edges near it.

    Kass, Witkin and Terzopoulos, "Snakes: active contour models" (International Journal of Computer
    Vision, 1988), by scikit-image.

    Args:
        image: as in `edges`.
        circle: where it begins: x, y and radius in pixels.
        contour: or where it begins: three points or more, `(x, y)`.
        tension: higher values shrink it faster (the paper's α), 0 … 1,000.
        stiffness: higher values make it smoother (β), 0 … 1,000,000.
        sigma: of the Gaussian that smooths before, in pixels, 0 … 100.
        iterations: at most, 1 … 100,000.

    Returns:
        Classes background (0) and foreground (1, inside the curve).

    Raises:
        ImageFileError: the picture cannot be read.
        UsageError: a setting that cannot be; no start, two, or one outside the picture.
        MissingExtraError: the extra `classical` is not installed.
    """
    photo = open_photo(image)
    faults = Faults("snake", photo.name)
    start = _start(circle, contour, photo, faults)
    faults.real("tension", tension, 0, 1000)
    faults.real("stiffness", stiffness, 0, 1e6)
    faults.real("sigma", sigma, 0, 100)
    faults.whole("iterations", iterations, 1, _MOST_STEPS)
    faults.tell()
    with extra("classical"):
        from skimage.draw import polygon2mask
        from skimage.filters import gaussian
        from skimage.segmentation import active_contour
    lacking = [(0, max(0, _LEAST_SIDE - side)) for side in photo.size]
    smooth = gaussian(np.pad(photo.grey / 255, lacking, mode="edge"), sigma, preserve_range=True)
    curve = active_contour(
        smooth, start, alpha=tension, beta=stiffness, gamma=0.001, max_num_iter=iterations
    )
    settings = {
        "circle": circle if circle is None else np.asarray(circle).tolist(),
        "contour": contour if contour is None else np.asarray(contour).tolist(),
        "tension": tension,
        "stiffness": stiffness,
        "sigma": sigma,
        "iterations": iterations,
    }
    recipe = Recipe("snake", _PACKAGE, settings)
    return certain(polygon2mask(photo.size, curve), GROUND, photo, recipe)


def _start(
    circle: tuple[float, float, float] | None,
    contour: Sequence[tuple[float, float]] | None,
    photo: Photo,
    faults: Faults,
) -> NDArray[np.float64]:
    """Rows and columns of the points of the curve, float64 `[N, 2]`."""
    height, width = photo.size
    nothing = np.zeros((0, 2))
    if (circle is None) == (contour is None):
        faults.setting(
            ("no start" if circle is None else "two starts") + ", expected a circle or a contour"
        )
        return nothing
    if circle is not None:
        points = _numbers(circle)
        if points.shape != (3,) or points[2] <= 0:
            faults.setting(f"circle={shown(circle)}, expected x, y and a radius above 0")
            return nothing
        x, y, radius = points
        if not (radius <= x <= width - 1 - radius and radius <= y <= height - 1 - radius):
            faults.add(
                f"circle {x:g},{y:g},{radius:g} leaves the picture, "
                f"x 0 … {width - 1}, y 0 … {height - 1}"
            )
        turns = np.linspace(0, 2 * np.pi, _CIRCLE_POINTS, endpoint=False)
        return np.stack([y + radius * np.sin(turns), x + radius * np.cos(turns)], axis=1)
    points = _numbers(contour)
    if points.ndim != 2 or points.shape[1:] != (2,) or len(points) < 3:
        faults.setting("contour: expected three points (x, y) or more")
        return nothing
    for x, y in points:
        if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
            faults.add(f"contour {x:g},{y:g} lies outside, x 0 … {width - 1}, y 0 … {height - 1}")
    return _even(points)[:, ::-1]


def _numbers(values: object) -> NDArray[np.float64]:
    """The values as an array; an empty one where they are no numbers, or of no one shape."""
    try:
        found = np.array(values, np.float64)
    except (TypeError, ValueError):
        return np.zeros(0)
    return found if np.isfinite(found).all() else np.zeros(0)


def _even(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """A closed polygon `[N, 2]` as points at even steps, since its corners alone would not move."""
    closed = np.concatenate([corners, corners[:1]])
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    steps = np.linspace(0, along[-1], _CIRCLE_POINTS, endpoint=False)
    return np.stack([np.interp(steps, along, axis) for axis in closed.T], axis=1)
