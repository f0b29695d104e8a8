"""The curves of a run for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pixelwise.formats.files import make_folder
from pixelwise.training.events import Event, Score, Start, Step, StepTime, parse_event
from pixelwise.training.observers import say

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["TensorBoardLog"]

_FLUSH_SECONDS = 30


class TensorBoardLog:
    """Writes the curves; where tensorboard is not installed, it says so once and writes nothing.

    Nothing is shown twice: when a run goes on, and when it takes steps back, what was written
    beyond is purged.

    Args:
        folder: of the run's TensorBoard files; it is made when the run begins.
        note: told in one line why nothing is written.
    """

    def __init__(self, folder: Path, *, note: Callable[[str], object] = say) -> None:
        self._folder = folder
        self._note = note
        self._writer: SummaryWriter | None = None
        self._classes: tuple[str, ...] = ()
        self._step = 0

    def begin(self, past: Sequence[Event]) -> None:
        """Opens the files.

        Raises:
            OutputError: the folder cannot be made.
        """
        steps = [event.step for event in past if isinstance(event, Step | Score)]
        # What stands at the last step is purged too, for the log may keep the one and not the
        # other of step and score; so it is written again.
        last = max(steps, default=0)
        self._open(last)
        for event in past:
            if isinstance(event, Start) or (isinstance(event, Step | Score) and event.step >= last):
                self._take(event)

    def on_event(self, event: Mapping[str, object]) -> None:
        """Writes a line of the logs."""
        told = parse_event(event)
        if told is not None:
            self._take(told)

    def close(self) -> None:
        """Writes what is left, and closes the files."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self, purged: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self._note(
                "no TensorBoard curves: tensorboard is not installed "
                '(pip install "pixelwise[train]")'
            )
            return
        make_folder(self._folder)
        self._writer = SummaryWriter(
            str(self._folder), purge_step=purged, flush_secs=_FLUSH_SECONDS
        )

    def _take(self, event: Event) -> None:
        match event:
            case Start():
                self._classes = event.classes
            case Step():
                self._take_step(event)
            case StepTime():
                self._write("speed/images per second", event.images_per_second, event.step)
                self._write("speed/memory in MiB", event.memory_mib, event.step)
            case Score():
                self._take_score(event)
            case _:
                pass

    def _take_step(self, event: Step) -> None:
        if event.step <= self._step and self._writer is not None:
            # The run went back to a checkpoint, and comes by again.
            self._writer.close()
            self._open(event.step)
        self._step = event.step
        self._write("training/loss", event.loss, event.step)
        self._write("training/learning rate", event.learning_rate, event.step)
        self._write("training/gradient norm", event.gradient_norm, event.step)

    def _take_score(self, event: Score) -> None:
        self._write("validation/mean IoU", event.mean_iou, event.step)
        self._write("validation/pixel accuracy", event.pixel_accuracy, event.step)
        self._write("training/mean loss of the epoch", event.loss_train, event.step)
        for number, iou in enumerate(event.iou):
            name = self._classes[number] if number < len(self._classes) else str(number)
            self._write(f"IoU of each class/{name}", iou, event.step)

    def _write(self, tag: str, value: float | None, step: int) -> None:
        if value is not None and self._writer is not None:
            self._writer.add_scalar(tag, value, step)
