"""A policy applied to a whole batch draws and computes what torchvision does for each picture."""

import itertools
from collections.abc import Sequence

import pytest
import torch
from torchvision.transforms import v2

from pictures.geometry import Interpolation
from train.batches import policy

DRAWS = 400
# Operations that add products, whose sums can round differently.
SUMS = {"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Color"}


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    """uint8 [3, 48, 48]: a gradient with noise, so that no two places are equal."""
    draw = torch.Generator().manual_seed(0)
    slope = torch.arange(48).float()
    colours = torch.stack(
        [
            4 * slope[:, None] + slope,
            5 * slope + 0 * slope[:, None],
            slope.flip(0)[:, None] + 2 * slope,
        ]
    )
    return (colours + 20 * torch.rand(3, 48, 48, generator=draw)).clamp(0, 255).to(torch.uint8)


def drawn(name: str, image: torch.Tensor) -> list[policy.Operations]:
    operations = []
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        operations.append(policy.draw(policy.ON_DEVICE[name](), image))
    return operations


def one_by_one(
    name: str, image: torch.Tensor, interpolation: Interpolation
) -> Sequence[torch.Tensor]:
    torchvisions = policy.ON_WORKERS[name](interpolation=v2.InterpolationMode(interpolation))
    images = []
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        images.append(torchvisions(image))
    return images


@pytest.mark.parametrize("name", ["trivialaugment", "randaugment"])
def test_a_batch_equals_torchvisions_result_for_each_picture(
    name: str, image: torch.Tensor
) -> None:
    operations = drawn(name, image)
    batch = policy.apply(image.expand(DRAWS, -1, -1, -1), operations, "bilinear")
    assert batch.dtype is torch.uint8
    assert {len(one) for one in operations} == {1 if name == "trivialaugment" else 2}
    names = {name for one in operations for name, _ in one}
    assert len(names) == 14
    for steps, got, expected in zip(
        operations, batch, one_by_one(name, image, "bilinear"), strict=True
    ):
        off = (got.int() - expected.int()).abs()
        summed = {step for step, _ in steps} & SUMS
        # A sum can round to the next level, and a later operation can widen the difference.
        assert (off > 0).float().mean() <= (0.01 if summed else 0), steps
        assert off.max() <= 1 or len(steps) > 1, steps


@pytest.mark.parametrize("interpolation", ["nearest", "bicubic"])
def test_other_interpolations_give_known_results(
    interpolation: Interpolation, image: torch.Tensor
) -> None:
    """Torchvision has no bicubic mode for tensors, so operations with known results are checked."""
    turned = policy.apply(
        image.expand(3, -1, -1, -1),
        [(("Rotate", 0.0),), (("TranslateX", 5.0),), (("ShearY", 0.4), ("ShearY", -0.4))],
        interpolation,
    )
    assert torch.equal(turned[0], image)
    assert torch.equal(turned[1, :, :, 5:], image[:, :, :-5])
    assert not turned[1, :, :, :5].any()


def test_the_given_batch_is_not_changed_and_the_memory_format_is_kept(image: torch.Tensor) -> None:
    given = image.repeat(4, 1, 1, 1).to(memory_format=torch.channels_last)
    before = given.clone()
    changed = policy.apply(given, [(("Solarize", 0.5),), (), (("Rotate", 90.0),), ()], "bilinear")
    assert torch.equal(given, before)
    assert changed.is_contiguous(memory_format=torch.channels_last)
    assert [torch.equal(a, b) for a, b in zip(changed, given, strict=True)] == [
        *(False, True, False, True)
    ]


def test_a_picture_is_the_same_in_any_batch(image: torch.Tensor) -> None:
    operations = drawn("randaugment", image)[:40]
    whole = policy.apply(image.expand(40, -1, -1, -1), operations, "bilinear")
    for at, (first, last) in enumerate(itertools.pairwise(range(0, 41, 8))):
        part = policy.apply(image.expand(8, -1, -1, -1), operations[first:last], "bilinear")
        assert torch.equal(part, whole[first:last]), at
