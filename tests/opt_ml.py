"""The folder /opt/ml as SageMaker prepares it for a training container, here at any path."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OptMl:
    """The /opt/ml of a job."""

    root: Path

    @classmethod
    def lay_out(
        cls,
        root: Path,
        channels: Mapping[str, Path],
        hyperparameters: Mapping[str, object],
        *,
        hosts: tuple[str, ...] = ("algo-1",),
        host: str = "algo-1",
        interface: str = "lo",
    ) -> "OptMl":
        """Write the config files and link the channels; values are JSON, as the SDKs send them."""
        for folder in ("input/config", "input/data", "model", "output/data", "checkpoints"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for name, source in channels.items():
            (root / "input" / "data" / name).symlink_to(source.resolve())
        files = {
            "hyperparameters": {k: json.dumps(v) for k, v in hyperparameters.items()},
            "inputdataconfig": {name: {"TrainingInputMode": "File"} for name in channels},
            "resourceconfig": {
                "current_host": host,
                "hosts": list(hosts),
                "network_interface_name": interface,
            },
        }
        for name, contents in files.items():
            (root / "input" / "config" / f"{name}.json").write_text(json.dumps(contents))
        return cls(root)

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def failure(self) -> str:
        return (self.root / "output" / "failure").read_text()

    @property
    def checkpoints(self) -> list[Path]:
        return sorted((self.root / "checkpoints").rglob("step-*.safetensors"))

    def start(self, **env: str) -> "subprocess.Popen[str]":
        """Start the training entry as the image's `train` does; its whole log is in one pipe."""
        return subprocess.Popen(
            [sys.executable, "-m", "train.entry"],
            env=os.environ | {"SAGEMAKER_BASE_DIR": str(self.root)} | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, timeout: float = 600, **env: str) -> tuple[int, str]:
        """Run the job to its end and return exit code and log."""
        process = self.start(**env)
        log, _ = process.communicate(timeout=timeout)
        return process.returncode, log


def wait_for(process: "subprocess.Popen[str]", text: str) -> str:
    """Read the log up to the line that contains `text`, and return it."""
    assert process.stdout
    log = ""
    for line in process.stdout:
        log += line
        if text in line:
            return log
    raise AssertionError(f"the job ended and did not log {text!r}:\n{log}")
