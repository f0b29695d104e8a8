from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import pixelwise
from pixelwise.classes import ClassTable
from pixelwise.inference.model_file import read_model
from pixelwise.inference.preprocess import plan_input
from pixelwise.metrics.confusion import ConfusionMatrix
from pixelwise.models.unet import UNet
from pixelwise.training.ship import score_on_camvid, ship, street_card
from pixelwise.training.street import INPUT_SIZE, NETWORK


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """A network that was never trained, shipped and scored on three made photos."""
    root = tmp_path_factory.mktemp("ship")
    generator = np.random.default_rng(3)
    (root / "val").mkdir()
    (root / "valannot").mkdir()
    lines = []
    for number in range(3):
        mask = np.kron(generator.integers(0, 12, (6, 8)), np.ones((12, 12), np.uint8))
        Image.fromarray(mask.astype(np.uint8)).save(root / "valannot" / f"{number}.png")
        photo = generator.integers(0, 256, (72, 96, 3), np.uint8)
        Image.fromarray(photo).save(root / "val" / f"{number}.png")
        lines.append(f"val/{number}.png valannot/{number}.png")
    (root / "val.txt").write_text("\n".join(lines))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    save_file(UNet(NETWORK).state_dict(), root / "best.safetensors")
    scores = ship(root, root, root / "out" / "street.onnx")
    torch.set_num_threads(threads)
    return root, scores


def test_the_card_carries_the_score_of_the_finished_file(shipped):
    root, scores = shipped
    model = pixelwise.load(root / "out" / "street.onnx", engine="onnxruntime", threads=1)
    matrix = ConfusionMatrix(11, ignore_index=11)
    for number in range(3):
        mask = np.asarray(Image.open(root / "valannot" / f"{number}.png"))
        matrix.update(mask, model.predict(root / "val" / f"{number}.png").labels)
    figures = {score.metric: score.value for score in model.card.scores}
    assert figures["mIoU"] == round(matrix.scores().mean_iou, 4) == round(scores.mean_iou, 4)
    assert figures["pixel accuracy"] == round(matrix.scores().pixel_accuracy, 4)
    assert 0 < figures["mIoU"] < 0.2
    assert score_on_camvid(root / "out" / "street.onnx", root).mean_iou == scores.mean_iou


def test_the_file_is_small_and_stored_in_halves(shipped):
    model = read_model(shipped[0] / "out" / "street.onnx")
    assert model.card.storage == "float16"
    assert len(model.content) <= 12_000_000
    assert model.card.classes == ClassTable.builtin("camvid")


def test_the_card_says_what_binds_its_users():
    card = street_card(())
    assert card.non_commercial
    assert "non-commercial" in card.weights_licence
    assert "CC BY-NC" in card.data_licence
    assert card.command.startswith("python -m pixelwise.training.street")


def test_the_input_of_camvid_photos_is_that_of_the_training():
    plan = plan_input((360, 480), street_card(()).preprocessing)
    padded = tuple(side + (1 - side) % 32 for side in plan.resized)
    assert plan.padded == padded
    assert plan.resized[0] * plan.resized[1] == pytest.approx(
        INPUT_SIZE[0] * INPUT_SIZE[1], rel=0.01
    )


def test_the_card_of_the_shipped_file_is_the_one_made_now():
    """Whoever changes the card ships the model again."""
    shipped = read_model("street").card
    now = street_card(shipped.scores)
    assert shipped == now.model_copy(update={"written_by": shipped.written_by})
