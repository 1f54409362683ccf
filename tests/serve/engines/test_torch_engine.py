from pathlib import Path

import numpy as np
import pytest
import torch
import torch.fx

from classifier import bundle, networks
from serve.engines import gradcam
from serve.engines.torch_engine import TorchEngine, choose_device, precisions
from serve.errors import RequestError


@pytest.fixture(scope="module")
def engine(trained: Path) -> TorchEngine:
    return TorchEngine(bundle.load(trained / "model"), choose_device("cpu"), threads=1)


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, 3, 64, 64), np.float32)


def test_logits_in_a_batch_equal_those_of_a_single_picture(engine: TorchEngine) -> None:
    batch = noise(5)
    together = engine.predict(batch)
    assert together.shape == (5, 5)
    assert together.dtype == np.float32
    alone = np.concatenate([engine.predict(one[None]) for one in batch])
    assert np.allclose(together, alone, atol=1e-5)


def test_a_gpu_is_used_if_there_is_one() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == expected
    assert choose_device("cpu", gpu=0).type == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_is_an_error() -> None:
    with pytest.raises(ValueError, match="KENNEL_DEVICE=cuda, but no GPU"):
        choose_device("cuda")


def test_a_batch_over_the_limit_is_split(trained: Path) -> None:
    loaded = bundle.load(trained / "model")
    small = TorchEngine(loaded, torch.device("cpu"), threads=1, max_batch=2)
    expected = bundle.on_arrays(loaded.network)(noise(5))
    assert np.allclose(small.predict(noise(5)), expected, atol=1e-4)


def test_the_network_of_the_bundle_does_not_change(trained: Path) -> None:
    loaded = bundle.load(trained / "model")
    TorchEngine(loaded, torch.device("cpu"), threads=1, precision="bf16")
    assert bundle.replay(loaded) < 1e-5


def test_the_precision_is_the_setting_and_auto_falls_back_to_float32() -> None:
    cpu = torch.device("cpu")
    assert precisions("fp32", cpu) == ["fp32"]
    assert precisions("bf16", cpu) == ["bf16"]
    assert precisions("auto", cpu)[-1] == "fp32"


def test_a_network_without_feature_maps_is_not_explained() -> None:
    network = networks.build("vit_b_32", 2, image_size=64).eval()
    network = torch.fx.symbolic_trace(network)
    with pytest.raises(RequestError, match="no feature maps"):
        gradcam.explain(network, torch.zeros(1, 3, 64, 64), 0)


def test_networks_share_only_equal_weights(trained: Path) -> None:
    loaded = bundle.load(trained / "model")
    one = TorchEngine(loaded, torch.device("cpu"), threads=1)
    with torch.no_grad():
        loaded.network.get_parameter("fc.bias").add_(1.0)
    two = TorchEngine(loaded, torch.device("cpu"), threads=1)
    known: dict[str, torch.Tensor] = {}
    one.share_weights(known)
    two.share_weights(known)
    assert one.network.get_parameter("fc.weight") is two.network.get_parameter("fc.weight")
    assert one.network.get_parameter("fc.bias") is not two.network.get_parameter("fc.bias")
