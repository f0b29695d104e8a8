"""Pictures without end: read ahead, segmented side by side, given in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import PixelwiseError, UsageError
from pixelwise.formats.decoding import DEFAULT_MEGAPIXELS
from pixelwise.formats.images import ImageSource, describe_source
from pixelwise.inference.engines import MOST_THREADS, usable_cores
from pixelwise.inference.picture_input import read_input
from pixelwise.inference.predictor import Model, load
from pixelwise.segmentation import Segmentation

__all__ = ["stream"]

OnError: TypeAlias = Callable[[ImageSource, PixelwiseError], object]

# One picture in work, one read and waiting.
_IN_FLIGHT_PER_WORKER = 2
_MOST_IN_FLIGHT = 65536


def stream(
    sources: Iterable[ImageSource],
    *,
    model: str | Path | Model = "street",
    workers: int = 0,
    in_flight: int = 0,
    on_error: OnError | None = None,
    tile: int | None = None,
    overlap: float | None = None,
    tta: str = "none",
    max_megapixels: float = DEFAULT_MEGAPIXELS,
    timeout: float | None = None,
) -> Generator[Segmentation, None, None]:
    """Segments pictures as they come, in their order, with bounded memory.

    >>> for seg in pw.stream(Path("photos").glob("*.jpg"), model="street"):
    ...     print(seg.provenance.source, seg.tags)

    The next pictures are read and decoded while the network works on those before them. `sources`
    may be endless: it is asked for the next picture only while fewer than `in_flight` are under
    way, and always from the caller's thread. Closing the generator, or leaving its loop, ends all
    threads once the pictures under way are done.

    Args:
        sources: as in `Model.predict`: paths, addresses in object stores, bytes, Pillow pictures,
            arrays; for models of other bands or types paths of rasters. An array is copied when it
            is taken.
        model: a loaded model, or what `load` takes.
        workers: pictures segmented side by side; 0 means one for each core where the model is
            loaded here, and one where a loaded one is given, which has its own threads.
        in_flight: most pictures taken from `sources` and not yet given; so many are taken before
            the first is given. 0 means two per worker, and one more; 1 is for cameras: each result
            comes before the next picture is asked for.
        on_error: called with the source and the error of a picture that fails, in its turn; the
            picture is left out and the others go on. Without it the error is raised at the
            picture's place, after all results before it, and ends the stream.
        tile: as in `Model.predict`.
        overlap: as in `Model.predict`.
        tta: as in `Model.predict`.
        max_megapixels: larger files are refused before they are decoded.
        timeout: seconds for decoding each picture, in a process of its own.

    Raises:
        UsageError: an argument that cannot be, or the model's classes lie over each other.
        PixelwiseError: at the call, what `load` raises; from the generator, what
            `Model.predict` raises.
    """
    if isinstance(sources, str | bytes | Path):
        raise UsageError(
            "stream takes many pictures",
            got=f"one {type(sources).__name__}",
            fix="pass a list or any iterable of pictures",
        )
    if not (0 <= workers <= MOST_THREADS and 0 <= in_flight <= _MOST_IN_FLIGHT):
        raise UsageError(
            f"workers must lie in 0 … {MOST_THREADS}, in_flight in 0 … {_MOST_IN_FLIGHT}",
            got=f"workers={workers}, in_flight={in_flight}",
        )
    if isinstance(model, Model):
        loaded, count = model, workers or 1
    else:
        count = workers or usable_cores()
        loaded = load(model, threads=max(1, usable_cores() // count), streams=count)

    loaded.refuse_multi_label()
    loaded.views(tta)

    def read(source: ImageSource) -> NDArray[Any]:
        card = loaded.card.preprocessing
        return read_input(source, card, max_megapixels=max_megapixels, timeout=timeout)

    def segment(pixels: Future[NDArray[Any]], name: str) -> Segmentation:
        pictures = [pixels.result()]
        return loaded.predict_pixels(pictures, [name], tile=tile, overlap=overlap, tta=tta)[0]

    most = in_flight or _IN_FLIGHT_PER_WORKER * count + 1
    return _ordered(sources, read, segment, count, most, on_error)


def _ordered(
    sources: Iterable[ImageSource],
    read: Callable[[ImageSource], NDArray[Any]],
    segment: Callable[[Future[NDArray[Any]], str], Segmentation],
    workers: int,
    most: int,
    on_error: OnError | None,
) -> Generator[Segmentation, None, None]:
    waiting: deque[tuple[ImageSource, Future[Segmentation]]] = deque()
    coming = iter(sources)
    ended: Exception | None = None
    more = True
    with ExitStack() as ending:
        # Last in, first out: readers end first, so that no worker waits for one that never starts.
        working = ending.enter_context(_Pool(workers, "pixelwise-network"))
        reading = ending.enter_context(_Pool(workers, "pixelwise-reader"))
        while more or waiting:
            while more and len(waiting) < most:
                try:
                    source = next(coming)
                except StopIteration:
                    more = False
                    break
                # The caller's own trouble waits until the results before it are given.
                except Exception as error:
                    more, ended = False, error
                    break
                # The caller may write the next frame into the array.
                taken = source.copy() if isinstance(source, np.ndarray) else source
                pixels = reading.submit(read, taken)
                name = describe_source(source)
                waiting.append((source, working.submit(segment, pixels, name)))
            if not waiting:
                break
            source, future = waiting.popleft()
            try:
                result = future.result()
            except PixelwiseError as error:
                if on_error is None:
                    raise
                on_error(source, error)
                continue
            yield result
    if ended is not None:
        raise ended


class _Pool(ThreadPoolExecutor):
    """Threads that finish what they are at, and no more, when their block is left."""

    def __init__(self, count: int, name: str) -> None:
        super().__init__(count, thread_name_prefix=name)

    def __exit__(self, *error: object) -> None:
        self.shutdown(wait=True, cancel_futures=True)
