"""`make map`: what it finds in a graph of imports."""

from pathlib import Path

import networkx
import pytest

from scripts.make import house


def test_modules_that_import_each_other_are_a_circle() -> None:
    graph = networkx.DiGraph([("a.x", "a.y"), ("a.y", "a.z"), ("a.z", "a.x"), ("a.z", "b.w")])
    assert house.circles(graph) == [["a.x", "a.y", "a.z"]]
    graph.remove_edge("a.z", "a.x")
    assert house.circles(graph) == []


def test_an_arrow_leads_from_a_folder_to_another() -> None:
    graph = networkx.DiGraph(
        [("train.loop", "train.state.run"), ("train.state.run", "train.state.state")]
    )
    assert house.arrows(graph) == {"train": {"train.state"}}


def test_an_import_for_annotations_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = tmp_path / "attic"
    room.mkdir()
    (room / "__init__.py").touch()
    (room / "box.py").write_text("from attic import lid\n")
    (room / "lid.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from attic import box\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert house.circles(house.build(("attic",))) == [["attic.box", "attic.lid"]]


def test_the_house_has_no_circle_and_no_crowded_folder() -> None:
    assert house.main() == 0
