"""The worker's chain in a process that cannot import torch: the small serving image."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serve.conftest import picture
from tests.serve.running import ROOT

pytestmark = pytest.mark.slow

_WORKER = """
import sys
sys.modules |= {"torch": None, "torchvision": None}  # an import of them raises ImportError
from pathlib import Path
sys.path.insert(0, ROOT)
import serve.entry, serve.lane.server, serve.registry, serve.custom, serve.preloaded
from tests.serve.worker import Request, ask, load
handler, run = sys.argv[1], Path(sys.argv[2])
try:
    service = load(run, handler)
except Exception as error:
    print("REFUSED", error)
    raise SystemExit(0)
photo = sys.stdin.buffer.read()
wanted = dict(accept="application/json;verbose", query="explain=gradcam")
code, (plain, explained) = ask(service, Request(photo), Request(photo, **wanted))
print(plain.status, explained.status, plain.body.decode(), explained.body.decode()[:400])
from serve.front import health
(mine,) = health.reports(run.parent / "workers")
print(mine.serving)
""".replace("ROOT", repr(str(ROOT)))


def worker(base: Path, run: Path, handler: str = "serve.handler:handle", **variables: str) -> str:
    for name in ("workers", "empty"):
        (run / name).mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", _WORKER, handler, str(run / "empty")],
        input=picture(3),
        capture_output=True,
        check=False,
        env=os.environ
        | {
            "SAGEMAKER_BASE_DIR": str(base),
            "KENNEL_WORKER_REPORTS": str(run / "workers"),
            "KENNEL_THREADS": "1",
            **variables,
        },
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_a_bundle_with_an_export_is_served_and_others_say_what_to_do(
    exported: Path, trained: Path, tmp_path: Path
) -> None:
    said = worker(exported.parent, tmp_path / "1")
    assert said.startswith("200 ")
    assert "engine='openvino'" in said
    assert "REFUSED" not in said
    said = worker(trained, tmp_path / "2")
    assert "REFUSED" in said
    assert "kennel export BUNDLE" in said
    assert "kennel-serve" in said


def test_code_without_torch_gets_arrays_and_code_with_torch_is_explained(
    exported: Path, tmp_path: Path
) -> None:
    code = tmp_path / "inference.py"
    code.write_text(
        "import numpy\n"
        "def predict_fn(data, model):\n"
        "    assert isinstance(data, numpy.ndarray), type(data)\n"
        "    return -model(data)\n"
    )
    said = worker(exported.parent, tmp_path / "1", "serve.custom:handle", KENNEL_CODE=str(code))
    assert said.startswith("200 "), said
    late = "def predict_fn(a, b):\n    pass\ndef pre_model_fn(folder):\n    import torch\n"
    for text in ("import torch\n", late):
        code.write_text(text)
        run = tmp_path / str(len(text))
        said = worker(exported.parent, run, "serve.custom:handle", KENNEL_CODE=str(code))
        assert "imports torch, which this image does not have" in said
        assert "kennel-serve" in said
