"""Chunks of features on the disk: each is complete or absent, and named by what it was made from.

A file name contains the key and a SHA-256 of the file. Files are read through memory maps, so that
an epoch over many pictures needs no more memory than a few batches. Jobs can share a folder.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from pictures.files import write_atomically
from train.platform.log import log

SIZE = 2048  # pictures in a chunk: 16 MiB of ResNet50's features


@dataclass(frozen=True)
class Chunk:
    """Features of up to `SIZE` pictures.

    `rows` is [readable, F]. `places` int64 [readable] is the index of each row's picture in
    the chunk. `unreadable` holds the other pictures with the reason.
    """

    rows: torch.Tensor
    places: torch.Tensor
    unreadable: tuple[tuple[int, str], ...] = ()


class ChunksError(RuntimeError):
    """Features that cannot be stored; the message says what to change."""


class Chunks:
    """A folder of chunks.

    Args:
        folder: stores them for later jobs. None: the system's temporary folder, where files are
            deleted once they are mapped, so that none remains when the process ends.

    Attributes:
        persistent: whether later jobs find the chunks.
    """

    def __init__(self, folder: Path | None) -> None:
        self.persistent = folder is not None
        self.folder = folder or Path(tempfile.gettempdir())
        self.folder.mkdir(parents=True, exist_ok=True)

    def load(self, key: str) -> Chunk | None:
        """Return the chunk stored under `key`, or None; a damaged file is logged and removed."""
        if not self.persistent:
            return None
        for path in self.folder.glob(f"{key}-*.safetensors"):
            try:
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()[:32]
                if found == path.stem.rpartition("-")[2]:
                    return _read(path)
            except FileNotFoundError:  # another job removed it first
                continue
            log(f"features {path} are damaged (checksum does not match): computing them again")
            path.unlink(missing_ok=True)
        return None

    def write(self, key: str, chunk: Chunk) -> Path:
        """Write a chunk, and return its file.

        Raises:
            ChunksError: the disk is full, or fails.
        """
        tensors = {"rows": chunk.rows.contiguous(), "places": chunk.places}
        data = safetensors.torch.save(
            tensors, metadata={"unreadable": json.dumps(chunk.unreadable)}
        )
        path = self.folder / f"{key}-{hashlib.sha256(data).hexdigest()[:32]}.safetensors"
        if not self.persistent:
            path = path.with_name(f"kennel-features-{os.getpid()}-{path.name}")
        try:
            write_atomically(path, data)
        except OSError as error:
            raise ChunksError(
                f"features cannot be stored in {self.folder} ({error}): give the job a larger "
                "volume, set KENNEL_FEATURES to another folder, or set feature_views=0"
            ) from error
        return path

    def read(self, path: Path) -> Chunk:
        """Return the chunk in a file that `write` returned."""
        return _read(path)

    def release(self, path: Path) -> None:
        """Delete a temporary file that all processes have mapped: the maps keep its contents."""
        if not self.persistent:
            path.unlink(missing_ok=True)


def key(*facts: object, contents: Sequence[str]) -> str:
    """Return the name of a chunk: a digest of all that its numbers depend on."""
    return hashlib.sha256(json.dumps([*facts, *contents]).encode()).hexdigest()[:32]


def _read(path: Path) -> Chunk:
    with safetensors.safe_open(path, framework="pt") as file:
        unreadable = json.loads(file.metadata()["unreadable"])
        return Chunk(
            file.get_tensor("rows"),
            file.get_tensor("places"),
            tuple((place, reason) for place, reason in unreadable),
        )
