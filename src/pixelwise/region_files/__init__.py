"""Regions of a picture in the files of annotation tools, and what of these is read back here.

One module per form; each makes the whole file of one picture, and those whose files hold many
pictures also its piece of such a file. COCO, YOLO, labelme, CVAT and Pascal VOC are read by
`pixelwise.data`, GeoJSON and SVG by `read_regions`.
"""

from pixelwise.region_files.base import Regions
from pixelwise.region_files.coco import coco_results
from pixelwise.region_files.forms import REGION_FORMS, encode_regions, region_form
from pixelwise.region_files.reading import read_regions

__all__ = [
    "REGION_FORMS",
    "Regions",
    "coco_results",
    "encode_regions",
    "read_regions",
    "region_form",
]
