"""The pages say what is so: commands, TOML, code, links, and the reference of the code."""

import ast
import importlib.util
import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from debugger import rules
from debugger.rules.settings import BUILT_IN
from emulator.settings import Settings as EmulatorSettings
from scripts import spec
from scripts.make import reference
from scripts.spec.section import Section
from tests import documents
from tests.documents import PAGES, ROOT, Block, Wrong
from train.config import ALIASES, TrainConfig

ROOMS = ("pictures", "classifier", "train", "serve", "debugger", "scripts", "emulator")
DOGS = tomllib.loads((ROOT / "experiments" / "dogs.toml").read_text())
BLOCKS = [block for page in PAGES for block in documents.blocks(page)]
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def of(*languages: str) -> list[Block]:
    found = [block for block in BLOCKS if block.language in languages]
    assert found, languages
    return found


@by_page
def test_every_command_in_a_block_is_one_that_works(page: Path) -> None:
    problems = []
    for block in documents.blocks(page):
        for words in documents.commands(block):
            try:
                documents.check(words)
            except Wrong as wrong:
                problems.append(f"{block}: {wrong}")
    assert problems == []


@by_page
def test_every_command_in_a_sentence_has_its_verb_and_options(page: Path) -> None:
    problems = []
    for span in documents.spans(page):
        if not span.startswith(("kennel ", "make ")):
            continue
        try:
            for words in documents.commands_of(span):
                if words[:1] == ["kennel"]:
                    documents.check_options(words[1:])
                else:
                    documents.check(words)
        except Wrong as wrong:
            problems.append(f"`{span}`: {wrong}")
    assert problems == []


@pytest.mark.parametrize(
    "command",
    [
        "kennel deploi photos.toml",
        "kennel deploy",
        "kennel deploy photos.toml --jub JOB",
        "kennel emulator start --port many",
        "kennel data",
        "make tests",
        "make build TAGS=local",
        ".venv/bin/pytest tests/test_nothing.py",
        "python -m benchmarks.nothing",
        "python -m emulator start --ports 1",
        "kennle init photos",
        'eval "$(kennel emulator begin)"',
        "kennel init photos && kennel setup photos.toml --drop",
    ],
)
def test_a_wrong_command_is_found(command: str) -> None:
    words = list(documents.commands_of(command))
    with pytest.raises(Wrong):
        list(map(documents.check, words))


def keys(model: type[Section]) -> Iterator[str]:
    yield from model.model_fields
    for one in model.__subclasses__():
        yield from keys(one)


@pytest.mark.parametrize("block", of("toml"), ids=str)
def test_every_toml_is_read_by_what_reads_it(block: Block, tmp_path: Path) -> None:
    content = tomllib.loads(block.text)
    if "project" in content:
        assert set(content["project"]["entry-points"]) <= {"kennel.rules", "kennel.architectures"}
    elif "limits" in content or isinstance(content.get("images"), list):
        file = tmp_path / "emulator.toml"
        file.write_text(block.text)
        EmulatorSettings.read(file, state=tmp_path)
    else:  # a part of an experiment replaces the tables of a whole one
        spec.check(content if "name" in content else DOGS | content, str(block))


@by_page
def test_every_key_in_a_sentence_exists(page: Path) -> None:
    known = {*keys(Section), *TrainConfig.model_fields, *ALIASES}
    known |= {"pretrained"}  # a channel
    known |= {name for rule in BUILT_IN for name in rule.Parameters.model_fields}
    named = [span for span in documents.spans(page) if re.match(r'[a-z_.]+ = ["\d\[{tf]', span)]
    unknown = []
    for span in named:
        tomllib.loads(span)
        if span.partition(" =")[0].rpartition(".")[2] not in known:
            unknown.append(span)
    assert unknown == []


# Parameters of requests, of Excel's CSV, of the SDK, and of torchvision's networks.
NOT_OURS = {
    *{"explain", "top_k", "threshold"},
    *{"sep", "rules", "entry_point", "transform_input"},
}


@by_page
def test_every_hyperparameter_in_a_sentence_exists(page: Path) -> None:
    known = {*TrainConfig.model_fields, *ALIASES, *NOT_OURS}
    spans = [re.match(r"([a-z_]+)=\S+$", span) for span in documents.spans(page)]
    assert {found[1] for found in spans if found} - known == set()


@pytest.mark.parametrize("block", of("json"), ids=str)
def test_every_json_is_valid(block: Block) -> None:
    content: dict[str, Any] = json.loads(block.text)
    if any(name[0].isupper() for name in content):
        rules.make(content)


# tests/test_recipes.py runs those of CONTRIBUTING.md.
@pytest.mark.parametrize(
    "block", [one for one in of("python") if one.page.parent.name == "docs"], ids=str
)
def test_every_import_in_an_example_exists(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ROOMS:
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                assert hasattr(module, alias.name) or importlib.util.find_spec(inner), inner


@by_page
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in documents.links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "://" in link or link.startswith("mailto:"):
            continue
        if not target.exists() or (anchor and anchor not in documents.anchors(target)):
            broken.append(link)
    assert broken == []


@cache
def code() -> str:
    files = [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    read = [file.read_text() for file in [*files, *(ROOT / "docker").glob("*.*")]]
    return documents.MAKEFILE + "".join(read)


@by_page
def test_every_variable_is_read_by_the_code(page: Path) -> None:
    named = set(re.findall(r"\bKENNEL_[A-Z_]+[A-Z]\b", page.read_text()))
    assert {name for name in named if name not in code()} == set()


def test_every_page_is_in_the_contents_of_the_site() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    contents = "".join(re.findall(r"```\{toctree\}(.*?)```", index, re.DOTALL))
    listed = re.findall(r"^([\w/-]+)$", contents, re.MULTILINE)
    paths = [page.relative_to(ROOT / "docs") for page in PAGES if "docs" in page.parts]
    pages = {path.with_suffix("").as_posix() for path in paths}
    assert sorted(listed) == sorted(pages - {"index"})


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return reference.pages()


def test_the_reference_is_what_the_code_says(written: dict[str, str]) -> None:
    stale = [path for path, text in written.items() if (ROOT / "docs" / path).read_text() != text]
    assert stale == [], "run `make docs`"


def test_every_key_and_setting_has_a_meaning(written: dict[str, str]) -> None:
    rows = [line for text in written.values() for line in text.splitlines() if line[:3] == "| `"]
    assert len(rows) > 250
    meanings = [row.split(" | ")[-1 if row.count(" | ") < 2 else -3] for row in rows]
    assert [
        row for row, meaning in zip(rows, meanings, strict=True) if not meaning.strip("| ")
    ] == []


def test_every_key_of_every_table_is_on_the_page(written: dict[str, str]) -> None:
    listed = set(re.findall(r"^\| `(\w+)`", written["reference/experiment.md"], re.MULTILINE))
    assert set(keys(Section)) - listed == {"kind", "endpoint"}  # a section of their own
