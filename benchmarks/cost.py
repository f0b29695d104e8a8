"""What a network costs before it runs: parameters, and multiply-adds of one picture.

Prints the figures that `pixelwise.models.catalogue` holds:

    python -m benchmarks.cost
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from pixelwise.models.build import ARCHITECTURES, build
from pixelwise.models.catalogue import CATALOGUE_CLASSES, CATALOGUE_SIZE
from pixelwise.models.network import SegmentationNetwork


@dataclass(frozen=True)
class Cost:
    """Millions of parameters, thousand millions of multiply-adds."""

    parameters: float
    multiply_adds: float


def cost_of(network: SegmentationNetwork, size: int) -> Cost:
    """The cost of one square picture; the network may live on torch's meta device."""
    parameters = sum(parameter.numel() for parameter in network.parameters())
    device = next(network.parameters()).device
    image = torch.zeros(1, network.config.in_channels, size, size, device=device)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network.eval()(image)
    # The counter takes a multiplication and its addition for two.
    return Cost(parameters / 1e6, counter.get_total_flops() / 2 / 1e9)


def catalogue_cost(architecture: str) -> Cost:
    """The cost of an architecture's default network, as the catalogue states it."""
    with torch.device("meta"):
        network = build(architecture, classes=CATALOGUE_CLASSES)
    return cost_of(network, CATALOGUE_SIZE)


def main() -> None:
    for name in sorted(ARCHITECTURES):
        cost = catalogue_cost(name)
        print(f"{name:14} parameters={cost.parameters:.1f} multiply_adds={cost.multiply_adds:.1f}")


if __name__ == "__main__":
    main()
