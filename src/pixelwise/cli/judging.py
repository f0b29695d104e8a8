"""What the commands that judge share: options, and how predictions and truth are opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from pixelwise.cli.data.options import open_from
from pixelwise.errors import UsageError
from pixelwise.evaluation.choice import measures_of
from pixelwise.evaluation.evaluate import Evaluated, evaluate, evaluate_layers
from pixelwise.evaluation.layer_measures import layer_measures_of
from pixelwise.evaluation.layer_opening import layer_subjects, tells_layers
from pixelwise.evaluation.layers import LayerSubject
from pixelwise.evaluation.matching import read_rules
from pixelwise.evaluation.opening import folder_subject, set_subjects, set_truth, source_of
from pixelwise.evaluation.predictions import Subject
from pixelwise.formats.spacing import Spacing, parse_spacing
from pixelwise.inference.engines import MOST_THREADS, usable_cores
from pixelwise.inference.predictor import Model, load

__all__ = [
    "DeviceOption",
    "DistancesOption",
    "EngineOption",
    "IgnoreOption",
    "MapOption",
    "Opening",
    "PredictionsOption",
    "SpacingOption",
    "SplitOption",
    "ThreadsOption",
    "TruthOption",
    "Work",
    "evaluated",
    "spacing_from",
    "subject_of_folders",
    "subjects_of_set",
]

SplitOption: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Split to judge by, or all; by itself val, or test where there is no val."),
]
PredictionsOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Folder of label maps, probabilities or both; or a JSON file of COCO results "
        "or of panoptic segments. With --truth."
    ),
]
TruthOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the true label maps, of the same names; for a JSON file, a data set."
    ),
]
IgnoreOption: TypeAlias = Annotated[
    int | None,
    typer.Option(min=0, max=65_535, help="The ignored id, with --truth; by itself the table's."),
]
DistancesOption: TypeAlias = Annotated[
    bool, typer.Option("--distances", help="Also HD95 and ASSD, which take longer.")
]
SpacingOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Height and width of a pixel, for --distances: 0.5mm, or 0.5,0.7mm; px measures in "
        "pixels. By itself what GeoTIFFs say.",
    ),
]
MapOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="OWN=TRUE",
        help="A class of the prediction and the class of the truth that it is; or a YAML file of "
        "such pairs. Also OWN=nothing, ignored=TRUE, others=nothing, ignored=others.",
    ),
]
EngineOption: TypeAlias = Annotated[str, typer.Option(help="auto, onnxruntime or openvino.")]
DeviceOption: TypeAlias = Annotated[str, typer.Option(help="cpu or gpu.")]
ThreadsOption: TypeAlias = Annotated[
    int, typer.Option(min=0, max=MOST_THREADS, help="Cores to use; 0 means all.")
]


@dataclass(frozen=True)
class Opening:
    """How a data set is opened: the options of `pixelwise data`."""

    layout: str | None
    classes: str | None
    images: str | None
    masks: str | None
    valid: str | None
    rest: str | None
    splits: Path | None


@dataclass(frozen=True)
class Work:
    """How models run."""

    engine: str
    device: str
    threads: int

    @property
    def workers(self) -> int:
        """Pictures that are worked on side by side."""
        return self.threads or usable_cores()

    def loaded(self, model: str) -> Model:
        """A model of which each picture takes one core."""
        return load(model, engine=self.engine, device=self.device, threads=1, streams=self.workers)


def spacing_from(text: str | None, *, distances: bool) -> Spacing | None:
    """The size of a pixel that `--spacing` says.

    Raises:
        UsageError: it says none, or nothing is measured by it.
    """
    if text is None:
        return None
    if not distances:
        raise UsageError(
            "--spacing is the unit of distances, and none are asked for", fix="add --distances"
        )
    return parse_spacing(text)


def subjects_of_set(
    sources: Sequence[str],
    data: Path,
    opening: Opening,
    work: Work,
    *,
    split: str | None,
    rules: Sequence[str],
) -> tuple[Subject, ...] | tuple[LayerSubject, ...]:
    """Models and folders of label maps, each judged by the same pictures of a data set.

    Where the truth or a prediction says several classes of a pixel, all are judged as layers.

    Raises:
        PixelwiseError: something cannot be opened so.
    """
    chosen = read_rules(rules)
    opened = [*map(source_of, sources)]
    loaded = lru_cache(maxsize=None)(work.loaded)
    truth = set_truth(open_from(data, **vars(opening)), split, opened)
    layered = truth.dataset.holds_several
    if not layered and any(tells_layers(each, truth.classes, loaded) for each in opened):
        layered = True
        whole = open_from(data, **vars(opening), kind="multi_label")
        truth = set_truth(whole, split, opened)
    if layered:
        return layer_subjects(opened, truth, chosen, loaded=loaded)
    return set_subjects(opened, truth, chosen, loaded=loaded)


def evaluated(
    subject: Subject | LayerSubject,
    work: Work,
    *,
    distances: bool,
    spacing: Spacing | None,
    progress: Callable[[int], object],
) -> Evaluated:
    """All that can be measured of the subject.

    Raises:
        UsageError: distances are asked for where classes lie over each other.
        PixelwiseError: nothing can be judged.
    """
    if isinstance(subject, Subject):
        measures = measures_of(subject, distances=distances, spacing=spacing)
        return evaluate(subject, measures, workers=work.workers, progress=progress)
    if distances:
        raise UsageError(
            "distances are not measured where classes lie over each other",
            got="--distances",
            fix="leave --distances out",
        )
    return evaluate_layers(
        subject, layer_measures_of(subject), workers=work.workers, progress=progress
    )


def subject_of_folders(
    predictions: Path,
    truth: Path,
    work: Work,
    *,
    classes: str | None,
    ignore: int | None,
    rules: Sequence[str],
) -> Subject:
    """Label maps judged by label maps.

    Raises:
        PixelwiseError: something cannot be opened so.
    """
    return folder_subject(
        predictions,
        truth,
        read_rules(rules),
        classes=classes,
        ignore_index=ignore,
        workers=work.workers,
    )
