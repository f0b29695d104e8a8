"""Flags that make results better after the network, the same for every command that has them."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from pixelwise.cli.output import fail
from pixelwise.errors import PixelwiseError, UsageError
from pixelwise.inference.card import Card
from pixelwise.refine.flags import read_refinement
from pixelwise.refine.options import METHODS
from pixelwise.refine.plan import Refinement

__all__ = [
    "FillHolesOption",
    "KeepLargestOption",
    "MinAreaOption",
    "RefineOption",
    "SmoothOption",
    "SnapOption",
    "for_model",
    "superpixels",
    "wanted",
]

# As large as a square of 16 pixels, whatever the size of the picture.
_PIXELS_OF_REGION = 256
_MOST_REGIONS = 65_535

RefineOption = Annotated[
    str,
    typer.Option(
        metavar="METHOD[:NAME=VALUE,…]",
        help=f"Refine by the photo: {', '.join(METHODS)}; as in crf:iterations=3.",
    ),
]
SnapOption = Annotated[
    str | None,
    typer.Option(metavar="superpixels", help="Then: each superpixel takes its main class."),
]
SmoothOption = Annotated[
    int,
    typer.Option(metavar="RADIUS", help="Then: each pixel takes the main class around it."),
]
FillHolesOption = Annotated[
    list[str] | None,
    typer.Option(metavar="CLASS", help="Then: what this class surrounds becomes it; repeatable."),
]
KeepLargestOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CLASS", help="Then: only the largest region of this class stays; repeatable."
    ),
]
MinAreaOption = Annotated[
    int,
    typer.Option(metavar="PIXELS", help="Last: smaller regions go to the likeliest neighbour."),
]


def wanted(
    refine: str,
    snap: str | None,
    smooth: int,
    fill_holes: list[str] | None,
    keep_largest: list[str] | None,
    min_area: int,
) -> Refinement:
    """What the flags ask for; ends the command where that cannot be."""
    try:
        return read_refinement(
            refine=refine,
            snap=snap,
            smooth=smooth,
            fill_holes=fill_holes or (),
            keep_largest=keep_largest or (),
            min_area=min_area,
        )
    except PixelwiseError as error:
        fail(error)


def for_model(refinement: Refinement, card: Card) -> Refinement:
    """The refinement with the class names of the model, before any picture is touched.

    Raises:
        UsageError: the model gives pixels several classes.
        ClassNameError: lists all classes that the model does not have.
        MissingExtraError: superpixels are asked for, and scikit-image is not installed.
    """
    if refinement and card.postprocessing.activation == "sigmoid":
        raise UsageError(
            "classes of this model lie over each other, and refinement gives each pixel one",
            where=card.name,
            got=" ".join(refinement.to_flags()),
            fix="leave these options away",
        )
    if refinement.snap:
        from pixelwise.classical.methods import check_installed

        check_installed(("skimage",))
    return refinement.of_classes(card.classes)


def superpixels(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """SLIC superpixels of some 256 pixels each, int64 `[H, W]`."""
    from pixelwise.classical.methods import superpixels as regions_of

    height, width = image.shape[:2]
    regions = min(max(1, round(height * width / _PIXELS_OF_REGION)), _MOST_REGIONS)
    return regions_of(image, regions=regions)
