"""Test-time flip: the network, the bundle and the server return the mean of both views."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from classifier import bundle, mirror, networks
from serve.engines.torch_engine import TorchEngine
from tests.train import head_jobs


def test_the_output_is_the_mean_of_both_views_in_evaluation_only() -> None:
    torch.manual_seed(0)
    network = networks.build("resnet18", 3).eval()
    images = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        expected = (network(images) + network(images.flip(3))) / 2
        found = mirror.add_test_time_flip(network)(images)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(
            networks.head(network)(networks.features(network)(images)), expected
        )
        assert network.train()(images).shape == (2, 3)
    assert mirror.has_test_time_flip(network)


@pytest.mark.slow
@pytest.mark.parametrize("flip", [True, False])
def test_the_bundle_and_the_server_flip_if_the_job_did(
    flip: bool, few_digits: Path, tmp_path: Path
) -> None:
    settings = head_jobs.config(head_jobs.backbone(tmp_path), epochs=1, test_time_flip=flip)
    head_jobs.train(tmp_path, few_digits, settings)
    saved = bundle.load(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "kennel.json").read_text())["format"] == 2 + flip
    assert mirror.has_test_time_flip(saved.network) == flip
    assert bundle.replay(saved) < 1e-5
    engine = TorchEngine(saved, torch.device("cpu"), threads=1)
    assert bundle.replay(saved, engine.predict) < bundle.TOLERANCE
    picture = saved.description.transform(
        Image.open(next(few_digits.rglob("*.png"))).convert("RGB")
    )
    one, other = engine.predict(np.stack([picture, picture[..., ::-1]]))
    assert np.allclose(one, other, atol=1e-4) == flip
    assert engine.explain(picture, 0)[:4] == b"\x89PNG"
