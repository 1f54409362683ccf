"""CONTRIBUTING.md's recipes, followed: the code on the page does what the page says."""

import importlib
import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from typer.testing import CliRunner

from classifier import networks
from classifier.architectures import canonical
from debugger import rules
from debugger.records import Scalar
from scripts import cli
from scripts.verbs.jobs import hyperparameters
from serve.errors import RequestError
from serve.formats import contents

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()


def blocks(recipe: str, language: str = "python") -> list[str]:
    """The code blocks of a recipe."""
    section = PAGE.partition(f"\n### {recipe}\n")[2].partition("\n### ")[0].partition("\n## ")[0]
    found = re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert found, recipe
    return found


def run(code: str) -> dict[str, object]:
    """Run a block as a module of its own."""
    module: dict[str, object] = {"__name__": "recipe"}
    exec(code, module)  # noqa: S102
    return module


@pytest.mark.slow
def test_one_job_in_the_debugger(tmp_path: Path) -> None:
    commands = blocks("One job in the debugger", "console")[0].replace("\\\n", "")
    script = "set -e\n" + re.sub(r"^\$ ", "", commands, flags=re.MULTILINE)
    done = subprocess.run(
        ["bash", "-c", script.replace(".venv/bin/python", sys.executable)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        input="continue\nquit\n",
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert "(Pdb)" in done.stdout, done.stderr
    assert (tmp_path / "run" / "job" / "model" / "kennel.json").is_file(), done.stdout + done.stderr


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed distribution without code or entry points."""
    about = tmp_path / "recipe-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: recipe\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for module in ("my_rules", "my_networks"):
        sys.modules.pop(module, None)


def install(package: Path, recipe: str, module: str) -> None:
    """Write a recipe's code and entry point into the distribution."""
    (package / f"{module}.py").write_text(blocks(recipe)[0])
    group, line = re.findall(
        r'\[project\.entry-points\."(.+)"\]\n(.+)\n', blocks(recipe, "toml")[0]
    )[0]
    points = package / "recipe-1.0.dist-info" / "entry_points.txt"
    points.write_text(f"[{group}]\n{line.replace(chr(34), '')}\n")


def test_a_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    verb = run(blocks("A verb")[0])["cheer"]
    monkeypatch.setattr(cli.app, "registered_commands", [*cli.app.registered_commands])
    cli.app.command()(verb)  # type: ignore[type-var]  # as the loop over VERBS does
    done = CliRunner().invoke(cli.app, ["cheer", "dogs"])
    assert (done.exit_code, done.stdout) == (0, "well done, dogs\n")
    assert "Encourage a training job." in CliRunner().invoke(cli.app, ["--help"]).stdout


def test_a_rule(package: Path) -> None:
    install(package, "A rule", "my_rules")
    made = rules.make({"AlreadyGood": {"limit": 0.5}})
    records = [Scalar(1.0, "validation:accuracy", 7, epoch, 0.75) for epoch in (1, 2)]
    fired = {result.rule: result.times for result in rules.evaluate(records, made)}
    assert fired["AlreadyGood"] == 1


def test_a_content_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "READERS", dict(contents.READERS))
    run(blocks("A content type")[0])
    assert contents.read("text/x-hex", b"00ff", max_pictures=1).pictures == (b"\x00\xff",)
    with pytest.raises(RequestError, match="not hexadecimal"):
        contents.read("text/x-hex", b"zz", max_pictures=1)
    with pytest.raises(RequestError) as refused:
        contents.read("text/unknown", b"", max_pictures=1)
    assert "text/x-hex" in refused.value.hint


def test_an_architecture(package: Path) -> None:
    install(package, "An architecture", "my_networks")
    assert canonical("smallnet") == "smallnet"
    network = networks.build("smallnet", 3).eval()
    assert networks.preset("smallnet").crop == 64
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 3)


def test_a_hyperparameter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(tmp_path, monkeypatch, blocks("A hyperparameter")[0])
    assert config.from_hyperparameters({"head_dropout": "0.3"}).head_dropout == 0.3
    with pytest.raises(config.ConfigError, match=r"head_dropout:.*less than 1"):
        config.from_hyperparameters({"head-dropout": "1.5"})
    monkeypatch.setattr(hyperparameters, "TrainConfig", config.TrainConfig)
    row = "| `head_dropout` | `0.0` | share of features dropped before the head |\n"
    assert row in hyperparameters.page()


def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str) -> ModuleType:
    """Load train/config.py with a further field."""
    source = (ROOT / "train" / "config.py").read_text()
    place = "    model_config = ConfigDict("
    assert source.count(place) == 1
    file = tmp_path / "more_config.py"
    indented = textwrap.indent(textwrap.dedent(field), "    ")
    file.write_text(source.replace(place, f"{indented}\n{place}"))
    spec = importlib.util.spec_from_file_location("more_config", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "more_config", module)
    spec.loader.exec_module(module)
    return module


def test_every_term_of_the_glossary_is_used_elsewhere() -> None:
    glossary = PAGE.partition("\n## Glossary\n")[2]
    terms = [
        word.strip()
        for row in re.findall(r"^\| ([^|]+) \|", glossary, re.MULTILINE)
        for word in row.split(",")
        if row not in ("word", "---")
    ]
    assert len(terms) > 20
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    sources = [file for room in ROOT.glob("*/__init__.py") for file in room.parent.rglob("*.py")]
    text = "".join(file.read_text().lower() for file in [*pages, *sources])
    assert [term for term in terms if term.lower() not in text] == []
