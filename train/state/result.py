"""The output of a run: the bundle with its exports, and every figure as JSON and CSV."""

import csv
import math
from collections.abc import Sequence
from importlib.metadata import version

from PIL import Image
from torch import nn

from classifier import bundle, mirror
from classifier.calibration import Novelty
from pictures import tested
from pictures.decoder import ImageError, decode
from pictures.picture import Picture, Splits
from pictures.shards import ShardError
from pictures.text import cell
from train import metrics
from train.learning.evaluate import Scores
from train.learning.optimizer import head_group
from train.platform.log import log
from train.state import exports
from train.state.run import Run
from train.state.state import TrainState

GOLDEN_PICTURES = 4


def write_result(
    run: Run, network: nn.Module, state: TrainState, test: Scores | None, stopped: str = ""
) -> None:
    """Write the bundle into the model folder and the figures into the output folder.

    Args:
        run: the run.
        network: holds the best weights.
        state: holds the best epoch and the history.
        test: the test scores; None if there is no test set or the run was stopped.
        stopped: the reason if the run was stopped.
    """
    best = state.selection.best
    assert best is not None
    splits, config = run.splits, run.config
    measured = {name: value for name, value in state.history[best.epoch].items() if name != "epoch"}
    figures = measured | (test.metrics("test") if test else {})
    description = bundle.Description(
        architecture=config.architecture,
        classes=splits.classes,
        folders=splits.folders,
        transform=run.transform,
        temperature=best.temperature,
        test_time_flip=mirror.has_test_time_flip(network),
        novelty=Novelty(quantiles=tuple(best.energies)) if best.energies else None,
        training={
            "hyperparameters": config.model_dump(),
            "pretrained": run.origin,
            "best_epoch": best.epoch + 1,
            "epochs_run": state.epoch,
            "finished": not stopped,
            "split": tested.record(splits),
            "pictures": {
                "train": len(splits.train),
                "valid": len(splits.valid),
                "test": len(splits.test),
                "unreadable": len(run.unreadable.found),
            },
            "versions": {name: version(name) for name in ("torch", "torchvision")},
        },
        metrics={name: value for name, value in figures.items() if math.isfinite(value)},
    )
    bundle.save(bundle.make(network, description, golden(splits)), run.job.model_dir)
    write_figures(run, state, test, stopped)
    # Again, because the last value in the log is SageMaker's final one, which tuning compares.
    for name, value in figures.items():
        metrics.emit(name, value, best.epoch + 1)
    run.hooks.best(measured, best.epoch + 1)
    if test:
        run.hooks.metrics(test.metrics("test"), best.epoch + 1)
        log("hardest classes: " + ", ".join(hardest(test, splits.classes)))
        log(f"test accuracy {test.accuracy:.4f} on {test.count} pictures")
    if stopped:
        log("the network is not exported, because the job was stopped: kennel export does it")
    else:
        exports.export(run)


def hardest(test: Scores, classes: Sequence[str], most: int = 3) -> list[str]:
    """Return the classes that are recognised least, among those that have test pictures."""
    pictures = test.confusion.sum(1).tolist()
    found = zip(test.recall.tolist(), classes, pictures, strict=True)
    worst = sorted((share, name) for share, name, count in found if count)[:most]
    return [f"{name} ({share:.0%} found)" for share, name in worst]


def golden(splits: Splits) -> list[Image.Image]:
    """Return a few validation pictures of different classes, for the bundle's golden inputs."""
    spread = splits.valid[:: max(1, len(splits.valid) // GOLDEN_PICTURES)]
    chosen: list[Image.Image] = []
    for picture in (*spread, *splits.valid):
        if len(chosen) < GOLDEN_PICTURES and (image := _read(picture)):
            chosen.append(image)
    return chosen


def _read(picture: Picture) -> Image.Image | None:
    try:
        return decode(picture.read())
    except (ImageError, ShardError, OSError):
        return None  # counted and logged when it was evaluated


def write_figures(run: Run, state: TrainState, test: Scores | None, stopped: str) -> None:
    """Write metrics.json, and the test's confusion matrix as confusion.csv."""
    best = state.selection.best
    assert best is not None
    run.unreadable.log_remarks()
    out = run.job.output_dir
    out.mkdir(parents=True, exist_ok=True)
    contents: dict[str, object] = {
        "history": state.history,
        "best_epoch": best.epoch + 1,
        "unreadable": run.unreadable.found,
        "remarks": run.unreadable.counts(),
    }
    if run.config.find_learning_rate:
        contents["learning_rate"] = head_group(state.optimizer, state.network)["peak"]
    if run.config.fit_batch_size:
        contents["batch_size"] = run.config.batch_size
    if stopped:
        contents["stopped"] = stopped
    if test:
        contents["test"] = test.metrics("test") | {"pictures": test.count}
        contents["classes"] = [
            {
                "class": name,
                "precision": precision if answers else None,
                "recall": recall if pictures else None,
                "pictures": pictures,
            }
            for name, precision, recall, answers, pictures in zip(
                run.splits.classes,
                test.precision.tolist(),
                test.recall.tolist(),
                test.confusion.sum(0).tolist(),
                test.confusion.sum(1).tolist(),
                strict=True,
            )
        ]
        with (out / "confusion.csv").open("w", newline="") as file:
            table = csv.writer(file)
            names = [cell(name) for name in run.splits.classes]
            table.writerow(["true class", *names])
            for name, row in zip(names, test.confusion.tolist(), strict=True):
                table.writerow([name, *row])
    text = metrics.to_json(contents, indent=1, ascii_only=False) + "\n"
    # A file name that is not UTF-8 has surrogates: JSON's escapes keep them.
    (out / "metrics.json").write_text(text, errors="backslashreplace")
