"""Finds the emulator that `kennel emulator start` runs, to say how a shell can use it."""

import json
import os
from pathlib import Path

# The default state folder of `kennel emulator`.
STATE = Path("run/emulator")


def address() -> str | None:
    """Return the address of the emulator on the default state folder, or None if none runs."""
    try:
        about = json.loads((STATE / "emulator.json").read_text())
        os.kill(about["pid"], 0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(about["url"])


def advice() -> str:
    """Say how to reach an emulator from this shell."""
    if found := address():
        return f'an emulator runs at {found}: eval "$(kennel emulator status)" points to it'
    return 'eval "$(kennel emulator start)" starts an emulator that replaces AWS'
