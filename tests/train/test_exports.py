"""The end of a job: the network in the open format, and what the log says of it."""

import json
from pathlib import Path

import pytest

from classifier import bundle
from classifier.description import ONNX, ONNX_INT8
from tests.opt_ml import OptMl
from tests.train.test_story import SMALL
from train.state import exports

pytestmark = pytest.mark.slow


def run(root: Path, data: Path, export: str) -> tuple[OptMl, str]:
    job = OptMl.lay_out(root, {"digits": data}, SMALL | {"epochs": 1, "export": export})
    code, log = job.run()
    assert code == 0, log
    bundle.load(job.model)
    return job, log


def test_a_job_exports_its_network_and_says_what_it_could_not_prove(
    few_digits: Path, tmp_path: Path
) -> None:
    job, log = run(tmp_path, few_digits, "int8")
    description = bundle.describe(job.model)
    assert description.export
    assert description.export.int8 is None  # 30 validation pictures
    assert (job.model / ONNX).is_file()
    assert not (job.model / ONNX_INT8).exists()
    assert "model.onnx: the golden logits are within" in log
    reason = "compared on 30 labelled validation pictures, and 100 are needed"
    assert f"no {ONNX_INT8}: it could be {reason}" in log
    assert reason in str(description.training["export"])
    # The export is the last: it takes no figure from the log, and SageMaker reads the last ones.
    assert log.rindex("[metric]") < log.index("exporting the network, for at most 600 s")


def test_a_job_without_exports(few_digits: Path, tmp_path: Path) -> None:
    job, log = run(tmp_path, few_digits, "none")
    assert json.loads((job.model / bundle.DESCRIPTION).read_text())["format"] < 4
    assert "exporting" not in log
    assert not (job.model / ONNX).exists()


def test_the_time_of_auto_is_a_share_of_a_long_job() -> None:
    assert exports.most_seconds("auto", 60.0) == 30.0
    assert exports.most_seconds("auto", 7200.0) == 216.0
    assert exports.most_seconds("onnx", 60.0) == exports.most_seconds("int8", 60.0) == 600.0
