"""A small bundle, pictures, and servers of the bundle."""

import functools
import io
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from PIL import Image

from classifier import bundle, networks
from classifier.calibration import Novelty
from classifier.exporting import writing
from classifier.transform import EvaluationTransform
from tests.classifier import exports
from tests.ports import free_port
from tests.serve.running import Running, serving

METRICS_PORT = free_port()
CLASSES = ("Affenpinscher", "Beagle", "Chihuahua", "Dachshund", "Eskimohund ö")


def picture(seed: int, format_: str = "JPEG", size: tuple[int, int] = (90, 70)) -> bytes:
    """Return an encoded picture; each seed gives another."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 256, (6, 8, 3), generator=generator, dtype=torch.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse.numpy()).resize(size).save(buffer, format_)
    return buffer.getvalue()


def small(base: Path) -> Path:
    """Make `base` an SAGEMAKER_BASE_DIR with a bundle: resnet18, random weights, 5 classes."""
    torch.manual_seed(0)
    network = networks.build("resnet18", len(CLASSES))
    for (
        module
    ) in network.modules():  # spread the logits: those of an untrained network are all alike
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.1)
    description = bundle.Description(
        architecture="resnet18",
        classes=CLASSES,
        folders=tuple(f"{i:03}.{name}" for i, name in enumerate(CLASSES)),
        transform=EvaluationTransform(resize=72, crop=64),
        temperature=2.0,
        novelty=Novelty(quantiles=(-100.0, 100.0)),
    )
    photos = [Image.open(io.BytesIO(picture(seed))) for seed in (100, 101)]
    bundle.save(bundle.make(network, description, photos), base / "model")
    return base


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("ml"))


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with model.onnx and model.int8.onnx, of a network that is right in both."""
    folder = tmp_path_factory.mktemp("exported")
    train, valid = exports.photos(folder / "train", 1), exports.photos(folder / "valid", 2)
    written = exports.write(folder / "model", exports.network(train), valid)
    found = writing.export(written, train, valid, int8=True, say=print)
    assert found.int8 is not None
    assert found.head == "fc.weight"
    return written


@pytest.fixture(scope="session")
def logits(trained: Path) -> Callable[[bytes], list[float]]:
    """The logits that the bundle gives a picture in this process."""
    loaded = bundle.load(trained / "model")

    @functools.cache
    def infer(data: bytes) -> list[float]:
        pixels = torch.from_numpy(loaded.description.transform.read(data))
        with torch.inference_mode():
            row: list[float] = loaded.network(pixels[None])[0].tolist()
        return row

    return infer


@pytest.fixture
def bundle_copy(trained: Path, tmp_path: Path) -> Path:
    """A copy of the bundle that the test can change."""
    shutil.copytree(trained / "model", tmp_path / "model")
    return tmp_path


@pytest.fixture(scope="session")
def nginx() -> None:
    if not shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"):
        pytest.skip("needs nginx: apt-get install nginx-light")


@pytest.fixture(scope="session")
def server(trained: Path, nginx: None) -> Iterator[Running]:
    """A healthy server for all tests that only send requests; small limits, real batches."""
    limits = {
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "1",
        "KENNEL_MAX_PIXELS": "1000000",
        "KENNEL_METRICS_PORT": str(METRICS_PORT),
    }
    with serving(trained, KENNEL_MAX_BATCH_DELAY_MS="20", **limits) as running:
        running.wait_for_ping(200)
        yield running


@pytest.fixture(scope="session")
def victim(trained: Path, nginx: None) -> Iterator[Callable[[], Running]]:
    """Return a healthy server that the test can damage; a new one if the last did not recover."""
    with ExitStack() as servers:
        current: list[Running] = []

        def give() -> Running:
            if not current or current[-1].process.poll() is not None:
                current.append(servers.enter_context(serving(trained)))
            current[-1].wait_for_ping(200)
            return current[-1]

        yield give


@pytest.fixture
def import_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what a test imports and adds to the path."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]
