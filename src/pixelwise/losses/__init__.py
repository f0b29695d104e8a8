"""Losses for training."""

from pixelwise.losses.segmentation_loss import SegmentationLoss, parse_loss

__all__ = ["SegmentationLoss", "parse_loss"]
