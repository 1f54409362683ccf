"""Files of the state folder, written whole; and walks over a job's folders."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path


def write_json(path: Path, contents: object) -> None:
    """Write a file so that a reader, or a restart, finds the old or the new, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.{threading.get_ident()}.half")
    half.write_text(json.dumps(contents, indent=1))
    half.replace(path)


def files_below(root: Path) -> Iterator[tuple[str, Path]]:
    """Give each file below a folder with its relative name; links and half-written ones too."""
    # Not by rglob: a job may remove a folder between its being seen and being looked into.
    found = [Path(folder) / name for folder, _, names in os.walk(root) for name in names]
    for path in sorted(found):
        if path.is_file():
            yield path.relative_to(root).as_posix(), path
