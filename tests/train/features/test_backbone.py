"""A backbone computes the same features in every engine, and says which one it uses."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.fx
from torch import nn

from classifier import networks, processor
from tests.train import head_jobs
from train.features import backbone
from train.features.backbone import Backbone
from train.learning import frozen
from train.platform.stop import Stop
from train.recording.hooks import Hooks
from train.state.run import Run
from train.state.setup import set_up

OPENVINO, TORCH = "openvino 2", "torch"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return head_jobs.backbone(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def made(weights: Path, few_digits: Path, tmp_path: Path) -> Callable[..., tuple[Run, nn.Module]]:
    def make(**settings: object) -> tuple[Run, nn.Module]:
        config = head_jobs.config(weights, **settings)
        found = head_jobs.find(few_digits), head_jobs.job(tmp_path), Stop(), Hooks()
        run, network = set_up(config, *found)
        return run, frozen.split(network)[0]

    return make


@pytest.fixture
def worth_converting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few digits are as many pixels as a job needs to convert its backbone."""
    monkeypatch.setattr(backbone, "_WORTH_CONVERTING", 1)


def assert_same(one: torch.Tensor, other: torch.Tensor, tolerance: float) -> None:
    assert one.shape == other.shape
    assert one.dtype == torch.float32
    assert (one - other.float()).abs().max() <= tolerance * other.abs().max()


@pytest.mark.parametrize(
    ("precision", "tolerance"),
    [
        ("fp32", 1e-5),
        pytest.param(
            "bf16",
            0.02,
            marks=pytest.mark.skipif(
                not processor.computes_bf16(), reason="this processor does not compute in bf16"
            ),
        ),
    ],
)
def test_openvino_computes_the_features_of_the_network_for_batches_of_any_size(
    precision: str,
    tolerance: float,
    made: Callable[..., tuple[Run, nn.Module]],
    worth_converting: None,
) -> None:
    run, front = made(precision=precision)
    found = Backbone(front, run)
    assert found.engine.startswith(OPENVINO)
    for count in (1, 64, 5):
        images = torch.randn(count, 3, 32, 32).to(memory_format=torch.channels_last)
        with torch.inference_mode():
            assert_same(found.features(images), front(images), tolerance)


def test_a_result_is_not_overwritten_by_the_next(
    made: Callable[..., tuple[Run, nn.Module]], worth_converting: None
) -> None:
    run, front = made()
    found = Backbone(front, run)
    one, other = torch.randn(2, 4, 3, 32, 32)
    first = found.features(one)
    copied = first.clone()
    found.features(other)
    assert torch.equal(first, copied)


def test_a_few_small_pictures_are_not_worth_the_conversion(
    made: Callable[..., tuple[Run, nn.Module]], capsys: pytest.CaptureFixture[str]
) -> None:
    run, front = made()
    capsys.readouterr()
    assert Backbone(front, run).engine == TORCH
    assert not capsys.readouterr().out


@torch.library.custom_op("kennel_tests::doubled", mutates_args=())
def doubled(images: torch.Tensor) -> torch.Tensor:
    """An operator that OpenVINO does not know."""
    return images * 2


class Strange(nn.Module):
    def __init__(self, front: nn.Module) -> None:
        super().__init__()
        self.front = front

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the features, doubled."""
        found: torch.Tensor = torch.ops.kennel_tests.doubled(self.front(images))
        return found


def test_torch_computes_what_does_not_convert_and_the_log_says_why(
    made: Callable[..., tuple[Run, nn.Module]],
    worth_converting: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, front = made()
    found = Backbone(Strange(front), run)
    assert found.engine == TORCH
    log = capsys.readouterr().out
    assert "OpenVINO does not compute this backbone" in log
    assert "kennel_tests::doubled" in log
    images = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        assert_same(found.features(images), 2 * front(images), 1e-5)


def test_a_conversion_that_fails_changes_no_log(
    made: Callable[..., tuple[Run, nn.Module]], worth_converting: None
) -> None:
    """OpenVINO takes the process's own logger to ERROR, and leaves it there if it fails."""
    logger = logging.getLogger()
    before = logger.level, list(logger.filters), list(logger.handlers)
    run, front = made()
    assert Backbone(Strange(front), run).engine == TORCH
    assert (logger.level, logger.filters, logger.handlers) == before


@torch.fx.wrap
def depending_on_the_batch(features: torch.Tensor) -> torch.Tensor:
    """What one pass with two pictures does not show."""
    return features * 2 if len(features) == 2 else features


class Branching(nn.Module):
    def __init__(self, front: nn.Module) -> None:
        super().__init__()
        self.front = front

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the features, or twice as much."""
        return depending_on_the_batch(self.front(images))


def test_a_converted_network_that_computes_something_else_is_not_used(
    made: Callable[..., tuple[Run, nn.Module]],
    worth_converting: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, front = made()
    assert Backbone(Branching(front), run).engine == TORCH
    assert "its features differ from torch's by" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture",
    ["mobilenet_v3_small", "densenet121", "efficientnet_b0", "vit_b_32", "swin_t", "convnext_tiny"],
)
def test_a_network_of_each_kind_converts(
    architecture: str, made: Callable[..., tuple[Run, nn.Module]], worth_converting: None
) -> None:
    run, _ = made(image_size=64)
    torch.manual_seed(0)
    front, _ = frozen.split(networks.build(architecture, 3, image_size=64).eval())
    assert Backbone(front, run).engine.startswith(OPENVINO)
