"""Turns a torch network into a model file: one ONNX file with its card inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from pixelwise.errors import EngineError
from pixelwise.export.training_weights import TRAINING_KEY, training_text
from pixelwise.formats.files import write_atomic
from pixelwise.inference.card import CARD_KEY, Card
from pixelwise.inference.engines import make_engine
from pixelwise.inference.model_file import ModelFile, check_model
from pixelwise.inference.onnx_file import with_metadata
from pixelwise.models.network import SegmentationNetwork
from pixelwise.percentages import percent

__all__ = ["TRACED_SIZE", "export_model", "store_as_float16", "to_onnx", "write_card"]

_OPSET = 18
# At no stride is a map of this size a single window of a transformer, or whole windows.
TRACED_SIZE = (851, 1187)
# Halving smaller tensors saves nothing and costs precision in normalisation and bias.
_SMALLEST_HALVED = 1024
_LEAST_AGREEMENT = 0.99


def to_onnx(
    network: nn.Module, example_size: tuple[int, int] = TRACED_SIZE, *, bands: int = 3
) -> bytes:
    """The network as ONNX: `image` float32 `[B, bands, H, W]` -> `logits` `[B, C, h, w]`, all free.

    Args:
        network: in evaluation mode.
        example_size: `(H, W)` of the picture that is traced; any size that the network takes.
            What is so for this size by chance, such as a map that is whole windows, the exporter
            takes for a rule.
        bands: of the pictures it takes.
    """
    free = torch.export.Dim.DYNAMIC
    program = torch.onnx.export(
        network.eval(),
        (torch.zeros(2, bands, *example_size),),
        dynamo=True,
        opset_version=_OPSET,
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=({0: free, 2: free, 3: free},),
        verbose=False,
    )
    if program is None:
        raise EngineError("the exporter gave no network", where=type(network).__name__)
    model = program.model_proto
    # The exporter notes the source lines of the machine it ran on; they are nobody's business.
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    return bytes(model.SerializeToString())


def store_as_float16(content: bytes) -> bytes:
    """The same network with its large float32 weights kept as float16 and cast back on load.

    The computation stays float32; only the weights are rounded, to 11 significant bits.
    """
    model = onnx.load_model_from_string(content)
    graph = model.graph
    kept, casts = [], []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _SMALLEST_HALVED:
            kept.append(tensor)
            continue
        halved = numpy_helper.to_array(tensor).astype(np.float16)
        stored = f"{tensor.name}.float16"
        kept.append(numpy_helper.from_array(halved, stored))
        casts.append(helper.make_node("Cast", [stored], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def write_card(content: bytes, card: Card, path: Path) -> None:
    """Puts the card into an ONNX model, checks the whole as on loading, and writes the file.

    Raises:
        ModelFileError: the content is no ONNX model (`CardError`: the card does not fit it).
        OutputError: the file cannot be written.
    """
    write_atomic(path, _with_card(content, card, path).content)


def export_model(
    network: nn.Module, card: Card, path: Path, *, example_size: tuple[int, int]
) -> bytes:
    """Exports, stores the weights as the card says, and checks the file against the network.

    A network of pixelwise leaves in the file what `pixelwise train --finetune` goes on from.

    Returns:
        the ONNX model without its card.

    Raises:
        EngineError: the exported network does not give the answers of the torch network.
        CardError: the card does not fit the network.
        OutputError: the file cannot be written.
    """
    content = to_onnx(network, example_size)
    if card.storage == "float16":
        content = store_as_float16(content)
    if isinstance(network, SegmentationNetwork) and (text := training_text(network, content)):
        content = with_metadata(content, {TRAINING_KEY: text})
    file = _with_card(content, card, path)
    engine = make_engine(file, engine="onnxruntime")
    height, width = example_size
    generator = np.random.default_rng(0)
    for size in ((height, width), (height + 32, width), (height, width + 64)):
        image = generator.uniform(-1, 1, (1, 3, *size)).astype(np.float32)
        with torch.inference_mode():
            expected = network(torch.from_numpy(image)).numpy()
        scores = engine.run(image)
        if card.postprocessing.activation == "sigmoid":
            agreement = float(((scores >= 0) == (expected >= 0)).mean())
        else:
            agreement = float((scores.argmax(1) == expected.argmax(1)).mean())
        if agreement < _LEAST_AGREEMENT:
            raise EngineError(
                "the exported network does not give the same answers; nothing is written",
                where=str(path),
                got=f"{percent(agreement, 2)} of the labels agree at {size}, least "
                f"{percent(_LEAST_AGREEMENT, 2)}",
                fix="export with storage='float32'",
            )
    write_atomic(path, file.content)
    return content


def _with_card(content: bytes, card: Card, path: Path) -> ModelFile:
    return check_model(with_metadata(content, {CARD_KEY: card.to_json()}), path)
