"""docs/debugger.md describes the file format correctly."""

import dataclasses
import json
import re
from pathlib import Path

from debugger import recording, records
from debugger.records import Operator, Span, Statistics

DOCUMENT = (Path(__file__).parents[2] / "docs" / "debugger.md").read_text()
SECTION = DOCUMENT.split("## File format")[1].split("\n## ")[0]
SECTIONS = {
    kind: re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    for kind, text in re.findall(
        r"^### `(\w+)`(.*?)(?=^### |\Z)", SECTION, re.MULTILINE | re.DOTALL
    )
}


def fields(kind: type) -> list[str]:
    return [
        item.name for item in dataclasses.fields(kind) if item.name not in ("at", "rank", "host")
    ]


def test_every_kind_of_record_is_described_with_its_fields_in_order() -> None:
    kinds = {name: fields(kind) for name, kind in recording._KINDS.items()}
    assert kinds | {"Statistics": fields(Statistics)} == SECTIONS


def test_the_content_of_arrays_is_described_in_order() -> None:
    for kind in (Span, Operator):
        assert f"`[{', '.join(fields(kind))}]`" in SECTION


def test_phases_collections_and_version_are_described() -> None:
    names = {
        item for name, item in vars(records).items() if name.isupper() and isinstance(item, str)
    }
    assert {records.FORWARD, records.WEIGHTS} < names
    assert [item for item in sorted(names - {records.LOSSES}) if f"`{item}`" not in SECTION] == []
    assert f'`"format": {recording.FORMAT}`' in SECTION


def test_the_example_line_is_a_record() -> None:
    (line,) = re.findall(r'^\{"kind":.*\}$', SECTION, re.MULTILINE)
    read = recording._record(line.encode(), "algo-1", 0)
    assert isinstance(read, records.Step)
    assert json.loads(recording._line(read)) == json.loads(line)
