"""What a model file keeps beside its network, so that training can go on from it.

On export a batch normalisation becomes part of the convolution in front of it (Ioffe, Szegedy,
ICML 2015): with r = γ / √(σ² + ε), the file holds r · W and β + (c − μ) · r for weights W and a
bias c. Beside them it keeps γ, μ and σ, mostly in half precision. W and β follow from what the file
holds and from these rounded values, so that what the rounding loses is made good: the network that
is built anew answers as the file does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pixelwise.errors import WeightsError
from pixelwise.inference.model_file import ModelFile
from pixelwise.inference.onnx_file import read_onnx
from pixelwise.models.build import ARCHITECTURES
from pixelwise.models.network import NetworkConfig, SegmentationNetwork

__all__ = ["AUXILIARY", "TRAINING_KEY", "TrainingWeights", "read_training_weights", "training_text"]

AUXILIARY = "auxiliary_head."
"""How the keys of a head begin that only training uses."""

TRAINING_KEY = "pixelwise.training"
"""Where the text is in the metadata of a model file."""

_HALVED = ".float16"
_LARGEST_TEXT = 2**26
# Beyond this the file would pay more for what prediction never reads than it is worth.
_LARGEST_SHARE, _ALWAYS_KEPT = 0.1, 2**16
_SMALLEST_HALVED = 1024
_LARGEST_HALF = 65_504
_LARGEST_MOVE = 5e-3
_SAME_RELATIVE, _SAME_ABSOLUTE = 2e-3, 1e-4
_MOST_SHOWN = 6

_Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TrainingWeights:
    """A network as its training left it.

    Attributes:
        architecture, encoder, options: of `pixelwise.models.build.build`.
        tensors: float32, by the key in the network's state; without those of auxiliary heads,
            which prediction does not use, and without counters.
    """

    architecture: str
    encoder: str
    options: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class _Folded(_Form):
    """A convolution that its normalisation became part of.

    Attributes:
        norm: of the normalisation, the beginning of its keys.
        weight, bias: names in the file.
        axis: of the output channels in the weight.
        epsilon: of the normalisation.
    """

    norm: str
    weight: str
    bias: str
    axis: Literal[0, 1]
    epsilon: Annotated[float, Field(gt=0, le=1)]


class _Text(_Form):
    """The whole, as JSON.

    Attributes:
        format: version of this form.
        architecture, encoder, options: what the network is built from.
        taken: key of a tensor -> name in the file of the same values.
        transposed: keys of those that lie there as columns.
        folded: convolutions, by the beginning of their keys.
        tensors: the rest, safetensors as base64.
    """

    format: Literal[1] = 1
    architecture: str
    encoder: str
    options: dict[str, Any]
    taken: dict[str, str]
    transposed: tuple[str, ...]
    folded: dict[str, _Folded]
    tensors: str


def training_text(network: SegmentationNetwork, content: bytes) -> str:
    """What the weights in an ONNX file lack to be those of the network, as text.

    Args:
        network: that the file was exported from.
        content: the file, its large weights as float16 or not.

    Returns:
        text for the metadata; empty where it would be more than a tenth of the file.
    """
    model = onnx.load_model_from_string(content)
    stored = _stored(model)
    state = {
        key: tensor.detach().cpu().float().numpy()
        for key, tensor in network.state_dict().items()
        if tensor.is_floating_point() and not key.startswith(AUXILIARY)
    }
    taken = {key: key for key, value in state.items() if _is_there(value, stored.get(key))}
    missing = {key: value for key, value in state.items() if key not in taken}
    folded = _folded(network, missing, stored, _biases(model))
    kept: dict[str, NDArray[Any]] = {}
    for convolution, folding in folded.items():
        del missing[f"{convolution}.weight"], missing[f"{folding.norm}.bias"]
        kept |= _kept_of_norm(
            folding.norm,
            missing.pop(f"{folding.norm}.weight"),
            missing.pop(f"{folding.norm}.running_mean"),
            missing.pop(f"{folding.norm}.running_var"),
            folding.epsilon,
        )
    elsewhere, transposed = _elsewhere(missing, stored)
    taken |= elsewhere
    for key, value in missing.items():
        if key in taken:
            continue
        kept[key] = _half(value) if value.size >= _SMALLEST_HALVED else value
    architecture, options = _choices(network)
    text = _Text(
        architecture=architecture,
        encoder=network.config.encoder,
        options=options,
        taken=taken,
        transposed=transposed,
        folded=folded,
        tensors=base64.b64encode(save(kept)).decode(),
    ).model_dump_json()
    return text if len(text) <= max(_ALWAYS_KEPT, _LARGEST_SHARE * len(content)) else ""


def read_training_weights(file: ModelFile) -> TrainingWeights:
    """The network of a model file as its training left it.

    Raises:
        WeightsError: the file keeps none, or they are damaged; lists every fault.
    """
    where = str(file.path)
    text = read_onnx(file.content, where=where).metadata.get(TRAINING_KEY)
    if text is None:
        raise WeightsError(
            "this model file is for prediction only: training cannot go on from it",
            where=where,
            got=f"no {TRAINING_KEY} in its metadata",
            fix="give the folder of the run that made it, or train it anew with this version",
        )
    if len(text) > _LARGEST_TEXT:
        raise _damaged(where, f"{len(text):,} characters, at most {_LARGEST_TEXT:,}")
    try:
        form = _Text.model_validate_json(text)
        kept = {key: _floats(value) for key, value in load(_bytes(form.tensors)).items()}
        stored = _stored(onnx.load_model_from_string(file.content))
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        ]
        raise _damaged(where, "; ".join(faults[:_MOST_SHOWN])) from None
    except (DecodeError, KeyError, SafetensorError, TypeError, ValueError) as error:
        raise _damaged(where, str(error).partition("\n")[0] or type(error).__name__) from None
    tensors, faults = _rebuilt(form, stored, kept)
    if faults:
        raise _damaged(where, "; ".join(faults[:_MOST_SHOWN]))
    return TrainingWeights(
        form.architecture,
        form.encoder,
        form.options,
        {key: torch.from_numpy(value.copy()) for key, value in tensors.items()},
    )


def _stored(model: onnx.ModelProto) -> dict[str, _Array]:
    """The weights in a file as float32, by the names they had before they were halved."""
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16)
    return {
        tensor.name.removesuffix(_HALVED): numpy_helper.to_array(tensor).astype(np.float32)
        for tensor in model.graph.initializer
        if tensor.data_type in kinds
    }


def _biases(model: onnx.ModelProto) -> dict[str, str]:
    """Name of the weight of each convolution with a bias -> name of the bias."""
    return {
        node.input[1]: node.input[2]
        for node in model.graph.node
        if node.op_type in ("Conv", "ConvTranspose") and len(node.input) == 3
    }


def _is_there(value: _Array, stored: _Array | None) -> bool:
    return stored is not None and _print(stored) in _prints(value)


def _elsewhere(
    state: Mapping[str, _Array], stored: Mapping[str, _Array]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Where in the file each tensor lies by another name, and which lie there transposed.

    The exporter renames the matrices that it transposes, and of equal tensors it keeps one.
    """
    places = {_print(value): name for name, value in stored.items()}
    taken, transposed = {}, []
    for key, value in state.items():
        found = next((places[each] for each in _prints(value) if each in places), None)
        if found is None and value.ndim == 2:
            found = next((places[each] for each in _prints(value.T) if each in places), None)
            transposed += [key] if found is not None else []
        if found is not None:
            taken[key] = found
    return taken, tuple(transposed)


def _print(value: _Array) -> tuple[tuple[int, ...], bytes]:
    return value.shape, hashlib.blake2b(np.ascontiguousarray(value).data).digest()


def _prints(value: _Array) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """A tensor as the file may hold it: exactly, or rounded to float16."""
    yield _print(value)
    with np.errstate(over="ignore"):
        yield _print(value.astype(np.float16).astype(np.float32))


def _folded(
    network: nn.Module,
    missing: Mapping[str, _Array],
    stored: Mapping[str, _Array],
    biases: Mapping[str, str],
) -> dict[str, _Folded]:
    """The convolutions that a normalisation became part of, found by what came out."""
    modules = list(network.named_modules())
    norms = {
        name: (place, module)
        for place, (name, module) in enumerate(modules)
        if isinstance(module, _BatchNorm)
        and all(f"{name}.{part}" in missing for part in _NORM_PARTS)
    }
    found: dict[str, _Folded] = {}
    for place, (name, module) in enumerate(modules):
        weight = f"{name}.weight"
        axis: Literal[0, 1] = 1 if isinstance(module, nn.ConvTranspose2d) else 0
        convolves = isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
        if not convolves or weight not in missing or biases.get(weight) not in stored:
            continue
        # Usually it is the next normalisation.
        for norm in sorted(norms, key=lambda each: abs(norms[each][0] - place - 0.5)):
            epsilon = float(norms[norm][1].eps)
            folding = _Folded(
                norm=norm, weight=weight, bias=biases[weight], axis=axis, epsilon=epsilon
            )
            if _is_folded(name, folding, missing, stored):
                found[name] = folding
                del norms[norm]
                break
    return found


_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")


def _is_folded(
    convolution: str, folding: _Folded, state: Mapping[str, _Array], stored: Mapping[str, _Array]
) -> bool:
    weight, norm = state[f"{convolution}.weight"], folding.norm
    gamma, beta, mean, variance = (state[f"{norm}.{part}"] for part in _NORM_PARTS)
    in_file, bias_in_file = stored[folding.weight], stored[folding.bias]
    if in_file.shape != weight.shape or gamma.shape != bias_in_file.shape:
        return False
    if gamma.shape != (weight.shape[folding.axis],):
        return False
    own_bias = state.get(f"{convolution}.bias", np.zeros_like(gamma))
    ratio = gamma / np.sqrt(variance + folding.epsilon)
    bias = beta + (own_bias - mean) * ratio
    return _is_same(in_file, weight * _along(ratio, weight, folding.axis)) and _is_same(
        bias_in_file, bias
    )


def _is_same(one: _Array, other: _Array) -> bool:
    return bool(np.allclose(one, other, rtol=_SAME_RELATIVE, atol=_SAME_ABSOLUTE))


def _along(vector: NDArray[Any], weight: NDArray[Any], axis: int) -> NDArray[Any]:
    """`[C]` shaped so that it goes along an axis of a weight."""
    return vector.reshape([-1 if each == axis else 1 for each in range(weight.ndim)])


def _kept_of_norm(
    norm: str, gamma: _Array, mean: _Array, variance: _Array, epsilon: float
) -> dict[str, NDArray[Any]]:
    """γ, μ and σ of a normalisation: as float16, unless β would follow from them too roughly."""
    exact = gamma, mean, np.sqrt(variance)
    halves = _half(gamma), _half(mean), _half(exact[2])
    moved = _shift(*exact, epsilon) - _shift(*halves, epsilon)
    chosen = halves if np.abs(moved).max(initial=0) <= _LARGEST_MOVE else exact
    parts = ("weight", "running_mean", "deviation")
    return {f"{norm}.{part}": value for part, value in zip(parts, chosen, strict=True)}


def _shift(
    gamma: NDArray[Any], mean: NDArray[Any], deviation: NDArray[Any], epsilon: float
) -> NDArray[np.float64]:
    """What a normalisation takes from β."""
    wide = deviation.astype(np.float64)
    shift: NDArray[np.float64] = mean * (gamma / np.sqrt(wide * wide + epsilon))
    return shift


def _half(value: _Array) -> NDArray[Any]:
    """As float16 where its range suffices."""
    return value.astype(np.float16) if np.abs(value).max(initial=0) <= _LARGEST_HALF else value


def _choices(network: SegmentationNetwork) -> tuple[str, dict[str, Any]]:
    """The name of the architecture, and the options that make the network."""
    config = network.config
    everyones = {field.name for field in fields(NetworkConfig)}
    values = {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if field.name not in everyones
    }
    name, entry = next(
        (name, entry)
        for name, entry in ARCHITECTURES.items()
        if entry.network is type(network)
        and all(values[option] == value for option, value in entry.options.items())
    )
    options = {option: value for option, value in values.items() if option not in entry.options}
    return name, json.loads(json.dumps(options))


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"tensors: {error}") from None


def _floats(value: NDArray[Any]) -> _Array:
    if value.dtype not in (np.float16, np.float32):
        raise ValueError(f"tensors: {value.dtype}, float16 or float32 expected")
    return value.astype(np.float32)


def _rebuilt(
    form: _Text, stored: Mapping[str, _Array], kept: Mapping[str, _Array]
) -> tuple[dict[str, _Array], list[str]]:
    """The tensors by key, and what is wrong with them."""
    tensors, faults = {}, []
    rest = dict(kept)
    for key, name in form.taken.items():
        if name not in stored:
            faults.append(f"{key}: the file has no {name}")
        else:
            tensors[key] = stored[name].T if key in form.transposed else stored[name]
    for convolution, folding in form.folded.items():
        try:
            tensors |= _unfolded(convolution, folding, stored, rest)
        except KeyError as error:
            faults.append(f"{convolution}: the file has no {error.args[0]}")
        except ValueError as error:
            faults.append(f"{convolution}: {error}")
    tensors |= rest
    faults += [f"{key}: not finite" for key, value in tensors.items() if not _is_finite(value)]
    return tensors, faults


def _is_finite(value: _Array) -> bool:
    return bool(np.isfinite(value).all())


def _unfolded(
    convolution: str,
    folding: _Folded,
    stored: Mapping[str, _Array],
    rest: dict[str, _Array],
) -> dict[str, _Array]:
    """Takes a convolution and its normalisation apart.

    Args:
        convolution: the beginning of its keys.
        folding: where its parts are.
        stored: the file's own weights.
        rest: what the file keeps beside; what is used here goes out of it.

    Raises:
        KeyError: a part is missing.
        ValueError: shapes contradict each other.
    """
    norm = folding.norm
    weight = stored[folding.weight].astype(np.float64)
    bias = stored[folding.bias].astype(np.float64)
    gamma = rest.pop(f"{norm}.weight").astype(np.float64)
    mean = rest.pop(f"{norm}.running_mean").astype(np.float64)
    variance = rest.pop(f"{norm}.deviation").astype(np.float64) ** 2
    own_bias = rest.get(f"{convolution}.bias", np.zeros(bias.shape, np.float32))
    shapes = {each.shape for each in (bias, gamma, mean, variance, own_bias)}
    if weight.ndim <= folding.axis or shapes != {(weight.shape[folding.axis],)}:
        raise ValueError(f"shapes {sorted(shapes)} beside weights of {weight.shape}")
    ratio = gamma / np.sqrt(variance + folding.epsilon)
    # Where γ is 0 nothing of the weights is left in the file.
    inverse = np.divide(1, ratio, out=np.zeros_like(ratio), where=ratio != 0)
    with np.errstate(over="ignore", invalid="ignore"):
        return {
            f"{convolution}.weight": (weight * _along(inverse, weight, folding.axis)).astype(
                np.float32
            ),
            f"{norm}.weight": gamma.astype(np.float32),
            f"{norm}.bias": (bias - (own_bias - mean) * ratio).astype(np.float32),
            f"{norm}.running_mean": mean.astype(np.float32),
            f"{norm}.running_var": variance.astype(np.float32),
        }


def _damaged(where: str, got: str) -> WeightsError:
    return WeightsError(
        "what the model file keeps for training is damaged",
        where=where,
        got=got,
        fix="copy the file again, or give the folder of the run that made it",
    )
