"""Every benchmark starts."""

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
# Modules that the others use.
PARTS = {"__init__", "measuring", "bundles", "clients", "servers", "contained", "gpu_parts"}
NAMES = sorted({file.stem for file in FOLDER.glob("*.py")} - PARTS)


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_starts_and_describes_itself(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    assert f"python -m benchmarks.{name}" in str(module.__doc__)
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit, match="0"):
        module.main()
    assert "--out" in capsys.readouterr().out


def test_every_result_is_explained() -> None:
    page = (FOLDER / "results" / "README.md").read_text()
    files = sorted(file.name for file in (FOLDER / "results").glob("*.json"))
    assert [name for name in files if f"`{name}`" not in page] == []
