"""Real photos and weights: the model is accurate, and the server gives the same logits."""

import json
from pathlib import Path

import pytest
import torch

from classifier import bundle
from tests.opt_ml import OptMl
from tests.serve.running import serving

pytestmark = pytest.mark.slow


def test_a_frozen_resnet50_knows_ten_breeds(dogs_job: OptMl) -> None:
    metrics = json.loads((dogs_job.root / "output" / "data" / "metrics.json").read_text())
    print(f"dogs, ResNet50, trainable=head: {metrics['test']}")
    assert metrics["test"]["pictures"] == 100
    assert metrics["test"]["test:accuracy"] >= 0.86
    classes = bundle.load(dogs_job.model).description.classes
    assert classes[:3] == ("Shih-Tzu", "Rhodesian_ridgeback", "Beagle")


def test_the_server_gives_the_logits_of_this_process(dogs_job: OptMl, real_data: Path) -> None:
    loaded = bundle.load(dogs_job.model)
    photos = sorted((real_data / "dogs" / "test").rglob("*.JPEG"))[::12]
    largest = 0.0
    with serving(dogs_job.root) as server:
        server.wait_for_ping(200)
        for photo in photos:
            data = photo.read_bytes()
            with torch.inference_mode():
                pixels = torch.from_numpy(loaded.description.transform.read(data))
                expected = loaded.network(pixels[None])[0]
            answer = server.classify(data)
            assert answer.status == 200
            served = torch.tensor(answer.json())
            largest = max(largest, (served - expected).abs().max().item())
    print(f"largest difference of a logit from the server: {largest:.2e}")
    assert largest < 1e-4
