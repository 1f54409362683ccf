"""`make demo`: a whole job with `kennel` on the emulator: photos to predictions and a write-up.

Needs no AWS and no download, and Docker only for `--engine docker`, which runs the real images.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts import docker
from scripts.console import progress, safe
from scripts.make import digits
from scripts.problem import Problem
from scripts.spec import SpecError, load

SPEC = Path(__file__).parents[2] / "experiments" / "digits.toml"
BUCKET = "kennel-digits"
ENDPOINT = "digits"
# Seconds until a step shows that it works, and between two looks at it.
PATIENCE_S, POLL_S = 2.0, 0.1


def main() -> None:
    """Run the demo; exit with a message if something is missing or fails."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("run/demo"))
    parser.add_argument("--spec", type=Path, default=SPEC)
    parser.add_argument("--engine", choices=("process", "docker"), default="process")
    given = parser.parse_args()
    try:
        load(given.spec)  # fail now, not after minutes
    except SpecError as error:
        raise SystemExit(str(error)) from None
    shutil.rmtree(given.out, ignore_errors=True)
    spec, photos = str(given.spec), given.out / "photos"
    started = time.monotonic()
    if given.engine == "docker":
        tag_images(given.spec)
    else:
        ensure_nginx()
    counts = digits.write(photos)
    print("handwritten digits:", ", ".join(f"{n} {split}" for split, n in counts.items()))
    with emulator(given.out / "emulator", given.engine):
        make_bucket()
        kennel("data", "check", str(photos))
        kennel("data", "upload", str(photos), f"s3://{BUCKET}/data")
        # One epoch ranks the trials, and only the job after them is served.
        short = ("hyperparameters.epochs=1", "hyperparameters.export=none")
        changes = [part for change in short for part in ("--set", change)]
        tuning = kennel("tune", spec, *changes, show=0).splitlines()[0]
        kennel("best", tuning)
        job = kennel("train", spec, "--from-tuning", tuning, show=0).splitlines()[0]
        kennel("status", job, show=20)
        kennel("report", job, "--output", str(given.out / "report.html"), show=40)
        try:
            kennel("deploy", spec, "--job", job)
            accuracy = predict(photos / "test")
            shown = [part for photo in some(photos / "test") for part in ("--photo", photo)]
            to = ("--out", str(given.out / "writeup"), "--spec", spec, "--endpoint", ENDPOINT)
            page = kennel("writeup", tuning, job, *to, *shown).splitlines()[0]
        finally:
            kennel("down", ENDPOINT)
    print(f"\ndone in {time.monotonic() - started:.0f} s; all files are in {given.out}")
    print(f"report: {given.out / 'report.html'}")
    print(f"write-up: {page}, with its pictures next to it")
    print(f"test accuracy {accuracy:.4f}")


def kennel(*arguments: str, show: int = 12) -> str:
    """Run a verb as a user would; print the command, its time, and its first `show` lines.

    Returns:
        The verb's stdout.

    Raises:
        SystemExit: the verb failed; with its whole output.
    """
    print(f"\n$ kennel {' '.join(arguments)}", flush=True)
    begun = time.monotonic()
    done = watched([sys.executable, "-m", "scripts.cli", *arguments], arguments[0])
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}\nthe demo stops here")
    for line in done.stdout.splitlines()[:show]:
        print(f"  {line}")
    print(f"  ({time.monotonic() - begun:.0f} s)", flush=True)
    return done.stdout


def watched(command: list[str], verb: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end; from two seconds on, show that it works, and its last message."""
    with (
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as messages,
        subprocess.Popen(command, stdout=output, stderr=messages) as process,
        progress.waiting() as wait,
    ):
        begun = time.monotonic()
        try:
            while process.poll() is None:
                if time.monotonic() - begun > PATIENCE_S:
                    wait(f"{verb}: {last_line(messages.fileno())}".removesuffix(": "))
                time.sleep(POLL_S)
        except BaseException:
            process.kill()
            raise
        texts = [_text(file.fileno()) for file in (output, messages)]
        return subprocess.CompletedProcess(command, process.returncode, *texts)


def _text(file: int) -> str:
    return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")


def last_line(file: int) -> str:
    """Return the last line in a file that another process writes, shortened; its offset stays."""
    end = os.pread(file, 2**12, max(os.fstat(file).st_size - 2**12, 0))
    lines = safe.without_escapes(end.decode(errors="replace")).split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "")
    return re.sub(r"^ *\d+ s  ", "", last).strip()[:70]  # the time of the step is shown already


def some(test: Path) -> list[str]:
    """Return a picture of each of the first three classes."""
    return [str(next(folder.iterdir())) for folder in sorted(test.iterdir())[:3]]


def predict(test: Path) -> float:
    """Show the answer for three digits, then classify all; return the accuracy."""
    kennel("predict", ENDPOINT, *some(test))
    print(f"\n$ kennel predict {ENDPOINT} {test} --json")
    command = [sys.executable, "-m", "scripts.cli", "predict", ENDPOINT, str(test), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answers: dict[str, dict[str, str]] = json.loads(done.stdout)
    right = sum(one["predicted_label"] == Path(photo).parent.name for photo, one in answers.items())
    return right / len(answers)


@contextmanager
def emulator(state: Path, engine: str) -> Iterator[None]:
    """Run the emulator while the block runs; its address goes into os.environ."""
    command = [sys.executable, "-m", "scripts.cli", "emulator"]
    options = ["--state", str(state)]
    print(f"\n$ kennel emulator start --engine {engine}", flush=True)
    output = subprocess.run(
        [*command, "start", *options, "--engine", engine],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    exported = dict(re.findall(r"^export (\w+)=(.*)$", output, re.MULTILINE))
    print(f"  AWS_ENDPOINT_URL={exported['AWS_ENDPOINT_URL']}")
    os.environ.update(exported)
    try:
        yield
    finally:
        subprocess.run([*command, "stop", *options], stdout=subprocess.DEVNULL, check=True)


def make_bucket() -> None:
    """Create the spec's bucket; on AWS you would have one already."""
    import boto3  # type: ignore[import-untyped]  # slow to import

    boto3.client("s3").create_bucket(Bucket=BUCKET)


def tag_images(spec: Path) -> None:
    """Tag the images of `make build` with the ECR names in the spec.

    Raises:
        SystemExit: there is no Docker engine, or the images are not built.
    """
    try:
        client = docker.client()
    except Problem as problem:
        raise SystemExit(str(problem)) from None
    for image, name in re.findall(r'"(\S+/(kennel-(?:train|serve)):\w+)"', spec.read_text()):
        done = subprocess.run([client, "tag", f"{name}:local", image], check=False)
        if done.returncode:
            raise SystemExit(f"no image {name}:local on this machine: run `make build` first")


def ensure_nginx() -> None:
    """Check for nginx, the only part that is not a Python package; root installs it with apt.

    Raises:
        SystemExit: it is missing; with the command that installs it.
    """
    if shutil.which("nginx"):
        return
    install = "apt-get install --yes --no-install-recommends nginx-light"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SystemExit(f"nginx is missing, and the demo serves behind it; install it: {install}")
    print(f"nginx is missing: {install}", flush=True)
    noninteractive = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in ("apt-get update", install):
        subprocess.run(command.split(), env=noninteractive, stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main()
