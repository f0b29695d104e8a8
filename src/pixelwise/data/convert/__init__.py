"""Data sets written in another format, without loss."""

from __future__ import annotations

from pixelwise.data.convert.run import FORMATS, Conversion, Converted, convert, prepare

__all__ = ["FORMATS", "Conversion", "Converted", "convert", "prepare"]
