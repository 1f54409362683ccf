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
from train.batches import batch


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
    assert np.array_equal(ours.pixels(noise(*size)), theirs(noise(*size)).permute(1, 2, 0).numpy())


@pytest.mark.parametrize("size", [(16_000, 1), (1, 16_000), (65_000, 1), (1, 65_000), (30_000, 9)])
def test_a_strip_is_read_in_little_memory(size: tuple[int, int]) -> None:
    ramp = np.linspace(0, 255, max(size)).astype(np.uint8)
    strip = Image.fromarray(np.broadcast_to(ramp, sorted(size)).copy()).convert("RGB")
    if strip.size != size:
        strip = strip.transpose(Image.Transpose.ROTATE_90)
    with peak.measured() as measured:
        pixels = EvaluationTransform().pixels(strip)
    assert pixels.shape == (224, 224, 3)
    assert measured.mib < 30
    assert 125 <= int(pixels.min()) <= int(pixels.max()) <= 130, "the centre"


@pytest.mark.parametrize("size", [(90, 70), (70, 91), (333, 500), (600, 3), (1, 300)])
def test_one_step_gives_the_values_of_two(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, crop = noise(*size), EvaluationTransform()
    expected = crop.pixels(picture).astype(int)
    monkeypatch.setattr(geometry, "MAX_RESIZED_PIXELS", 0)
    assert np.abs(crop.pixels(picture).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("name", ["imagenet", "half", "odd"])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3)])
def test_normalised_as_in_training_to_the_last_bit(shape: tuple[int, ...], name: str) -> None:
    """Every value of every channel, alone and in batches, of odd sizes and of any layout."""
    mean, std = {
        "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        "odd": ((0.1307, -0.3, 1.7), (0.3081, 1e-3, 12.0)),
    }[name]
    transform = EvaluationTransform(mean=mean, std=std)
    generator = np.random.default_rng(1)
    for height, width in ((1, 1), (17, 31), (256, 3)):
        pixels = generator.integers(0, 256, (*shape, height, width, 3), np.uint8)
        if height == 256:
            pixels[...] = np.arange(256, dtype=np.uint8)[:, None, None]
        channels_last = torch.from_numpy(pixels).movedim(-1, -3)
        ours = transform.normalise(pixels)
        assert ours.dtype == np.float32
        assert ours.flags.c_contiguous
        for theirs in (channels_last, channels_last.contiguous()):
            assert np.array_equal(ours, batch.normalise(theirs, transform).numpy())
