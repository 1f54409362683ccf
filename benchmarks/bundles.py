"""Bundles with both exports, whether or not the gate would keep the one in 8 bits.

Only their speed is measured; benchmarks/exports.py is about accuracy.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from benchmarks.training import REAL
from classifier import bundle, description, golden, networks
from classifier.description import ONNX, ONNX_INT8, Described
from classifier.exporting import quantising, session, writing
from classifier.transform import EvaluationTransform, Floats
from pictures.decoder import decode

# The rows of ImageNet's 1,000 classes that are the breeds in shared/data/dogs, in their order.
_BREEDS = (155, 159, 162, 167, 182, 193, 207, 229, 258, 273)


def of_noise(architecture: str, side: int, folder: Path) -> Described:
    """Write a bundle with random weights, calibrated on noise."""
    torch.manual_seed(0)
    network = networks.build(architecture, 10, image_size=side).eval()
    photo = Image.effect_noise((side, side), 80).convert("RGB")
    noise = np.random.default_rng(0).standard_normal((4, 3, side, side), np.float32)
    transform = EvaluationTransform(resize=side, crop=side)
    return _written(folder, architecture, network, transform, [photo], [noise, noise])


def of_dogs(folder: Path) -> Described:
    """Write a bundle of ImageNet's ResNet50 for ten breeds of dogs, calibrated on 96 photos."""
    weights = torch.load(REAL / "weights" / "resnet50-imagenet-fp16.pth", weights_only=True)
    state = {name: one.float() if one.is_floating_point() else one for name, one in weights.items()}
    for name in ("fc.weight", "fc.bias"):
        state[name] = state[name][list(_BREEDS)]
    network = networks.build("resnet50", len(_BREEDS), image_size=224).eval()
    network.load_state_dict(state)
    photos = [one.read_bytes() for one in sorted((REAL / "dogs" / "train").rglob("*.JPEG"))[::21]]
    transform = EvaluationTransform()
    calibration = (
        np.stack([transform.read(one) for one in photos[first : first + 8]])
        for first in range(0, len(photos), 8)
    )
    shown = [decode(one) for one in photos[::12]]
    return _written(folder, "resnet50", network, transform, shown, calibration)


def _written(
    folder: Path,
    architecture: str,
    network: nn.Module,
    transform: EvaluationTransform,
    shown: Sequence[Image.Image],
    calibration: Iterable[Floats],
) -> Described:
    names = tuple("abcdefghij")
    about = bundle.Description(
        architecture=architecture, classes=names, folders=names, transform=transform
    )
    bundle.save(bundle.make(network, about, shown), folder)
    writing.export(folder, int8=False, say=lambda _: None)
    read = description.read(folder)
    assert read.description.export is not None
    contents = {one: read.contents(one) for one in read.hashes}
    contents[ONNX_INT8] = quantising.quantise(contents[ONNX], calibration)
    predict = session.predictor(contents[ONNX_INT8], flip=False)
    int8 = description.Int8(
        accuracy=0,
        accuracy_fp32=0,
        pictures=0,
        difference=golden.read(read).replay(transform, predict),
        method="for its speed only",
    )
    export = read.description.export.model_copy(update={"int8": int8})
    about = read.description.model_copy(update={"export": export})
    (folder / ONNX_INT8).write_bytes(contents[ONNX_INT8])
    (folder / description.DESCRIPTION).write_bytes(about.encode(contents))
    return description.read(folder)
