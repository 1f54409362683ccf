"""The output of a run: the bundle, and every figure as JSON and CSV."""

import csv
import json
from importlib.metadata import version

from PIL import Image
from torch import nn

from classifier import bundle, mirror
from classifier.calibration import Novelty
from pictures.decoder import ImageError, decode
from pictures.picture import Picture, Splits
from pictures.shards import ShardError
from pictures.text import cell
from train import metrics
from train.learning.evaluate import Scores
from train.platform.log import log
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
    figures = {name: value for name, value in state.history[best.epoch].items() if name != "epoch"}
    figures |= test.metrics("test") if test else {}
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
            "pictures": {
                "train": len(splits.train),
                "valid": len(splits.valid),
                "test": len(splits.test),
                "unreadable": len(run.unreadable.found),
            },
            "versions": {name: version(name) for name in ("torch", "torchvision")},
        },
        metrics=figures,
    )
    bundle.save(bundle.make(network, description, golden(splits)), run.job.model_dir)
    write_figures(run, state, test, stopped)
    if test:
        for name, value in test.metrics("test").items():
            metrics.emit(name, value, best.epoch + 1)
        run.hooks.metrics(test.metrics("test"), best.epoch + 1)
        worst = sorted(zip(test.recall.tolist(), splits.classes, strict=True))[:3]
        log("hardest classes: " + ", ".join(f"{name} ({share:.0%} found)" for share, name in worst))
        log(f"test accuracy {test.accuracy:.4f} on {test.count} pictures")


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
    out = run.job.output_dir
    out.mkdir(parents=True, exist_ok=True)
    contents: dict[str, object] = {
        "history": state.history,
        "best_epoch": best.epoch + 1,
        "unreadable": run.unreadable.found,
    }
    if run.config.find_learning_rate:
        contents["learning_rate"] = max(group["peak"] for group in state.optimizer.param_groups)
    if run.config.fit_batch_size:
        contents["batch_size"] = run.config.batch_size
    if stopped:
        contents["stopped"] = stopped
    if test:
        contents["test"] = test.metrics("test") | {"pictures": test.count}
        contents["classes"] = [
            {"class": name, "precision": precision, "recall": recall, "pictures": pictures}
            for name, precision, recall, pictures in zip(
                run.splits.classes,
                test.precision.tolist(),
                test.recall.tolist(),
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
    text = json.dumps(contents, indent=1, ensure_ascii=False) + "\n"
    # A file name that is not UTF-8 has surrogates: JSON's escapes keep them.
    (out / "metrics.json").write_text(text, errors="backslashreplace")
