"""The forms that regions are written in, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from pixelwise.errors import UsageError, did_you_mean
from pixelwise.region_files import coco, cvat, geojson, labelme, svg, voc, yolo
from pixelwise.region_files.base import Regions

__all__ = ["REGION_FORMS", "encode_regions", "region_form"]

REGION_FORMS = MappingProxyType(
    {
        "coco": ".json",
        "cvat": ".xml",
        "geojson": ".geojson",
        "labelme": ".json",
        "svg": ".svg",
        "voc": ".xml",
        "yolo": ".txt",
    }
)
"""The ending of a file of each form."""

_ENCODERS: dict[str, Callable[[Regions], bytes]] = {
    "coco": coco.encode,
    "cvat": cvat.encode,
    "geojson": geojson.encode,
    "labelme": labelme.encode,
    "svg": svg.encode,
    "voc": voc.encode,
    "yolo": yolo.encode,
}


def region_form(path: str | Path, form: str | None = None) -> str:
    """The form of a file: the one named, or what the ending of the file's name says.

    Raises:
        UsageError: there is no such form, the ending is another's, or it is that of several.
    """
    suffix = Path(path).suffix.lower()
    if form is not None:
        if form not in REGION_FORMS:
            raise UsageError(
                "no such form of regions",
                got=f"form={form!r}",
                fix=did_you_mean(str(form), REGION_FORMS),
            )
        ending = REGION_FORMS[form]
        if suffix != ending and (form, suffix) != ("geojson", ".json"):
            raise UsageError(
                f"{form} is kept in a {ending} file",
                got=str(path),
                fix=f"name it {Path(path).stem}{ending}",
            )
        return form
    found = [name for name, ending in REGION_FORMS.items() if ending == suffix]
    if len(found) == 1:
        return found[0]
    raise UsageError(
        "the name of the file does not say in which form regions are to be written",
        got=str(path),
        fix=f"pass form={' or '.join(map(repr, found))}"
        if found
        else f"pass form=…; known: {', '.join(REGION_FORMS)}",
    )


def encode_regions(regions: Regions, form: str) -> bytes:
    """The file of one picture.

    Raises:
        UsageError: the form cannot hold the regions.
    """
    return _ENCODERS[form](regions)
