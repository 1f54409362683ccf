"""An image from this machine's Docker into ECR, leaving no password behind.

Docker is told to keep the login in a folder of its own, which goes when the push is over.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.aws.client import Aws, AwsProblem
from scripts.console import shown
from scripts.make.local import docker_client
from scripts.problem import Problem
from scripts.requests import registry

# Docker's schema 2 is what SageMaker's hosting takes; the others are asked for to name them.
SCHEMA_2 = "application/vnd.docker.distribution.manifest.v2+json"
_KINDS = (
    SCHEMA_2,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)
_USER_CONFIG = ("cliPluginsExtraDirs", "currentContext", "proxies", "HttpHeaders")


def ensure_repository(aws: Aws, name: str) -> None:
    """Create the repository with tags that never move and a scan of every push; or leave it.

    Raises:
        Problem: it is there, with tags that could be moved under a running endpoint.
    """
    create, lifecycle = registry.repository(name)
    try:
        aws.send(create)
    except AwsProblem as problem:
        if not problem.present:
            raise
        about = aws.send(registry.described_repository(name))["repositories"][0]
        if about.get("imageTagMutability") != "IMMUTABLE":
            raise Problem(
                f"the repository {name} lets tags be moved: make them immutable (ECR console, "
                f"or: aws ecr put-image-tag-mutability --repository-name {name} "
                "--image-tag-mutability IMMUTABLE)"
            ) from None
    else:
        shown.say(f"created repository {name}: immutable tags, scan on push")
        aws.send(lifecycle)


@dataclass(frozen=True)
class Login:
    """A registry that Docker is logged in to; `environment` is for `docker`."""

    address: str
    authorization: str
    environment: dict[str, str]

    @property
    def host(self) -> str:
        """As it begins an image's name."""
        return self.address.partition("://")[2]


@contextmanager
def logged_in(aws: Aws, address: str | None) -> Iterator[Login]:
    """Log Docker in to ECR for as long as the context lasts.

    Args:
        aws: clients.
        address: `https://host` in place of the registry that ECR names.

    Raises:
        Problem: Docker refused the login.
    """
    token = aws.send(registry.login())["authorizationData"][0]
    authorization = token["authorizationToken"]
    user, _, password = base64.b64decode(authorization).decode().partition(":")
    with tempfile.TemporaryDirectory(prefix="kennel-docker-") as folder:
        _copy_settings(Path(folder))
        environment = os.environ | {"DOCKER_CONFIG": folder}
        login = Login((address or token["proxyEndpoint"]).rstrip("/"), authorization, environment)
        # By stdin: a password in the arguments is every process's to read.
        done = subprocess.run(
            [docker_client(), "login", "--username", user, "--password-stdin", login.host],
            input=password,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Problem(f"docker login to {login.host}: {done.stderr.strip()}")
        yield login


def push(local: str, remote: str, environment: dict[str, str]) -> None:
    """Tag `local` as `remote` and push it.

    Raises:
        Problem: Docker refused.
    """
    docker = docker_client()
    for command in ([docker, "tag", local, remote], [docker, "push", remote]):
        done = subprocess.run(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            told = done.stderr.strip()
            cure = ""
            if "No such image" in told:
                cure = ": `make build` first"
            elif "immutable" in told:
                cure = ": that tag is taken for good; choose another with --tag"
            raise Problem(f"{' '.join(command[1:])}: {told}{cure}")


def confirmed(login: Login, name: str, tag: str) -> str:
    """Make sure that what lies in the registry is what SageMaker's hosting takes.

    Returns:
        its digest.

    Raises:
        Problem: another kind of manifest, such as OCI's, or none.
    """
    request = urllib.request.Request(  # noqa: S310
        f"{login.address}/v2/{name}/manifests/{tag}",
        headers={"Authorization": f"Basic {login.authorization}", "Accept": ", ".join(_KINDS)},
    )
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
    """Take over what else Docker's config says, so that the same client finds the same engine."""
    home = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        config: dict[str, Any] = json.loads((home / "config.json").read_text())
    except (OSError, ValueError):
        config = {}
    kept = {name: config[name] for name in _USER_CONFIG if name in config}
    (folder / "config.json").write_text(json.dumps(kept))
    for inner in ("cli-plugins", "contexts"):
        if (home / inner).is_dir():
            shutil.copytree(home / inner, folder / inner, symlinks=True)
