"""Upsampled cross-entropy in plain PyTorch."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["upsampled_cross_entropy"]


def upsampled_cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    alignment: str = "half_pixel",
    ignore_index: int,
    class_weights: torch.Tensor | None = None,
    candidates: torch.Tensor | None = None,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
) -> torch.Tensor:
    classes = logits.shape[1]
    if logits.shape[2:] != target.shape[1:]:
        logits = functional.interpolate(
            logits, target.shape[1:], mode="bilinear", align_corners=alignment == "corners"
        )
    log_p = logits.log_softmax(1)
    weights = logits.new_ones(classes) if class_weights is None else class_weights.to(logits)
    if candidates is None:
        candidates = torch.eye(classes, dtype=torch.bool, device=logits.device)
    several = candidates.sum(1)
    row_weights = candidates.to(logits) @ weights / several.clamp_min(1)
    row_weights = row_weights.masked_fill(several % classes == 0, 0)
    numbers = target.long()
    counted = numbers != ignore_index
    numbers = numbers.masked_fill(~counted, 0)
    weight = row_weights[numbers] * counted
    truth = log_p.gather(1, numbers.clamp_max(classes - 1).unsqueeze(1)).squeeze(1)
    for row in range(classes, len(candidates)):
        mask = numbers == row
        if several[row] and mask.any():
            union = log_p[:, candidates[row]].logsumexp(1)
            truth = torch.where(mask, union, truth)
    loss = -truth
    if focal_gamma:
        loss = (-torch.expm1(truth)).clamp_min(1e-12) ** focal_gamma * loss
    total = (weight * loss).masked_fill(weight == 0, 0).sum()
    if label_smoothing:
        spread = -(log_p * weights.view(-1, 1, 1)).sum(1) / classes
        spread = spread.masked_fill(weight == 0, 0).sum()
        total = (1 - label_smoothing) * total + label_smoothing * spread
    return total
