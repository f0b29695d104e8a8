"""Segmentation without a network: thresholds, clusters, regions, contours, seeds and motion.

>>> seg = pw.classical.otsu("nuclei.png", dark=True)
>>> seg = pw.classical.random_walker("photo.jpg", seeds=[(40, 30, "sky"), (60, 200, "road")])
>>> found = pw.classical.motion(["frame_1.png", "frame_2.png", "frame_3.png"])

The functions wrap scikit-image, scikit-learn and OpenCV (the extra `classical`), take any picture
that `pw.read_image` takes, and give a `Segmentation`, the same one for the same seed.
"""

from __future__ import annotations

from pixelwise.classical.clusters import gmm, kmeans
from pixelwise.classical.contours import chan_vese, edges, snake
from pixelwise.classical.methods import METHODS, segment, superpixels
from pixelwise.classical.motion import motion
from pixelwise.classical.seeded import grabcut, random_walker
from pixelwise.classical.superpixels import felzenszwalb, slic, watershed
from pixelwise.classical.thresholds import adaptive, multi_otsu, otsu

__all__ = [
    "METHODS",
    "adaptive",
    "chan_vese",
    "edges",
    "felzenszwalb",
    "gmm",
    "grabcut",
    "kmeans",
    "motion",
    "multi_otsu",
    "otsu",
    "random_walker",
    "segment",
    "slic",
    "snake",
    "superpixels",
    "watershed",
]
