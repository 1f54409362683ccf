"""JSON files of the state folder, replaced in one step."""

import json
import threading
from pathlib import Path

from emulator.store.paths import open_private


def write_json(path: Path, contents: object) -> None:
    """Write to a temporary file, then rename: readers see the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{threading.get_ident()}.tmp")
    with open_private(temporary, "w") as file:
        file.write(json.dumps(contents))
    temporary.replace(path)
