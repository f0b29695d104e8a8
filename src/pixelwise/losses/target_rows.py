"""What the numbers of a target mean: classes, unions of classes, or nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pixelwise.errors import ArrayError, UsageError

__all__ = ["TargetRows", "make_target_rows"]

_INTEGERS = (
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint16,
    torch.uint32,
    torch.uint64,
)
_MOST_SHOWN = 8


@dataclass(frozen=True, eq=False)
class TargetRows:
    """The table behind the numbers of a target, and how much a pixel of each counts.

    A row of one class is that class, whatever its number. A row of several classes, but not all,
    is a union: the pixel is one of them, nobody knows which. A row of all classes, or of none,
    counts for nothing, as `ignore_index` does.

    Attributes:
        classes: C.
        ignore_index: number of pixels that count for nothing.
        candidates: bool `[K, C]`, on the CPU: the classes that a pixel of a row may be.
        weights: float64 `[K]`, on the CPU: the mean class weight of the candidates of each row;
            0 in rows that count for nothing.
        sure: int64 `[K]`, on the CPU: the class of rows of one class, -1 in all others.
    """

    classes: int
    ignore_index: int
    candidates: torch.Tensor
    weights: torch.Tensor
    sure: torch.Tensor

    def tally(self, target: torch.Tensor) -> torch.Tensor:
        """int64 `[B, K]`, on the CPU: how many pixels of each picture have each number.

        Args:
            target: integers `[B, H, W]`.

        Raises:
            ArrayError: other shape or type, no picture, or numbers that mean nothing.
        """
        _check_target(target)
        rows = len(self.candidates)
        # One place more for numbers that mean nothing, one for those that are to be ignored.
        tallies = torch.stack([self._tally_one(picture, rows) for picture in target]).cpu()
        if tallies[:, rows].any():
            raise self._refused(target, tallies[:, rows])
        return tallies[:, :rows]

    def _tally_one(self, picture: torch.Tensor, rows: int) -> torch.Tensor:
        numbers = picture.reshape(-1).to(torch.int64)
        wrong = (numbers < 0) | (numbers >= rows)
        places = numbers.masked_fill(wrong, rows).masked_fill_(
            numbers == self.ignore_index, rows + 1
        )
        return torch.bincount(places, minlength=rows + 2)

    def _refused(self, target: torch.Tensor, wrong: torch.Tensor) -> ArrayError:
        rows = len(self.candidates)
        pictures = wrong.nonzero().flatten().tolist()
        numbers = set(target[pictures].flatten().tolist()) - {self.ignore_index}
        strange = sorted(number for number in numbers if not 0 <= number < rows)
        shown = ", ".join(map(str, strange[:_MOST_SHOWN]))
        more = " …" if len(strange) > _MOST_SHOWN else ""
        return ArrayError(
            "the target has numbers that mean nothing",
            where=f"target, pictures {', '.join(map(str, pictures[:_MOST_SHOWN]))} of the batch",
            got=f"{shown}{more}; expected 0…{rows - 1}, or {self.ignore_index} for ignored",
            fix="map the ids of the masks to the classes of the network",
        )

    def belongs(self, rows: torch.Tensor, class_: int) -> torch.Tensor:
        """bool: the pixels that are surely of the class.

        Args:
            rows: int32, any shape: numbers of a target.
            class_: channel of the class.
        """
        return _any_of(rows, (self.sure == class_).nonzero().flatten().tolist())

    def counts_for_nothing(self, rows: torch.Tensor, tally: torch.Tensor) -> torch.Tensor | None:
        """bool: the pixels that have no part in any loss; None: there are none.

        Args:
            rows: int32 `[H, W]`: the target of a picture.
            tally: int64 `[K]`, of the picture.
        """
        empty = self.candidates.sum(1) % self.classes == 0
        if int(tally[~empty].sum()) == rows.numel():
            return None
        return _any_of(rows, [self.ignore_index, *empty.nonzero().flatten().tolist()])

    def pixel_weights(self, numbers: torch.Tensor) -> torch.Tensor:
        """float64, of the shape of `numbers`: how much each pixel counts."""
        weights = self.weights.to(numbers.device)
        places = numbers.clamp(0, len(weights) - 1).long()
        return weights[places] * (numbers != self.ignore_index)

    def beyond_classes(self, tally: torch.Tensor) -> list[int]:
        """The numbers of a picture that count, but are not channels of classes.

        Args:
            tally: int64 `[K]`, of the picture.
        """
        numbers: list[int] = ((tally > 0) & (self.weights > 0)).nonzero().flatten().tolist()
        return [number for number in numbers if number >= self.classes]

    def unions(self, tally: torch.Tensor) -> list[int]:
        """The unions that a picture has.

        Args:
            tally: int64 `[K]`, of the picture.
        """
        several = self.candidates.sum(1)
        present = (several > 1) & (several < self.classes) & (tally > 0)
        return present.nonzero().flatten().tolist()

    def may_be(self, rows: torch.Tensor, class_: int, unions: list[int]) -> torch.Tensor | None:
        """bool: the pixels that may be of the class and may be another; None: there are none."""
        possible = [row for row in unions if self.candidates[row, class_]]
        return _any_of(rows, possible) if possible else None

    def present(self, tally: torch.Tensor) -> torch.Tensor:
        """bool `[B, C]`: the classes of which a picture has sure pixels."""
        counts = torch.zeros(len(tally), self.classes + 1, dtype=torch.int64)
        # The place -1 is the last one: rows of no single class.
        counts.index_add_(1, self.sure % (self.classes + 1), tally)
        return counts[:, : self.classes] > 0


def make_target_rows(
    classes: int,
    ignore_index: int,
    candidates: torch.Tensor | None,
    class_weights: torch.Tensor | None,
) -> TargetRows:
    """Checks what is known of a target.

    Args:
        classes: C, at least 2.
        ignore_index: number of pixels that count for nothing.
        candidates: bool `[K, C]`, rows 0…C-1 the classes themselves; None: classes only.
        class_weights: finite floats `[C]`, none below 0; None: all 1.

    Raises:
        UsageError: lists every fault.
    """
    faults = []
    if classes < 2:
        faults.append(f"classes: {classes}; a choice needs 2 at least")
    identity = torch.eye(max(classes, 0), dtype=torch.bool)
    table = identity if candidates is None else candidates.detach().cpu().bool()
    if table.ndim != 2 or table.shape[1] != classes or len(table) < classes:
        faults.append(f"candidates: {list(table.shape)}, not [{classes} or more, {classes}]")
    elif not torch.equal(table[:classes], identity):
        faults.append("candidates: the first rows are not the classes themselves, in order")
    ones = torch.ones(max(classes, 0), dtype=torch.float64)
    weights = ones if class_weights is None else class_weights.detach().cpu().double()
    if weights.shape != (classes,):
        faults.append(f"class_weights: {list(weights.shape)}, not [{classes}]")
    elif not (weights.isfinite() & (weights >= 0)).all():
        faults.append(f"class_weights: {weights.tolist()}; none may be below 0 or not finite")
    if faults:
        raise UsageError(
            "the loss cannot be made",
            where="parse_loss",
            got="; ".join(faults),
            fix="give the table and the weights of the network's own classes",
        )
    return _table(classes, ignore_index, table, weights)


def _table(
    classes: int, ignore_index: int, candidates: torch.Tensor, weights: torch.Tensor
) -> TargetRows:
    several = candidates.sum(1)
    row_weights = candidates.double() @ weights / several.clamp_min(1)
    return TargetRows(
        classes=classes,
        ignore_index=ignore_index,
        candidates=candidates,
        weights=row_weights.masked_fill(several % classes == 0, 0),
        sure=candidates.int().argmax(1).masked_fill(several != 1, -1),
    )


def _any_of(rows: torch.Tensor, numbers: list[int]) -> torch.Tensor:
    found = rows == numbers[0] if numbers else torch.zeros_like(rows, dtype=torch.bool)
    for number in numbers[1:]:
        found |= rows == number
    return found


def _check_target(target: torch.Tensor) -> None:
    if target.ndim != 3 or 0 in target.shape or target.dtype not in _INTEGERS:
        raise ArrayError(
            "the target is no batch of label maps",
            where="target",
            got=f"{target.dtype} {list(target.shape)}; expected integers [B, H, W], none of them 0",
            fix="give whole numbers, one for each pixel of at least one picture",
        )
