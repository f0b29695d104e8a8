"""Makes the model file `street.onnx` of a finished run, scored as it ships.

    python -m pixelwise.training.ship --data CAMVID --run RUN --output street.onnx

The score in the card is taken from the finished file, through the same path as `pixelwise
predict`: half-precision weights, onnxruntime, the exact decode.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from safetensors.torch import load_file

from pixelwise.classes import ClassTable
from pixelwise.export.onnx import export_model, write_card
from pixelwise.inference.card import Card, Postprocessing, Preprocessing, Resize, Score
from pixelwise.inference.predictor import load
from pixelwise.metrics.confusion import ConfusionMatrix, SemanticScores
from pixelwise.models.unet import UNet
from pixelwise.training.street import CAMVID_IGNORE_INDEX, INPUT_SIZE, NETWORK, read_camvid
from pixelwise.version import VERSION

__all__ = ["score_on_camvid", "ship", "street_card"]

_EXAMPLE_SIZE = (481, 641)
_PROTOCOL = (
    "CamVid val, 101 photos 480×360, 11 classes, void ignored, original size, "
    "one confusion matrix over all photos"
)
_COMMAND = (
    "python -m pixelwise.training.street --data CAMVID "
    "--encoder-weights mobilenetv2_100.imagenet.safetensors --output RUN"
)


def street_card(scores: tuple[Score, ...]) -> Card:
    """The card of the street model."""
    return Card(
        name="street",
        description="street scenes from a car or pavement: U-Net on MobileNetV2",
        class_table=ClassTable.builtin("camvid").to_dict(),
        preprocessing=Preprocessing(
            scale=1 / 127.5,
            mean=(1.0, 1.0, 1.0),
            std=(1.0, 1.0, 1.0),
            resize=Resize(rule="area", pixels=INPUT_SIZE[0] * INPUT_SIZE[1], longest=2048),
            multiple=32,
            remainder=1,
        ),
        postprocessing=Postprocessing(alignment="corners"),
        weights_licence="Apache-2.0 for the encoder's ImageNet start; the trained weights follow "
        "the training data: research and other non-commercial use",
        data="CamVid train, 367 photos (Brostow et al. 2009), SegNet's 480×360 form; "
        "encoder started from ImageNet-1k",
        data_licence="CC BY-NC 4.0 by its repository; the photos' own terms are academic",
        non_commercial=True,
        scores=scores,
        command=_COMMAND,
        storage="float16",
        written_by=f"pixelwise {VERSION}",
    )


def score_on_camvid(model: Path, data: Path) -> SemanticScores:
    """Scores a finished model file by CamVid's protocol on val."""
    predictor = load(model, engine="onnxruntime")
    matrix = ConfusionMatrix(len(predictor.classes), ignore_index=CAMVID_IGNORE_INDEX)
    for sample in read_camvid(data, "val"):
        matrix.update(sample.mask, predictor.predict(sample.image).labels)
    return matrix.scores()


def ship(run: Path, data: Path, output: Path) -> SemanticScores:
    """Exports the best weights of a run and writes the measured score into the card."""
    network = UNet(NETWORK).eval()
    network.load_state_dict(load_file(run / "best.safetensors"))
    content = export_model(network, street_card(()), output, example_size=_EXAMPLE_SIZE)
    scores = score_on_camvid(output, data)
    figures = (
        Score(metric="mIoU", value=round(scores.mean_iou, 4), protocol=_PROTOCOL),
        Score(metric="pixel accuracy", value=round(scores.pixel_accuracy, 4), protocol=_PROTOCOL),
    )
    write_card(content, street_card(figures), output)
    return scores


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description="make street.onnx of a finished run")
    parser.add_argument("--data", type=Path, required=True, help="CamVid, 480x360 form")
    parser.add_argument("--run", type=Path, required=True, help="run folder with best.safetensors")
    parser.add_argument("--output", type=Path, required=True, help="the model file to write")
    arguments = parser.parse_args()
    scores = ship(arguments.run, arguments.data, arguments.output)
    names = ClassTable.builtin("camvid").names
    for name, iou in zip(names, scores.iou, strict=True):
        print(f"{name:12} {100 * iou:5.1f}")
    print(f"{'mean IoU':12} {100 * scores.mean_iou:5.1f}")


if __name__ == "__main__":
    main()
