"""SageMaker's hosting contract, tested by `docker run … serve`."""

import json
from pathlib import Path

import pytest
import torch

from classifier import bundle
from serve.front.privileges import NOBODY
from tests.containers.engine import Images, Job, serving
from tests.opt_ml import OptMl

pytestmark = pytest.mark.docker
BOTH = pytest.mark.parametrize("which", ["serve", "serve_cpu"])


def in_process(model: Path, picture: bytes) -> torch.Tensor:
    loaded = bundle.load(model)
    pixels = torch.from_numpy(loaded.description.transform.read(picture))
    with torch.inference_mode():
        logits: torch.Tensor = loaded.network(pixels[None])
    return logits[0]


@BOTH
def test_the_container_answers_as_the_process_does(
    images: Images, trained: tuple[Job, str], few_digits: Path, which: str
) -> None:
    model = trained[0].root / "model"
    pictures = sorted((few_digits / "test").rglob("*.png"))[:5]
    with serving(images, model, which=which) as (endpoint, container):
        assert endpoint.ping() == 200
        for picture in pictures:
            status, body = endpoint.invoke(picture.read_bytes(), "image/png", "application/json")
            assert status == 200, body
            expected = in_process(model, picture.read_bytes())
            torch.testing.assert_close(torch.tensor(json.loads(body)), expected, atol=1e-4, rtol=0)
        status, body = endpoint.invoke(b"no picture", "image/png")
        assert status == 400
        assert b"picture" in body
        status, _ = endpoint.invoke(b"a,b", "text/csv")
        assert status == 415
        assert container.stop(grace_s=30) < 30
        assert container.exit_code == 0, container.log


# Starts Java with the server's own options, which must find an archive that fits.
JAVA = """
import json, subprocess
from pathlib import Path
from serve.front import model_server
from serve.settings import Settings
command = model_server.command(Settings(), Path("/tmp"))
options = command[: command.index("com.amazonaws.ml.mms.ModelServer")]
def start(*more):
    return subprocess.run([*options, "-Xshare:on", *more, "--version"]).returncode
print(json.dumps({"options": options, "own": start(), "other": start("-cp", "/other.jar")}))
"""


@BOTH
def test_java_starts_from_its_archive(images: Images, which: str) -> None:
    found = json.loads(
        images.run(getattr(images, which), "python", "-c", JAVA).stdout.split("\n")[-2]
    )
    assert any(one.startswith("-XX:SharedArchiveFile=") for one in found["options"])
    assert found["own"] == 0
    assert found["other"] != 0, "Java would not have said that the archive does not fit"


# As in docs/serving.md.
HARDENED = ["--read-only", "--tmpfs", "/tmp", "--security-opt", "no-new-privileges"]  # noqa: S108
ASK = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=60)
body = open(sys.argv[2], "rb").read() if len(sys.argv) > 2 else None
method = "POST" if body else "GET"
connection.request(method, sys.argv[1], body, {"Content-Type": "image/png"})
answer = connection.getresponse()
print(answer.status, answer.read().decode())
"""
PROCESSES = """
import json, psutil
found = [(" ".join(one.cmdline()), one.uids().real) for one in psutil.process_iter()]
print(json.dumps(found))
"""
LISTENERS = """
import json, psutil
print(json.dumps([
    (one.laddr.ip, one.laddr.port)
    for one in psutil.net_connections("inet") if one.status == psutil.CONN_LISTEN
]))
"""


@pytest.mark.parametrize("user", ["root", "1000:1000"])
@BOTH
def test_it_answers_on_a_read_only_disk_without_privileges_and_network(
    images: Images, trained: tuple[Job, str], few_digits: Path, which: str, user: str
) -> None:
    model = trained[0].root / "model"
    picture = next((few_digits / "test").rglob("*.png"))
    options = ["--network", "none", *HARDENED, "--volume", f"{picture}:/picture.png:ro"]
    options += ["--env", "KENNEL_PRECISION=fp32", "--user", user, "--cap-drop", "ALL"]
    if user == "root":  # to give up root for nobody, and to own the files that nobody reads
        options += ["--cap-add", "SETUID", "--cap-add", "SETGID", "--cap-add", "CHOWN"]
        options += ["--cap-add", "DAC_OVERRIDE", "--cap-add", "KILL"]
    image = getattr(images, which)
    arguments = [*options, "--volume", f"{model}:/opt/ml/model:ro", image, "serve"]
    with images.container(*arguments) as container:
        container.wait_for(lambda: container.python(ASK, "/ping").stdout[:4] == "200 ", 240)
        status, _, body = container.python(ASK, "/invocations", "/picture.png").stdout.partition(
            " "
        )
        assert status == "200", body
        expected = in_process(model, picture.read_bytes())
        torch.testing.assert_close(torch.tensor(json.loads(body)), expected, atol=1e-4, rtol=0)
        processes = json.loads(container.python(PROCESSES).stdout)
        runs_as = NOBODY if user == "root" else 1000
        for part in ("nginx", "ModelServer", "model_service_worker", "serve.front.spawner"):
            users = {number for command, number in processes if part in command}
            assert users == {runs_as}, processes
        assert container.stop(grace_s=30) < 30
        assert container.exit_code == 0, container.log


@BOTH
def test_only_the_three_routes_can_be_reached_from_outside(
    images: Images, trained: tuple[Job, str], which: str
) -> None:
    model = trained[0].root / "model"
    with serving(images, model, *HARDENED, which=which) as (endpoint, container):
        listeners = json.loads(container.python(LISTENERS).stdout)
        # The model server's own ports are on loopback.
        assert len(listeners) > 1
        inner = [(ip, port) for ip, port in listeners if port != 8080]
        assert all(ip.removeprefix("::ffff:").startswith("127.") for ip, _ in inner), listeners
        for path in ("/models", "/models/model", "/api-description", "/metrics"):
            for method in ("GET", "POST", "DELETE"):
                assert endpoint.ask(method, path) == 404, f"{method} {path}"


@BOTH
def test_without_a_bundle_it_ends_with_the_reason(
    images: Images, tmp_path: Path, which: str
) -> None:
    image = getattr(images, which)
    for command in (["serve"], []):
        done = images.run("--volume", f"{tmp_path}:/opt/ml/model:ro", image, *command)
        assert done.returncode == 1
        assert "kennel.json" in done.stdout.splitlines()[-1]


def test_a_bundle_without_its_open_form_is_refused_by_the_small_image(
    images: Images, trained: tuple[Job, str], tmp_path: Path
) -> None:
    model = tmp_path / "model"
    bundle.save(bundle.load(trained[0].root / "model"), model)  # without exports
    refused = images.run("--volume", f"{model}:/opt/ml/model:ro", images.serve_cpu, "serve")
    assert refused.returncode == 1
    assert "kennel export" in refused.stdout.splitlines()[-1]


@BOTH
def test_a_trained_resnet50_gives_the_same_logits_for_real_photos(
    images: Images, dogs_job: OptMl, real_data: Path, which: str
) -> None:
    """With the bundle of tests/test_dogs.py, which compares the server as a process."""
    dogs = sorted((real_data / "dogs" / "test").rglob("*.JPEG"))[::12]
    greatest = 0.0
    with serving(images, dogs_job.model, which=which) as (endpoint, _):
        for dog in dogs:
            status, body = endpoint.invoke(dog.read_bytes(), "image/jpeg", "application/json")
            assert status == 200, body
            difference = torch.tensor(json.loads(body)) - in_process(
                dogs_job.model, dog.read_bytes()
            )
            greatest = max(greatest, difference.abs().max().item())
    print(f"greatest difference of a logit in {which}: {greatest:.2e}")
    assert greatest < 1e-4
