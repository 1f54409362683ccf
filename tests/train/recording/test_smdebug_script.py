"""A user's own script with `import smdebug.pytorch as smd`, as AWS's examples have it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import train.recording
from tests.debugger.smdebug_reader import smdebug_reads

SITE = Path(train.recording.__path__[0]) / "site"  # on the image's PYTHONPATH

SCRIPT = """
import sys
import smdebug.pytorch as smd
import torch

hook = smd.Hook(
    out_dir=sys.argv[1],
    include_collections=["losses", "weights", "gradients"],
    save_config=smd.SaveConfig(save_interval=1),
)
network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
loss = torch.nn.CrossEntropyLoss()
hook.register_module(network)
hook.register_loss(loss)
optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    value = loss(network(torch.rand(6, 4)), torch.tensor([0, 1, 2, 0, 1, 2]))
    value.backward()
    optimizer.step()
    hook.save_scalar("mine", value.item(), sm_metric=False)
hook.close()
assert "train" not in sys.modules, "a user's script is often called train.py"
"""


def python(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(SITE)}
    env.pop("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", None)
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.slow
def test_a_script_called_train_records_tensors_with_smdebug(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    done = python(script, str(tmp_path / "tensors"))
    assert done.returncode == 0, done.stderr
    found = json.dumps(smdebug_reads(("tensors", tmp_path / "tensors")))
    assert "CrossEntropyLoss" in found
    assert "gradient/" in found


@pytest.mark.slow
def test_protobuf_in_another_implementation_is_named_with_the_cure(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text("import google.protobuf.descriptor\nimport smdebug.pytorch\n")
    done = python(script)
    assert done.returncode == 1
    assert "import smdebug first, or set the environment variable PROTOCOL_BUF" in done.stderr


@pytest.mark.slow
def test_a_script_without_smdebug_imports_nothing_more(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text("import sys\nprint(sorted({'torch', 'numpy', 'smdebug'} & {*sys.modules}))\n")
    assert python(script).stdout == "[]\n"
