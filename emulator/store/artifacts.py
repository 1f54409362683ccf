"""A job's folders in S3: model and output archives at the end, checkpoints while it runs."""

import contextlib
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from emulator.errors import JobError
from emulator.store.objects import Location, Objects
from emulator.store.paths import below
from pictures import archive as unpacker
from pictures.archive import ArchiveError

_GZIP = b"\x1f\x8b"


class Sync:
    """Copies a folder's files to S3 as they change. Deleted files remain in S3."""

    def __init__(self, objects: Objects, folder: Path, target: Location) -> None:
        self._objects, self._folder, self._target = objects, folder, target
        self._sent: dict[str, tuple[int, int]] = {}

    def fetch(self) -> None:
        """Download what S3 already has; `send` will not upload it again.

        Raises:
            JobError: the bucket is missing, or a key leads out of the folder.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        prefix = Location(self._target.bucket, self._target.key.rstrip("/") + "/")
        for place in self._objects.find(prefix):
            name = place.key.removeprefix(prefix.key)
            file = below(self._folder, name)
            self._objects.fetch(place, file)
            self._sent[name] = _stamp(file)

    def send(self) -> None:
        """Upload new and changed files."""
        for name, file in files_below(self._folder):
            # The job may rename or delete a file after it was listed.
            with contextlib.suppress(FileNotFoundError):
                stamp = _stamp(file)
                if self._sent.get(name) != stamp:
                    self._objects.store(file, self._target.join(name))
                    self._sent[name] = stamp


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_mtime_ns, status.st_size


def upload(
    objects: Objects, folders: Sequence[Path], archive: Path, target: Location, *, compress: bool
) -> None:
    """Upload the merged folders of several hosts, as an archive or file by file.

    Args:
        objects: S3.
        folders: if several have a file of the same name, the first host's is taken.
        archive: the path for the temporary archive.
        target: `…/output/model.tar.gz`, or `…/output/model` without compression.
        compress: whether to upload an archive.
    """
    files: dict[str, Path] = {}
    for folder in folders:
        for name, file in files_below(folder):
            files.setdefault(name, file)
    if not compress:
        for name, file in files.items():
            objects.store(file, target.join(name))
        return
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for name, file in sorted(files.items()):
            tar.add(file, arcname=name)
    objects.store(archive, target)
    archive.unlink()


def unpack(objects: Objects, source: Location, target: Path) -> None:
    """Unpack a model archive.

    Raises:
        JobError: it is missing, is not a tar.gz, or has what no model needs: links, devices, paths
            outside the folder, more bytes, files or folders than are allowed.
    """
    archive = target.with_name(f"{target.name}.tar.gz")
    objects.fetch(source, archive)
    try:
        with archive.open("rb") as file:
            if file.read(len(_GZIP)) != _GZIP:
                raise ArchiveError("it is not gzipped")
        unpacker.unpack(archive, target)
    except (ArchiveError, OSError) as error:
        raise JobError(
            f"Failed to extract model data archive from URL {source}: {error}. Please ensure that "
            "the object located at the URL is a valid tar.gz archive."
        ) from None
    finally:
        archive.unlink()


def files_below(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield each file below a folder, with its relative path.

    Links that lead out of the folder are left out: a job could make one to any file of this user.
    If a part of the folder's own path is a link, there are no files.
    """
    # Not rglob: a job may delete a folder after it was listed.
    paths = [Path(folder) / name for folder, _, names in os.walk(root) for name in names]
    for path in sorted(paths):
        if path.is_file() and path.resolve().is_relative_to(root.absolute()):
            yield path.relative_to(root).as_posix(), path
