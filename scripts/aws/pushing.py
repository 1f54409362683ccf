"""Pushes images from this machine's Docker to ECR, and stores no password.

Docker writes the login to a temporary folder, which is deleted after the push.
"""

import base64
import http
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from scripts import docker
from scripts.aws.client import Aws, AwsProblem
from scripts.console import terminal
from scripts.problem import Problem
from scripts.requests import registry

# SageMaker's hosting takes Docker's schema 2 only; the others are here to name them in errors.
SCHEMA_2 = "application/vnd.docker.distribution.manifest.v2+json"
_KINDS = (
    SCHEMA_2,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)
# The repository of floors: the images without our code.
FLOOR = "kennel-floor"
_MAX_FLOORS = 4
_USER_SETTINGS = ("cliPluginsExtraDirs", "currentContext", "proxies", "HttpHeaders")


def ensure_repository(aws: Aws, name: str) -> None:
    """Create the repository if needed, with immutable tags and a scan of every push.

    Raises:
        Problem: it exists with mutable tags, which could change the image of a running endpoint.
    """
    create, lifecycle = registry.create_repository(name)
    try:
        aws.send(create)
    except AwsProblem as problem:
        if not problem.already_exists:
            raise
        about = aws.send(registry.describe_repository(name))["repositories"][0]
        if about.get("imageTagMutability") != "IMMUTABLE":
            raise Problem(
                f"the repository {name} has mutable tags: make them immutable (ECR console, "
                f"or: aws ecr put-image-tag-mutability --repository-name {name} "
                "--image-tag-mutability IMMUTABLE)"
            ) from None
    else:
        terminal.note(f"created repository {name}: immutable tags, scan on push")
        aws.send(lifecycle)


@dataclass(frozen=True)
class Login:
    """A registry that Docker is logged in to. Pass `environment` to `docker`."""

    address: str
    authorization: str
    environment: dict[str, str]

    @property
    def host(self) -> str:
        """The start of an image's name."""
        return self.address.partition("://")[2]


@contextmanager
def logged_in(aws: Aws, address: str | None) -> Iterator[Login]:
    """Log Docker in to ECR while the block runs.

    Args:
        aws: clients.
        address: `https://host` to use instead of the account's registry.

    Raises:
        Problem: Docker refused the login.
    """
    token = aws.send(registry.login())["authorizationData"][0]
    authorization = token["authorizationToken"]
    user, _, password = base64.b64decode(authorization).decode().partition(":")
    # The folder is private (0700), and is removed however the program ends, but for SIGKILL.
    with (
        _signals_raise(),
        tempfile.TemporaryDirectory(prefix="kennel-docker-") as folder,
    ):
        _copy_settings(Path(folder))
        environment = os.environ | {"DOCKER_CONFIG": folder}
        login = Login((address or token["proxyEndpoint"]).rstrip("/"), authorization, environment)
        # By stdin: every process on this machine can read arguments.
        done = subprocess.run(
            [docker.client(), "login", "--username", user, "--password-stdin", login.host],
            input=password,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Problem(f"docker login to {login.host}: {done.stderr.strip()}")
        yield login


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does, so that it cleans up."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [  # a program that runs under nohup goes on
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def push(local: str, remote: str, environment: dict[str, str]) -> None:
    """Tag `local` as `remote` and push it.

    Raises:
        Problem: Docker refused.
    """
    client = docker.client()
    for command in ([client, "tag", local, remote], [client, "push", remote]):
        done = subprocess.run(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            message = done.stderr.strip()
            fix = ""
            if "No such image" in message:
                fix = ": run `make build` first"
            elif "immutable" in message:
                fix = ": this tag exists and cannot be changed; choose another with --tag"
            raise Problem(f"docker {' '.join(command[1:])}: {message}{fix}")


def floors(image: str) -> list[str]:
    """Return the images without our code that `image` was built on, as docker/build.sh names them.

    Those that are no longer on this machine are left out.
    """
    found: list[str] = []
    label = '{{with .Config.Labels}}{{with index . "kennel.floor"}}{{.}}{{end}}{{end}}'
    inspect = [docker.client(), "image", "inspect", "--format", label]
    while len(found) < _MAX_FLOORS:
        done = subprocess.run([*inspect, image], capture_output=True, text=True, check=False)
        image = done.stdout.strip()
        if not image.startswith(f"{FLOOR}:") or image in found:
            break
        found.append(image)
    return [
        one
        for one in found
        if not subprocess.run([*inspect, one], capture_output=True, check=False).returncode
    ]


def has(login: Login, name: str, tag: str) -> bool:
    """Whether the registry has this tag.

    Raises:
        Problem: the registry does not answer.
    """
    request = _manifest(login, name, tag)
    try:
        with urllib.request.urlopen(request, timeout=60):  # noqa: S310
            return True
    except urllib.error.HTTPError as refusal:
        refusal.close()
        if refusal.code == http.HTTPStatus.NOT_FOUND:
            return False
        raise Problem(f"{login.host}/{name}:{tag} cannot be looked up: {refusal}") from None
    except urllib.error.URLError as error:
        raise Problem(f"{login.host}/{name}:{tag} cannot be looked up: {error}") from None


def _manifest(login: Login, name: str, tag: str) -> urllib.request.Request:
    return urllib.request.Request(  # noqa: S310
        f"{login.address}/v2/{name}/manifests/{tag}",
        headers={"Authorization": f"Basic {login.authorization}", "Accept": ", ".join(_KINDS)},
    )


def check_manifest(login: Login, name: str, tag: str) -> str:
    """Read the pushed manifest back and check that SageMaker's hosting takes it.

    Returns:
        The image's digest.

    Raises:
        Problem: there is no manifest, or one of another kind, such as OCI's.
    """
    request = _manifest(login, name, tag)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            kind = answer.headers["Content-Type"]
            digest = str(answer.headers["Docker-Content-Digest"])
    except urllib.error.URLError as error:
        raise Problem(f"{login.host}/{name}:{tag} cannot be read back: {error}") from None
    if kind != SCHEMA_2:
        raise Problem(
            f"{login.host}/{name}:{tag} has a manifest of type {kind}, which SageMaker's hosting "
            "refuses: build it with `make build`, or with docker buildx build --provenance=false "
            "--sbom=false --output type=docker,oci-mediatypes=false"
        )
    return digest


def _copy_settings(folder: Path) -> None:
    """Copy the user's other Docker settings, so that the client finds the same engine."""
    home = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        config: dict[str, Any] = json.loads((home / "config.json").read_text())
    except (OSError, ValueError):
        config = {}
    settings = {name: config[name] for name in _USER_SETTINGS if name in config}
    # `docker login` writes the password to this file.
    file = os.open(folder / "config.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w") as opened:
        opened.write(json.dumps(settings))
    for inner in ("cli-plugins", "contexts"):
        if (home / inner).is_dir():
            shutil.copytree(home / inner, folder / inner, symlinks=True)
