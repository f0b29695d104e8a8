"""Cross-entropy of the pixels that are hardest: online hard example mining.

Shrivastava, Gupta, Girshick, CVPR 2016 (arXiv 1604.03540), section 4, in the form usual for
segmentation: of each picture the pixels whose probability of the truth is low, and never fewer
than a certain share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from pixelwise.losses.target_rows import TargetRows

__all__ = ["HardPixels"]


@dataclass(frozen=True)
class HardPixels:
    """The mean cross-entropy, by class weights, of the hardest pixels of a picture.

    Attributes:
        threshold: pixels are hard whose probability of the truth is below it.
        share: of the counted pixels that are kept however easy they are, the hardest first;
            pixels exactly as hard as the last of them are kept too.
    """

    threshold: float = 0.7
    share: float = 0.1

    def evaluate(
        self,
        log_probability: torch.Tensor,
        probability: torch.Tensor,
        numbers: torch.Tensor,
        tally: torch.Tensor,
        rows: TargetRows,
        *,
        with_gradient: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The loss of one picture, and its gradient by the logits.

        Args:
            log_probability: float `[C, H, W]`.
            probability: float `[C, H, W]`.
            numbers: int32 `[H, W]`: the target.
            tally: int64 `[K]`: how many pixels have each number; some count.
            rows: what the numbers mean.
            with_gradient: None comes instead of the gradient if it is not wanted.
        """
        unions = {number: numbers == number for number in rows.beyond_classes(tally)}
        truth = numbers.clamp(0, rows.classes - 1).long().unsqueeze(0)
        entropy = log_probability.gather(0, truth)[0].neg_()
        for number, pixels in unions.items():
            possible = rows.candidates[number].to(pixels.device)
            entropy[pixels] = -log_probability[possible][:, pixels].logsumexp(0)
        weight = rows.pixel_weights(numbers).to(entropy.dtype)
        kept = self._kept(entropy.masked_fill_(weight == 0, -torch.inf), weight)
        weight *= kept
        weight /= weight.sum()
        loss = (entropy.masked_fill_(~kept, 0) * weight).sum()
        if not with_gradient:
            return loss, None
        gradient = probability * weight
        sure = weight.clone()
        for number, pixels in unions.items():
            sure.masked_fill_(pixels, 0)
            possible = rows.candidates[number].nonzero().flatten().to(pixels.device)
            among = log_probability[possible][:, pixels].softmax(0) * weight[pixels]
            for class_, part in zip(possible.tolist(), among, strict=True):
                gradient[class_][pixels] -= part
        return loss, gradient.scatter_add_(0, truth, sure.neg_().unsqueeze(0))

    def _kept(self, entropy: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        least = max(1, math.ceil(self.share * int((weight > 0).sum())))
        last = entropy.flatten().kthvalue(entropy.numel() - least + 1).values
        hard = entropy > -math.log(self.threshold)
        return hard | (entropy >= last)
