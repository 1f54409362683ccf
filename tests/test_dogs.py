"""Real photos and weights: what was trained is good, and what is served is what was trained."""

import json
from pathlib import Path

import torch

from classifier import bundle
from tests.opt_ml import OptMl
from tests.serve.running import serving


def test_a_frozen_resnet50_knows_ten_breeds(dogs_job: OptMl) -> None:
    figures = json.loads((dogs_job.root / "output" / "data" / "metrics.json").read_text())
    print(f"dogs, ResNet50, trainable=head: {figures['test']}")
    assert figures["test"]["pictures"] == 100
    assert figures["test"]["test:accuracy"] >= 0.86
    classes = bundle.load(dogs_job.model).description.classes
    assert classes[:3] == ("Shih-Tzu", "Rhodesian_ridgeback", "Beagle")


def test_the_model_server_gives_the_logits_of_the_process(dogs_job: OptMl, real_data: Path) -> None:
    loaded = bundle.load(dogs_job.model)
    photos = sorted((real_data / "dogs" / "test").rglob("*.JPEG"))[::12]
    greatest = 0.0
    with serving(dogs_job.root) as server:
        server.wait_for_ping(200)
        for photo in photos:
            data = photo.read_bytes()
            with torch.inference_mode():
                expected = loaded.network(loaded.description.transform.read(data)[None])[0]
            answer = server.classify(data)
            assert answer.status == 200
            served = torch.tensor(answer.json())
            greatest = max(greatest, (served - expected).abs().max().item())
    print(f"greatest difference of a logit behind the model server: {greatest:.2e}")
    assert greatest < 1e-4
