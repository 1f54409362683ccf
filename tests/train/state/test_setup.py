"""How a run begins: what the machine cannot do is refused before anything is built."""

from pathlib import Path

import pytest
import torch

from pictures.picture import Picture, Splits
from tests.train import head_jobs
from train.config import ConfigError, TrainConfig
from train.platform.stop import Stop
from train.recording.hooks import Hooks
from train.state.setup import set_up


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU it is allowed")
def test_compiling_on_a_processor_is_refused(tmp_path: Path) -> None:
    pictures = tuple(Picture(Path(f"{label}.png"), label) for label in (0, 1))
    splits = Splits(("a", "b"), ("a", "b"), pictures, pictures)
    config = TrainConfig(compile=True)
    with pytest.raises(ConfigError, match="compile=true needs a GPU"):
        set_up(config, splits, head_jobs.job(tmp_path), Stop(), Hooks())
