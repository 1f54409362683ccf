"""`make demo`: the whole job by `kennel` alone, on the emulator: photos, tuning, training, answers.

No AWS and no download; no Docker either, unless `--engine docker` is to run the real images.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.make import digits, local
from scripts.spec import SpecError, load

SPEC = Path(__file__).parents[2] / "experiments" / "digits.toml"
BUCKET = "kennel-digits"
ENDPOINT = "digits"


def main() -> None:
    """Run the demo; end with a message where something is missing or fails."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("run/demo"))
    parser.add_argument("--spec", type=Path, default=SPEC)
    parser.add_argument("--engine", choices=("process", "docker"), default="process")
    given = parser.parse_args()
    try:
        load(given.spec)  # before minutes go by
    except SpecError as error:
        raise SystemExit(str(error)) from None
    shutil.rmtree(given.out, ignore_errors=True)
    spec, photos = str(given.spec), given.out / "photos"
    started = time.monotonic()
    if given.engine == "docker":
        name_images(given.spec)
    else:
        find_nginx()
    counts = digits.write(photos)
    print("handwritten digits:", ", ".join(f"{n} {split}" for split, n in counts.items()))
    with emulator(given.out / "emulator", given.engine):
        make_bucket()
        kennel("data", "check", str(photos))
        kennel("data", "upload", str(photos), f"s3://{BUCKET}/data")
        one_epoch = ("--set", "hyperparameters.epochs=1")  # enough to tell the rates apart
        tuning = kennel("tune", spec, *one_epoch, show=0).splitlines()[0]
        kennel("best", tuning)
        job = kennel("train", spec, "--from-tuning", tuning, show=0).splitlines()[0]
        kennel("status", job, show=20)
        kennel("report", job, "--output", str(given.out / "report.html"), show=40)
        try:
            kennel("deploy", spec, "--job", job)
            right = ask(photos / "test")
        finally:
            kennel("down", ENDPOINT)
    print(f"\ndone in {time.monotonic() - started:.0f} s; all of it is in {given.out}")
    print(f"report: {given.out / 'report.html'}")
    print(f"test accuracy {right:.4f}")


def kennel(*arguments: str, show: int = 12) -> str:
    """Run a verb as a user would; print the command, its time, and its first `show` lines.

    Returns:
        What it printed to stdout.

    Raises:
        SystemExit: it failed, with all that it said.
    """
    print(f"\n$ kennel {' '.join(arguments)}", flush=True)
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "scripts.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}\nthe demo ends here")
    for line in done.stdout.splitlines()[:show]:
        print(f"  {line}")
    print(f"  ({time.monotonic() - begun:.0f} s)", flush=True)
    return done.stdout


def ask(test: Path) -> float:
    """Show the answer to one digit of each class, then ask about all; return the share right."""
    kennel("predict", ENDPOINT, *(str(next(d.iterdir())) for d in sorted(test.iterdir())[:3]))
    photos = sorted(test.rglob("*.png"))
    print(f"\n$ kennel predict {ENDPOINT} --json {test}/*/*.png")
    command = [sys.executable, "-m", "scripts.cli", "predict", ENDPOINT, "--json"]
    done = subprocess.run(
        [*command, *map(str, photos)], stdout=subprocess.PIPE, text=True, check=True
    )
    answers: dict[str, dict[str, str]] = json.loads(done.stdout)
    labels = {photo: answers[str(photo)]["predicted_label"] for photo in photos}
    right = sum(label == photo.parent.name for photo, label in labels.items())
    print(f"  {right} of {len(photos)} right")
    return right / len(photos)


@contextmanager
def emulator(state: Path, engine: str) -> Iterator[None]:
    """Have SageMaker on this machine while the block runs; its address goes into os.environ."""
    command = [sys.executable, "-m", "scripts.cli", "emulator"]
    options = ["--state", str(state)]
    print(f"\n$ kennel emulator start --engine {engine}", flush=True)
    said = subprocess.run(
        [*command, "start", *options, "--engine", engine],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    exported = dict(re.findall(r"^export (\w+)=(.*)$", said, re.MULTILINE))
    print(f"  AWS_ENDPOINT_URL={exported['AWS_ENDPOINT_URL']}")
    os.environ.update(exported)
    try:
        yield
    finally:
        subprocess.run([*command, "stop", *options], stdout=subprocess.DEVNULL, check=True)


def make_bucket() -> None:
    """Make the bucket that the spec names; on AWS it is there already, and yours."""
    import boto3  # type: ignore[import-untyped]  # slow to import: only when it is needed

    boto3.client("s3").create_bucket(Bucket=BUCKET)


def name_images(spec: Path) -> None:
    """Give the images of `make build` the names that the spec has for them in ECR.

    Raises:
        SystemExit: no engine, or the images are not built.
    """
    docker = local.docker_client()
    for image, name in re.findall(r'"(\S+/(kennel-(?:train|serve)):\w+)"', spec.read_text()):
        done = subprocess.run([docker, "tag", f"{name}:local", image], check=False)
        if done.returncode:
            raise SystemExit(f"no image {name}:local on this machine: run `make build` first")


def find_nginx() -> None:
    """Have nginx, the one part that no Python package brings; install it where that is ours to do.

    Raises:
        SystemExit: it is missing, with the command that installs it.
    """
    if shutil.which("nginx"):
        return
    install = "apt-get install --yes --no-install-recommends nginx-light"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SystemExit(f"the demo serves behind nginx, which is missing; install it: {install}")
    print(f"nginx is missing: {install}", flush=True)
    silently = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in ("apt-get update", install):
        subprocess.run(command.split(), env=silently, stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main()
