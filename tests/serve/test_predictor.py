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


def test_a_batch_gives_each_picture_the_logits_it_gets_alone(predictor: Predictor) -> None:
    batch = torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    together = predictor.predict(batch)
    assert together.shape == (5, 5)
    assert together.dtype is torch.float32
    alone = torch.cat([predictor.predict(one[None]) for one in batch])
    assert torch.allclose(together, alone, atol=1e-5)


def test_a_gpu_is_taken_where_there_is_one() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == expected
    assert choose_device("cpu", gpu=0).type == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_asked_for_and_missing_is_an_error() -> None:
    with pytest.raises(ValueError, match="KENNEL_DEVICE=cuda, but no GPU"):
        choose_device("cuda")


def test_a_batch_beyond_the_most_goes_through_in_pieces(trained: Path) -> None:
    loaded = bundle.load(trained / "model")
    batch = torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    small = Predictor(loaded, torch.device("cpu"), threads=1, most=2)
    with torch.inference_mode():
        assert torch.allclose(small.predict(batch), loaded.network(batch), atol=1e-4)


def test_the_bundle_keeps_its_own_network(trained: Path) -> None:
    loaded = bundle.load(trained / "model")
    Predictor(loaded, torch.device("cpu"), threads=1, precision=torch.bfloat16)
    assert bundle.replay(loaded) < 1e-5


def test_precision_is_what_was_asked_for_and_float32_is_always_the_last_resort() -> None:
    cpu = torch.device("cpu")
    assert choose_precisions("fp32", cpu) == [torch.float32]
    assert choose_precisions("bf16", cpu) == [torch.bfloat16]
    assert choose_precisions("auto", cpu)[-1] is torch.float32


def test_a_network_without_feature_maps_is_not_explained() -> None:
    network = networks.build("vit_b_32", 2, image_size=64).eval()
    network = torch.fx.symbolic_trace(network)
    with pytest.raises(RequestError, match="no feature maps"):
        gradcam.heat_map(network, torch.zeros(1, 3, 64, 64), 0)
