"""docs/security.md names a test for each promise, and the tests exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text()
ROWS = re.findall(r"^\| (?!promise|-)(.*?) \| (.*) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("promise", "tests"), ROWS)
def test_each_promise_has_a_test(promise: str, tests: str) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", tests)
    assert named, promise
    for file, name in named:
        functions = [
            node.name
            for node in ast.parse((ROOT / file).read_text()).body
            if isinstance(node, ast.FunctionDef)
        ]
        assert name in functions


def test_the_page_has_promises() -> None:
    assert len(ROWS) >= 10
    assert "docs/security.md" in (ROOT / "SECURITY.md").read_text()
