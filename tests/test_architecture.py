"""docs/architecture.md tells the truth: its files, functions, folders and arrows exist."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
ROOMS = CONTRACTS["root_packages"]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/results/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
FOLDERS = "|".join([*ROOMS, "docker", "docs", "tests", "benchmarks", "experiments", "examples"])


def definitions(file: Path) -> set[str]:
    """Functions, classes and methods of a module, as `function` and `Class.method`."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            inside = (one for one in node.body if isinstance(one, ast.FunctionDef))
            found |= {f"{node.name}.{one.name}" for one in inside}
    return found


@pytest.mark.parametrize("step", sorted(set(re.findall(r"`([\w/]+\.py:[\w.]+)`", PAGE))))
def test_every_step_is_a_function_in_its_file(step: str) -> None:
    file, _, name = step.partition(":")
    assert name in definitions(ROOT / file)


def test_each_way_has_its_steps() -> None:
    ways = PAGE.split("\n## The way of ")[1:]
    assert [way.split()[1].rstrip(",") for way in ways] == (
        ["photo", "request", "hyperparameter", "metric", "tensor"]
    )
    assert all(len(re.findall(r"`[\w/]+\.py:[\w.]+`", way)) >= 5 for way in ways)


def test_every_room_and_wing_is_on_the_page() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages == {*ROOMS, "tests", "benchmarks"}
    rooms = [ROOT / name for name in ROOMS]
    wings = [path.parent for room in rooms for path in room.glob("*/__init__.py")]
    assert len(wings) > 15
    assert [path.name for path in [*rooms, *wings] if f"`{path.name}/`" not in PAGE] == []


@pytest.mark.parametrize(
    "contract",
    [one for one in CONTRACTS["contracts"] if len(one.get("containers", ())) == 1],
    ids=lambda contract: contract["containers"][0],
)
def test_the_order_of_wings_is_that_of_make_check(contract: dict[str, list[str]]) -> None:
    floors = [re.sub(r" [:|] ", ", ", layer) for layer in contract["layers"]]
    shown = f"{contract['containers'][0]}: {' ▸ '.join(floors)}"
    assert shown in " ".join(PAGE.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_path_on_a_page_exists(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(rf"`((?:{FOLDERS})/[\w./-]*\w)", text))
    linked = {link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link}
    missing = [path for path in named if not (ROOT / path).exists()]
    missing += [link for link in linked if not (page.parent / link).exists()]
    assert missing == []
