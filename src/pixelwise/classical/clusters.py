"""Pixels of like colours together."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from pixelwise.classical.faults import Faults
from pixelwise.classical.photo import AnyPhoto, Photo, open_photo
from pixelwise.classical.results import Recipe, certain, likely, numbered_classes
from pixelwise.extras import extra
from pixelwise.segmentation import Segmentation

__all__ = ["MOST_CLUSTERS", "MOST_SEED", "cluster_colours", "gmm", "kmeans"]

MOST_CLUSTERS = 64
MOST_SEED = 2**32 - 1
_PACKAGE = "sklearn"
_SAMPLE = 50_000
_PIXELS_AT_ONCE = 1 << 16


def kmeans(image: AnyPhoto, *, clusters: int = 4, seed: int = 0) -> Segmentation:
    """Colours parted into groups, each pixel to the nearest mean in CIELAB.

    Lloyd, "Least squares quantization in PCM" (IEEE Transactions on Information Theory, 1982), from
    a k-means++ start (Arthur and Vassilvitskii, SODA 2007), by scikit-learn. The means are those of
    a seeded sample of at most 50,000 pixels; all pixels are then dealt out.

    Args:
        image: a path, the bytes of an image file, a PIL image, or an array `[H, W, 3]` RGB.
        clusters: groups, 2 … 64.
        seed: of the sample and the start; 0 … 4,294,967,295.

    Returns:
        Classes "region 1" (the darkest mean) … of the ids 1 ….

    Raises:
        ImageFileError: the picture cannot be read.
        UsageError: a setting that cannot be, or fewer colours than groups.
        MissingExtraError: the extra `classical` is not installed.
    """
    photo = open_photo(image)
    sample = _checked_sample("kmeans", photo, clusters, seed)
    colours = photo.lab.reshape(-1, 3)
    means = cluster_colours(colours[sample], clusters, seed=seed)
    places = np.empty(len(colours), np.intp)
    for part in _parts(len(colours)):
        distances = ((colours[part, None].astype(np.float64) - means) ** 2).sum(-1)
        places[part] = distances.argmin(1)
    recipe = Recipe("kmeans", _PACKAGE, {"clusters": clusters, "seed": seed})
    return certain(places.reshape(photo.size), numbered_classes(clusters), photo, recipe)


def gmm(image: AnyPhoto, *, clusters: int = 4, seed: int = 0) -> Segmentation:
    """Colours as a mixture of Gaussians in CIELAB, each with its own covariance.

    Dempster, Laird and Rubin, "Maximum likelihood from incomplete data via the EM algorithm"
    (Journal of the Royal Statistical Society B, 1977), by scikit-learn, from a seeded sample of at
    most 50,000 pixels. Probabilities are those of the mixture.

    Args:
        image: as in `kmeans`.
        clusters: Gaussians, 2 … 64.
        seed: of the sample and the start; 0 … 4,294,967,295.

    Returns:
        Classes "region 1" (the darkest mean) … of the ids 1 ….

    Raises:
        ImageFileError: the picture cannot be read.
        UsageError: a setting that cannot be, or fewer colours than Gaussians.
        MissingExtraError: the extra `classical` is not installed.
    """
    photo = open_photo(image)
    sample = _checked_sample("gmm", photo, clusters, seed)
    colours = photo.lab.reshape(-1, 3)
    with extra("classical"):
        from sklearn.mixture import GaussianMixture
    with _one_thread():
        mixture = GaussianMixture(clusters, random_state=seed).fit(
            colours[sample].astype(np.float64)
        )
        order = np.lexsort(mixture.means_.T[::-1])
        found = np.empty((clusters, len(colours)), np.float32)
        for part in _parts(len(colours)):
            found[:, part] = mixture.predict_proba(colours[part].astype(np.float64)).T[order]
    recipe = Recipe("gmm", _PACKAGE, {"clusters": clusters, "seed": seed})
    return likely(found.reshape(clusters, *photo.size), numbered_classes(clusters), photo, recipe)


def cluster_colours(
    colours: NDArray[np.float32],
    clusters: int,
    *,
    seed: int,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Means of the groups in float64 `[clusters, 3]`, the darkest first; see `kmeans`.

    Args:
        colours: `[N, 3]` CIELAB, of at least so many different colours.
        clusters: groups.
        seed: of the start.
        weights: `[N]`, how much each counts; None: all the same.
    """
    with extra("classical"):
        from sklearn.cluster import KMeans
    with _one_thread():
        made = KMeans(clusters, n_init=3, random_state=seed)
        made.fit(colours.astype(np.float64), sample_weight=weights)
    means: NDArray[np.float64] = made.cluster_centers_
    return means[np.lexsort(means.T[::-1])]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums of several threads come in any order, and so their last bits; those of one do not.

    OpenMP's number is one of each calling thread, so pictures side by side do not meet here.
    """
    with extra("classical"):
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits
    with threadpool_limits(1, user_api="openmp"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def _checked_sample(method: str, photo: Photo, clusters: int, seed: int) -> NDArray[np.intp]:
    """Places of the pixels that are learned from, in order."""
    faults = Faults(method, photo.name)
    faults.whole("clusters", clusters, 2, MOST_CLUSTERS)
    faults.whole("seed", seed, 0, MOST_SEED)
    faults.tell()
    codes = photo.codes.ravel()
    sample = np.arange(len(codes))
    if len(codes) > _SAMPLE:
        sample = np.sort(np.random.default_rng(seed).choice(len(codes), _SAMPLE, replace=False))
    colours = len(np.unique(codes[sample]))
    if colours < clusters:
        among = (
            "the picture has" if len(sample) == len(codes) else f"{_SAMPLE:,} of its pixels have"
        )
        faults.add(f"clusters={clusters}, and {among} {colours} colours alone")
    faults.tell()
    return sample


def _parts(count: int) -> Iterator[slice]:
    for first in range(0, count, _PIXELS_AT_ONCE):
        yield slice(first, first + _PIXELS_AT_ONCE)
