"""Model files, engines, and the way from a photo to a `Segmentation`."""
