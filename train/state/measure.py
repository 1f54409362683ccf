"""A run's network measured on its pictures."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from torch import nn

from debugger.records import EVALUATION
from pictures.picture import NONE_READABLE, DataError, Picture
from train.batches.batch import Batch
from train.batches.order import LEAST_BATCH, Order, evaluation_order
from train.learning import parallel
from train.learning.evaluate import Scores, evaluate
from train.state.inputs import load
from train.state.progress import follow
from train.state.run import Run

CALIBRATION = 10_000  # validation pictures at most


def measure(run: Run, network: nn.Module, pictures: Sequence[Picture]) -> Scores:
    """Evaluate a network on pictures; raises as `score`."""
    order = evaluation_order(len(pictures), run.job, max(run.config.part_size, LEAST_BATCH))
    batches: Iterable[Batch] = load(run, pictures, run.transform, order)
    if pictures is run.splits.test:
        batches = named(batches, order, pictures)
    title = f"evaluation, {len(pictures)} pictures"
    batches = follow(batches, title, done=0, total=len(order), show=run.job.is_main)
    return score(run, network, batches, pictures)


def named(batches: Iterable[Batch], order: Order, pictures: Sequence[Picture]) -> Iterator[Batch]:
    """Yield the batches of an order with the names of the pictures in them."""
    for keys, batch in zip(order, batches, strict=True):
        bad = {path for path, _ in batch.unreadable}
        chosen = (pictures[index] for _, index in keys)
        names = tuple(one.own_name for one in chosen if str(one.path) not in bad)
        yield replace(batch, names=names)


def score(
    run: Run, network: nn.Module, batches: Iterable[Batch], pictures: Sequence[Picture]
) -> Scores:
    """Evaluate a network on batches of `pictures`, or of their features.

    For validation pictures the scores hold logits for calibration.

    Raises:
        DataError: no picture could be read, or too few.
        Interrupted: the job was asked to stop.
    """
    sample_every = -(-len(pictures) // CALIBRATION) if pictures is run.splits.valid else 0
    with run.hooks.phase(EVALUATION):
        scores = evaluate(
            network,
            run.stop.watch(batches),
            len(run.splits.classes),
            run.device,
            run.autocast(),
            run.unreadable,
            run.hooks,
            sample_every,
        )
    scores = parallel.gather(scores)
    if not scores.count:
        raise DataError(NONE_READABLE)
    run.hooks.confusion(scores.confusion, "test" if pictures is run.splits.test else "validation")
    return scores
