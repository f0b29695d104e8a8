"""Writes the encoder weights that ship with the package from a file of classification weights.

    python recipes/shipped_encoder.py mobilenetv2_100.imagenet.safetensors

What src/pixelwise/weights/README.md says of the source has to be true of the file that is given.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save

from pixelwise.formats.files import write_atomic
from pixelwise.models.encoders.make import make_encoder
from pixelwise.models.weights import read_tensors

NAME = "mobilenetv2_100"
METADATA = {
    "encoder": NAME,
    "mean": "0.5 0.5 0.5",
    "std": "0.5 0.5 0.5",
    "licence": "Apache-2.0",
    "source": "google-coral/test_data 104342d, tf2_mobilenet_v2_1.0_224_ptq.tflite; modified",
}


def main() -> None:
    """Reads, checks and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    weights = Path(__file__).parents[1] / "src" / "pixelwise" / "weights"
    parser.add_argument("--output", type=Path, default=weights / f"{NAME}.safetensors")
    choices = parser.parse_args()
    encoder = make_encoder(NAME)
    encoder.load_pretrained(choices.source)
    tensors = {
        encoder.classification_key(key): tensor.half() if tensor.is_floating_point() else tensor
        for key, tensor in encoder.state_dict().items()
    }
    # The source's own numbers are of 16 bits: nothing is lost.
    stored = read_tensors(choices.source)
    changed = [key for key in tensors if not torch.equal(tensors[key], stored[key])]
    if changed:
        raise SystemExit(f"not as in the source: {', '.join(changed[:5])}")
    write_atomic(choices.output, save(tensors, METADATA))


if __name__ == "__main__":
    main()
