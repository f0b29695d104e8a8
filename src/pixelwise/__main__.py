"""`python -m pixelwise`."""

from __future__ import annotations

from pixelwise.cli import main

main()
