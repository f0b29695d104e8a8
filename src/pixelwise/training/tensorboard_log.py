"""The curves of a run for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pixelwise.formats.files import make_folder
from pixelwise.training.events import Event, Score, Start, Step, StepTime, parse_event
from pixelwise.training.observers import Observer, say

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["tensorboard_log"]

_FLUSH_SECONDS = 30


def tensorboard_log(
    folder: Path, past: Iterable[Event] = (), *, note: Callable[[str], object] = say
) -> tuple[Observer, ...]:
    """An observer that writes into `folder`; none where tensorboard is not installed.

    Args:
        folder: of the run's TensorBoard files; it is made.
        past: events of the part that ran before, as far as it counts: what older files of the
            folder say beyond it is purged, so that nothing is shown twice.
        note: told in one line why there is none.

    Raises:
        OutputError: the folder cannot be made.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        note('no TensorBoard curves: tensorboard is not installed (pip install "pixelwise[train]")')
        return ()
    make_folder(folder)
    events = list(past)
    steps = [event.step for event in events if isinstance(event, Step | Score)]
    # What stands at the last step is purged too, for the log may keep the one and not the other
    # of step and score; so it is written again.
    purged = max(steps, default=0)
    writer = SummaryWriter(str(folder), purge_step=purged, flush_secs=_FLUSH_SECONDS)
    observer = _TensorBoard(writer)
    for event in events:
        if isinstance(event, Start) or (isinstance(event, Step | Score) and event.step >= purged):
            observer.take(event)
    return (observer,)


class _TensorBoard:
    def __init__(self, writer: SummaryWriter) -> None:
        self._writer = writer
        self._classes: tuple[str, ...] = ()

    def on_event(self, event: Mapping[str, object]) -> None:
        told = parse_event(event)
        if told is not None:
            self.take(told)

    def take(self, event: Event) -> None:
        match event:
            case Start():
                self._classes = event.classes
            case Step():
                self._write("training/loss", event.loss, event.step)
                self._write("training/learning rate", event.learning_rate, event.step)
                self._write("training/gradient norm", event.gradient_norm, event.step)
            case StepTime():
                self._write("speed/images per second", event.images_per_second, event.step)
                self._write("speed/memory in MiB", event.memory_mib, event.step)
            case Score():
                self._take_score(event)
            case _:
                pass

    def _take_score(self, event: Score) -> None:
        self._write("validation/mean IoU", event.mean_iou, event.step)
        self._write("validation/pixel accuracy", event.pixel_accuracy, event.step)
        self._write("training/mean loss of the epoch", event.loss_train, event.step)
        for number, iou in enumerate(event.iou):
            name = self._classes[number] if number < len(self._classes) else str(number)
            self._write(f"IoU of each class/{name}", iou, event.step)

    def _write(self, tag: str, value: float | None, step: int) -> None:
        if value is not None:
            self._writer.add_scalar(tag, value, step)

    def close(self) -> None:
        self._writer.close()
