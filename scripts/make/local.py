"""`make local-train`, `local-serve`, `invoke`: the images as SageMaker runs them, by `docker run`.

Standard library only, so that a machine with Docker and Python needs nothing else.
"""

import argparse
import json
import mimetypes
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

HOST = "algo-1"


def write_job(out: Path, hyperparameters: dict[str, str]) -> None:
    """Lay out under `out` what SageMaker puts in /opt/ml, for one host and one channel, `train`."""
    for folder in ("input/config", "model", "output/data", "checkpoints"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    # A second run in the same folder goes on from its checkpoints, but with a verdict of its own.
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


def train_command(image: str, data: Path, out: Path, gpus: Sequence[str]) -> list[str]:
    """Arguments of `docker` that train `image` on `data`; /opt/ml itself stays the image's own."""
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
    # DataLoader workers hand batches over in /dev/shm, of which Docker gives 64 MB by default.
    terminal = ["--interactive", "--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else []
    settings = ["--rm", "--hostname", HOST, "--shm-size", "1g", *terminal]
    return ["run", *settings, *gpus, *volumes, image, "train"]


def serve_command(image: str, model: Path, port: int, gpus: Sequence[str]) -> list[str]:
    """Arguments of `docker` that serve the bundle in the folder `model` on loopback's `port`."""
    volume = f"{model.resolve()}:/opt/ml/model:ro"
    ports = f"127.0.0.1:{port}:8080"
    return ["run", "--rm", *gpus, "--publish", ports, "--volume", volume, image, "serve"]


def unpacked(model: Path) -> Path:
    """The folder of a bundle; a model.tar.gz, as S3 holds it, is unpacked beside itself."""
    if not model.is_file():
        return model
    folder = model.parent / model.name.split(".")[0]
    with tarfile.open(model) as archive:
        archive.extractall(folder, filter="data")
    return folder


def invoke(port: int, photo: Path, accept: str = "application/json;verbose") -> str:
    """The endpoint's answer to one picture.

    Raises:
        urllib.error.URLError: nothing answers, or it answers with an error status.
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


def gpu_options() -> list[str]:
    """`--gpus all` where the NVIDIA driver answers."""
    smi = shutil.which("nvidia-smi")
    found = smi and subprocess.run([smi, "-L"], capture_output=True, check=False).returncode == 0
    return ["--gpus", "all"] if found else []


def docker_client() -> str:
    """The first docker on PATH that reaches an engine; docker/client.sh says what is wrong."""
    script = Path(__file__).parents[2] / "docker" / "client.sh"
    found = subprocess.run(["sh", script], stdout=subprocess.PIPE, text=True, check=False)
    if found.returncode:
        raise SystemExit(found.returncode)
    return found.stdout.strip()


def check_image(image: str) -> None:
    """Stop with what to do when the image was not built."""
    inspect = [docker_client(), "image", "inspect", image]
    if subprocess.run(inspect, capture_output=True, check=False).returncode:
        raise SystemExit(f"no image {image} on this machine: run `make build` first")


def run(command: Sequence[str]) -> NoReturn:
    """Become `docker`, so that Ctrl-C and the exit status are the container's."""
    client = docker_client()
    os.execv(client, [client, *command])  # noqa: S606


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; `make` writes it."""
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
    ask = verbs.add_parser("invoke")
    ask.add_argument("--port", type=int, required=True)
    ask.add_argument("photo", type=Path)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Do one verb; for the images, the exit status is the container's."""
    given = parse(arguments)
    if given.verb == "train":
        # An empty DATA= is this very folder, which nobody meant.
        if given.data == Path() or not given.data.is_dir():
            raise SystemExit("DATA names no folder: give one that holds a folder for each class")
        for pair in given.hyperparameters:
            if "=" not in pair:
                raise SystemExit(f"HP: {pair!r} is not name=value")
        check_image(given.image)
        write_job(given.out, dict(pair.split("=", 1) for pair in given.hyperparameters))
        run(train_command(given.image, given.data, given.out, gpu_options()))
    if given.verb == "serve":
        if not given.model.exists():
            raise SystemExit(f"MODEL={given.model} is not there: train one, or name a model.tar.gz")
        check_image(given.image)
        model = unpacked(given.model)
        run(serve_command(given.image, model, given.port, gpu_options()))
    if not given.photo.is_file():
        raise SystemExit("IMAGE names no file: give a picture's")
    try:
        print(invoke(given.port, given.photo))
    except urllib.error.HTTPError as refusal:
        raise SystemExit(f"{refusal.code} {refusal.reason}: {refusal.read().decode()}") from None
    except urllib.error.URLError as silence:
        raise SystemExit(
            f"nothing answers on port {given.port} ({silence.reason}): start `make local-serve`"
        ) from None


if __name__ == "__main__":
    main(sys.argv[1:])
