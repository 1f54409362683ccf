"""CPUs compute in bfloat16 on request."""

from pathlib import Path

import pytest
import torch

from tests.train.recorded import Recorded
from train.config import ConfigError
from train.state.setup import choose_precision

CPU = torch.device("cpu")


def test_cpus_compute_in_float32_by_default() -> None:
    assert choose_precision("auto", CPU) is None
    assert choose_precision("fp32", CPU) is None
    assert choose_precision("bf16", CPU) is torch.bfloat16
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        choose_precision("fp16", CPU)


def test_a_job_in_bfloat16_writes_a_bundle_in_float32(few_digits: Path, tmp_path: Path) -> None:
    settings = {"precision": "bf16", "debugger": False, "profiler": False}
    job = Recorded.lay_out(tmp_path, few_digits, **settings).run()
    floats = [value for value in job.weights.values() if value.is_floating_point()]
    assert all(value.dtype is torch.float32 for value in floats)
    assert all(value.isfinite().all() for value in floats)
