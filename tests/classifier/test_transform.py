"""The transform takes little memory for any shape, and is torchvision's for ordinary ones."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from classifier.transform import EvaluationTransform
from pictures import geometry
from pictures.geometry import Interpolation
from tests import peak


def noise(width: int, height: int) -> Image.Image:
    generator = np.random.default_rng(0)
    return Image.fromarray(generator.integers(0, 255, (height, width, 3), np.uint8))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("size", [(90, 70), (70, 91), (500, 333), (256, 300), (2000, 30), (1, 9)])
def test_ordinary_pictures_get_torchvisions_resize_and_crop(
    size: tuple[int, int], interpolation: Interpolation
) -> None:
    ours = EvaluationTransform(resize=256, crop=224, interpolation=interpolation)
    theirs = v2.Compose(
        [
            v2.Resize(256, interpolation=v2.InterpolationMode(interpolation)),
            v2.CenterCrop(224),
            v2.PILToTensor(),
        ]
    )
    assert torch.equal(ours.pixels(noise(*size)), theirs(noise(*size)))


@pytest.mark.parametrize("size", [(16_000, 1), (1, 16_000), (65_000, 1), (1, 65_000), (30_000, 9)])
def test_a_strip_is_read_in_little_memory(size: tuple[int, int]) -> None:
    ramp = np.linspace(0, 255, max(size)).astype(np.uint8)
    strip = Image.fromarray(np.broadcast_to(ramp, sorted(size)).copy()).convert("RGB")
    if strip.size != size:
        strip = strip.transpose(Image.Transpose.ROTATE_90)
    with peak.measured() as measured:
        pixels = EvaluationTransform().pixels(strip)
    assert pixels.shape == (3, 224, 224)
    assert measured.mib < 30
    assert 125 <= int(pixels.min()) <= int(pixels.max()) <= 130, "the centre"


@pytest.mark.parametrize("size", [(90, 70), (70, 91), (333, 500), (600, 3), (1, 300)])
def test_one_step_gives_the_values_of_two(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, crop = noise(*size), EvaluationTransform()
    expected = crop.pixels(picture).int()
    monkeypatch.setattr(geometry, "MAX_RESIZED_PIXELS", 0)
    assert (crop.pixels(picture).int() - expected).abs().max() <= 1
