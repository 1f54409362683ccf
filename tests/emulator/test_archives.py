"""Whoever takes an archive uses the one unpacker: nothing is written outside the folder."""

import ast
import gzip
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from classifier.weights import WeightsError, continued
from emulator.errors import JobError
from emulator.store import artifacts
from emulator.store.objects import Location, Objects
from scripts.aws import recordings
from scripts.make import local
from scripts.photos.unpacking import folder_of
from scripts.problem import Problem
from tests.pictures.test_archive import HOSTILE, member, tar

PROJECT = Path(__file__).parents[2]
ROOMS = ("classifier", "debugger", "emulator", "pictures", "scripts", "serve", "train")
# These need the small limits of their own test.
NAMES = sorted(HOSTILE.keys() - {"huge in sum", "too many"})


def model_of_an_endpoint(archive: Path, folder: Path) -> None:
    objects = Objects(folder.parent / "s3")
    bucket = f"archives-{folder.parents[1].name[-30:]}".lower().replace("_", "-").strip("-")
    objects.backend.create_bucket(bucket, "us-east-1")
    objects.save_bucket(bucket)
    objects.store(archive, Location(bucket, "model.tar.gz"))
    folder.mkdir()
    try:
        artifacts.unpack(objects, Location(bucket, "model.tar.gz"), folder)
    finally:
        objects.delete(Location(bucket, "model.tar.gz"))
        objects.backend.delete_bucket(bucket)
        objects.save_bucket(bucket)
        (folder.parent / "s3").rmdir()
        if folder.exists():
            folder.rmdir()


def photos(archive: Path, folder: Path) -> None:
    with folder_of(archive):
        pass


TAKERS: dict[str, tuple[Callable[[Path, Path], object], type[Exception]]] = {
    "the model of an endpoint": (model_of_an_endpoint, JobError),
    "weights of a job": (
        lambda archive, _folder: continued("resnet18", file=archive),
        WeightsError,
    ),
    "kennel report": (recordings.unpack, Problem),
    "make local-serve": (lambda archive, _folder: local.unpacked(archive), Problem),
    "photos": (photos, Problem),
}


@pytest.mark.parametrize("taker", TAKERS)
def test_hostile_archives_write_nothing_outside(tmp_path: Path, taker: str) -> None:
    take, error = TAKERS[taker]
    assert len(NAMES) >= 30
    for number, name in enumerate(NAMES):
        inside = tmp_path / f"n{number}" / "parent"
        inside.mkdir(parents=True)
        packed = inside / "model.tar.gz"
        packed.write_bytes(gzip.compress(HOSTILE[name][0](), 1, mtime=0))
        with pytest.raises(error) as raised:
            take(packed, inside / "folder")
        assert str(raised.value).isprintable(), name
        left = [path for path in (tmp_path / f"n{number}").rglob("*") if path.is_file()]
        assert left == [packed], name
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"n{number}" for number in range(len(NAMES))
    )


def test_a_model_is_gzipped_and_complete(tmp_path: Path) -> None:
    good = tar(member("kennel.json", size=3), member("code/x.py", size=2))
    (tmp_path / "in").mkdir()
    archive = tmp_path / "in" / "model.tar.gz"
    for data, message in [
        (good, "is not gzipped"),
        (gzip.compress(good, mtime=0)[:-9], "damaged or incomplete"),
        (gzip.compress(b"", mtime=0), "damaged or incomplete"),
        (b"", "is not gzipped"),
    ]:
        archive.write_bytes(data)
        with pytest.raises(JobError, match=message) as raised:
            model_of_an_endpoint(archive, tmp_path / "in" / "folder")
        assert "valid tar.gz archive" in str(raised.value)


# What unpacks archives, or decides by a filter of the library what may be unpacked.
UNPACKERS = {"extract", "extractall", "unpack_archive", "data_filter", "tar_filter"}


def test_nothing_else_unpacks_archives() -> None:
    found = []
    for room in ROOMS:
        for file in (PROJECT / room).rglob("*.py"):
            text = file.read_text()
            if not any(word in text for word in ("tarfile", "extract", "unpack", "_filter")):
                continue
            for node in ast.walk(ast.parse(text)):
                named = isinstance(node, ast.Attribute) and node.attr in UNPACKERS
                opened = isinstance(node, ast.Call) and ast.unparse(node.func) == "tarfile.open"
                reads = opened and '"w' not in ast.unparse(node).replace("'", '"')
                if named or reads:
                    found.append(f"{file.relative_to(PROJECT)}: {ast.unparse(node)}")
    assert found == []


def test_the_walk_finds_what_it_looks_for() -> None:
    with pytest.raises(tarfile.ReadError):
        tarfile.open(__file__).extractall("x")  # noqa: S202, SIM115
    names = {
        node.attr
        for node in ast.walk(ast.parse(Path(__file__).read_text()))
        if isinstance(node, ast.Attribute)
    }
    assert names & UNPACKERS == {"extractall"}
