"""Small regions of like pixels, and what becomes of them as classes.

A picture has hundreds to many thousands of such regions; as classes of their own they would mean
nothing, and a score of each for every pixel would need gigabytes. So the regions are parted into a
few groups by their mean colours, and the groups are the classes: borders are those of the regions.
`superpixels` gives the regions themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.classical.clusters import MOST_CLUSTERS, MOST_SEED, cluster_colours
from pixelwise.classical.faults import Faults
from pixelwise.classical.photo import AnyPhoto, Photo, open_photo
from pixelwise.classical.results import Recipe, certain, named_classes, numbered_classes
from pixelwise.classical.seeds import Seeds, place_seeds
from pixelwise.extras import extra
from pixelwise.segmentation import Segmentation

__all__ = [
    "felzenszwalb",
    "felzenszwalb_regions",
    "slic",
    "slic_regions",
    "watershed",
    "watershed_regions",
]

_PACKAGE = "skimage"


def slic(
    image: AnyPhoto,
    *,
    regions: int = 250,
    compactness: float = 10.0,
    clusters: int = 6,
    seed: int = 0,
) -> Segmentation:
    """Superpixels of like size, grouped by colour.

    Achanta et al., "SLIC superpixels compared to state-of-the-art superpixel methods" (IEEE
    Transactions on Pattern Analysis and Machine Intelligence, 2012), by scikit-image.

    Args:
        image: a path, the bytes of an image file, a PIL image, or an array `[H, W, 3]` RGB.
        regions: about how many superpixels, 1 … 65,535.
        compactness: how much nearness counts beside colour, above 0.
        clusters: groups at most, 2 … 64.
        seed: of the grouping; 0 … 4,294,967,295.

    Returns:
        Classes "region 1" (the darkest group) … of the ids 1 ….

    Raises:
        ImageFileError: the picture cannot be read.
        UsageError: a setting that cannot be.
        MissingExtraError: the extra `classical` is not installed.
    """
    photo = open_photo(image)
    faults = _grouping_faults("slic", photo, clusters, seed)
    found = slic_regions(photo, faults, regions=regions, compactness=compactness)
    settings = {"regions": regions, "compactness": compactness, "clusters": clusters, "seed": seed}
    return _grouped(found, photo, clusters, seed, Recipe("slic", _PACKAGE, settings))


def felzenszwalb(
    image: AnyPhoto,
    *,
    scale: float = 100.0,
    sigma: float = 0.8,
    min_area: int = 50,
    clusters: int = 6,
    seed: int = 0,
) -> Segmentation:
    """Regions joined along a minimum spanning tree, grouped by colour.

    Felzenszwalb and Huttenlocher, "Efficient graph-based image segmentation" (International Journal
    of Computer Vision, 2004), by scikit-image.

    Args:
        image: as in `slic`.
        scale: larger values give larger regions, 0 … 1,000,000.
        sigma: of the Gaussian that smooths before, in pixels, 0 … 100.
        min_area: smaller regions are joined to a neighbour, in pixels.
        clusters: groups at most, 2 … 64.
        seed: of the grouping; 0 … 4,294,967,295.

    Returns:
        Classes as those of `slic`.

    Raises:
        ImageFileError: the picture cannot be read.
        UsageError: a setting that cannot be.
        MissingExtraError: the extra `classical` is not installed.
    """
    photo = open_photo(image)
    faults = _grouping_faults("felzenszwalb", photo, clusters, seed)
    found = felzenszwalb_regions(photo, faults, scale=scale, sigma=sigma, min_area=min_area)
    settings = {
        "scale": scale,
        "sigma": sigma,
        "min_area": min_area,
        "clusters": clusters,
        "seed": seed,
    }
    return _grouped(found, photo, clusters, seed, Recipe("felzenszwalb", _PACKAGE, settings))


def watershed(
    image: AnyPhoto,
    *,
    seeds: Seeds | None = None,
    names: tuple[str, ...] | None = None,
    sigma: float = 2.0,
    clusters: int = 6,
    seed: int = 0,
) -> Segmentation:
    """The gradient flooded from seeds, or from its own minima.

    Vincent and Soille, "Watersheds in digital spaces" (IEEE Transactions on Pattern Analysis and
    Machine Intelligence, 1991), by scikit-image; the gradient is Sobel's, of the brightness.

    Args:
        image: as in `slic`.
        seeds: scribbles (a label map, or its file, 0 unknown) or points `(x, y, name)`; each class
            grows from them. None: every minimum of the gradient grows, and the regions are grouped
            by colour as in `slic`.
        names: of the classes of the seeds, in the order of the ids 1 …; None: see `place_seeds`.
        sigma: of the Gaussian that smooths before, in pixels, 0 … 100.
        clusters: groups at most, 2 … 64; without seeds.
        seed: of the grouping; 0 … 4,294,967,295.

    Returns:
        The classes of the seeds; without seeds those of `slic`.

    Raises:
        ImageFileError: the picture cannot be read.
        MaskFileError: the scribbles cannot be read.
        UsageError: a setting that cannot be, seeds outside the picture, unknown classes, or seeds
            of one class alone.
        MissingExtraError: the extra `classical` is not installed.
    """
    photo = open_photo(image)
    faults = _grouping_faults("watershed", photo, clusters, seed)
    if seeds is None:
        if names is not None:
            faults.setting("names of classes, and no seeds of them")
        found = watershed_regions(photo, faults, sigma=sigma)
        settings: dict[str, Any] = {"sigma": sigma, "clusters": clusters, "seed": seed}
        return _grouped(found, photo, clusters, seed, Recipe("watershed", _PACKAGE, settings))
    shown = place_seeds(seeds, photo.size, faults, names=names)
    faults.real("sigma", sigma, 0, 100)
    faults.tell()
    with extra("classical"):
        from skimage.segmentation import watershed as flooded
    places = flooded(_gradient(photo, sigma), markers=shown.ids) - 1
    settings = {"sigma": sigma, "seeds": shown.sha256[:12]}
    recipe = Recipe("watershed", _PACKAGE, settings)
    return certain(places, named_classes(shown.names), photo, recipe)


def slic_regions(
    photo: Photo, faults: Faults, *, regions: int = 250, compactness: float = 10.0
) -> NDArray[np.int64]:
    """The superpixels of `slic`, int64 `[H, W]`, numbered from 0.

    Raises:
        UsageError: a setting that cannot be, or one of the faults before.
    """
    faults.whole("regions", regions, 1, 65_535)
    faults.real("compactness", compactness, 1e-6, 1e6)
    faults.tell()
    with extra("classical"):
        from skimage.segmentation import slic as parted
    return _from_zero(parted(photo.pixels, regions, compactness, start_label=0))


def felzenszwalb_regions(
    photo: Photo, faults: Faults, *, scale: float = 100.0, sigma: float = 0.8, min_area: int = 50
) -> NDArray[np.int64]:
    """The regions of `felzenszwalb`, int64 `[H, W]`, numbered from 0.

    Raises:
        UsageError: a setting that cannot be, or one of the faults before.
    """
    faults.real("scale", scale, 0, 1e6)
    faults.real("sigma", sigma, 0, 100)
    faults.whole("min_area", min_area, 1, 10**9)
    faults.tell()
    with extra("classical"):
        from skimage.segmentation import felzenszwalb as joined
    return _from_zero(joined(photo.pixels, scale, sigma, min_area))


def watershed_regions(photo: Photo, faults: Faults, *, sigma: float = 2.0) -> NDArray[np.int64]:
    """The basins of `watershed` without seeds, int64 `[H, W]`, numbered from 0.

    Raises:
        UsageError: a setting that cannot be, or one of the faults before.
    """
    faults.real("sigma", sigma, 0, 100)
    faults.tell()
    with extra("classical"):
        from skimage.segmentation import watershed as flooded
    return _from_zero(flooded(_gradient(photo, sigma)))


def _gradient(photo: Photo, sigma: float) -> NDArray[np.float64]:
    from skimage.filters import gaussian, sobel

    slope: NDArray[np.float64] = sobel(gaussian(photo.grey / 255, sigma))
    # Rounding makes minima of flat ground, each of which would grow.
    return np.round(slope, 6)


def _grouping_faults(method: str, photo: Photo, clusters: int, seed: int) -> Faults:
    faults = Faults(method, photo.name)
    faults.whole("clusters", clusters, 2, MOST_CLUSTERS)
    faults.whole("seed", seed, 0, MOST_SEED)
    return faults


def _from_zero(regions: NDArray[Any]) -> NDArray[np.int64]:
    _, places = np.unique(regions, return_inverse=True)
    return places.reshape(regions.shape).astype(np.int64)


def _grouped(
    regions: NDArray[np.int64], photo: Photo, clusters: int, seed: int, recipe: Recipe
) -> Segmentation:
    """The regions as at most so many classes, by mean colour, the darkest first."""
    flat = regions.ravel()
    areas = np.bincount(flat).astype(np.float64)
    sums = [np.bincount(flat, weights=channel) for channel in photo.lab.reshape(-1, 3).T]
    colours = (np.stack(sums, axis=1) / areas[:, None]).astype(np.float32)
    different = np.unique(colours, axis=0)
    if len(different) > clusters:
        means = cluster_colours(colours, clusters, seed=seed, weights=areas)
        means = means[np.unique(_nearest(colours, means))]
    else:
        means = different.astype(np.float64)
    places = _nearest(colours, means)[regions]
    return certain(places, numbered_classes(len(means)), photo, recipe)


def _nearest(colours: NDArray[np.float32], means: NDArray[np.float64]) -> NDArray[np.intp]:
    places: NDArray[np.intp] = ((colours[:, None] - means) ** 2).sum(-1).argmin(1)
    return places
