"""SageMaker's hosting contract, by `docker run … serve`."""

import json
from pathlib import Path

import pytest
import torch

from classifier import bundle, networks
from classifier.images import decode
from tests.containers.engine import Images, Job, serving

pytestmark = pytest.mark.docker


def in_process(model: Path, picture: bytes) -> torch.Tensor:
    loaded = bundle.load(model)
    with torch.inference_mode():
        logits: torch.Tensor = loaded.network(
            loaded.description.transform(decode(picture)).unsqueeze(0)
        )
    return logits[0]


def test_the_container_answers_as_the_process_does(
    images: Images, trained: tuple[Job, str], few_digits: Path
) -> None:
    model = trained[0].root / "model"
    pictures = sorted((few_digits / "test").rglob("*.png"))[:5]
    with serving(images, model) as (endpoint, container):
        assert endpoint.ping() == 200
        for picture in pictures:
            status, body = endpoint.invoke(picture.read_bytes(), "image/png", "application/json")
            assert status == 200, body
            expected = in_process(model, picture.read_bytes())
            torch.testing.assert_close(torch.tensor(json.loads(body)), expected, atol=1e-4, rtol=0)
        status, body = endpoint.invoke(b"no picture", "image/png")
        assert status == 400
        assert b"picture" in body
        status, _ = endpoint.invoke(b"a,b", "text/csv")
        assert status == 415
        assert container.stop(grace_s=30) < 30
        assert container.exit_code == 0, container.log


def test_without_a_bundle_serve_and_no_argument_end_with_the_reason(
    images: Images, tmp_path: Path
) -> None:
    for command in (["serve"], []):
        done = images.run("--volume", f"{tmp_path}:/opt/ml/model:ro", images.serve, *command)
        assert done.returncode == 1
        assert "kennel.json" in done.stdout.splitlines()[-1]


def test_resnet50_gives_real_photos_the_same_logits(
    images: Images, real_data: Path, tmp_path: Path
) -> None:
    network = networks.build("resnet50", 1000)
    halves = torch.load(real_data / "weights" / "resnet50-imagenet-fp16.pth", weights_only=True)
    network.load_state_dict({name: value.float() for name, value in halves.items()})
    names = tuple(f"class {number}" for number in range(1000))
    description = bundle.Description(
        architecture="resnet50",
        classes=names,
        folders=names,
        transform=networks.preset("resnet50"),
    )
    dogs = sorted((real_data / "dogs" / "test").rglob("*.JPEG"))[::10][:8]
    assert dogs
    golden = [decode(dogs[0].read_bytes())]
    bundle.save(bundle.make(network, description, golden), tmp_path)
    with serving(images, tmp_path) as (endpoint, _):
        for dog in dogs:
            status, body = endpoint.invoke(dog.read_bytes(), "image/jpeg", "application/json")
            assert status == 200, body
            expected = in_process(tmp_path, dog.read_bytes())
            torch.testing.assert_close(torch.tensor(json.loads(body)), expected, atol=1e-4, rtol=0)
