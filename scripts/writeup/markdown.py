"""Markdown from text that strangers wrote: names, labels, logs and rules are text, never markup."""

import re
import shlex
from collections.abc import Iterable, Sequence

from pictures.text import printable

# What can begin markup, HTML, a link or a mention in CommonMark or GitHub's Markdown. Parentheses
# and quotes cannot without it, nor can an underscore inside of a word.
_MARKUP = re.compile(
    r"[\\`*{}\[\]<>#|~$&@]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=/)|(?<=[wW]{3})\."
)
# What begins a list or underlines a heading, at the begin of a line.
_BEGIN = re.compile(r"^(\s*)([-+](?=[\s-]|$)|=)|^(\s*\d{1,9})([.)](?=\s|$))")
# Shown as code, they need no escapes.
_PLAIN = re.compile(r"[A-Za-z0-9 ,.:;%/=+_@-]+")
# Characters of a name, and of a sentence with names.
_LONGEST, SENTENCE = 500, 2_000


def text(given: object, longest: int = _LONGEST) -> str:
    """Return a text that Markdown shows as it is, in one line; its end is cut if it is too long.

    Characters with a meaning become numeric references, which no dialect reads as markup.
    """
    line = printable(_cut(str(given), longest))
    line = _MARKUP.sub(_reference, line)
    return _BEGIN.sub(_begin, line)


def code(given: object) -> str:
    """Return a name in the font for code, if it has no unusual characters; else as `text`."""
    name = _cut(str(given), _LONGEST)
    return f"`{name}`" if _PLAIN.fullmatch(name) and name == name.strip() else text(name)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Return a table; its cells are Markdown already, and `right` are the columns of numbers."""
    rules = ["---:" if number in right else "---" for number in range(len(columns))]
    lines = [columns, rules, *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def block(content: str, language: str = "") -> str:
    """Return lines as a block of code; nothing in it can end the block."""
    lines = [printable(line.replace("\t", "    ")) for line in content.split("\n")]
    longest = max((len(found) for line in lines for found in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n" + "\n".join(lines).rstrip("\n") + f"\n{fence}\n"


def commands(listed: Iterable[Sequence[str]]) -> str:
    """Return commands for a shell; names are quoted, and stay one word."""
    return block("\n".join("$ " + shlex.join(map(printable, words)) for words in listed), "console")


def picture(file: str, description: str) -> str:
    """Return a picture of the write-up's own folder, with its description for those who hear it."""
    return f"![{text(description)}]({file})\n"


def _reference(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"


def _begin(found: re.Match[str]) -> str:
    before, character = (found[1], found[2]) if found[2] else (found[3], found[4])
    return f"{before}&#{ord(character)};"


def _cut(given: str, longest: int) -> str:
    return given if len(given) <= longest else f"{given[:longest]}…"
