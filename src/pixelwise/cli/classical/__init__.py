"""`pixelwise classical`: pictures segmented without a network, and how good that is."""

from __future__ import annotations

from pixelwise.cli.classical.command import app

__all__ = ["app"]
