"""A run's pictures as batches."""

from collections.abc import Sequence

from torch.utils.data import DataLoader

from pictures.picture import Picture
from train.batches import loading
from train.batches.augment import Transform
from train.batches.batch import Item
from train.batches.order import Key, Order
from train.state.run import Run


def load(
    run: Run,
    pictures: Sequence[Picture],
    transform: Transform,
    order: Order | Sequence[list[Key]],
    *,
    again: bool = True,
) -> DataLoader[Item]:
    """Return an iterable of Batch in the given order.

    Args:
        run: the run.
        pictures: those that the order's indices mean.
        transform: of each picture.
        order: the batches.
        again: the pictures will be used again, so cache what is decoded.
    """
    cache = run.decoded if again else None
    decoded = cache.of(pictures, transform.at_least) if cache else None
    dataset = loading.Pictures(pictures, transform, run.config.seed, decoded)
    return loading.loader(dataset, order, workers=run.workers)
