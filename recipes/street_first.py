"""Makes the first `street`, an ONNX file for prediction only, into weights that training takes up.

    git show 7f5fa17:src/pixelwise/weights/street.onnx > street_first.onnx
    python recipes/street_first.py street_first.onnx CAMVID --output runs/street_first

The file was exported before model files kept what training needs: its batch normalisations have
become part of the convolutions. Each is set up anew with the mean μ and the variance σ² that its
inputs have over photos of CamVid's training split: with γ = √(σ² + ε) and β = c + μ, for the bias c
in the file, the network answers as the file does, and goes on learning as one that has just been
normalised.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

import pixelwise as pw
from pixelwise.formats.files import make_folder
from pixelwise.inference.engines import make_engine
from pixelwise.inference.model_file import read_model
from pixelwise.inference.preprocess import plan_input, prepare
from pixelwise.models.checkpoint import save_weights
from pixelwise.training.plan import make_plan, write_plan
from pixelwise.training.run_folder import RunFolder

# CamVid's classes in the order of the file, under the names of recipes/street.classes.yaml.
CLASSES = [
    "sky",
    "building",
    "pole",
    "road",
    "sidewalk",
    "vegetation",
    "sign",
    "fence",
    "car",
    "person",
    "bicycle",
]
OPTIONS = {
    "decoder_channels": (128, 96, 64, 48),
    "upsampling": "bilinear",
    "alignment": "corners",
    "dropout": 0.1,
}
EVERY = 6
LARGEST_DIFFERENCE = 1e-3


def stored_weights(path: Path) -> tuple[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]]:
    """The weights of each convolution, and the bias beside them, by the name of the weight."""
    graph = onnx.load(path).graph
    tensors = {
        tensor.name.removesuffix(".float16"): torch.from_numpy(
            numpy_helper.to_array(tensor).astype(np.float32)
        )
        for tensor in graph.initializer
    }
    convolutions = [node.input for node in graph.node if node.op_type == "Conv"]
    weights = {names[1].removesuffix(".float16"): names[2] for names in convolutions}
    return (
        {name: tensors[name] for name in weights},
        {name: tensors[bias.removesuffix(".float16")] for name, bias in weights.items()},
    )


def pairs_of(network: nn.Module) -> dict[str, tuple[nn.Conv2d, nn.BatchNorm2d | None]]:
    """Each convolution by the name of its weight, and the normalisation that follows it."""
    modules = list(network.named_modules())
    convolutions = [place for place, (_, module) in enumerate(modules) if _convolves(module)]
    pairs = {}
    for place, end in zip(convolutions, [*convolutions[1:], len(modules)], strict=True):
        norms = [module for _, module in modules[place:end] if isinstance(module, nn.BatchNorm2d)]
        name, module = modules[place]
        pairs[f"{name}.weight"] = (module, norms[0] if norms else None)
    return pairs


def _convolves(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d)


@contextmanager
def sums_of(norm: nn.BatchNorm2d, into: list[torch.Tensor]) -> Iterator[None]:
    """Notes count, sum and sum of squares of what goes into a normalisation, `[3, C]` a picture."""

    def note(_: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        values = inputs[0].double().permute(1, 0, 2, 3).flatten(1)  # [B, C, h, w] -> [C, N]
        count = torch.full((len(values),), values.shape[1], dtype=torch.float64)
        into.append(torch.stack([count, values.sum(1), values.square().sum(1)]))

    handle = norm.register_forward_pre_hook(note)
    yield
    handle.remove()


def set_norms(network: nn.Module, biases: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> None:
    """Sets every normalisation up with the statistics of its inputs.

    Args:
        network: its convolutions are those of the file, less the biases.
        biases: of the file.
        inputs: float32 `[N, 3, H, W]`, photos as the network takes them.
    """
    norms = {name: norm for name, (_, norm) in pairs_of(network).items() if norm is not None}
    for name, norm in norms.items():
        norm.weight.fill_(1.0)
        norm.bias.copy_(biases[name])
        norm.running_mean.zero_()
        norm.running_var.fill_(1.0 - norm.eps)
    sums: dict[str, list[torch.Tensor]] = {name: [] for name in norms}
    with ExitStack() as noting:
        for name, norm in norms.items():
            noting.enter_context(sums_of(norm, sums[name]))
        for picture in inputs:
            network(picture[None])
    for name, norm in norms.items():
        count, total, squares = torch.stack(sums[name]).sum(0)
        mean = total / count
        variance = (squares / count - mean.square()).clamp_min(0)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_(torch.sqrt(variance + norm.eps))
        norm.bias.copy_(biases[name] + mean)


def main() -> None:
    """Reads, sets up, checks and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("camvid", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    choices = parser.parse_args()
    file = read_model(choices.model)
    weights, biases = stored_weights(choices.model)
    network = pw.build("unet", encoder="mobilenetv2_100", classes=CLASSES, **OPTIONS).eval()
    rule = file.card.preprocessing
    photos = pw.data.open(choices.camvid).split("train")
    images = [photos[place].image for place in range(0, len(photos), EVERY)]
    inputs = np.stack(
        [prepare(each, plan_input(each.shape[:2], rule), rule, threads=0) for each in images]
    )
    with torch.no_grad():
        for name, (convolution, _) in pairs_of(network).items():
            convolution.weight.copy_(weights[name])
            if convolution.bias is not None:
                convolution.bias.copy_(biases[name])
        set_norms(network, biases, torch.from_numpy(inputs))
        own = network(torch.from_numpy(inputs[:4])).numpy()
    before = make_engine(file, engine="onnxruntime").run(inputs[:4])
    difference = float(np.abs(own - before).max() / np.abs(before).max())
    if difference > LARGEST_DIFFERENCE:
        raise SystemExit(f"it does not answer as the file does: scores differ by {difference:.1e}")
    folder = RunFolder(choices.output)
    make_folder(folder.path)
    plan = make_plan(
        {
            "data": [{"path": str(choices.camvid)}],
            "network": OPTIONS,
            "resize": rule.resize.rule,
            "pixels": rule.resize.pixels,
        },
        where="the first street",
    )
    write_plan(plan, folder.plan)
    save_weights(network, folder.best)
    sys.stdout.write(f"the scores differ from the file's by {difference:.1e} of the largest\n")


if __name__ == "__main__":
    main()
