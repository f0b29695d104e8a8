"""A model is one file: an ONNX network with its card inside."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from pixelwise.errors import CardError, ModelFileError, UnknownModelError, did_you_mean
from pixelwise.inference.card import CARD_KEY, Card, read_card
from pixelwise.inference.onnx_file import OnnxFacts, read_onnx, replace_metadata
from pixelwise.inference.preprocess import plan_input

__all__ = [
    "ModelFile",
    "check_model",
    "find_model",
    "read_model",
    "shipped_models",
    "with_other_card",
]

# Largest file that protocol buffers allow.
_LARGEST = 2**31


@dataclass(frozen=True)
class ModelFile:
    """A checked model file, in memory: engines get these bytes, never the path.

    Attributes:
        path: where it was read.
        content: the whole file.
        sha256: of the content, in hexadecimal.
        card: what the model says of itself.
        input_name, output_name: of the network's tensors.
        one_by_one: whether the network takes one picture at a time.
        input_size: `(H, W)` of its input; None where a side is free.
    """

    path: Path
    content: bytes
    sha256: str
    card: Card
    input_name: str
    output_name: str
    one_by_one: bool
    input_size: tuple[int | None, int | None] = (None, None)


def shipped_models() -> dict[str, Path]:
    """Name and file of every model that comes with the package."""
    folder = Path(str(resources.files("pixelwise"))) / "weights"
    return {path.stem: path for path in sorted(folder.glob("*.onnx"))}


def find_model(name: str | Path) -> Path:
    """The file of a shipped name or a path.

    Raises:
        UnknownModelError: there is neither.
    """
    shipped = shipped_models()
    if str(name) in shipped:
        return shipped[str(name)]
    path = Path(name)
    if path.is_file():
        return path
    looks_like_path = path.suffix == ".onnx" or len(path.parts) > 1
    raise UnknownModelError(
        "there is no such model file" if looks_like_path else "no model of this name ships",
        where=str(name),
        got="a folder" if path.is_dir() else "",
        fix=f"give the path of a model file, or a name. {did_you_mean(str(name), shipped)}",
    )


def read_model(name: str | Path) -> ModelFile:
    """Reads and checks a model, by shipped name or by path.

    Raises:
        UnknownModelError: there is no such model.
        ModelFileError: the file is broken, foreign, or refers to other files.
        CardError: the card is missing, incomplete, or does not fit the network.
    """
    path = find_model(name)
    try:
        if path.stat().st_size >= _LARGEST:
            raise ModelFileError("an ONNX file of 2 GiB or more cannot be read", where=str(path))
        content = path.read_bytes()
    except ModelFileError:
        raise
    except OSError as error:
        raise ModelFileError(
            "the model file cannot be read",
            where=str(path),
            got=error.strerror or str(error),
            fix="check the file's permissions",
        ) from None
    return check_model(content, path)


def check_model(content: bytes, path: Path) -> ModelFile:
    """Checks the content of a model file; the path is for messages only.

    Raises:
        ModelFileError: the content is broken, foreign, or refers to other files.
        CardError: the card is missing, incomplete, or does not fit the network.
    """
    facts = read_onnx(content, where=str(path))
    if CARD_KEY not in facts.metadata:
        raise CardError(
            "this ONNX file carries no pixelwise card",
            where=str(path),
            got=f"metadata: {', '.join(sorted(facts.metadata)) or 'none'}",
            fix="write one into it with pixelwise.export.onnx.write_card",
        )
    card = read_card(facts.metadata[CARD_KEY], where=str(path))
    _check_fit(facts, card, path)
    return ModelFile(
        path=path,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        card=card,
        input_name=facts.inputs[0].name,
        output_name=facts.outputs[0].name,
        one_by_one=facts.inputs[0].shape[0] == 1,
        input_size=(facts.inputs[0].shape[2], facts.inputs[0].shape[3]),
    )


def with_other_card(file: ModelFile, card: Card, path: Path) -> ModelFile:
    """The same network with another card; nothing is written.

    Args:
        file: stays as it is.
        card: takes the place of its card.
        path: of the new file, for messages.

    Raises:
        CardError: the card does not fit the network.
    """
    return check_model(replace_metadata(file.content, {CARD_KEY: card.to_json()}), path)


def _check_fit(facts: OnnxFacts, card: Card, path: Path) -> None:
    faults = []
    if len(facts.inputs) != 1 or len(facts.outputs) != 1:
        faults.append(
            f"{len(facts.inputs)} inputs and {len(facts.outputs)} outputs, expected one of each"
        )
    else:
        given, answer = facts.inputs[0], facts.outputs[0]
        channels = card.preprocessing.channels
        if len(given.shape) != 4 or given.shape[1] not in (channels, None) or not given.is_float32:
            faults.append(
                f"input {_shape_text(given.shape)}, expected float32 [B, {channels}, H, W]"
            )
        else:
            faults += _faults_of_fixed_sides(given.shape, card)
        classes = len(card.classes)
        if len(answer.shape) != 4 or not answer.is_float32:
            faults.append(f"output {_shape_text(answer.shape)}, expected float32 [B, C, h, w]")
        elif answer.shape[1] not in (classes, None):
            faults.append(f"{answer.shape[1]} score maps for a table of {classes} classes")
    if faults:
        raise CardError(
            "the card does not fit its network",
            where=str(path),
            got="; ".join(faults),
            fix="export the model again with the class table it was trained on",
        )


def _faults_of_fixed_sides(shape: tuple[int | None, ...], card: Card) -> list[str]:
    faults = []
    if shape[0] not in (1, None):
        faults.append(f"batches of {shape[0]}, expected 1 or free")
    resize = card.preprocessing.resize
    given: tuple[int | None, int | None] = (None, None)
    if resize.rule == "exact" and resize.size is not None:
        given = plan_input(resize.size, card.preprocessing).padded
    if any(side not in (None, fed) for side, fed in zip(shape[2:], given, strict=True)):
        faults.append(
            f"input {_shape_text(shape)}, the card's rule gives {_shape_text((*shape[:2], *given))}"
        )
    return faults


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join('free' if side is None else str(side) for side in shape)}]"
