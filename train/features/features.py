"""Features of a frozen backbone: computed once for each picture and cached, to train the head.

View e is the random view that epoch e would see. If there are fewer views than epochs, they repeat.
An epoch trains on the same numbers as it would through the whole network. Several processes divide
the pictures between them, and all of them get all features.
"""

import hashlib
import itertools
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import nn

from debugger.records import FEATURES
from pictures.picture import Picture
from pictures.shards import ShardError
from train.batches.augment import Transform, is_random
from train.batches.batch import Batch
from train.batches.order import LEAST_BATCH, Order, evaluation_order
from train.features import chunks, versions
from train.features.backbone import Backbone
from train.features.chunks import Chunk, Chunks
from train.learning import frozen, parallel
from train.learning.evaluate import Scores
from train.platform import memory
from train.state import inputs
from train.state.measure import score
from train.state.progress import Whole, follow
from train.state.run import Run

FOLDER = "KENNEL_FEATURES"  # the folder that stores features for later jobs and restarts
_FORMAT = 5  # of the features under a key


class View:
    """One view of each picture of a set: its features, in chunks."""

    def __init__(self, pictures: Sequence[Picture], parts: Sequence[Chunk]) -> None:
        self._pictures = pictures
        self._parts = parts
        self._rows: dict[int, int] = {}
        self.unreadable: list[tuple[str, str]] = []
        for number, part in enumerate(parts):
            first = number * chunks.SIZE
            self._rows |= {first + place: row for row, place in enumerate(part.places.tolist())}
            self.unreadable += [
                (str(pictures[first + place].path), reason) for place, reason in part.unreadable
            ]

    def batch(self, indices: Sequence[int]) -> Batch:
        """Return features [B, F] and labels of the pictures that could be read."""
        known = [index for index in indices if index in self._rows]
        rows = [self._parts[i // chunks.SIZE].rows[self._rows[i]] for i in known]
        labels = torch.tensor([self._pictures[i].label for i in known], dtype=torch.long)
        width = max(part.rows.shape[1] for part in self._parts)
        return Batch(torch.stack(rows) if rows else torch.empty(0, width), labels)


class Batches:
    """An epoch's batches of features, in the given order; iterate it once an epoch."""

    def __init__(self, features: "Features", pictures: Sequence[Picture], order: Order):
        self._features, self._pictures, self.order = features, pictures, order

    def __iter__(self) -> Iterator[Batch]:
        epoch = None if self.order.seed is None else self.order.epoch
        view = self._features.view(self._pictures, epoch)
        for keys in self.order:
            yield view.batch([index for _, index in keys])


class Features:
    """The features of a run's pictures. `tail` is the part of the network that trains on them.

    Args:
        run: the run.
        network: with a frozen backbone.
        views: random views of each training picture.
        repeat: views are used in more than one epoch or trial, so all of them stay cached.
    """

    def __init__(self, run: Run, network: nn.Module, views: int, *, repeat: bool) -> None:
        folder = os.environ.get(FOLDER)
        self.views = views
        self._run = run
        self._repeat = repeat
        front, self.tail = frozen.split(network)
        self._backbone = Backbone(front, run)
        self._chunks = Chunks(Path(folder) if folder else None)
        self._digest = frozen.digest(network)
        self._contents: dict[Path, str] = {}
        self._cached: dict[tuple[int, int | None], View] = {}
        pictures = views * len(run.splits.train) + len(run.splits.valid)
        self._whole = Whole(float(pictures))

    def view(self, pictures: Sequence[Picture], epoch: int | None) -> View:
        """Return the features that an epoch trains on; for epoch None those of the evaluation view.

        Computes the features that are not cached. If views do not repeat, those of earlier epochs
        are released.

        Raises:
            DataError: too many pictures cannot be read.
            ChunksError: the disk has no space for them.
            Interrupted: the job was asked to stop.
        """
        number = None if epoch is None else epoch % self.views
        name = (id(pictures), number)
        if name not in self._cached:
            if number is not None and not self._repeat:
                self._cached = {key: view for key, view in self._cached.items() if key[1] is None}
            with self._run.hooks.phase(FEATURES):
                self._cached[name] = view = self._make(pictures, number)
            self._run.unreadable.add(view.unreadable)
        return self._cached[name]

    def batches(self, pictures: Sequence[Picture], order: Order) -> Batches:
        """Return batches of features; an order without a seed takes the evaluation view."""
        return Batches(self, pictures, order)

    def measure(self, network: nn.Module, pictures: Sequence[Picture]) -> Scores:
        """Evaluate a network that has this backbone; raises as `view` and `state.measure.score`."""
        self.view(pictures, None)
        order = evaluation_order(len(pictures), self._run.job)
        tail = frozen.split(network)[1]
        return score(self._run, tail, self.batches(pictures, order), pictures)

    def space(self, views: int) -> tuple[int, int]:
        """Return the bytes that `views` of all pictures take at most, and the free bytes."""
        run = self._run
        one = torch.zeros(1, 3, run.transform.crop, run.transform.crop, device=run.device)
        width = self._backbone.features(one).shape[1]
        pictures = views * len(run.splits.train) + len(run.splits.valid)
        return 4 * width * pictures, shutil.disk_usage(self._chunks.folder).free

    def _make(self, pictures: Sequence[Picture], number: int | None) -> View:
        starts = range(0, len(pictures), chunks.SIZE)
        if self._chunks.persistent:
            keys = {first: self._key(pictures, first, number) for first in starts}
        else:  # nothing is looked up, so no picture is read to be hashed
            keys = {first: f"{number}-{first}" for first in starts}
        parts = {first: self._chunks.load(key) for first, key in keys.items()}
        absent = parallel.all_gather([first for first in starts if parts[first] is None])
        missing = sorted({first for theirs in absent for first in theirs})
        for first, chunk in zip(missing, self._compute(pictures, missing, number), strict=True):
            parts[first] = self._store(keys[first], chunk)
            memory.release()
        found = [part for part in parts.values() if part is not None]
        return View(pictures, found)

    def _store(self, key: str, chunk: Chunk) -> Chunk:
        """Write a chunk, once on each host, and return it as read back."""
        job = self._run.job
        written = self._chunks.write(key, chunk) if job.local_rank == 0 else None
        path = parallel.all_gather(written)[job.rank - job.local_rank]
        stored = self._chunks.read(path)
        parallel.barrier()
        if job.local_rank == 0:
            self._chunks.release(path)
        return stored

    def _compute(
        self, pictures: Sequence[Picture], missing: Sequence[int], number: int | None
    ) -> Iterator[Chunk]:
        """Yield the chunks that begin at `missing`; each process computes its share of each."""
        run = self._run
        shares = {first: self._share(first, len(pictures)) for first in missing}
        keys = [
            [(number or 0, index) for index in part] for share in shares.values() for part in share
        ]
        again = number is not None and self.views > 1
        batches = inputs.load(run, pictures, _transform(run, number), keys, again=again)
        which = "validation" if number is None else f"view {number + 1} of {self.views}"
        watched = follow(
            run.stop.watch(batches),
            f"features, {which}",
            done=0,
            total=len(keys),
            show=run.job.is_main,
            whole=self._whole,
            units=float(len(pictures)),
        )
        pairs = zip(keys, watched, strict=True)
        for first, share in shares.items():
            done: list[tuple[torch.Tensor, list[int], list[tuple[int, str]]]] = []
            for batch_keys, batch in itertools.islice(pairs, len(share)):
                indices = [index for _, index in batch_keys]
                run.unreadable.add((), batch.remarks)
                done.append((self._through(batch), *_sort_out(pictures, indices, batch)))
            yield _merge(parallel.all_gather(_chunk(done, first)))
        assert next(pairs, None) is None  # the loader is used up, and its end checks for a stop

    def _share(self, first: int, count: int) -> list[range]:
        """Return the pictures of each batch of a chunk that this process computes.

        The batches do not depend on the number of processes. Each process gets the same number of
        batches; some can be empty.
        """
        job = self._run.job
        end = min(first + chunks.SIZE, count)
        starts = range(first, end, LEAST_BATCH)
        own = [range(one, min(one + LEAST_BATCH, end)) for one in starts][
            job.rank :: job.world_size
        ]
        return own + [range(0)] * (-(-len(starts) // job.world_size) - len(own))

    def _through(self, batch: Batch) -> torch.Tensor:
        """Return features [B, F], still on the device."""
        if not len(batch.labels):
            return torch.empty(0, 0)
        return self._backbone.features(batch.images_on(self._run.device))

    def _key(self, pictures: Sequence[Picture], first: int, number: int | None) -> str:
        run = self._run
        contents = [self._content(one) for one in pictures[first : first + chunks.SIZE]]
        draws = () if number is None else _draws(run, number, first)
        return chunks.key(
            *(_FORMAT, self._digest, run.config.architecture, run.transform.model_dump_json()),
            *(str(run.precision), _device(run.device), self._backbone.engine, LEAST_BATCH),
            *(versions.of_the_numbers(), draws),
            contents=contents,
        )

    def _content(self, picture: Picture) -> str:
        """Return a picture's SHA-256: name and date do not show that a file was replaced."""
        path = picture.path
        if path not in self._contents:
            try:
                self._contents[path] = hashlib.sha256(picture.read()).hexdigest()
            except (ShardError, OSError) as error:
                self._contents[path] = f"unreadable: {error}"
        return self._contents[path]


def choose(run: Run, network: nn.Module) -> Features | None:
    """Return the run's features, or None: then every step goes through the whole network.

    Features are used if only the head is trained, on pictures that are not mixed, and every host
    has enough disk space for them.

    Args:
        run: the run.
        network: its network, frozen.
    """
    config = run.config
    mixed = config.mixup or config.cutmix
    wanted = config.feature_views != 0 and not mixed
    if not (wanted and frozen.only_head_is_trained(network)):
        return None
    epochs = config.head_epochs or max(trial.epochs for trial in config.trials())
    views = min(config.feature_views or epochs, epochs) if is_random(config) else 1
    repeat = bool(config.sweep) or views < epochs
    features = Features(run, network, views, repeat=repeat)
    needed, free = features.space(views if repeat else 1)
    if any(parallel.all_gather(needed > free)):
        run.job.log(
            f"the frozen backbone's features need {needed / 2**30:.1f} GiB, and "
            f"{free / 2**30:.1f} GiB are free: every step goes through the whole network. Give the "
            f"job a larger volume, set {FOLDER} to another folder, or lower feature_views"
        )
        return None
    return features


def _transform(run: Run, number: int | None) -> Transform:
    return run.transform if number is None else run.training_transform


def _draws(run: Run, number: int, first: int) -> tuple[object, ...]:
    """Return what the random transforms of a chunk depend on, in addition to the pictures."""
    config = run.config
    if not is_random(config):
        return ()
    where = run.augments_on_device  # which rounds differently
    return config.augment, where, config.horizontal_flip, config.seed, number, first


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu {torch.backends.cpu.get_cpu_capability()}"


def _sort_out(
    pictures: Sequence[Picture], indices: Sequence[int], batch: Batch
) -> tuple[list[int], list[tuple[int, str]]]:
    """Return the indices of the pictures in a batch, and the omitted ones with the reason."""
    reasons = dict(batch.unreadable)
    bad = [(i, reasons[str(pictures[i].path)]) for i in indices if str(pictures[i].path) in reasons]
    out = {index for index, _ in bad}
    return [index for index in indices if index not in out], bad


def _merge(parts: Sequence[Chunk]) -> Chunk:
    """Return one chunk from the parts of all processes, in the order of its pictures."""
    if len(parts) == 1:
        return parts[0]
    places = torch.cat([part.places for part in parts])
    rows = [part.rows for part in parts if len(part.rows)]
    order = places.argsort()
    return Chunk(
        torch.cat(rows)[order] if rows else torch.empty(0, 0),
        places[order],
        tuple(sorted(one for part in parts for one in part.unreadable)),
    )


def _chunk(
    done: Sequence[tuple[torch.Tensor, list[int], list[tuple[int, str]]]], first: int
) -> Chunk:
    places = torch.tensor([i - first for _, known, _ in done for i in known], dtype=torch.long)
    rows = [part for part, known, _ in done if known]
    return Chunk(
        torch.cat(rows).cpu() if rows else torch.empty(0, 0),
        places,
        tuple((i - first, reason) for _, _, bad in done for i, reason in bad),
    )
