"""What the pages for people say: their commands, code blocks, code in sentences, and links."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer
from markdown_it import MarkdownIt
from markdown_it.token import Token

from emulator.__main__ import _arguments as emulator_arguments
from scripts.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
MAKEFILE = (ROOT / "Makefile").read_text()
# make passes on the variables of its command line.
BUILD = "".join(file.read_text() for file in (ROOT / "docker").glob("*.sh"))
# Programs that are not ours; what is said of them is not checked.
OUTSIDE = {
    *("apt-get", "aws", "curl", "docker", "eval", "export", "magick", "mkdir", "nginx", "pip"),
    *("sips", "source", "tar", "tensorboard"),
}


class Wrong(Exception):
    """A page says something that is not so."""


@dataclass(frozen=True)
class Block:
    """A fenced block, and where it begins."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@cache
def tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def blocks(page: Path) -> Iterator[Block]:
    for one in tokens(page):
        if one.type == "fence":
            assert one.map
            yield Block(page, one.map[0] + 1, one.info.strip(), one.content)


def spans(page: Path) -> Iterator[str]:
    """Code in sentences and tables."""
    for one in tokens(page):
        yield from (child.content for child in one.children or () if child.type == "code_inline")


def links(page: Path) -> Iterator[str]:
    """Targets of links and pictures."""
    for one in tokens(page):
        for child in one.children or ():
            target = child.attrGet("href" if child.type == "link_open" else "src")
            if target and child.type in ("link_open", "image"):
                yield str(target)


@cache
def anchors(page: Path) -> set[str]:
    """The anchors that GitHub and the site make of a page's headings."""
    parsed = tokens(page)
    found: set[str] = set()
    for heading, inline in pairwise(parsed):
        if heading.type == "heading_open":
            text = "".join(child.content for child in inline.children or ())
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            found.add(slug if slug not in found else f"{slug}-1")
    return found


def commands(block: Block) -> Iterator[list[str]]:
    """The commands of a block, as words; each part of a pipe or list is one."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    elif not block.language:
        lines = [line for line in lines if re.match(r"(docker|kennel|make|python -m) ", line)]
        lines = [re.sub(r"(\w)\|[\w|]+\]", r"\1]", line) for line in lines]  # [--engine a|b]
    elif block.language not in ("bash", "sh"):
        return
    for line in lines:
        yield from commands_of(line)


def commands_of(line: str) -> Iterator[list[str]]:
    for inner in re.findall(r"\$\(([^()]*)\)", line):
        yield from commands_of(inner)
    lexer = shlex.shlex(
        re.sub(r"\$\([^()]*\)", "VALUE", line), posix=True, punctuation_chars="|&;<>"
    )
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] = []
    is_target = False
    for word in lexer:
        if set(word) <= set("|&;"):
            yield words
            words = []
        elif set(word) <= set("<>"):
            is_target = True
        elif is_target:
            is_target = False
        elif not (not words and re.match(r"[A-Z_]+=", word)) and word != "…":
            words.append(word)
    yield words


def check(words: list[str]) -> None:
    """Raises `Wrong` for a command that our programs would not take."""
    if not words:
        return
    program, *rest = words
    program = program.removeprefix(".venv/bin/")
    if program == "kennel":
        parse(rest)
    elif program == "make":
        check_make(rest)
    elif program in ("python", "python3"):
        check_python(rest)
    elif program in ("pytest", "pre-commit", ".ci/run"):
        for word in rest:
            if "/" in word and not (ROOT / word.partition("::")[0]).exists():
                raise Wrong(f"{word} does not exist")
    elif program not in OUTSIDE:
        raise Wrong(f"{program}: no such program: is it one of OUTSIDE?")


@cache
def kennel() -> Any:
    return typer.main.get_command(app)


def verb(words: list[str]) -> tuple[Any, Any, list[str]]:
    """The verb that `kennel WORDS` names, its context, and the words that follow."""
    command = kennel()
    context: Any = typer.Context(command, info_name="kennel")
    options = [word for word in words if word == "--verbose"]
    rest = [word for word in words if word not in options]
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        name = rest.pop(0)
        if name not in command.commands:
            raise Wrong(f"kennel {name}: no such verb")
        command = command.commands[name]
        context = typer.Context(command, parent=context, info_name=name)
    return command, context, rest


def parse(words: list[str]) -> None:
    """Parse a command of `kennel` as it does itself, up to the call of the verb."""
    command, context, rest = verb(words)
    if {"--help", "-h", "--version", "--install-completion"} & set(rest):
        check_options(words)
        return
    if hasattr(command, "commands"):
        raise Wrong(f"kennel {' '.join(words)}: it needs a verb")
    try:
        command.parse_args(context, rest)
    except Exception as error:
        raise Wrong(f"kennel {' '.join(words)}: {error}") from None


def check_options(words: list[str]) -> None:
    """A verb in a sentence need not be complete; its verb and its options exist."""
    words = [word for word in words if word != "--verbose"]
    if not words or words[0].isupper():
        return
    command, _, rest = verb(words)
    known = {"-h", "--help"} | {name for one in command.params for name in one.opts}
    for word in rest:
        name = word.partition("=")[0]
        if name.startswith("-") and name not in known:
            raise Wrong(f"kennel {' '.join(words)}: no option {name}")


def check_make(words: list[str]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    for word in words:
        name, is_variable, _ = word.partition("=")
        if is_variable and not re.search(rf"\$[({{]?{name}\b", MAKEFILE + BUILD):
            raise Wrong(f"make {word}: neither the Makefile nor docker/ reads {name}")
        if not is_variable and word not in targets:
            raise Wrong(f"make {word}: no such target")


def check_python(words: list[str]) -> None:
    if words[:1] == ["-c"]:
        compile(words[1], "page", "exec")
        return
    modules = [after for word, after in pairwise(words) if word == "-m"]
    name = next(one for one in modules if one != "pdb")
    path = ROOT / name.replace(".", "/")
    if not (path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()):
        raise Wrong(f"python -m {name}: no such module")
    if name == "emulator":
        usage = [word.strip("[]") for word in words[2:]]
        plain = ["1" if word == "N" else word for word in usage if not word.startswith("…")]
        try:
            emulator_arguments(plain)
        except SystemExit:
            raise Wrong(f"python -m emulator {' '.join(plain)}") from None
