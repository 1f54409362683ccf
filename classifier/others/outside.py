"""What a weights file has next to the network, compared with what the bundle will do.

Layers around it would not be computed; classes and the making of the input must be those given.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import torch

from classifier import class_names
from classifier.architectures import canonical
from classifier.statedict import CLASSES, NETWORKS, SIDES, WeightsError, is_plain
from classifier.transform import EvaluationTransform
from pictures.picture import shorten
from pictures.text import printable

_MEAN, _STD = re.compile(r"(.*)(mean|mu)"), re.compile(r"(.*)(std|sigma)")
_COLOURS = 3
_MOST = 1e6  # of what can be a mean or a size


def check(
    others: Mapping[str, torch.Tensor],
    stated: Mapping[str, object],
    own: Collection[str],
    architecture: str,
    transform: EvaluationTransform,
    classes: Sequence[str],
    say: Callable[[str], None],
) -> None:
    """Check what a file has outside of the network, and print what a user should compare.

    Args:
        others: tensors by their names.
        stated: what the file, and those next to it, say of classes, network and input
            (`statedict.opened`, `configs.read`).
        own: the network's names: a second copy of it is no part of it.
        architecture: the network's name.
        transform: what the network's input is made with.
        classes: their names, in the order of the outputs.
        say: prints a line.

    Raises:
        WeightsError: a layer that can be before or after the network, another mean and std, or
            the classes in another order.
    """
    _check_layers_and_input({**others, **_threes(stated)}, own, transform, len(classes))
    for key, value in stated.items():
        last = key.rpartition(".")[2]
        if last in CLASSES:
            _compare(key, value, classes, say)
        elif last in NETWORKS and isinstance(value, str) and not _is_named(value, architecture):
            say(
                f"its own {key!r} is {printable(value)[:100]}, and {architecture} is given: a "
                "network of the same names can compute something else"
            )
        elif last == "interpolation" and value != transform.interpolation:
            say(
                f"its own {key!r} is {printable(str(value))[:100]}, and the input here is made "
                f"with {transform.interpolation}"
            )
    for key, side in _sides(stated).items():
        if side != transform.crop:
            say(f"its own {key!r} is {side}, and the input here is {transform.crop} pixels")


def _is_named(name: str, architecture: str) -> bool:
    try:
        return canonical(name) == architecture
    except ValueError:
        return False


def _check_layers_and_input(
    others: Mapping[str, torch.Tensor],
    own: Collection[str],
    transform: EvaluationTransform,
    classes: int,
) -> None:
    """Check the tensors outside of the network.

    Raises:
        WeightsError: a layer that can be before or after the network, or another mean and std.
    """
    copies = tuple(f".{name}" for name in own)
    for name, one in others.items():
        shape = tuple(one.shape)
        after = name.endswith("weight") and shape == (classes, classes)
        before = name.endswith("weight") and len(shape) == 4 and shape[0] == _COLOURS
        before |= name.endswith("running_mean") and shape == (_COLOURS,)
        if (before or after) and not name.endswith(copies):
            raise WeightsError(
                f"next to the network is {printable(name)[:100]} {shape}, which can be a layer "
                f"{'after' if after else 'before'} it: that is not computed here. If the answers "
                "are right without it, save the state dict of the network alone"
            )
    for mean, std in _normalisations(others):
        given = (*transform.mean, *transform.std)
        if not torch.allclose(torch.tensor([*mean, *std]), torch.tensor(given), atol=2e-3):
            options = [",".join(f"{number:.4g}" for number in three) for three in (mean, std)]
            raise WeightsError(
                "next to the network are the mean and the std of its input: give them as --mean "
                f"{options[0]} --std {options[1]}. If the network does not use them, save the "
                "state dict of the network alone, in a folder of its own"
            )


def _normalisations(
    others: Mapping[str, torch.Tensor],
) -> Iterable[tuple[list[float], list[float]]]:
    """Yield mean and std for colours of 0 to 1."""
    threes = {
        name: one
        for name, one in others.items()
        if one.numel() == _COLOURS and one.is_floating_point() and is_plain(one)
    }
    stds = {found[1]: name for name in threes if (found := _STD.fullmatch(name))}
    for name, one in threes.items():
        found = _MEAN.fullmatch(name)
        if found and found[1] in stds:
            pair = [one.flatten().tolist(), threes[stds[found[1]]].flatten().tolist()]
            of_bytes = any(number > 5 for number in pair[1])
            mean, std = (
                [number / 255 if of_bytes else number for number in three] for three in pair
            )
            yield mean, std


def _compare(key: str, value: object, classes: Sequence[str], say: Callable[[str], None]) -> None:
    """Compare the classes that the file itself names with the given ones.

    Raises:
        WeightsError: they are the same in another order.
    """
    names = class_names.of_value(value)
    if names is None or names == tuple(classes):
        return
    if sorted(names) == sorted(classes):
        place = next(n for n, name in enumerate(names) if name != classes[n])
        raise WeightsError(
            f"the classes are in another order than in its own {key!r}: output {place} is "
            f"{printable(names[place])!r} there, and {classes[place]!r} is given"
        )
    shown = [printable(name) for name in names]
    say(
        f"its own {key!r} has other names, {shorten(shown, 3)}: compare their order with "
        "that of the given classes"
    )


def _threes(stated: Mapping[str, object]) -> dict[str, torch.Tensor]:
    """Return the lists of three numbers in what a file says of its input, as tensors."""
    return {
        name: torch.tensor(list(map(float, value)))
        for name, value in stated.items()
        if isinstance(value, (list, tuple))
        and len(value) == _COLOURS
        and all(isinstance(number, (int, float)) and abs(number) < _MOST for number in value)
    }


def _sides(stated: Mapping[str, object]) -> dict[str, int]:
    """Return the numbers of pixels in what a file says of its input: of (3, H, W) the last."""
    last = {
        name: value[-1] if isinstance(value, (list, tuple)) and value else value
        for name, value in stated.items()
        if name.rpartition(".")[2] in SIDES
    }
    return {name: one for name, one in last.items() if isinstance(one, int) and 0 < one <= 4096}
