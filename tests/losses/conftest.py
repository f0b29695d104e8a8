"""What the tests of losses share: random batches, and every loss in its plainest form."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

CLASSES, IGNORED = 4, 255

# Row 4 is the union of 0 and 1, row 5 that of 1, 2 and 3; 6 is class 2 again; 7 may be all, 8 none.
CANDIDATES = torch.tensor(
    [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
        [1, 1, 0, 0],
        [0, 1, 1, 1],
        [0, 0, 1, 0],
        [1, 1, 1, 1],
        [0, 0, 0, 0],
    ],
    dtype=torch.bool,
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def candidates():
    return CANDIDATES.clone()


@pytest.fixture(scope="session")
def make_batch():
    """Random logits and a random target of 4 classes, of which the seed leaves some out."""

    def make(seed, *, rows=CLASSES, batch=None, size=None, dtype=torch.float64):
        generator = torch.Generator().manual_seed(seed)
        shape = torch.randint(1, 7, (3,), generator=generator).tolist()
        batch, size = batch or min(shape[0], 3), size or (shape[1], shape[2])
        numbers = torch.cat([torch.randperm(rows, generator=generator), torch.tensor([IGNORED])])
        start = int(torch.randint(0, rows, (), generator=generator))
        numbers = numbers[start:]
        places = torch.randint(0, len(numbers), (batch, *size), generator=generator)
        logits = 3 * torch.randn(batch, CLASSES, *size, generator=generator, dtype=dtype)
        return logits, numbers[places]

    return make


def _picture(name, options, logits, target):
    """The loss of one picture, and whether it counts, by definition."""
    log_p = logits.log_softmax(0)
    rows = [int(number) for number in target.unique() if int(number) != IGNORED]
    rows = [row for row in rows if 0 < int(CANDIDATES[row].sum()) < CLASSES]
    if name == "ohem":
        return _hard(options, log_p, target, rows)
    losses = []
    for class_ in range(CLASSES):
        truth = torch.zeros_like(target, dtype=torch.bool)
        known = torch.zeros_like(target, dtype=torch.bool)
        for row in rows:
            surely = bool(CANDIDATES[row, class_]) and int(CANDIDATES[row].sum()) == 1
            truth |= (target == row) & surely
            known |= (target == row) & (surely or not bool(CANDIDATES[row, class_]))
        if truth.any():
            losses.append(_REGIONS[name](log_p.exp()[class_], truth, known, **options))
    return (sum(losses) / len(losses), 1) if losses else (logits.sum() * 0, 0)


def _hard(options, log_p, target, rows):
    losses = torch.cat(
        [-log_p[CANDIDATES[row]].logsumexp(0)[target == row] for row in rows]
        or [log_p.new_zeros(0)]
    )
    if not len(losses):
        return log_p.sum() * 0, 0
    hard = int((losses > -math.log(options["threshold"])).sum())
    kept = max(hard, math.ceil(options["share"] * len(losses)), 1)
    return losses.sort(descending=True).values[:kept].mean(), 1


def _tversky(p, truth, known, alpha=0.5, beta=0.5, exponent=1):
    hit = p[truth].sum()
    wrong = p[known & ~truth].sum()
    missed = (1 - p[truth]).sum()
    return (1 - hit / (hit + alpha * wrong + beta * missed)) ** exponent


def _lovasz(p, truth, known):
    errors = torch.where(truth, 1 - p, p)[known]
    truth = truth[known]
    loss, before, wrong = 0, 0, torch.zeros_like(truth)
    for place in errors.argsort(descending=True):
        wrong[place] = True
        jaccard = float((truth & ~wrong).sum()) / float((truth | wrong).sum())
        loss, before = loss + errors[place] * (1 - jaccard - before), 1 - jaccard
    return loss


def _boundary(p, truth, known, tolerance=2):
    def largest(values, distance):
        return functional.max_pool2d(values[None, None], 2 * distance + 1, 1, distance)[0, 0]

    def border(inside):
        outside = (1 - inside).masked_fill(~known, 0)
        return (largest(outside, 1) - outside).masked_fill(~known, 0)

    true, found = border(truth.to(p.dtype)), border(p)
    precision = ((found * largest(true, tolerance)).sum() + 1) / (found.sum() + 1)
    recall = ((true * largest(found, tolerance)).sum() + 1) / (true.sum() + 1)
    return 1 - 2 * precision * recall / (precision + recall)


_REGIONS = {"dice": _tversky, "tversky": _tversky, "lovasz": _lovasz, "boundary": _boundary}


@pytest.fixture(scope="session")
def by_definition():
    """The mean over pictures that count of a loss, written as its definition reads."""

    def mean(name, options, logits, target):
        pictures = [_picture(name, options, *pair) for pair in zip(logits, target, strict=True)]
        counted = sum(count for _, count in pictures)
        return sum(loss for loss, _ in pictures) / max(1, counted)

    return mean
