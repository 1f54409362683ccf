"""smdebug runs next to our own hooks and cannot fail a job."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from debugger import formats
from debugger.records import GRADIENTS, WEIGHTS, End, Step, Tensors
from tests.debugger.smdebug_reader import smdebug_reads
from tests.opt_ml import OptMl
from train.recording import hooks, smdebug

QUICK = {
    "architecture": "mobilenet_v3_small",
    "weights": "none",
    "trainable": "all",
    "image_size": 32,
    "epochs": 1,
    "batch_size": 48,
    "workers": 0,
    "export": "none",
    "ema": 0.9,
    "profiler_steps": "",
    "debugger_interval": 2,
}


@pytest.fixture(scope="module")
def job(few_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[OptMl, str]:
    """A finished job with SMDEBUG=1, whose folder contains files of an earlier start."""
    root = tmp_path_factory.mktemp("smdebug")
    opt = OptMl.lay_out(
        root,
        {name: few_digits / name for name in ("train", "valid", "test")},
        QUICK,
    )
    tensors = root / "output" / "tensors"
    tensors.mkdir(parents=True)
    for earlier in ("training_job_end.ts", "claim.smd"):
        (tensors / earlier).touch()
    profiler = {"ProfilingParameters": {"LocalPath": str(root / "output" / "profiler")}}
    (root / "input" / "config" / "profilerconfig.json").write_text(json.dumps(profiler))
    code, log = opt.run(SMDEBUG="1", OMP_NUM_THREADS="1")
    assert code == 0, log
    return opt, log


@pytest.mark.slow
def test_smdebug_reads_the_files_of_a_job(job: tuple[OptMl, str]) -> None:
    opt, log = job
    assert f"smdebug: saving to {opt.root}/output/tensors" in log
    (found,) = smdebug_reads(("tensors", opt.root / "output" / "tensors"))
    read = found["tensors"]
    losses = [one for one in read["CrossEntropyLoss_output_0"] if one["mode"] == "TRAIN"]
    assert [one["step"] for one in losses] == list(range(len(losses)))
    assert len(losses) > 2
    reduced = read["gradient/MobileNetV3_classifier.3.weight"]
    assert [one["step"] for one in reduced] == list(range(0, len(losses), 2))
    assert set(reduced[0]["reductions"]) == {"mean", "std", "min", "max", "l2", "abs_mean"}


@pytest.mark.slow
def test_smdebugs_files_have_the_values_of_our_own_recording(job: tuple[OptMl, str]) -> None:
    opt, _ = job
    theirs = list(formats.read(opt.root / "output" / "tensors"))
    assert isinstance(theirs[-1], End)
    ours = [
        one for one in formats.read(opt.root / "checkpoints") if isinstance(one, Step | Tensors)
    ]
    losses = [
        {one.step: one.loss for one in found if isinstance(one, Step) and one.mode == "train"}
        for found in (theirs, ours)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for collection in (WEIGHTS, GRADIENTS):
        l2 = [
            {
                (one.step, name): held.l2
                for one in found
                if isinstance(one, Tensors) and (one.mode, one.collection) == ("train", collection)
                for name, held in one.values.items()
            }
            for found in (theirs, ours)
        ]
        assert l2[0].keys() == l2[1].keys()
        if collection == GRADIENTS:  # our weights are those after the update
            assert l2[0] == pytest.approx(l2[1], rel=1e-4)


@pytest.mark.slow
def test_smdebugs_timeline_has_complete_steps(job: tuple[OptMl, str]) -> None:
    opt, _ = job
    steps = [
        one
        for one in formats.read(opt.root / "output" / "profiler")
        if isinstance(one, Step) and one.mode == "train"
    ]
    for step in steps:
        assert [span.name for span in step.spans] == [
            "data_wait",
            "forward",
            "backward",
            "optimizer",
        ]
        assert step.at >= step.spans[-1].start + step.spans[-1].seconds - 1e-5


def test_smdebug_is_not_imported_unless_requested(tmp_path: Path) -> None:
    others = hooks.Hooks()
    base = {"SAGEMAKER_BASE_DIR": str(tmp_path)}
    assert smdebug.with_smdebug(others, env=base) is others
    assert smdebug.with_smdebug(others, env={**base, "SMDEBUG": "0"}) is others
    config = tmp_path / "input" / "config" / "debughookconfig.json"
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({"HookParameters": {"save_interval": "3"}}))
    assert smdebug.with_smdebug(others, env=base) is others
    config.write_text(json.dumps({"HookParameters": {"smdebug": "true"}}))
    assert isinstance(smdebug.with_smdebug(others, env=base), smdebug.Smdebug)
    assert "smdebug" not in sys.modules


@pytest.mark.parametrize("written", ["[1]", '{"HookParameters": [1]}', "{", '"smdebug"', ""])
def test_an_unreadable_config_file_does_not_turn_smdebug_on(written: str, tmp_path: Path) -> None:
    config = tmp_path / "input" / "config" / "debughookconfig.json"
    config.parent.mkdir(parents=True)
    config.write_text(written)
    others = hooks.Hooks()
    assert smdebug.with_smdebug(others, env={"SAGEMAKER_BASE_DIR": str(tmp_path)}) is others


def test_every_report_is_forwarded_to_our_own_hooks() -> None:
    for ours, around in (
        (hooks.Hooks, smdebug.Smdebug),
        (hooks.Step, smdebug._Step),
    ):
        methods = {name for name, one in vars(ours).items() if callable(one)} - {"__init__"}
        assert methods - vars(around).keys() == set()


SCRIPT = """
import os, sys
from pathlib import Path
import torch
from torch import nn
from train.recording import hooks, smdebug

base = Path(sys.argv[1])
given = sys.argv[2]
network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
dtype = torch.bfloat16 if given == "bfloat16, compiled" else torch.float32
network.to(dtype)
graphs = []
if given == "bfloat16, compiled":
    network.compile(backend=lambda graph, inputs: graphs.append(graph) or graph.forward)
optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
batches = [torch.randn(4, 3, 8, 8, dtype=dtype) for _ in range(3)]
with smdebug.with_smdebug(hooks.Hooks(), 1, env=os.environ | {"SMDEBUG": "1"}) as combined:
    combined.watch(None, network)
    for at, (step, batch) in enumerate(combined.steps("train", batches, 0, 40)):
        if given == "broken" and at == 1:
            combined.hook._write_for_tensor = None
        with step.phase("forward"):
            loss = network(batch).float().pow(2).mean()
        with step.phase("backward"):
            loss.backward()
        with step.phase("optimizer"):
            optimizer.step()
        step.result(loss, batch, batch)
convolving = [one for one in graphs if "conv2d" in one.code]
if given == "bfloat16, compiled":  # the network is one graph; small others can exist
    assert len(convolving) == 1 and "linear" in convolving[0].code and len(graphs) < 4, graphs
print("trained to the end")
"""


@pytest.mark.slow
@pytest.mark.parametrize("given", ["bfloat16, compiled", "broken"])
def test_bfloat16_compiled_networks_and_errors_do_not_stop_training(
    given: str, tmp_path: Path
) -> None:
    harmful = {"LocalPath": str(tmp_path / "profiler"), "DetailedProfilingConfig": "exit(3)"}
    config = tmp_path / "input" / "config" / "profilerconfig.json"
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({"ProfilingParameters": harmful}))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), given],
        env=os.environ | {"SAGEMAKER_BASE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.stdout.endswith("trained to the end\n"), done.stdout + done.stderr
    assert ("smdebug is off, training continues without it" in done.stdout) == (given == "broken")
    steps = [one for one in formats.read(tmp_path) if isinstance(one, Step)]
    gradients = [
        one
        for one in formats.read(tmp_path)
        if isinstance(one, Tensors) and one.collection == GRADIENTS
    ]
    if given != "broken":
        assert [one.step for one in steps] == [40, 41, 42]
        assert [one.step for one in gradients] == [40, 41, 42]
    assert dataclasses.astuple(gradients[0].values["0.weight"])[:2] != (0.0, 0.0)
