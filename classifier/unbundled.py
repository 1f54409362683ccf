"""What is said about a folder that has no bundle; without importing torch."""

from pathlib import Path

from pictures.text import printable

WEIGHTS = (".pth", ".pt", ".bin", ".ckpt", ".th", ".safetensors", ".pth.tar")


def explain(directory: Path) -> str:
    """Return how to make a bundle of the weights in a folder; empty if it has none."""
    found = (path.name for path in directory.rglob("*") if path.name.endswith(WEIGHTS))
    name = printable(min(found, default=""))
    if not name or (directory / "golden.safetensors").is_file():  # a bundle that lost a file
        return ""
    return (
        f"{name} alone does not say which network and classes it has: make a bundle of it with "
        f"`kennel import {name} model.tar.gz --architecture NAME --classes FILE`"
    )
