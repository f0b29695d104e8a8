"""Brightness against a threshold: one of the picture, several, or one of each neighbourhood."""

from __future__ import annotations

import numpy as np

from pixelwise.classical.faults import Faults
from pixelwise.classical.photo import AnyPhoto, open_photo
from pixelwise.classical.results import GROUND, Recipe, certain, numbered_classes
from pixelwise.extras import extra
from pixelwise.segmentation import Segmentation

__all__ = ["adaptive", "multi_otsu", "otsu"]

_PACKAGE = "skimage"
_WIDEST = 100_001


def otsu(image: AnyPhoto, *, dark: bool = False) -> Segmentation:
    """Foreground is brighter than the threshold that parts the grey values best.

    Otsu, "A threshold selection method from gray-level histograms" (IEEE Transactions on Systems,
    Man, and Cybernetics, 1979), by scikit-image. A picture of one grey value is all background.

    Args:
        image: a path, the bytes of an image file, a PIL image, or an array `[H, W, 3]` RGB.
        dark: whether the foreground is the darker part.

    Returns:
        Classes background (0) and foreground (1).

    Raises:
        ImageFileError: the picture cannot be read.
        UsageError: a setting that cannot be.
        MissingExtraError: the extra `classical` is not installed.
    """
    photo = open_photo(image)
    faults = Faults("otsu", photo.name)
    faults.flag("dark", dark)
    faults.tell()
    with extra("classical"):
        from skimage.filters import threshold_otsu
    threshold = threshold_otsu(photo.grey)
    bright = photo.grey > threshold
    found = ~bright & (photo.grey.min() < photo.grey.max()) if dark else bright
    return certain(found, GROUND, photo, Recipe("otsu", _PACKAGE, {"dark": dark}))


def multi_otsu(image: AnyPhoto, *, clusters: int = 3) -> Segmentation:
    """Ranges of brightness, parted by the thresholds of the largest variance between them.

    Liao, Chen and Chung, "A fast algorithm for multilevel thresholding" (Journal of Information
    Science and Engineering, 2001), by scikit-image.

    Args:
        image: as in `otsu`.
        clusters: ranges, 2 … 5; the time grows with the power of their number.

    Returns:
        Classes "region 1" (the darkest) … of the ids 1 ….

    Raises:
        ImageFileError: the picture cannot be read.
        UsageError: a setting that cannot be, or fewer grey values than ranges.
        MissingExtraError: the extra `classical` is not installed.
    """
    photo = open_photo(image)
    faults = Faults("multi-otsu", photo.name)
    faults.whole("clusters", clusters, 2, 5)
    values = np.count_nonzero(np.bincount(photo.grey.ravel()))
    if isinstance(clusters, int) and 2 <= clusters <= 5 and values < clusters:
        faults.add(f"clusters={clusters}, and the picture has {values} grey values alone")
    faults.tell()
    with extra("classical"):
        from skimage.filters import threshold_multiotsu
    # As many bins as grey values there can be, so that no two are taken as one.
    thresholds = threshold_multiotsu(photo.grey, classes=clusters, nbins=256)
    places = np.digitize(photo.grey, thresholds, right=True)
    recipe = Recipe("multi-otsu", _PACKAGE, {"clusters": clusters})
    return certain(places, numbered_classes(clusters), photo, recipe)


def adaptive(
    image: AnyPhoto, *, block: int = 51, margin: float = 5.0, dark: bool = False
) -> Segmentation:
    """Foreground is brighter than its surroundings.

    Args:
        image: as in `otsu`.
        block: side of the surroundings in pixels, odd; their mean is weighed by a Gaussian.
        margin: by how many grey values of 255 it is brighter at least.
        dark: whether the foreground is darker than its surroundings instead.

    Returns:
        Classes background (0) and foreground (1).

    Raises:
        ImageFileError: the picture cannot be read.
        UsageError: a setting that cannot be.
        MissingExtraError: the extra `classical` is not installed.
    """
    photo = open_photo(image)
    faults = Faults("adaptive", photo.name)
    faults.whole("block", block, 3, _WIDEST)
    if isinstance(block, int) and block % 2 == 0:
        faults.setting(f"block={block}, expected an odd number")
    faults.real("margin", margin, 0, 255)
    faults.flag("dark", dark)
    faults.tell()
    with extra("classical"):
        from skimage.filters import threshold_local
    surroundings = threshold_local(photo.grey, block)
    difference = photo.grey - surroundings
    # The mean of equal values is off by rounding, which is no difference.
    found = (-difference if dark else difference) > max(margin, 1e-6)
    recipe = Recipe("adaptive", _PACKAGE, {"block": block, "margin": margin, "dark": dark})
    return certain(found, GROUND, photo, recipe)
