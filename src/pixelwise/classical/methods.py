"""The methods by name, what each may be told, and one call for all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.class_entries import listed, shown
from pixelwise.classical.clusters import gmm, kmeans
from pixelwise.classical.contours import chan_vese, edges, snake
from pixelwise.classical.faults import Faults
from pixelwise.classical.motion import motion
from pixelwise.classical.photo import AnyPhoto, open_photo
from pixelwise.classical.seeded import grabcut, random_walker
from pixelwise.classical.superpixels import (
    felzenszwalb,
    felzenszwalb_regions,
    slic,
    slic_regions,
    watershed,
    watershed_regions,
)
from pixelwise.classical.thresholds import adaptive, multi_otsu, otsu
from pixelwise.errors import SettingsError, UsageError, did_you_mean
from pixelwise.extras import extra
from pixelwise.segmentation import Segmentation

__all__ = ["METHODS", "Method", "check_installed", "find_method", "segment", "superpixels"]


@dataclass(frozen=True, eq=False)
class Method:
    """A method.

    Attributes:
        name: as users write it.
        run: the function; takes a picture, or of `motion` several.
        alone: whether it finds something in a picture without being shown where to look.
    """

    name: str
    run: Callable[..., Any]
    alone: bool

    @cached_property
    def options(self) -> Mapping[str, inspect.Parameter]:
        """Options by name, in order."""
        parameters = list(inspect.signature(self.run).parameters.values())
        return {each.name: each for each in parameters[1:]}

    def check(self, options: Mapping[str, Any]) -> None:
        """Refuses options that the method does not have.

        Raises:
            SettingsError: lists them, and which of the others it needs.
        """
        faults = [
            f"{name}: no option of {self.name} ({did_you_mean(name[:80], self.options)})"
            for name in options
            if name not in self.options
        ]
        faults += [
            f"{name}: needed, and not given"
            for name, option in self.options.items()
            if option.default is inspect.Parameter.empty and name not in options
        ]
        if faults:
            raise SettingsError(
                "the method cannot be run so",
                where=f"method {self.name}",
                got=listed(faults),
                fix="correct all that is listed",
            )


METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("otsu", otsu, alone=True),
        Method("multi-otsu", multi_otsu, alone=True),
        Method("adaptive", adaptive, alone=True),
        Method("kmeans", kmeans, alone=True),
        Method("gmm", gmm, alone=True),
        Method("slic", slic, alone=True),
        Method("watershed", watershed, alone=True),
        Method("felzenszwalb", felzenszwalb, alone=True),
        Method("chan-vese", chan_vese, alone=True),
        Method("snake", snake, alone=False),
        Method("grabcut", grabcut, alone=False),
        Method("random-walker", random_walker, alone=False),
        Method("edges", edges, alone=True),
        Method("motion", motion, alone=False),
    )
}


def check_installed(packages: Sequence[str] = ("cv2", "skimage", "sklearn")) -> None:
    """Looks for packages of the extra `classical`, and imports none.

    Raises:
        MissingExtraError: one of them is not installed.
    """
    with extra("classical"):
        for package in packages:
            if find_spec(package) is None:
                raise ModuleNotFoundError(name=package)


def find_method(name: str) -> Method:
    """The method of that name.

    Raises:
        UsageError: there is none.
    """
    method = METHODS.get(name.lower().replace("_", "-")) if isinstance(name, str) else None
    if method is None:
        text = name[:80] if isinstance(name, str) else ""
        raise UsageError("no such method", got=shown(name), fix=did_you_mean(text, METHODS))
    return method


def segment(image: AnyPhoto, method: str, **options: Any) -> Segmentation:
    """One picture by the method of that name; `pw.classical.otsu(image, …)` is the same.

    Args:
        image: a path, the bytes of an image file, a PIL image, or an array `[H, W, 3]` RGB.
        method: such as "otsu".
        options: of the method.

    Raises:
        UsageError: no such method or option, or one that cannot be; or a method that needs several
            frames.
        ImageFileError: the picture cannot be read.
        MissingExtraError: the extra `classical` is not installed.
    """
    chosen = find_method(method)
    chosen.check(options)
    if chosen.run is motion:
        # Says that one photo has no motion.
        return motion([image], **options)[0]
    found: Segmentation = chosen.run(image, **options)
    return found


def superpixels(image: AnyPhoto, method: str = "slic", **options: Any) -> NDArray[np.int64]:
    """The small regions themselves, before they are grouped into classes.

    Args:
        image: as in `segment`.
        method: "slic", "felzenszwalb" or "watershed".
        options: `regions` and `compactness`; `scale`, `sigma` and `min_area`; or `sigma`.

    Returns:
        int64 `[H, W]`: the number of each pixel's region, from 0.

    Raises:
        UsageError: no such method, or an option that cannot be.
        ImageFileError: the picture cannot be read.
        MissingExtraError: the extra `classical` is not installed.
    """
    functions: dict[str, Callable[..., NDArray[np.int64]]] = {
        "slic": slic_regions,
        "felzenszwalb": felzenszwalb_regions,
        "watershed": watershed_regions,
    }
    if method not in functions:
        raise UsageError(
            "no such method of superpixels",
            got=shown(method),
            fix=did_you_mean(str(method)[:80], functions),
        )
    function = functions[method]
    known = [*inspect.signature(function).parameters][2:]
    photo = open_photo(image)
    faults = Faults(method, photo.name)
    for name in options:
        if name not in known:
            faults.setting(f"{name}: no option of {method} ({did_you_mean(name[:80], known)})")
    faults.tell()
    return function(photo, faults, **options)
