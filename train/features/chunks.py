"""Chunks of features on the disk: each whole or not at all, known by what it was made from.

A file's name carries its key and its own SHA-256. It is read through a memory map, so that an epoch
over many pictures needs no more memory than a few batches; several jobs may share a folder.
"""

import contextlib
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

SIZE = 2048  # pictures a chunk: 16 MiB of ResNet50's features


@dataclass(frozen=True)
class Chunk:
    """Features of up to `SIZE` pictures.

    `rows` is [readable, F]; `places` int64 [readable]: which picture of the chunk each row is of;
    `unreadable` has the others, with the reason.
    """

    rows: torch.Tensor
    places: torch.Tensor
    unreadable: tuple[tuple[int, str], ...] = ()


class ChunksError(RuntimeError):
    """Features that cannot be kept; the message says what to change."""


class Chunks:
    """A folder of chunks.

    Args:
        folder: to keep them in, across jobs; None for the temporary one, where the files have no
            name and take up space until the process ends, however it ends.
    """

    def __init__(self, folder: Path | None) -> None:
        self._keep = folder is not None
        self.folder = folder or Path(tempfile.gettempdir())
        self.folder.mkdir(parents=True, exist_ok=True)

    def load(self, key: str) -> Chunk | None:
        """Return the chunk kept under `key`, or None; a damaged one is named and removed."""
        if not self._keep:
            return None
        for path in self.folder.glob(f"{key}-*.safetensors"):
            try:
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()[:32]
                if found == path.stem.rpartition("-")[2]:
                    return _read(path)
            except FileNotFoundError:  # another job's broom was faster
                continue
            print(f"features {path} are damaged (the checksum does not match): computed anew")
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
        if not self._keep:
            path = path.with_name(f"kennel-features-{os.getpid()}-{path.name}")
        partial = path.with_suffix(f".{os.getpid()}.partial")  # its writer's own
        try:
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise ChunksError(
                f"features cannot be kept in {self.folder} ({error}): give the job a larger volume,"
                " name another folder in KENNEL_FEATURES, or set feature_views=0"
            ) from error
        return path

    def read(self, path: Path) -> Chunk:
        """Return the chunk in a file that `write` returned."""
        return _read(path)

    def let_go(self, path: Path) -> None:
        """Once all have read it: memory maps keep it, and no killed job leaves anything behind."""
        if not self._keep:
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
