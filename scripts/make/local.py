"""`make local-train`, `local-serve`, `invoke`: runs the images with Docker as SageMaker does.

Standard library only: a machine with Docker and Python needs nothing else.
"""

import argparse
import hashlib
import json
import mimetypes
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pictures import archive
from scripts import docker
from scripts.problem import Problem

HOST = "algo-1"


def write_job(out: Path, hyperparameters: dict[str, str]) -> None:
    """Write below `out` what SageMaker puts in /opt/ml, for one host and one channel, `train`."""
    for folder in ("input/config", "model", "output/data", "checkpoints"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    # A second run continues from the checkpoints, but must not report the failure of the first.
    (out / "output" / "failure").unlink(missing_ok=True)
    files = {
        "hyperparameters": hyperparameters,
        "resourceconfig": {
            "current_host": HOST,
            "hosts": [HOST],
            "network_interface_name": "eth0",
        },
        "inputdataconfig": {
            "train": {
                "TrainingInputMode": "File",
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
            }
        },
    }
    for name, content in files.items():
        (out / "input" / "config" / f"{name}.json").write_text(json.dumps(content, indent=2))


def train_command(image: str, data: Path, out: Path, options: Sequence[str]) -> list[str]:
    """Return docker's arguments to train `image` on `data`; mounts only folders in /opt/ml."""
    mounts = {
        out / "input" / "config": "input/config:ro",
        data: "input/data/train:ro",
        out / "model": "model",
        out / "output": "output",
        out / "checkpoints": "checkpoints",
    }
    volumes = [
        part
        for source, target in mounts.items()
        for part in ("--volume", f"{source.resolve()}:/opt/ml/{target}")
    ]
    # DataLoader workers pass batches through /dev/shm; Docker's default of 64 MB is too small.
    terminal = ["--interactive", "--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else []
    settings = ["--rm", "--hostname", HOST, "--shm-size", "1g", *terminal]
    return ["run", *settings, *options, *volumes, image, "train"]


def serve_command(image: str, model: Path, port: int, gpus: Sequence[str]) -> list[str]:
    """Return docker's arguments to serve the bundle in the folder `model` on 127.0.0.1:`port`."""
    volume = f"{model.resolve()}:/opt/ml/model:ro"
    ports = f"127.0.0.1:{port}:8080"
    return ["run", "--rm", *gpus, "--publish", ports, "--volume", volume, image, "serve"]


def unpacked(model: Path) -> Path:
    """Return the folder of a bundle; a model.tar.gz, as in S3, is unpacked next to itself.

    The folder's name has the archive's SHA-256, so that another archive gets another folder.

    Raises:
        Problem: the archive is damaged or refused.
    """
    if not model.is_file():
        return model
    with model.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    folder = model.parent / f"{model.name.split('.')[0]}-{digest}"
    if not folder.exists():
        try:
            with tempfile.TemporaryDirectory(dir=model.parent) as fresh:
                archive.unpack(model, Path(fresh) / "model")
                (Path(fresh) / "model").rename(folder)
        except (archive.ArchiveError, OSError) as error:
            raise Problem(f"{error}: give a bundle's folder or model.tar.gz") from error
    return folder


def invoke(port: int, photo: Path, accept: str = "application/json;verbose") -> str:
    """Return the server's answer to one picture.

    Raises:
        urllib.error.URLError: nothing answers, or the answer is an error status.
    """
    content_type = mimetypes.guess_type(photo.name, strict=False)[0] or "application/x-image"
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        data=photo.read_bytes(),
        headers={"Content-Type": content_type, "Accept": accept},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        body: bytes = answer.read()
    return body.decode()


def check_image(image: str) -> None:
    """Raise a Problem if the image was not built."""
    inspect = [docker.client(), "image", "inspect", image]
    if subprocess.run(inspect, capture_output=True, check=False).returncode:
        raise Problem(f"no image {image} on this machine: run `make build` first")


def run(command: Sequence[str]) -> NoReturn:
    """Replace this process by `docker`: Ctrl-C and the exit status are the container's."""
    client = docker.client()
    os.execv(client, [client, *command])  # noqa: S606


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line, which the Makefile writes."""
    parser = argparse.ArgumentParser(prog="python -m scripts.make.local", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    train = verbs.add_parser("train")
    train.add_argument("--image", required=True)
    train.add_argument("--data", type=Path, required=True)
    train.add_argument("--out", type=Path, required=True)
    train.add_argument("hyperparameters", nargs="*", metavar="NAME=VALUE")
    serve = verbs.add_parser("serve")
    serve.add_argument("--image", required=True)
    serve.add_argument("--model", type=Path, required=True)
    serve.add_argument("--port", type=int, required=True)
    request = verbs.add_parser("invoke")
    request.add_argument("--port", type=int, required=True)
    request.add_argument("photo", type=Path)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Run one verb; for train and serve, the exit status is the container's.

    Raises:
        Problem: a wrong argument, no Docker, no image, or no answer.
    """
    given = parse(arguments)
    if given.verb == "train":
        # An empty DATA= would mean the current folder, by mistake.
        if given.data == Path() or not given.data.is_dir():
            raise Problem("DATA is not a folder: give one with a folder for each class")
        for pair in given.hyperparameters:
            if "=" not in pair:
                raise Problem(f"HP: {pair!r} is not name=value")
        check_image(given.image)
        write_job(given.out, dict(pair.split("=", 1) for pair in given.hyperparameters))
        options = [*docker.gpu_options(), *docker.user_options()]
        run(train_command(given.image, given.data, given.out, options))
    if given.verb == "serve":
        if not given.model.exists():
            raise Problem(f"MODEL={given.model} does not exist: train one, or give a model.tar.gz")
        check_image(given.image)
        model = unpacked(given.model)
        run(serve_command(given.image, model, given.port, docker.gpu_options()))
    if not given.photo.is_file():
        raise Problem("IMAGE is not a file: give a picture")
    try:
        print(invoke(given.port, given.photo))
    except urllib.error.HTTPError as refusal:
        raise Problem(f"{refusal.code} {refusal.reason}: {refusal.read().decode()}") from None
    except urllib.error.URLError as error:
        raise Problem(
            f"nothing answers on port {given.port} ({error.reason}): start `make local-serve`"
        ) from None


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Problem as problem:
        sys.exit(str(problem))
