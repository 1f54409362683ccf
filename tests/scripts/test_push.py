"""`kennel push`: repositories in moto's ECR, images in a real registry."""

import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import boto3  # type: ignore[import-untyped]
import pytest

from scripts import docker
from scripts.aws import pushing
from scripts.aws.client import Aws
from scripts.problem import Problem
from tests.ports import free_port
from tests.scripts.conftest import REGION
from tests.scripts.kennel import kennel


def test_a_new_repository_has_immutable_tags(moto: str) -> None:
    aws = Aws(REGION)
    name = f"kennel-{uuid.uuid4()}"
    pushing.ensure_repository(aws, name)
    pushing.ensure_repository(aws, name)  # it exists now
    ecr = boto3.client("ecr")
    about = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
    assert about["imageTagMutability"] == "IMMUTABLE"
    assert about["imageScanningConfiguration"]["scanOnPush"] is True
    policy = json.loads(ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"])
    assert policy["rules"][0]["selection"]["tagStatus"] == "untagged"


def test_a_repository_with_mutable_tags_is_refused(moto: str) -> None:
    name = f"kennel-{uuid.uuid4()}"
    boto3.client("ecr").create_repository(repositoryName=name)
    with pytest.raises(Problem, match="aws ecr put-image-tag-mutability"):
        pushing.ensure_repository(Aws(REGION), name)


@pytest.fixture
def registry(tmp_path: Path, moto: str) -> Iterator[str]:
    """Debian's docker-registry on loopback; only the user of ECR's token can log in."""
    program = shutil.which("docker-registry")
    if not program:
        pytest.skip("needs docker-registry (apt-get install docker-registry)")
    address = f"127.0.0.1:{free_port()}"
    token = boto3.client("ecr").get_authorization_token()["authorizationData"][0]
    user, _, password = base64.b64decode(token["authorizationToken"]).partition(b":")
    users = tmp_path / "users"
    users.write_bytes(
        user + b":" + bcrypt.hashpw(password, bcrypt.gensalt(4, prefix=b"2a")) + b"\n"
    )
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": address},
        "auth": {"htpasswd": {"realm": "kennel", "path": str(users)}},
    }
    (tmp_path / "config.yml").write_text(json.dumps(config))  # JSON is valid YAML
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [program, "serve", str(tmp_path / "config.yml")], stdout=log, stderr=log
        )
    try:
        host, port = address.split(":")
        while not _answers(host, int(port)):
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.05)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(timeout=300)


def _answers(host: str, port: int) -> bool:
    with socket.socket() as knock:
        return knock.connect_ex((host, port)) == 0


@pytest.fixture
def image(tmp_path: Path) -> Iterator[str]:
    """A tag of small images with the names of Kennel's images, and of one's floor."""
    client = docker.client()
    (tmp_path / "file").write_text("a layer")
    with tarfile.open(tmp_path / "layer.tar", "w") as layer:
        layer.add(tmp_path / "file", "file")
    tag = f"test-{uuid.uuid4().hex[:12]}"
    labels: dict[str, list[str]] = {"kennel-train": [], "kennel-serve": [], "kennel-floor": []}
    labels["kennel-serve-cpu"] = ["--change", f"LABEL kennel.floor=kennel-floor:{tag}"]
    for name, label in labels.items():
        command = [client, "import", *label, str(tmp_path / "layer.tar"), f"{name}:{tag}"]
        subprocess.run(command, check=True, capture_output=True)
    yield tag
    listed = [client, "images", "--format", "{{.Repository}}:{{.Tag}}"]
    found = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()
    ours = [one for one in found if one.endswith(tag) or one.endswith(f"pushed-{tag}")]
    subprocess.run([client, "rmi", *ours], check=True, capture_output=True)


FAKE_DOCKER = """#!/bin/sh
case "$1" in
version) echo 20.10.0 ;;
login) read -r password; echo "{\\"auths\\": \\"$password\\"}" > "$DOCKER_CONFIG/config.json" ;;
esac
"""
LOGS_IN = """
import time
from scripts.aws import pushing
from scripts.aws.client import Aws
with pushing.logged_in(Aws(), None) as login:
    print(login.environment["DOCKER_CONFIG"], flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_removes_the_login(moto: str, tmp_path: Path, number: int) -> None:
    (tmp_path / "docker").write_text(FAKE_DOCKER)
    (tmp_path / "docker").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        [sys.executable, "-c", LOGS_IN],
        env=os.environ
        | {"PATH": path, "DOCKER": str(tmp_path / "docker"), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    assert process.stdout
    folder = Path(process.stdout.readline().strip())
    assert folder.parent == tmp_path
    assert "auths" in (folder / "config.json").read_text()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "config.json").stat().st_mode & 0o777 == 0o600
    process.send_signal(number)
    assert process.wait(60) != 0
    process.stdout.close()
    assert not folder.exists()


@pytest.mark.docker
def test_all_images_are_pushed_and_no_password_is_stored(
    registry: str, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_config = tmp_path / "docker"
    user_config.mkdir()
    logins = '{"auths": {"other.example": {"auth": "eDp5"}}}'
    (user_config / "config.json").write_text(logins)
    monkeypatch.setenv("DOCKER_CONFIG", str(user_config))
    arguments = ["--registry", registry, "--local-tag", image]
    done = kennel("push", "--tag", f"pushed-{image}", *arguments)
    assert done.code == 0, done.err
    host = registry.partition("://")[2]
    train, serve, serve_cpu = done.out.splitlines()
    assert train.startswith(f"{host}/kennel-train@sha256:")
    assert serve.startswith(f"{host}/kennel-serve@sha256:")
    assert serve_cpu.startswith(f"{host}/kennel-serve-cpu@sha256:")
    # The floor is there too, and is not pushed again: tags in ECR cannot change.
    assert f"pushing kennel-floor:{image}" in done.err
    with pushing.logged_in(Aws(REGION), registry) as login:
        assert pushing.has(login, "kennel-floor", image)
        assert not pushing.has(login, "kennel-floor", "another")
    again = kennel("push", "--tag", f"pushed-{image}", *arguments)
    assert again.code == 0, again.err
    assert "pushing kennel-floor" not in again.err
    assert (user_config / "config.json").read_text() == logins

    client = docker.client()
    pull = [client, "pull", train]
    assert b"no basic auth" in subprocess.run(pull, capture_output=True, check=False).stderr
    with pushing.logged_in(Aws(REGION), registry) as login:
        subprocess.run(pull, check=True, capture_output=True, env=login.environment)
        folder = Path(login.environment["DOCKER_CONFIG"])
        assert folder.is_dir()
    assert not folder.exists()
    subprocess.run([client, "rmi", train], check=True, capture_output=True)


@pytest.mark.docker
def test_a_missing_image_is_named(registry: str) -> None:
    done = kennel(
        "push", "--tag", "x", "--registry", registry, "--local-tag", "never-built", "train"
    )
    assert done.code == 1
    assert "run `make build` first" in done.err


@pytest.mark.docker
def test_an_oci_manifest_is_refused(registry: str) -> None:
    def put(path: str, body: bytes, kind: str, method: str = "PUT") -> str:
        headers = {"Authorization": f"Basic {login.authorization}", "Content-Type": kind}
        address = path if path.startswith("http") else f"{login.address}/v2/kennel-oci/{path}"
        request = urllib.request.Request(address, data=body, headers=headers, method=method)
        with urllib.request.urlopen(request) as answer:
            return str(answer.headers.get("Location", ""))

    with pushing.logged_in(Aws(REGION), registry) as login:
        digest = f"sha256:{hashlib.sha256(b'{}').hexdigest()}"
        upload = put("blobs/uploads/", b"", "application/octet-stream", "POST")
        joined = "&" if "?" in upload else "?"
        put(f"{upload}{joined}digest={digest}", b"{}", "application/octet-stream")
        kind = "application/vnd.oci.image.manifest.v1+json"
        config = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2}
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": config | {"digest": digest}}
        put("manifests/1.0", json.dumps(manifest | {"layers": []}).encode(), kind)
        with pytest.raises(Problem, match="which SageMaker's hosting refuses: build it with `make"):
            pushing.check_manifest(login, "kennel-oci", "1.0")
        with pytest.raises(Problem, match="cannot be read back"):
            pushing.check_manifest(login, "kennel-oci", "2.0")
