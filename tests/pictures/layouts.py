"""Folders as people have them: what is in each, what the verdict is, and the words that say so."""

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from pictures import shards

PETS = ("cat/*4", "dog/*4")
Prepare = Callable[[Path], object]


def _nothing(root: Path) -> None:
    pass


@dataclass(frozen=True)
class Case:
    """A folder: its pictures (`cat/*4` is four of them), the verdict, and words of the report."""

    name: str
    files: tuple[str, ...]
    words: tuple[str, ...]
    trains: bool = True
    prepare: Prepare = _nothing

    def make(self, root: Path) -> Path:
        root.mkdir()
        for one in self.files:
            folder, star, count = one.rpartition("*")
            if star:
                for number in range(int(count)):
                    picture(root / f"{folder}{number}.png")
            elif one.endswith("/"):
                (root / one).mkdir(parents=True)
            else:
                picture(root / one)
        self.prepare(root)
        return root


def picture(path: Path) -> None:
    """Write a picture that no other path has; other files than PNG have text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".png":
        path.write_text(f"no picture: {path.name}")
        return
    pixels = random.Random(ascii(path)).randbytes(8 * 8 * 3)  # noqa: S311
    Image.frombytes("RGB", (8, 8), pixels).save(path)


def pets(*splits: str, of: tuple[str, ...] = PETS) -> tuple[str, ...]:
    return tuple(f"{split}/{one}" for split in splits for one in of)


def trains(name: str, files: tuple[str, ...], *words: str, do: Prepare = _nothing) -> Case:
    return Case(name, files, words or ("8 pictures in 2 classes",), True, do)


def refused(name: str, files: tuple[str, ...], *words: str, do: Prepare = _nothing) -> Case:
    return Case(name, files, words, False, do)


def link(name: str, to: str) -> Prepare:
    return lambda root: (root / name).symlink_to(to)


def copy(one: str, other: str) -> Prepare:
    return lambda root: (root / other).write_bytes((root / one).read_bytes())


def write(name: str, data: bytes) -> Prepare:
    return lambda root: (root / name).write_bytes(data)


def raw_file(root: Path) -> None:
    os.rename(root / "cat/0.png", os.fsencode(root / "cat") + b"/\xe9.png")  # noqa: PTH104


def raw_class(root: Path) -> None:
    folder = os.path.join(os.fsencode(root), b"caf\xe9")  # noqa: PTH118
    os.mkdir(folder)  # noqa: PTH102
    (root / "dog/0.png").rename(Path(os.fsdecode(folder)) / "0.png")


def same_pictures(root: Path) -> None:
    for path in sorted((root / "train").rglob("*.png")):
        other = root / "valid" / path.relative_to(root / "train")
        other.write_bytes(path.read_bytes())


def packed(root: Path) -> None:
    given = [
        (path.parent.name, path.name, path.read_bytes()) for path in sorted(root.rglob("*.png"))
    ]
    for path in root.iterdir():
        shutil.rmtree(path)
    made = ((folder, name, content.__bytes__) for folder, name, content in given)
    list(shards.write(root, made, shuffle=0))


def damaged_shards(root: Path) -> None:
    packed(root)
    shard = root / "00000.tar"
    shard.write_bytes(shard.read_bytes()[:-100])


def empty_files(root: Path) -> None:
    for number in (7, 8):
        (root / f"cat/{number}.jpg").touch()
