"""Where a second start goes on: at a checkpoint of the same pictures, in the same split.

With other pictures, or another split, a network could be tested on what it was trained on.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pictures.digest import digest
from pictures.picture import DataError, Splits
from train.config import TrainConfig
from train.learning import parallel
from train.platform.environment import Job
from train.state import checkpoint
from train.state.state import check_same_run, differences

Found = tuple[dict[str, Any], Path]


def describe(splits: Splits) -> dict[str, Any]:
    """Return what a checkpoint stores of the pictures: digests and counts.

    Raises:
        DataError: a picture is gone since the folders were read.
    """
    try:
        digests = digest(splits).as_json()
    except OSError as error:
        raise DataError(f"a picture is gone while the job begins: {error}") from error
    counts = {name: len(part) for name, part in splits.parts().items()}
    return digests | {"counts": counts | {"classes": len(splits.folders)}}


def load(job: Job, config: TrainConfig, now: Mapping[str, Any]) -> Found | None:
    """Return the checkpoint to resume from and its file; None if training begins anew.

    Args:
        job: the job, whose main process reads the folder.
        config: of this start.
        now: the pictures of this start, from `describe`.

    Raises:
        ConfigError: the checkpoint is of another run.
        DataError: it is of other pictures, or of another split of them.
    """
    if not job.checkpoints:
        return None
    restart = config.changed_data == "restart"
    own = _newest(job.checkpoints, now if restart else None) if job.is_main else None
    found: Found | None = parallel.broadcast(own)  # another host can have none, or an older one
    if not found:
        return None
    state, path = found
    changed = _difference(state.get("data"), now)
    if changed:
        check_same_run(differences(state, config))
    if changed and not restart:
        raise DataError(
            f"{changed} since checkpoint {path.name}, and going on from it could test the network "
            "on pictures that it was trained on: bring back the pictures as they were, give this "
            "job a checkpoint folder of its own, or set changed_data=restart to train anew from "
            "the beginning"
        )
    if restart and job.is_main:
        _remove_others(job.checkpoints, now)
    if changed:
        job.log(f"{changed} since checkpoint {path.name}: training begins anew")
    return None if changed else found


def _newest(folder: Path, wanted: Mapping[str, Any] | None) -> Found | None:
    """Return the newest checkpoint, if possible one of the wanted pictures."""
    newest = checkpoint.load_newest(folder)
    if newest is None or wanted is None:
        return newest
    same = (one for one in checkpoint.intact(folder) if not _difference(one[0].get("data"), wanted))
    return next(same, newest)


def _remove_others(folder: Path, now: Mapping[str, Any]) -> None:
    """Remove the checkpoints of other pictures: their steps can be above those to come."""
    for state, path in checkpoint.intact(folder):
        if _difference(state.get("data"), now):
            path.unlink(missing_ok=True)


def _difference(then: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str:
    """Return what changed since a checkpoint; empty if nothing did."""
    if then is None:
        return "it is not known whether the pictures changed"
    if then["pictures"] != now["pictures"]:
        return f"the pictures changed (then {_counts(then)}; now {_counts(now)})"
    if then["split"] != now["split"]:
        return f"the split of the pictures changed (then {_counts(then)}; now {_counts(now)})"
    return ""


def _counts(data: Mapping[str, Any]) -> str:
    counts = data["counts"]
    parts = ", ".join(f"{counts[name]} {name}" for name in ("train", "valid", "test"))
    return f"{parts}, {counts['classes']} classes"
