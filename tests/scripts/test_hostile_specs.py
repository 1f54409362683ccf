"""Hostile experiments and `--set`: a short message, no traceback, nothing dropped in silence."""

from pathlib import Path

import pytest

from emulator.__main__ import main
from emulator.settings import Settings
from tests.scripts.kennel import kennel
from tests.scripts.test_dry_run import DOGS

FILES = {
    "lists in lists": "x = " + "[" * 5000 + "]" * 5000,
    "tables in tables": "x = " + "{a=" * 2000 + "1" + "}" * 2000,
    "a long dotted key": ".".join("a" * 3000) + " = 1",
    "a huge number": "x = " + "9" * 10_000,
    "not a number": "name = nan",
    "a date": "name = 2020-01-01",
    "a long value": 'name = "' + "a" * 500_000 + '"',
    "a mark of bytes, not at the start": 'name = \ufeff"x"',
    "a zero": 'name = "\\u0000"',
    "many keys": "\n".join(f"k{number} = 1" for number in range(2000)),
    "a list of tables": "[[training]]\nx = 1",
    "a value for a table": "training = 1",
    "infinity": "[training]\nmax_runtime = inf",
    "too large": "# " + "x" * 2**20,
}
CHANGES = [
    "",
    "=",
    "training",
    "training=" + "[" * 3000,
    "training.instance_count=" + "9" * 5000,
    ".=1",
    "..name=1",
    "__class__=1",
    "training.__init__=1",
    "name=$(id)",
    "name=\0",
    'name="' + "x" * 100_000 + '"',
    "name=1\nrole=2",
    'name="dogs"\ntypo=1',
    "a." * 2000 + "b=1",
]


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_refused(name: str, tmp_path: Path, nowhere: None) -> None:
    file = tmp_path / "x.toml"
    file.write_text(FILES[name])
    done = kennel("train", str(file), "--dry-run")
    assert done.code == 1
    assert done.err.startswith(f"kennel: {file}")
    assert len(done.err) < 20_000
    words = ["run", "--state", str(tmp_path / "state"), "--config", str(file)]
    if name != "too large":  # of comments alone
        assert main(words) == 2


def test_a_file_that_is_no_text_is_refused(tmp_path: Path, nowhere: None) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe\x00")
    refused = kennel("train", str(tmp_path / "x.toml"), "--dry-run").err
    assert "not valid TOML: it is not UTF-8 text: save it with the encoding UTF-8" in refused


def test_files_of_editors_on_windows_are_read(tmp_path: Path, nowhere: None) -> None:
    file, mark = tmp_path / "x.toml", b"\xef\xbb\xbf"
    file.write_bytes(mark + Path(DOGS).read_bytes().replace(b"\n", b"\r\n"))
    assert kennel("train", str(file), "--dry-run").code == 0
    file.write_bytes(mark + b"[limits]\r\nping_s = 5\r\n")
    assert Settings.read(file, state=tmp_path).limits.ping_s == 5
    values = tmp_path / "x.json"
    values.write_bytes(mark + b'{"epochs": "5"}')
    assert kennel("hyperparameters", "--check", str(values)).code == 0


@pytest.mark.parametrize("change", CHANGES)
def test_a_hostile_change_is_refused(change: str, nowhere: None) -> None:
    done = kennel("train", DOGS, "--dry-run", "--set", change)
    assert done.code == 1
    assert done.err.startswith("kennel: ")
    assert len(done.err) < 20_000
