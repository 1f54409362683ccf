"""A bundle that an export can be judged on: a small network, a head that is right, pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from classifier import bundle, networks
from classifier.transform import EvaluationTransform, Floats
from pictures.picture import Picture

CLASSES = ("blue", "green", "red")
TRANSFORM = EvaluationTransform(resize=36, crop=32)
PHOTOS = 150  # for each of training and validation


def photos(folder: Path, seed: int, count: int = PHOTOS) -> list[Picture]:
    """Write patchy pictures with a tint, in class folders; return them in random order."""
    draw = np.random.default_rng(seed)
    found = []
    for number in range(count):
        label = int(draw.integers(3))
        patches = draw.integers(60, 160, (4, 4, 3))
        patches[..., 2 - label] += 60
        image = Image.fromarray(patches.astype(np.uint8)).resize((40, 40))
        path = folder / CLASSES[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
        found.append(Picture(path, label))
    return found


def inputs(pictures: Sequence[Picture]) -> Floats:
    return np.stack([TRANSFORM.read(one.read()) for one in pictures])


def network(train: Sequence[Picture], architecture: str = "resnet18") -> nn.Module:
    """Return a network with a random backbone, and a head fitted by least squares."""
    torch.manual_seed(0)
    built = networks.build(architecture, 3, image_size=32).eval().requires_grad_(False)
    features = networks.features(built)(torch.from_numpy(inputs(train)))
    wanted = 6.0 * nn.functional.one_hot(torch.tensor([one.label for one in train]), 3).float()
    ones = torch.cat([features, torch.ones(len(features), 1)], 1).double()
    ridge = ones.T @ ones + 1e-2 * torch.eye(ones.shape[1])
    solved = torch.linalg.solve(ridge, ones.T @ wanted.double()).float()
    head = networks.head(built)
    head.weight.copy_(solved[:-1].T)
    head.bias.copy_(solved[-1])
    return built


def write(folder: Path, built: nn.Module, valid: Sequence[Picture], **fields: object) -> Path:
    """Write a bundle of the network; return its folder."""
    description = bundle.Description(
        architecture="resnet18",
        classes=CLASSES,
        folders=CLASSES,
        transform=TRANSFORM,
        **fields,
    )
    golden = [Image.open(one.path) for one in valid[:4]]
    bundle.save(bundle.make(built, description, golden), folder)
    return folder
