"""Losses for training."""

from pixelwise.losses.class_weights import CLASS_WEIGHT_RULES, class_weights, positive_weights
from pixelwise.losses.deep_supervision import Loss, supervise_all
from pixelwise.losses.multi_label_loss import MultiLabelLoss, parse_multi_label_loss
from pixelwise.losses.segmentation_loss import SegmentationLoss, parse_loss

__all__ = [
    "CLASS_WEIGHT_RULES",
    "Loss",
    "MultiLabelLoss",
    "SegmentationLoss",
    "class_weights",
    "parse_loss",
    "parse_multi_label_loss",
    "positive_weights",
    "supervise_all",
]
