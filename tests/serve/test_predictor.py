from pathlib import Path

import pytest
import torch

from classifier import bundle
from serve.predictor import Predictor, choose_device


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
