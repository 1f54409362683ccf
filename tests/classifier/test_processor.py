"""Networks compiled for this processor."""

import subprocess
import sys

# Two networks that end in the order of their making, and then a signal.
TWO = """
import gc, signal, subprocess
import numpy as np
import openvino
from classifier import processor

def make():
    pixels = openvino.opset13.parameter([1, 3, 8, 8], np.float32)
    model = openvino.Model([openvino.opset13.relu(pixels)], [pixels])
    return processor.compile_model(model, "fp32", 1).create_infer_request()

signal.signal(signal.SIGCHLD, lambda *_: print("heard"))
first, second = make(), make()
del first
gc.collect()
del second
gc.collect()
subprocess.run(["true"])
"""


def test_signals_are_heard_when_networks_have_gone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWO], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
