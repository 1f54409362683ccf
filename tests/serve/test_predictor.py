from pathlib import Path

import pytest
import torch
import torch.fx

from classifier import bundle, networks
from serve import gradcam
from serve.errors import RequestError
from serve.predictor import Predictor, choose_device, choose_precisions


@pytest.fixture(scope="module")
def predictor(trained: Path) -> Predictor:
    return Predictor(bundle.load(trained / "model"), choose_device("cpu"), threads=1)


def test_logits_in_a_batch_equal_those_of_a_single_picture(predictor: Predictor) -> None:
    batch = torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    together = predictor.predict(batch)
    assert together.shape == (5, 5)
    assert together.dtype is torch.float32
    alone = torch.cat([predictor.predict(one[None]) for one in batch])
    assert torch.allclose(together, alone, atol=1e-5)


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
    batch = torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    small = Predictor(loaded, torch.device("cpu"), threads=1, max_batch=2)
    with torch.inference_mode():
        assert torch.allclose(small.predict(batch), loaded.network(batch), atol=1e-4)


def test_the_network_of_the_bundle_does_not_change(trained: Path) -> None:
    loaded = bundle.load(trained / "model")
    Predictor(loaded, torch.device("cpu"), threads=1, precision=torch.bfloat16)
    assert bundle.replay(loaded) < 1e-5


def test_the_precision_is_the_setting_and_auto_falls_back_to_float32() -> None:
    cpu = torch.device("cpu")
    assert choose_precisions("fp32", cpu) == [torch.float32]
    assert choose_precisions("bf16", cpu) == [torch.bfloat16]
    assert choose_precisions("auto", cpu)[-1] is torch.float32


def test_a_network_without_feature_maps_is_not_explained() -> None:
    network = networks.build("vit_b_32", 2, image_size=64).eval()
    network = torch.fx.symbolic_trace(network)
    with pytest.raises(RequestError, match="no feature maps"):
        gradcam.heat_map(network, torch.zeros(1, 3, 64, 64), 0)
