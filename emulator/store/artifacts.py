"""A job's folders to S3: model and output archives at the end, checkpoints while it runs."""

import contextlib
import tarfile
from collections.abc import Sequence
from pathlib import Path

from emulator.errors import JobError
from emulator.store.json_files import files_below
from emulator.store.objects import Location, Objects


class Sync:
    """Keeps a folder's files in S3 as they change. What is deleted here stays there."""

    def __init__(self, objects: Objects, folder: Path, target: Location) -> None:
        self._objects, self._folder, self._target = objects, folder, target
        self._sent: dict[str, tuple[int, int]] = {}

    def fetch(self) -> None:
        """Bring what S3 already holds into the folder, and do not send it back."""
        self._folder.mkdir(parents=True, exist_ok=True)
        below = Location(self._target.bucket, self._target.key.rstrip("/") + "/")
        for place in self._objects.find(below):
            name = place.key.removeprefix(below.key)
            file = (self._folder / name).resolve()
            if file.is_relative_to(self._folder.resolve()):
                self._objects.fetch(place, file)
                self._sent[name] = _stamp(file)

    def send(self) -> None:
        """Send what is new or has changed since the last time."""
        for name, file in files_below(self._folder):
            # A file may be renamed or deleted by the job between being seen and being read.
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
    """Send folders of several hosts, laid over one another, as an archive or file by file.

    Args:
        objects: of S3.
        folders: the first host's wins where two have a file of one name.
        archive: where the archive is made.
        target: `…/output/model.tar.gz`, or `…/output/model` when not compressed.
        compress: whether it is an archive.
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
        JobError: it is missing, is no tar.gz, or would write outside the folder.
    """
    archive = target.with_name(f"{target.name}.tar.gz")
    objects.fetch(source, archive)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(target, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise JobError(
            f"Failed to extract model data archive from URL {source}: {error}. Please ensure that "
            "the object located at the URL is a valid tar.gz archive."
        ) from None
    finally:
        archive.unlink()
