"""`near-copies.json`, next to the class folders: the check writes it, the split keeps to it."""

import json
from collections.abc import Sequence
from pathlib import Path

from pictures.folders import NEAR_COPIES
from pictures.picture import DataError, Picture

_MOST = 2**26  # bytes


def load(
    root: Path, pictures: Sequence[Picture], folders: Sequence[str]
) -> list[tuple[Picture, ...]]:
    """Return the groups that `kennel data check --save` wrote into the folder of the photos.

    Names that are there no more are left out.

    Raises:
        DataError: the file is damaged.
    """
    path = root / NEAR_COPIES
    try:
        size = path.stat().st_size
    except OSError:
        return []
    try:
        if size > _MOST:
            raise ValueError(f"{size:,} bytes")
        groups = json.loads(path.read_bytes())["groups"]
        by_name = {f"{folders[one.label]}/{one.own_name}": one for one in pictures}
        return [tuple(by_name[name] for name in group if name in by_name) for group in groups]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path} is not a file of near copies ({error}): delete it, or write it again with "
            "`kennel data check --save`"
        ) from error


def write(root: Path, groups: Sequence[Sequence[Picture]], folders: Sequence[str]) -> Path:
    """Write groups of similar pictures into the folder of the photos, for the job to read."""
    names = [[f"{folders[one.label]}/{one.own_name}" for one in group] for group in groups]
    path = root / NEAR_COPIES
    path.write_text(json.dumps({"format": 1, "groups": names}, ensure_ascii=False, indent=1))
    return path
