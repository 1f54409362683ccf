"""Small state files of the run directory. They live as long as the server, so nothing is synced."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a file that readers see whole or not at all, even if several processes write it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(text)
    partial.replace(path)
