"""The card of a model: all that turns its network into answers, kept inside the ONNX file."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pixelwise.classes import ClassTable
from pixelwise.errors import CardError, ClassTableError
from pixelwise.percentages import percent
from pixelwise.temperature import LocalTemperature, fits_classes

__all__ = [
    "CARD_KEY",
    "Card",
    "Conformal",
    "Drop",
    "Postprocessing",
    "Preprocessing",
    "Resize",
    "Score",
    "Verdict",
    "read_card",
]

CARD_KEY = "pixelwise.card"
MOST_CHANNELS = 1024

# Far beyond any real scaling, and far from where float32 ends.
_Number = Annotated[float, Field(ge=-1e6, le=1e6)]
_Positive = Annotated[float, Field(ge=1e-6, le=1e6)]
_Temperature = Annotated[float, Field(ge=0.01, le=100)]
_Side = Annotated[int, Field(ge=1, le=65_536)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Threshold = Annotated[float, Field(gt=0, lt=1)]

# Not written where they say nothing new, so that cards of plain models stay as they were.
_LATER = ("engine", "precision", "verdict")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Resize(_Part):
    """How a picture is brought to the network's scale.

    Attributes:
        rule: `"area"` keeps the aspect ratio and brings the picture to about `pixels`; `"exact"`
            stretches it to `size`; `"none"` leaves it alone.
        pixels: for `"area"`, height × width to reach.
        size: for `"exact"`, `(H, W)`.
        longest: for `"area"` and `"none"`, no side becomes longer than this.
    """

    rule: Literal["area", "exact", "none"]
    pixels: Annotated[int, Field(ge=1, le=2**32)] | None = None
    size: tuple[_Side, _Side] | None = None
    longest: _Side = 4096

    @model_validator(mode="after")
    def _has_what_its_rule_needs(self) -> Resize:
        if self.rule == "area" and self.pixels is None:
            raise ValueError("the rule 'area' needs pixels")
        if self.rule == "exact" and self.size is None:
            raise ValueError("the rule 'exact' needs size")
        return self


class Preprocessing(_Part):
    """From a photo to the network's input.

    Attributes:
        colour_order: of the input channels.
        scale: each value is multiplied by this first.
        mean, std: then `(value - mean) / std`, for each of the B channels.
        bands: name of each channel, such as `("B4", "B3", "B2")`; empty where none were given.
        dtype: of the pictures that `scale` is meant for; values of other pictures are not
            comparable, unless somebody states their range.
        resize: the rule for the size.
        multiple, remainder: the input is padded with zeros, right and below, to the next size
            that leaves `remainder` when divided by `multiple`.
    """

    colour_order: Literal["RGB", "BGR"] = "RGB"
    scale: _Positive
    mean: Annotated[tuple[_Number, ...], Field(min_length=1, max_length=MOST_CHANNELS)]
    std: Annotated[tuple[_Positive, ...], Field(min_length=1, max_length=MOST_CHANNELS)]
    bands: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    dtype: Literal["uint8", "uint16", "int16", "float32"] = "uint8"
    resize: Resize
    multiple: _Side = 1
    remainder: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _has_as_many_of_each(self) -> Preprocessing:
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean of {len(self.mean)} channels, std of {len(self.std)}")
        if self.bands and len(set(self.bands)) != len(self.mean):
            raise ValueError(f"{len(self.mean)} channels, band names {', '.join(self.bands)}")
        if self.colour_order == "BGR" and len(self.mean) != 3:
            raise ValueError(f"{len(self.mean)} channels in the order BGR")
        return self

    @property
    def channels(self) -> int:
        """B: how many bands the network takes."""
        return len(self.mean)

    @property
    def takes_photos(self) -> bool:
        """Whether its pictures are photos: three bands of 8 bits."""
        return self.channels == 3 and self.dtype == "uint8"

    def describe(self) -> str:
        """The input rule in one line."""
        if self.resize.rule == "exact" and self.resize.size is not None:
            size = f"stretched to {self.resize.size[0]}×{self.resize.size[1]} (H×W)"
        elif self.resize.rule == "area":
            size = f"brought to about {self.resize.pixels:,} pixels, aspect ratio kept"
        else:
            size = "not resized"
        padding = (
            f"sides padded to {self.multiple}k + {self.remainder}" if self.multiple > 1 else ""
        )
        channels: str = self.colour_order
        if not self.takes_photos or self.bands:
            names = f": {', '.join(self.bands)}" if self.bands else ""
            channels = f"{self.channels} bands of {self.dtype}{names}"
        return "; ".join(part for part in ("any size", size, padding, channels) if part)


class Conformal(_Part):
    """From which probability on a class is in a pixel's prediction set.

    Attributes:
        coverage: share of the counted pixels of a picture whose truth is in their set, as the mean
            over pictures that could as well have been among those of the calibration.
        threshold: calibrated probability from which a class is in the set, 0..1.
        protocol: the pictures it was found on, and what was measured on others.
    """

    coverage: Annotated[float, Field(gt=0, lt=1)]
    threshold: Annotated[float, Field(ge=0, le=1)]
    protocol: str


class Postprocessing(_Part):
    """From the network's scores to the picture.

    Attributes:
        alignment: `"corners"`: the outer scores lie on the centres of the outer input pixels
            (`align_corners=True`); `"half_pixel"`: scores are the centres of equal cells.
        activation: what makes probabilities of the scores: `"softmax"`, one class for each pixel,
            or `"sigmoid"`, any number of them.
        temperature: what the scores are divided by before that, one for all classes, one for each,
            or one for each place; labels are those of the scores as they are.
        conformal: of prediction sets; None where no coverage was asked for.
        thresholds: of a sigmoid: for each class the probability from which a pixel has it; empty
            means 0.5.
    """

    alignment: Literal["corners", "half_pixel"]
    activation: Literal["softmax", "sigmoid"] = "softmax"
    temperature: _Temperature | tuple[_Temperature, ...] | LocalTemperature = 1.0
    conformal: Conformal | None = None
    thresholds: tuple[_Threshold, ...] = ()

    @model_validator(mode="after")
    def _has_what_its_activation_takes(self) -> Postprocessing:
        if self.activation == "softmax" and self.thresholds:
            raise ValueError("thresholds are of a sigmoid")
        if self.activation == "sigmoid" and (self.temperature != 1 or self.conformal is not None):
            raise ValueError("temperature and prediction sets are of a softmax")
        return self

    def describe(self) -> str:
        """How scores become probabilities, in one line."""
        if self.activation == "sigmoid":
            limits = self.thresholds or (0.5,)
            first, last = f"{min(limits):.3g}", f"{max(limits):.3g}"
            spread = f"threshold {first}" if first == last else f"thresholds {first} to {last}"
            return f"sigmoid of each class, {spread}"
        if isinstance(self.temperature, LocalTemperature):
            text = f"{self.activation}, calibrated: temperature {self.temperature} by place"
        elif self.temperature == 1:
            text = f"{self.activation} of the scores as they are"
        elif isinstance(self.temperature, tuple):
            least, most = min(self.temperature), max(self.temperature)
            text = f"{self.activation}, calibrated: temperatures {least:.3g} to {most:.3g} by class"
        else:
            text = f"{self.activation}, calibrated: temperature {self.temperature:.3g}"
        if self.conformal is not None:
            text += f"; prediction sets of {self.conformal.coverage:g} coverage"
        return text


class Score(_Part):
    """A measured figure and the protocol that gives it a meaning."""

    metric: str
    value: float
    protocol: str


class Drop(_Part):
    """What an export lost on a data set, in shares; below 0 it won.

    Attributes:
        before, after: mean IoU of the original and of the export.
        low, high: 95 % interval of `after - before`, by the same pictures; None where there is
            none.
        protocol: the pictures.
    """

    before: _Share
    after: _Share
    low: float | None = None
    high: float | None = None
    protocol: str

    @property
    def points(self) -> float:
        """Points of mean IoU that were lost."""
        return 100 * (self.before - self.after)

    def describe(self) -> str:
        """In one line."""
        text = f"mIoU {100 * self.before:.1f} -> {100 * self.after:.1f} %"
        if self.low is not None and self.high is not None:
            low, high = 100 * self.low, 100 * self.high
            text += (
                f", difference {0.0 - self.points:+.2f} (95 % interval {low:+.2f} to {high:+.2f})"
            )
        return f"{text}: {self.protocol}"


class Verdict(_Part):
    """How an export compares with the model that it was made from.

    Attributes:
        target: what it was exported to.
        original: SHA-256 of the model it was made from.
        agreement, worst: share of pixels with the same label, of all and of the worst picture.
        score_error: largest difference of a score.
        score_spread: between the lowest and the highest score of the original.
        pictures, sizes: that were compared: how many, at how many sizes.
        protocol: which pictures, engines and versions.
        drop: on a data set; None where none was given.
        calibration: the pictures that ranges were measured on; "" where none were needed.
        float_layers: layers that stayed in float32 in a quantised network.
    """

    target: str
    original: str
    agreement: _Share
    worst: _Share
    score_error: Annotated[float, Field(ge=0)]
    score_spread: Annotated[float, Field(ge=0)]
    pictures: Annotated[int, Field(ge=1)]
    sizes: Annotated[int, Field(ge=1)]
    protocol: str
    drop: Drop | None = None
    calibration: str = ""
    float_layers: tuple[str, ...] = ()

    def describe(self) -> str:
        """Without the drop, in one line."""
        text = (
            f"{self.target}: {percent(self.agreement, 2)} of the labels agree with the original's, "
            f"{percent(self.worst, 2)} in the worst of {self.pictures} pictures; scores differ by "
            f"{self.score_error:.3g} at most, of a spread of {self.score_spread:.3g}"
        )
        if self.float_layers:
            text += f"; in float32: {', '.join(self.float_layers)}"
        return f"{text}; {self.protocol}"


class Card(_Part):
    """Everything a model file says of itself.

    Attributes:
        format: version of this form.
        name, description: of the model.
        class_table: in the form of `ClassTable.to_dict`.
        preprocessing, postprocessing: from photo to input, from scores to picture.
        weights_licence: under which the weights may be used.
        data: the training data.
        data_licence: its licence.
        non_commercial: whether the training data forbids commercial use.
        scores: measured figures with their protocols.
        command: what trained the model.
        storage: how the weights are kept in the file.
        written_by: the version of pixelwise that wrote the file.
        precision: what the network may be computed in, where the engine can.
        engine: which one it was made for; `"auto"`: any.
        verdict: of the gate of `pixelwise export`; None of a model that is no export.
    """

    format: Literal[1] = 1
    name: Annotated[str, Field(min_length=1, max_length=100)]
    description: str = ""
    class_table: dict[str, Any]
    preprocessing: Preprocessing
    postprocessing: Postprocessing
    weights_licence: str
    data: str
    data_licence: str
    non_commercial: bool
    scores: tuple[Score, ...] = ()
    command: str = ""
    storage: Literal["float32", "float16", "int8"] = "float32"
    written_by: str
    precision: Literal["float32", "bf16", "int8"] = "float32"
    engine: Literal["auto", "onnxruntime", "openvino"] = "auto"
    verdict: Verdict | None = None

    @property
    def classes(self) -> ClassTable:
        """The class table; channel i of the scores is its i-th class."""
        return ClassTable.from_dict(self.class_table)

    def to_json(self) -> str:
        """The text that goes into the file."""
        document = self.model_dump(mode="json")
        for name in _LATER:
            if document[name] == type(self).model_fields[name].default:
                del document[name]
        if not self.postprocessing.thresholds:
            del document["postprocessing"]["thresholds"]
        return json.dumps(document, ensure_ascii=False)


def read_card(text: str, *, where: str) -> Card:
    """Reads and checks a card, listing every fault at once.

    Raises:
        CardError: the text is no card, or its class table contradicts itself.
    """
    try:
        card = Card.model_validate_json(text)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(step) for step in fault['loc']) or 'card'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        ]
        raise CardError(
            "the card of this model cannot be used",
            where=where,
            got="; ".join(faults[:20]) + (" …" if len(faults) > 20 else ""),
            fix="export the model again with this version of pixelwise",
        ) from None
    try:
        classes = len(card.classes)
    except ClassTableError as error:
        raise CardError(
            "the class table of this model cannot be used",
            where=where,
            got=f"{error.what} {error.got}".strip(),
            fix="export the model again with a table that holds together",
        ) from None
    if not fits_classes(card.postprocessing.temperature, classes):
        raise CardError(
            "the card of this model does not hold temperatures that can be",
            where=where,
            got=f"{card.postprocessing.temperature} for {classes} classes",
            fix="calibrate the model again: pixelwise calibrate MODEL DATA",
        )
    thresholds = card.postprocessing.thresholds
    if thresholds and len(thresholds) != classes:
        raise CardError(
            "the card of this model does not hold one threshold for each class",
            where=where,
            got=f"{len(thresholds)} thresholds for {classes} classes",
            fix="calibrate the model again: pixelwise calibrate MODEL DATA",
        )
    return card
