"""bfloat16 on a processor: chosen where it is in the hardware, and as repeatable as float32."""

from pathlib import Path

import pytest
import torch

from classifier.precision import computes_bf16
from tests.train.recorded import Recorded
from train.config import ConfigError
from train.run import choose_precision
from train.stop import Interrupted, Stop

CPU = torch.device("cpu")


def test_auto_is_what_the_processor_computes_in() -> None:
    assert choose_precision("auto", CPU) is (torch.bfloat16 if computes_bf16(CPU) else None)
    assert choose_precision("fp32", CPU) is None
    assert choose_precision("bf16", CPU) is torch.bfloat16
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        choose_precision("fp16", CPU)


class Once(Stop):
    """Asks for a stop after a few looks, as SIGTERM would."""

    looks = 8

    def check(self, number: int = 0) -> None:
        self.looks -= 1
        self.requested = self.looks < 0
        super().check(number)


def test_a_job_in_bfloat16_ends_the_same_though_stopped(few_digits: Path, tmp_path: Path) -> None:
    told = {"precision": "bf16", "debugger": False, "profiler": False, "optimizer": "adamw"}
    unbroken = Recorded.lay_out(tmp_path / "unbroken", few_digits, **told).run()
    stopped = Recorded.lay_out(tmp_path / "stopped", few_digits, **told)
    with pytest.raises(Interrupted):
        stopped.run(Once())
    again = stopped.run().weights
    assert all(torch.equal(value, again[name]) for name, value in unbroken.weights.items())
    assert all(value.dtype != torch.bfloat16 for value in again.values())
