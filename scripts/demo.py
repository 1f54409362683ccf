"""`make demo`: digits become pictures, a bundle, answers over HTTP. No AWS, no Docker, no download.

The same two entry points run here that the images run; only where /opt/ml lies is different.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scripts import digits, local
from train.metrics import OBJECTIVE

SPEC = Path(__file__).parents[1] / "experiments" / "digits.toml"
READY_WITHIN = 180  # seconds
console = Console(highlight=False)


def main() -> None:
    """Run the demo; end with a message where something is missing or fails."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("run/demo"))
    parser.add_argument("--spec", type=Path, default=SPEC)
    given = parser.parse_args()
    out = given.out.resolve()
    started = time.monotonic()
    find_nginx()
    shutil.rmtree(out, ignore_errors=True)

    step("pictures")
    counts = digits.write(out / "input" / "data" / "train")
    say(", ".join(f"{count} {split}" for split, count in counts.items()))

    step(f"training ({given.spec.name})")
    spec = tomllib.loads(given.spec.read_text())
    strings = {name: json.dumps(value) for name, value in spec["hyperparameters"].items()}
    local.write_job(out, strings)
    train(out)

    step("serving")
    with served(out) as port:
        correct = ask(out / "input" / "data" / "train" / "test", port)
    say(f"stopped; all of it is in {given.out}")
    console.print(f"done in {time.monotonic() - started:.0f} s", style="bold")
    print(f"test accuracy {correct:.4f}")


def step(title: str) -> None:
    """Print a heading."""
    console.print(f"\n{title}", style="bold")


def say(text: str) -> None:
    """Print a line below a heading."""
    console.print(f"  {text}", markup=False, soft_wrap=True)


def find_nginx() -> None:
    """Have nginx, the one part that no Python package brings; install it where that is ours to do.

    Raises:
        SystemExit: it is missing, with the command that installs it.
    """
    if shutil.which("nginx"):
        return
    install = "apt-get install --yes nginx-light"
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"nginx is missing: {install}")
        quiet = {
            "stdout": subprocess.DEVNULL,
            "env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        }
        subprocess.run(["apt-get", "update"], check=True, **quiet)  # type: ignore[call-overload]
        # No service is wanted from it, only the program.
        subprocess.run([*install.split(), "--no-install-recommends"], check=True, **quiet)  # type: ignore[call-overload]
    else:
        raise SystemExit(f"the demo serves behind nginx, which is missing; install it: {install}")


def train(opt_ml: Path) -> None:
    """Run the training entry, as the image's `train` does, and show what matters of its log.

    Raises:
        SystemExit: it failed; with its reason.
    """
    log = opt_ml / "train.log"
    process = subprocess.Popen(
        [sys.executable, "-m", "train.entry"],
        env=os.environ | {"SAGEMAKER_BASE_DIR": str(opt_ml)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    epoch = 0
    with process, log.open("w") as file:
        for line in process.stdout:
            file.write(line)
            found = re.search(OBJECTIVE.regex, line)  # as CloudWatch finds it
            if found:
                epoch += 1
                say(f"epoch {epoch}: {OBJECTIVE.name} {float(found.group(1)):.4f}")
            elif not line.startswith(("[metric]", "saved")) and "training-toolkit" not in line:
                say(line.rstrip())
    if process.returncode:
        failure = opt_ml / "output" / "failure"
        raise SystemExit(failure.read_text() if failure.exists() else f"see {log}")


@contextmanager
def served(opt_ml: Path) -> Iterator[int]:
    """Run the serving entry, as the image's `serve` does; give its port once it is healthy."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    log = opt_ml / "serve.log"
    started = time.monotonic()
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "serve.entry"],
            env=os.environ
            | {"SAGEMAKER_BASE_DIR": str(opt_ml), "SAGEMAKER_BIND_TO_PORT": str(port)},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        while not healthy(port):
            if process.poll() is not None or time.monotonic() - started > READY_WITHIN:
                raise SystemExit(f"the server did not become healthy:\n{log.read_text()[-2000:]}")
            time.sleep(0.2)
        say(f"healthy on port {port} after {time.monotonic() - started:.0f} s")
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def healthy(port: int) -> bool:
    """Whether /ping says 200."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


def ask(test: Path, port: int) -> float:
    """Send every test digit over HTTP, show the first of each class, return the share right."""
    table = Table("picture", "answer", "probability", "")
    right = total = 0
    for folder in sorted(test.iterdir()):
        for number, photo in enumerate(sorted(folder.iterdir())):
            answer = json.loads(local.invoke(port, photo))
            label, likeliest = answer["predicted_label"], max(answer["probabilities"])
            right += label == folder.name
            total += 1
            if not number:
                verdict = "" if label == folder.name else f"it is a {folder.name}"
                table.add_row(f"{folder.name}/{photo.name}", label, f"{likeliest:.3f}", verdict)
    console.print(table)
    say(f"{right} of {total} right over HTTP")
    return right / total


if __name__ == "__main__":
    main()
