"""`make map`: the rooms and wings of the code, files per folder, arrows, and circles.

Imports for type checking count as arrows too.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import grimp
import networkx
from rich.console import Console
from rich.table import Table

ROOMS = ("pictures", "classifier", "train", "serve", "debugger", "scripts", "emulator")
MOST_FILES = 20  # in a folder


def main() -> int:
    """Print the map; return 1 if a folder has too many files or there is a circle."""
    graph = build()
    files = Counter(str(path.parent) for room in ROOMS for path in Path(room).rglob("*.py"))
    wings = arrows(graph)
    table = Table("folder", "files", "imports from", box=None, pad_edge=False)
    for folder in sorted(files):
        wing = folder.replace("/", ".")
        table.add_row(folder + "/", str(files[folder]), ", ".join(sorted(wings.get(wing, ()))))
    console = Console(width=100, highlight=False)
    console.print(table)
    crowded = [folder for folder, count in files.items() if count > MOST_FILES]
    found = circles(graph)
    console.print(
        f"\n{sum(files.values())} files in {len(files)} folders, at most {max(files.values())} in "
        f"one; {graph.number_of_edges()} imports; circles: {len(found)}"
    )
    for circle in found:
        console.print("circle: " + " ".join(circle))
    for folder in crowded:
        console.print(f"more than {MOST_FILES} files: {folder}/")
    return int(bool(found or crowded))


def build(rooms: Sequence[str] = ROOMS) -> networkx.DiGraph:
    """Return the graph of modules; an edge leads from the importing to the imported module."""
    imports = grimp.build_graph(*rooms, exclude_type_checking_imports=False, cache_dir=None)
    graph = networkx.DiGraph()
    graph.add_nodes_from(imports.modules)
    for module in imports.modules:
        graph.add_edges_from(
            (module, other) for other in imports.find_modules_directly_imported_by(module)
        )
    return graph


def circles(graph: networkx.DiGraph) -> list[list[str]]:
    """Return groups of modules that import each other, directly or through others."""
    groups = networkx.strongly_connected_components(graph)
    return sorted(sorted(group) for group in groups if len(group) > 1)


def arrows(graph: networkx.DiGraph) -> dict[str, set[str]]:
    """Return the folders that each folder imports from; files at a room's top count as the room."""
    packages = {str(p.parent).replace("/", ".") for r in ROOMS for p in Path(r).rglob("*.py")}

    def home(module: str) -> str:
        return module if module in packages else module.rpartition(".")[0]

    found: dict[str, set[str]] = {}
    for module, other in graph.edges:
        if home(module) != home(other):
            found.setdefault(home(module), set()).add(home(other))
    return found


if __name__ == "__main__":
    sys.exit(main())
