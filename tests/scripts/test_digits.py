"""The demo's data: every digit once, in class folders."""

from pathlib import Path

from sklearn.datasets import load_digits

from pictures.decoder import decode
from scripts.make import digits


def test_every_digit_is_written_once(tmp_path: Path) -> None:
    counts = digits.write(tmp_path)
    assert sum(counts.values()) == len(load_digits().target) == 1797
    names = [path.name for path in tmp_path.rglob("*.png")]
    assert len(set(names)) == 1797
    assert counts["test"] == 269


def test_the_picture_is_the_digit(tmp_path: Path) -> None:
    digits.write(tmp_path, limit=20)
    data = load_digits()
    for path in tmp_path.rglob("*.png"):
        assert path.parent.name == str(data.target[int(path.stem)])
        assert decode(path.read_bytes()).size == (digits.SIDE, digits.SIDE)
