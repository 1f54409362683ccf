"""A cache of decoded pictures in memory that all decoding workers share.

It stores the decoder's output, so that a random transform sees the same pixels whether they were
cached or decoded again. The memory is anonymous and inherited by the workers: it needs no space in
/dev/shm and uses only the pages that are written.
"""

import mmap
import multiprocessing
from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch.utils.data import get_worker_info

from pictures.picture import Picture
from train.platform import memory
from train.platform.log import log

_SHARE = 0.5  # of the free memory: the rest is for batches, the network and the page cache
_LEAST = 2**20  # bytes for each worker; nothing is cached if there are fewer


class Decoded:
    """Decoded pictures of a set by index, as many as fit. Each worker fills its own part.

    Args:
        count: pictures of the set.
        size: bytes for all of them.
        workers: processes that decode, at most.

    Raises:
        OSError, ValueError: the memory cannot be allocated.
    """

    def __init__(self, count: int, size: int, workers: int) -> None:
        self._parts = max(1, workers)
        self._each = size // self._parts
        head = 8 * (self._parts + 3 * count)
        self._memory = mmap.mmap(
            -1,
            head + self._parts * self._each,
            flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0),
        )
        numbers = np.frombuffer(self._memory, np.int64, self._parts + 3 * count)
        self._used = numbers[: self._parts]
        self._where = numbers[self._parts :].reshape(count, 3)  # begin, width, height; 0 if absent
        self._pixels = np.frombuffer(self._memory, np.uint8, offset=head)

    def __contains__(self, index: int) -> bool:
        return bool(self._where[index, 1])

    def __len__(self) -> int:
        return int((self._where[:, 1] > 0).sum())

    def get(self, index: int) -> Image.Image | None:
        """Return a picture, or None if it is not cached."""
        begin, width, height = self._where[index].tolist()
        if not width:
            return None
        pixels = self._pixels[begin : begin + 3 * width * height]
        return Image.frombuffer("RGB", (width, height), pixels, "raw", "RGB", 0, 1)

    def put(self, index: int, image: Image.Image) -> None:
        """Cache a picture if it fits."""
        worker = get_worker_info()
        part = worker.id % self._parts if worker else 0
        size = 3 * image.width * image.height
        used = int(self._used[part])
        if used + size > self._each or index in self:
            return
        begin = part * self._each + used
        self._pixels[begin : begin + size] = np.asarray(image).reshape(-1)
        self._used[part] = used + size
        self._where[index] = begin, image.width, image.height


class DecodedCache:
    """The memory for decoded pictures of a run, divided between its sets by their counts.

    Args:
        sets: the sets whose pictures are used more than once.
        workers: decoding workers of each process.
        processes: training processes on this machine.
        wanted: bytes on this machine; half of the free memory if None.
    """

    def __init__(
        self, sets: Sequence[Sequence[Picture]], workers: int, processes: int, wanted: int | None
    ) -> None:
        self._workers, self._total = workers, sum(map(len, sets))
        self._sets = {id(one) for one in sets}
        free = int(memory.free() * _SHARE) if wanted is None else wanted
        self.size = free // max(1, processes)
        self.note = ""
        self._caches: dict[tuple[int, int | None], Decoded | None] = {}

    def of(self, pictures: Sequence[Picture], at_least: int | None) -> Decoded | None:
        """Return the cache of a set at one decoded size; None if the set is not cached."""
        name = (id(pictures), at_least)
        if id(pictures) in self._sets and name not in self._caches:
            self._caches[name] = self._make(len(pictures))
        return self._caches.get(name)

    def _make(self, count: int) -> Decoded | None:
        size = self.size * count // max(1, self._total)
        if size // max(1, self._workers) < _LEAST or not _is_inherited():
            return None
        try:
            return Decoded(count, size, self._workers)
        except (OSError, ValueError, OverflowError) as error:
            self.note = (
                f"no memory to cache decoded pictures ({error}): each epoch decodes them again; "
                "cache_gib=0 turns the cache off"
            )
            log(self.note)
            return None


def _is_inherited() -> bool:
    """Whether worker processes inherit memory: they do if they are forked."""
    chosen = multiprocessing.get_start_method(allow_none=True)
    return (chosen or multiprocessing.get_all_start_methods()[0]) == "fork"
