"""From a model to another form of it, through the gate."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from pixelwise.data.wording import counted
from pixelwise.errors import ExportRefusedError, MissingExtraError, ModelFileError, UsageError
from pixelwise.evaluation.compare import Comparison, compare
from pixelwise.evaluation.evaluate import evaluate
from pixelwise.evaluation.predictions import Subject
from pixelwise.export.calibration import calibrate
from pixelwise.export.gate import Agreement, Blame, agreement_of, blame, drop_of, faults_of
from pixelwise.export.network import Network, read_network, stored_model
from pixelwise.export.pictures import Pictures, check_readable, network_inputs
from pixelwise.export.quantise import quantised, scheme_of
from pixelwise.export.sensitivity import Search, search
from pixelwise.export.targets import Target
from pixelwise.formats.files import write_atomic
from pixelwise.inference.bench import processor
from pixelwise.inference.card import CARD_KEY, Card, Score, Verdict
from pixelwise.inference.engines import installed_engines, make_engine, usable_cores
from pixelwise.inference.model_file import ModelFile, check_model
from pixelwise.inference.onnx_file import with_metadata
from pixelwise.inference.predictor import Model
from pixelwise.percentages import percent
from pixelwise.version import VERSION

__all__ = ["Exported", "Gate", "Progress", "Subjects", "export", "let_out"]

_LEAST_OPSET = 13
_SEARCHED = 3
_SHOWN = 3
# So that what is found on the calibration pictures also passes on others.
_MARGIN = 0.6
_REFERENCE = "onnxruntime"
_OF_ORIGINAL = "of the float32 original, before this export"

Progress = Callable[[str, int, int], object]
"""Told what is being done, how far it is, and of how much."""

Subjects = Callable[[Sequence[Model]], Sequence[Subject]]
"""Gives for several models what is judged, by the same pictures."""


@dataclass(frozen=True, eq=False)
class Gate:
    """How an export is compared with its original.

    Attributes:
        samples: pictures that both are given at odd sizes.
        engines: those that the export is checked with; the original runs in onnxruntime.
        data: what both are judged by; None for nothing.
        accepted: points of mean IoU that may be lost on it, instead of the target's limit.
        threads: cores to use; 0 means all.
        progress: told how far it is.
    """

    samples: Pictures
    engines: tuple[str, ...]
    data: Subjects | None = None
    accepted: float | None = None
    threads: int = 0
    progress: Progress | None = None

    def compared(
        self, original: ModelFile, exported: ModelFile
    ) -> tuple[Agreement, Comparison | None]:
        """Both on the sample pictures, and on the data set.

        Raises:
            EngineError: a network cannot be run.
            PixelwiseError: the data does not fit.
        """
        agreement = agreement_of(
            self._loaded(original, _REFERENCE),
            [self._loaded(exported, engine) for engine in self.engines],
            self.samples,
            progress=_counter(self.progress, "comparing", len(self.samples)),
        )
        if self.data is None:
            return agreement, None
        workers = self.threads or usable_cores()
        both = [
            Model(file, make_engine(file, engine=engine, threads=1, streams=workers), 1)
            for file, engine in ((original, _REFERENCE), (exported, self.engines[0]))
        ]
        subjects = self.data(both)
        advance = _counter(self.progress, "judging", 2 * len(subjects[0].truths.names))
        evaluations = [evaluate(subject, workers=workers, progress=advance) for subject in subjects]
        return agreement, compare(*evaluations)

    def protocol(self, original: ModelFile, exported: ModelFile) -> str:
        """Which pictures, engines and versions, in words."""
        engines = [self._loaded(exported, engine).engine for engine in self.engines]
        reference = self._loaded(original, _REFERENCE).engine
        return (
            f"{_named(self.samples)}, each whole and in part, at odd sizes; original: {reference}; "
            f"export: {' and '.join(engines)}; {_versions()}"
        )

    def _loaded(self, file: ModelFile, engine: str) -> Model:
        threads = self.threads or usable_cores()
        return Model(file, make_engine(file, engine=engine, threads=threads), threads)


@dataclass(frozen=True, eq=False)
class Exported:
    """An export that passed the gate.

    Attributes:
        file: as it was written.
        verdict: of the gate.
        agreement: with the original, picture by picture.
        comparison: on the data set; None where none was given.
        search: for layers to leave in float; None of a float export.
    """

    file: ModelFile
    verdict: Verdict
    agreement: Agreement
    comparison: Comparison | None
    search: Search | None


def export(
    original: ModelFile,
    target: Target,
    path: Path,
    *,
    samples: Pictures,
    calibration: Pictures | None = None,
    data: Subjects | None = None,
    accepted: float | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> Exported:
    """Makes the export, compares it with the original, and writes it if it passes.

    Args:
        original: stays as it is.
        target: what to make of it.
        path: of the new file.
        samples: pictures to compare both on.
        calibration: pictures to measure ranges on, of a quantised export.
        data: to judge both by.
        accepted: points of mean IoU that may be lost on the data, instead of the target's limit;
            the data then decides alone.
        threads: cores to use; 0 means all.
        progress: told how far it is.

    Raises:
        ExportRefusedError: the export differs too much; nothing is written.
        ImageFileError: lists pictures that cannot be read.
        UsageError: a model whose classes lie over each other is to be quantised, or judged by data.
        ModelFileError: the network is quantised already, or its weights are not finite.
        MissingExtraError: the engine that it is for is not installed.
        EngineError: a network cannot be run.
        OutputError: the file cannot be written.
    """
    if original.card.postprocessing.activation == "sigmoid":
        _check_multi_label(target, judged=data is not None, where=str(original.path))
    engines = _engines(target)
    # A network that no engine takes is told before the work.
    make_engine(original, engine=_REFERENCE)
    parts = [samples] if calibration is None else [samples, calibration]
    check_readable(*parts, progress=_counter(progress, "reading", sum(map(len, parts))))
    network = read_network(original.content, where=str(original.path))
    model, found = stored_model(network), None
    if target.precision == "int8":
        if calibration is None:
            raise UsageError(
                "a quantised export needs pictures to measure ranges on",
                where=target.name,
                fix="give --data DATASET, or --pictures FOLDER",
            )
        if network.opset < _LEAST_OPSET:
            raise ModelFileError(
                "the network's operators are too old for a scale of each channel",
                where=str(original.path),
                got=f"operator set {network.opset}, at least {_LEAST_OPSET} is needed",
                fix="convert it with onnx.version_converter, or export it again",
            )
        model, found = _quantise(network, original.card, target, calibration, threads, progress)
    gate = Gate(samples, engines, data, accepted, threads, progress)
    return let_out(
        original, network, model, target, path, gate=gate, found=found, calibration=calibration
    )


def _check_multi_label(target: Target, *, judged: bool, where: str) -> None:
    """Refuses what is worked out by one label for each pixel."""
    faults = []
    if target.precision == "int8":
        faults.append(
            f"{target.name}: layers to leave in float are chosen by the label of each pixel"
        )
    if judged:
        faults.append("a data set: what is lost on it is measured by the label of each pixel")
    if faults:
        raise UsageError(
            "this model gives pixels any number of classes, and cannot be exported so",
            where=where,
            got="; ".join(faults),
            fix="export it to onnx, openvino or bf16, compared on pictures: --pictures FOLDER",
        )


def _quantise(
    network: Network,
    card: Card,
    target: Target,
    calibration: Pictures,
    threads: int,
    progress: Progress | None,
) -> tuple[onnx.ModelProto, Search]:
    def inputs() -> Iterator[NDArray[np.float32]]:
        return network_inputs(calibration, card.preprocessing)

    measured = calibrate(
        scheme_of(network),
        inputs,
        threads=threads,
        progress=_counter(progress, "calibrating", 2 * len(calibration)),
    )
    least = 1 - _MARGIN * (1 - target.limits.agreement)
    found = search(
        network,
        measured,
        [*network_inputs(calibration.drawn(_SEARCHED), card.preprocessing)],
        least=least,
        progress=_counter(progress, "trying layers", len(network.layers)),
    )
    return quantised(scheme_of(network, found.floats), measured), found


def let_out(
    original: ModelFile,
    network: Network,
    model: onnx.ModelProto,
    target: Target,
    path: Path,
    *,
    gate: Gate,
    found: Search | None = None,
    calibration: Pictures | None = None,
) -> Exported:
    """Compares an export with its original, and writes it if it passes.

    Args:
        original: the model before.
        network: its network.
        model: the network of the export.
        target: what it was exported to.
        path: of the new file.
        gate: how both are compared.
        found: layers left in float, of a quantised export.
        calibration: the pictures that ranges were measured on, likewise.

    Raises:
        ExportRefusedError: the export differs too much; nothing is written.
        EngineError: a network cannot be run.
        OutputError: the file cannot be written.
    """
    card = original.card.model_copy(
        update={
            "storage": "int8" if target.precision == "int8" else original.card.storage,
            "precision": target.precision,
            "engine": target.engine,
            "written_by": f"pixelwise {VERSION}",
            "scores": tuple(_told_of(score, target) for score in original.card.scores),
        }
    )
    content = bytes(model.SerializeToString())
    file = check_model(with_metadata(content, {CARD_KEY: card.to_json()}), path)
    agreement, comparison = gate.compared(original, file)
    drop = None if comparison is None else drop_of(comparison)
    accepted = gate.accepted is not None
    limits = target.limits if gate.accepted is None else replace(target.limits, drop=gate.accepted)
    if faults := faults_of(agreement, drop, limits, accepted=accepted):
        picture = _input_of(gate.samples, agreement.worst.name, card)
        raise _refusal(target, faults, agreement, blame(network, model, picture))
    verdict = Verdict(
        target=target.name,
        original=original.sha256,
        agreement=agreement.share,
        worst=agreement.worst.agreement,
        score_error=agreement.score_error,
        score_spread=agreement.score_spread,
        pictures=len(agreement.pictures),
        sizes=len({each.size for each in agreement.pictures}),
        protocol=gate.protocol(original, file),
        drop=drop,
        calibration="" if calibration is None else _named(calibration),
        float_layers=() if found is None else found.floats,
    )
    told = card.model_copy(update={"verdict": verdict})
    whole = check_model(with_metadata(content, {CARD_KEY: told.to_json()}), path)
    write_atomic(path, whole.content)
    return Exported(whole, verdict, agreement, comparison, found)


def _told_of(score: Score, target: Target) -> Score:
    """A score of the original, which the export has not been given."""
    if target.precision == "float32" or _OF_ORIGINAL in score.protocol:
        return score
    return score.model_copy(update={"protocol": f"{score.protocol}; {_OF_ORIGINAL}"})


def _input_of(samples: Pictures, name: str, card: Card) -> NDArray[np.float32]:
    place = samples.names.index(name)
    return next(network_inputs(samples.subset([place]), card.preprocessing))


def _refusal(
    target: Target, faults: Sequence[str], agreement: Agreement, layers: Sequence[Blame]
) -> ExportRefusedError:
    worst = agreement.worst
    shown = [
        f"{each.layer} ({percent(each.before)} of error in, {percent(each.after)} out)"
        for each in layers[:_SHOWN]
        if each.after > each.before
    ]
    lines = [
        *faults,
        f"worst picture: {worst.name}, {worst.size[1]}×{worst.size[0]} (width × height): "
        f"{percent(worst.agreement, 2)} of the labels agree",
        f"worst layers: {', '.join(shown) or 'none: the network is the same, the engine differs'}",
    ]
    return ExportRefusedError(
        f"the export to {target.name} does not answer as its original; nothing was written",
        got="\n  ".join(lines),
        fix="calibrate on more pictures of the kind that it will see (--data, --pictures, --count),"
        " take a target of higher precision, or accept a loss: --data DATASET --accept-drop POINTS",
    )


def _named(pictures: Pictures) -> str:
    return f"{pictures.what}, {counted(len(pictures), 'picture')}"


def _counter(progress: Progress | None, what: str, total: int) -> Callable[[int], object] | None:
    if progress is None:
        return None
    done = itertools.count(1)
    return lambda _: progress(what, next(done), total)


def _engines(target: Target) -> tuple[str, ...]:
    """Those to check an export with."""
    present = installed_engines()
    if target.engine == "auto":
        return present
    if target.engine not in present:
        raise MissingExtraError(
            f"an export for {target.engine} is checked with it, and it is not installed",
            fix=f'pip install "pixelwise[{target.engine}]"',
        )
    return (target.engine,)


def _versions() -> str:
    """Of what computed, and the processor."""
    import onnxruntime

    parts = [f"pixelwise {VERSION}", f"onnxruntime {onnxruntime.__version__}"]
    if "openvino" in installed_engines():
        parts.append(f"openvino {metadata.version('openvino')}")
    return ", ".join([*parts, processor()])
