"""The plan of a training: every choice, in one file that can be read, edited and given back."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from reprlib import repr as short_repr
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pixelwise.errors import UsageError, did_you_mean
from pixelwise.formats.files import write_atomic

__all__ = [
    "NOT_OF_NETWORK",
    "CardTexts",
    "DataSource",
    "TrainingPlan",
    "explanations",
    "make_plan",
    "read_choices",
    "read_plan",
    "write_plan",
]

_Side = Annotated[int, Field(ge=8, le=16_384)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=1, le=1_000_000)]
_Rate = Annotated[float, Field(gt=0, le=10)]
_Value = Annotated[float, Field(ge=-1e6, le=1e6)]
_Spread = Annotated[float, Field(ge=1e-6, le=1e6)]

_MOST_SHOWN = 20
_MOST_BYTES = 1 << 20

_OF_PAIRS = ("missing", "too_long", "tuple_type")

NOT_OF_NETWORK = frozenset(
    (
        "class_names",
        "classes",
        "encoder",
        "encoder_weights",
        "in_channels",
        "pytorch_file",
        "source",
        "weights",
    )
)
"""What is no option of a network: the data or other choices decide it, or it reads files."""


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """No deeper than options of networks go: YAML can make much of few bytes."""
    for name, value in options.items():
        parts = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(part, bool | int | float | str | None) for part in parts):
            raise ValueError(f"{name}: a number, a word, or a list of them")
    return options


_Options = Annotated[dict[str, Any], AfterValidator(_plain)]


class _Part(BaseModel):
    # Not strict: YAML writes pairs as lists and whole numbers without a point.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataSource(_Part):
    """A data set, and what `pixelwise.data.open` was told about it.

    Attributes:
        path: folder, or annotation file.
        layout, classes, images, masks, valid, rest, splits: as in `pixelwise.data.open`.
    """

    path: str
    layout: str | None = None
    classes: str | None = None
    images: str | None = None
    masks: str | None = None
    valid: str | None = None
    rest: str | None = None
    splits: str | None = None


class CardTexts(_Part):
    """What the finished model says of itself, beside what is measured.

    Attributes:
        name, description: of the model.
        data: the training data, in words; empty for the names of the folders.
        data_licence, weights_licence: under which they may be used.
        non_commercial: whether the training data forbids commercial use.
        command: what trains it.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)] = "model"
    description: str = ""
    data: str = ""
    data_licence: str = "not stated"
    weights_licence: str = "not stated"
    non_commercial: bool = False
    command: str = "pixelwise train --plan plan.yaml -o RUN"


class TrainingPlan(_Part):
    """Every choice of a training.

    Attributes:
        data: the data sets.
        classes: file that says how the classes of the data sets become one table, or that table;
            None: the classes of the data.
        train: split to learn from; several with "+" between them.
        validation: split to score on; None: a part of `train` is kept back, by groups.
        validation_share: of the pictures of `train` that are kept back where there is no split.
        kind: "multi_class": a pixel has one class; "multi_label": any number of them, each a yes or
            no of its own. The data decides, and where it can be read as both, this choice.
        instances: what becomes of single objects: "merge" forgets them, "borders" teaches
            outside, inside and border, so that objects that touch come apart.
        architecture: name of the network; `pixelwise models --architectures` lists them.
        encoder: name of its encoder.
        encoder_weights: "shipped", "timm" (downloads), a safetensors file, or None for random ones.
        network: further options of the architecture.
        start_from: model whose weights the training begins with, or None.
        freeze_encoder_norm: the encoder's normalisation keeps its statistics.
        resize: "area" brings every picture to about `pixels`, "none" leaves it as it is; both for
            training and for prediction.
        pixels: for "area": height × width.
        longest: no side of a picture given to the network is longer.
        crop: `(H, W)` of the pieces that are trained on.
        mean, std: of each band, in shares of the full scale.
        augmentation: "none", "light", "medium" or "strong".
        any_way_up: pictures have no upper side: they are turned and flipped every way.
        sampling: "shuffled", or "weighted" towards pictures with rare classes.
        aim: share of the crops that are laid on a rare class.
        mix: "none", "cutmix" or "classmix".
        epochs: passes over the training pictures.
        batch: pictures of a step, over all processes.
        accumulate: parts into which each process cuts its share of a batch to save memory.
        learning_rate: the highest, of the decoder.
        encoder_rate: the encoder's learning rate as a fraction of it.
        schedule: how the learning rate falls: "cosine", "poly" (power 0.9) or "constant".
        warmup_steps: steps over which it rises.
        weight_decay: AdamW's, on weights of more than one dimension.
        clip: longest gradient (2-norm); None leaves it.
        average_decay: of the averaged weights that are scored and kept; 0 keeps the last.
        loss: names and weights, such as "cross-entropy + 0.5 dice"; of several classes per pixel
            "binary-cross-entropy + dice".
        class_weights: "none", "median-frequency", "sqrt-median-frequency", "inverse",
            "sqrt-inverse" or "effective-number"; of several classes per pixel "none", "inverse" or
            "sqrt-inverse", for pixels with a class against those without it.
        label_smoothing: share of the truth that is spread over all classes.
        auxiliary_weight: of the losses of auxiliary heads.
        precision: of the network's sums in training: weights stay float32.
        channels_last: memory layout of the maps; faster for convolutions on most processors.
        compile: through torch.compile.
        strategy: of several processes: "ddp" copies the network, "fsdp" cuts it in shards.
        score_every: epochs between two scorings; the last tenth is scored each epoch.
        early_stop: scorings without a better one after which training ends; 0 never.
        log_every: steps between two lines of the log.
        checkpoint_seconds: between two checkpoints within an epoch; neither the weights nor the log
            depend on it.
        workers: threads that read pictures; None takes every core.
        seed: of weights, order and augmentation.
        card: what the finished model says of itself.
    """

    data: Annotated[tuple[DataSource, ...], Field(min_length=1)]
    classes: str | None = None
    train: str = "train"
    validation: str | None = "val"
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    kind: Literal["multi_class", "multi_label"] = "multi_class"
    instances: Literal["merge", "borders"] = "merge"

    architecture: str = "unet"
    encoder: str = "mobilenetv2_100"
    encoder_weights: str | None = "shipped"
    network: _Options = Field(default_factory=dict)
    start_from: str | None = None
    freeze_encoder_norm: bool = True

    resize: Literal["area", "none"] = "none"
    pixels: Annotated[int, Field(ge=64, le=2**32)] | None = None
    longest: Annotated[int, Field(ge=8, le=65_536)] = 4096
    crop: tuple[_Side, _Side] = (385, 385)
    mean: tuple[_Value, ...] = (0.5, 0.5, 0.5)
    std: tuple[_Spread, ...] = (0.5, 0.5, 0.5)

    augmentation: Literal["none", "light", "medium", "strong"] = "medium"
    any_way_up: bool = False
    sampling: Literal["shuffled", "weighted"] = "shuffled"
    aim: _Share = 0.0
    mix: Literal["none", "cutmix", "classmix"] = "none"

    epochs: _Count = 50
    batch: _Count = 8
    accumulate: _Count = 1
    learning_rate: _Rate = 1e-3
    encoder_rate: _Share = 0.3
    schedule: Literal["cosine", "poly", "constant"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-2
    clip: Annotated[float, Field(gt=0)] | None = 5.0
    average_decay: Annotated[float, Field(ge=0, lt=1)] = 0.998

    loss: str = "cross-entropy + dice"
    class_weights: Literal[
        "none",
        "median-frequency",
        "sqrt-median-frequency",
        "inverse",
        "sqrt-inverse",
        "effective-number",
    ] = "none"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    auxiliary_weight: _Share = 0.4

    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    channels_last: bool = True
    compile: bool = False
    strategy: Literal["ddp", "fsdp"] = "ddp"

    score_every: _Count = 1
    early_stop: Annotated[int, Field(ge=0)] = 0
    log_every: _Count = 10
    checkpoint_seconds: Annotated[float, Field(ge=0, le=1e6)] = 60.0
    workers: Annotated[int, Field(ge=0, le=1024)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    card: CardTexts = CardTexts()

    @model_validator(mode="after")
    def _holds_together(self) -> TrainingPlan:
        if self.resize == "area" and self.pixels is None:
            raise ValueError("resize 'area' needs pixels")
        doubled = sorted(NOT_OF_NETWORK & self.network.keys())
        if doubled:
            raise ValueError(f"network: {', '.join(doubled)} cannot be given there")
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} bands, std {len(self.std)}")
        return self

    @property
    def fingerprint(self) -> str:
        """The same for plans that train alike, wherever their files lie."""
        elsewhere = {"card", "checkpoint_seconds", "classes", "data", "start_from", "workers"}
        # Runs that began before there was another kind go on.
        elsewhere |= {"kind"} if self.kind == "multi_class" else set()
        chosen = self.model_dump_json(exclude=elsewhere | {"encoder_weights"})
        return sha256(chosen.encode()).hexdigest()

    def changed(self, **choices: object) -> TrainingPlan:
        """The plan with other choices, checked like a new one."""
        return make_plan({**self.model_dump(), **choices}, where="the plan")


def make_plan(choices: Mapping[str, object], *, where: str) -> TrainingPlan:
    """Checks the choices.

    Raises:
        UsageError: lists every choice that cannot be.
    """
    try:
        return TrainingPlan.model_validate(dict(choices))
    except ValidationError as error:
        faults = [
            _fault(fault["loc"], fault["type"], fault["msg"], fault["input"])
            for fault in error.errors(include_url=False)
        ]
        raise UsageError(
            "the plan of the training cannot be used",
            where=where,
            got="; ".join(faults[:_MOST_SHOWN]) + (" …" if len(faults) > _MOST_SHOWN else ""),
            fix="change the choices named above",
        ) from None


def _fault(place: tuple[int | str, ...], kind: str, message: str, value: object) -> str:
    name = ".".join(str(step) for step in place)
    if kind == "extra_forbidden":
        return f"{name}: no such choice ({did_you_mean(name, TrainingPlan.model_fields)})"
    if kind in _OF_PAIRS and place[0] == "crop":
        return f"crop={short_repr(value)}: two sides, such as 385x513"
    if kind == "missing":
        return f"{name}: missing"
    reason = message.removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{name}={short_repr(value)}: {reason}" if name else reason


def read_choices(path: Path) -> dict[str, object]:
    """Reads choices of a plan from YAML, as they are.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES:,} bytes")
        content = yaml.safe_load(text.decode())
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        # ValueError: bytes that are no text, or a date that is none.
        raise UsageError(
            "the plan cannot be read",
            where=str(path),
            got=(error.strerror if isinstance(error, OSError) else None)
            or " ".join(str(error).split()),
            fix="give a YAML file such as the plan.yaml in the folder of a run",
        ) from None
    if not isinstance(content, dict):
        raise UsageError(
            "the plan is no table of choices",
            where=str(path),
            got=type(content).__name__,
            fix="give a YAML file of lines such as `epochs: 50`",
        )
    return {str(key): value for key, value in content.items()}


def read_plan(path: Path) -> TrainingPlan:
    """Reads a plan from YAML.

    Raises:
        UsageError: the file cannot be read, or lists every choice that cannot be.
    """
    return make_plan(read_choices(path), where=str(path))


def explanations() -> dict[str, str]:
    """What each choice is, from the documentation of `TrainingPlan`."""
    text = inspect.cleandoc(TrainingPlan.__doc__ or "").partition("Attributes:")[2]
    told: dict[str, str] = {}
    for entry in re.split(r"\n    (?=\w)", text):
        names, _, words = entry.strip().partition(":")
        if not names:
            continue
        told |= dict.fromkeys(names.split(", "), " ".join(words.split()))
    return told


def write_plan(plan: TrainingPlan, path: Path, reasons: Mapping[str, str] | None = None) -> None:
    """Writes the plan as YAML, the reason of each choice beside it.

    Raises:
        OutputError: the file cannot be written.
    """
    lines = ["# The plan of a training. Edit it and give it back: pixelwise train --plan FILE"]
    for name, value in plan.model_dump(mode="json", exclude_defaults=False).items():
        reason = " ".join((reasons or {}).get(name, "").split())
        lines.append(_readable(f"{name}: {_inline(value)}" + (f"  # {reason}" if reason else "")))
    write_atomic(path, ("\n".join(lines) + "\n").encode())


def _readable(line: str) -> str:
    """The line with what YAML does not take as it is, such as control characters, as escapes."""
    return "".join(
        letter
        if letter.isprintable()
        else f"\\U{ord(letter):08x}"
        if ord(letter) > 0xFFFF
        else f"\\u{ord(letter):04x}"
        for letter in line
    )


def _inline(value: object) -> str:
    """A value on one line: JSON, which is YAML."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        kept = [{key: part for key, part in item.items() if part is not None} for item in value]
        return json.dumps(kept, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)
