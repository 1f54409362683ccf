"""`make map`: what it finds in a graph of imports."""

import networkx

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


def test_an_import_for_annotations_counts() -> None:
    """scripts/verbs/data.py imports pictures.checks for type checking only."""
    graph = house.build()
    assert graph.has_edge("scripts.verbs.data", "pictures.checks")


def test_the_house_has_no_circle_and_no_crowded_folder() -> None:
    assert house.main() == 0
