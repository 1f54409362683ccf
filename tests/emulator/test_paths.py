"""Names in requests and keys in S3 lead to no path outside of their folder."""

import contextlib
import hashlib
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator.__main__ import main
from emulator.engines import opt_ml
from emulator.errors import JobError
from emulator.resources import TRAINING_JOB
from emulator.runs import hosts
from emulator.store import artifacts
from emulator.store.blobs import open_blob
from emulator.store.cards import Cards, Location
from emulator.store.paths import below, child, open_private, private_folder, remove_child
from emulator.store.records import Records
from tests.emulator.client import BUCKET, IMAGES, Emulator, files_below, signed, with_photos
from tests.emulator.hostile_names import KEYS, MANY_NAMES, NAMES
from tests.emulator.test_doors import JOB, send


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = Emulator(tmp_path_factory.mktemp("paths") / "outer" / "state", IMAGES)
    emulator.state.parent.mkdir()
    (emulator.state.parent / "neighbour").write_text("kept")
    with with_photos(emulator):
        yield emulator


def digest(emulator: Emulator) -> dict[str, str]:
    """Return the digest of each file of the state folder, and of the folder that it is in.

    The folders of jobs are left out: a job that has ended may still be deleting its own.
    """
    outer = emulator.state.parent
    files = [path for path in files_below(outer) if emulator.state / "jobs" not in path.parents]
    return {
        str(path.relative_to(outer)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def changed(request: dict[str, Any], path: str, value: str) -> dict[str, Any]:
    """Return a copy of a request with another value at `a.b.0.c`."""
    copy: dict[str, Any] = json.loads(json.dumps(request))
    *parents, last = path.split(".")
    place: Any = copy
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
    place[last] = value
    return copy


TRAINING = json.loads(JOB) | {
    "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/photos"},
    "DebugHookConfig": {"S3OutputPath": f"s3://{BUCKET}/debug"},
}
# Operation, member, and what the name becomes in it.
FIELDS: list[tuple[str, str, str]] = [
    ("CreateTrainingJob", "TrainingJobName", "{}"),
    ("CreateTrainingJob", "InputDataConfig.0.ChannelName", "{}"),
    ("CreateTrainingJob", "CheckpointConfig.LocalPath", "/opt/ml/{}"),
    ("CreateTrainingJob", "CheckpointConfig.LocalPath", "{}"),
    ("CreateTrainingJob", "DebugHookConfig.LocalPath", "/opt/ml/{}"),
    ("CreateTrainingJob", "OutputDataConfig.S3OutputPath", "s3://{}/x"),
    ("CreateTrainingJob", "CheckpointConfig.S3Uri", "s3://{}/x"),
    ("StopTrainingJob", "TrainingJobName", "{}"),
    ("DescribeTrainingJob", "TrainingJobName", "{}"),
    ("CreateHyperParameterTuningJob", "HyperParameterTuningJobName", "{}"),
    ("CreateTransformJob", "TransformJobName", "{}"),
    ("CreateModel", "ModelName", "{}"),
    ("DeleteModel", "ModelName", "{}"),
    ("CreateEndpoint", "EndpointName", "{}"),
    ("DeleteEndpoint", "EndpointName", "{}"),
    ("DeleteEndpointConfig", "EndpointConfigName", "{}"),
    ("CreateImage", "ImageName", "{}"),
    ("DeleteImage", "ImageName", "{}"),
    ("CreateImageVersion", "ImageName", "{}"),
    ("CreateEndpointConfig", "EndpointConfigName", "{}"),
    ("UpdateEndpoint", "EndpointName", "{}"),
    ("StopTransformJob", "TransformJobName", "{}"),
    ("StopHyperParameterTuningJob", "HyperParameterTuningJobName", "{}"),
    ("CreateTrainingJob", "ProfilerConfig.S3OutputPath", "s3://{}/x"),
]
# Fields with names that AWS does not restrict by a pattern: many of these jobs start.
JOBS = {"CheckpointConfig.LocalPath", "DebugHookConfig.LocalPath"}


@pytest.mark.slow
@pytest.mark.parametrize(("operation", "member", "form"), FIELDS)
def test_hostile_names_in_sagemaker(
    emulator: Emulator, operation: str, member: str, form: str
) -> None:
    headers = {"X-Amz-Target": f"SageMaker.{operation}"} | signed("sagemaker")
    before = digest(emulator)
    starts = member in JOBS or form.startswith("s3://")
    for number, name in enumerate(NAMES if starts else MANY_NAMES):
        request = TRAINING if operation == "CreateTrainingJob" else {}
        job = f"hostile-{FIELDS.index((operation, member, form))}-{number}"
        request = changed(request | {"TrainingJobName": job}, member, form.format(name))
        status, _, text = send(emulator, "POST", "/", headers, json.dumps(request))
        if status == 200:  # odd, but no path that leads elsewhere
            assert operation == "CreateTrainingJob"
            emulator.ended(job)
        else:
            field = member.rpartition(".")[2]
            assert status == 400
            assert field in text or field[0].lower() + field[1:] in text or "Channel" in text
    after = digest(emulator)
    own = ("state/records/training-job/hostile-", "state/logs/", f"state/s3/{BUCKET}/")
    assert [path for path in after if path not in before and not path.startswith(own)] == []
    assert {path: after.get(path) for path in before} == before
    assert not Path("/tmp/kennel-escaped").exists()  # noqa: S108


REAL = {"etc", "", "proc/self/environ", "etc/passwd", "dev/null"}
S3_REQUESTS = [
    ("PUT", "/{}"),
    ("DELETE", "/{}"),
    ("DELETE", "/{}/"),
    ("DELETE", "//{}"),
    ("PUT", "/{}/key"),
    ("DELETE", "/{}/key"),
    ("POST", "/{}?delete"),
    ("PUT", "/{}/../../key"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "form"), S3_REQUESTS)
def test_hostile_buckets(emulator: Emulator, method: str, form: str) -> None:
    before = digest(emulator)
    buckets = emulator.s3.list_buckets()["Buckets"]
    # Slashes at the start are dropped: those are names of a bucket and keys, or no name.
    for name in MANY_NAMES:
        if name.strip("/") in REAL:
            continue
        raw = name.encode().decode("latin-1").replace("\n", "%0A").replace("\r", "%0D")
        raw = "".join(c if " " < c < "\x7f" else f"%{ord(c):02X}" for c in raw)
        for path in {raw, raw.replace("/", "%2F"), raw.replace(".", "%2E")}:
            status, _, _ = send(emulator, method, form.format(path), signed("s3"))
            assert status >= 400, (name, status)
    assert digest(emulator) == before
    assert emulator.s3.list_buckets()["Buckets"] == buckets


@pytest.mark.slow
def test_deleting_a_missing_bucket_deletes_nothing(emulator: Emulator) -> None:
    before = digest(emulator)
    assert send(emulator, "DELETE", "/not-there", signed("s3"))[0] == 404
    assert send(emulator, "DELETE", f"/{BUCKET}", signed("s3"))[0] == 409  # it is not empty
    assert digest(emulator) == before


@pytest.mark.slow
def test_keys_survive_a_restart_byte_for_byte(emulator: Emulator) -> None:
    emulator.s3.create_bucket(Bucket="keys")
    for key in KEYS:
        emulator.s3.put_object(Bucket="keys", Key=key, Body=key.encode())
    deleted = "deleted%41"
    emulator.s3.put_object(Bucket="keys", Key=deleted, Body=b"x")
    emulator.s3.delete_object(Bucket="keys", Key=deleted)
    listed = emulator.s3.list_objects_v2(Bucket="keys")["Contents"]
    assert sorted(entry["Key"] for entry in listed) == sorted(KEYS)
    emulator.end(signal.SIGKILL)
    emulator.start()
    again = emulator.s3.list_objects_v2(Bucket="keys")["Contents"]
    for member in ("Key", "ETag", "Size", "LastModified"):
        assert [entry[member] for entry in again] == [entry[member] for entry in listed]
    for key in KEYS:
        with emulator.s3.get_object(Bucket="keys", Key=key)["Body"] as body:
            assert body.read() == key.encode()
    status, _, text = send(emulator, "PUT", f"/keys/{'a' * 1025}", signed("s3"), "x")
    assert (status, "KeyTooLongError" in text) == (400, True)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["../../../../kennel-escaped", "a/../../../../../kennel-escaped"])
def test_keys_do_not_lead_out_of_a_channel_or_of_checkpoints(emulator: Emulator, key: str) -> None:
    prefix = f"hostile/{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    emulator.s3.put_object(Bucket=BUCKET, Key=f"{prefix}/{key}", Body=b"x")
    name = prefix.replace("/", "-")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{prefix}"}
    emulator.train(
        f"{name}-channel",
        InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
    )
    emulator.train(f"{name}-checkpoints", CheckpointConfig={"S3Uri": f"s3://{BUCKET}/{prefix}"})
    for job in (f"{name}-channel", f"{name}-checkpoints"):
        ended = emulator.ended(job)
        assert ended["TrainingJobStatus"] == "Failed"
        assert "leads out of its folder" in ended["FailureReason"]
    written = files_below(emulator.state.parent.parent)
    assert [path for path in written if path.name == "kennel-escaped"] == []


HOSTILE = ["..", ".", "", "../x", "a/../..", "/etc", "a\0b", "link", "link/x", "../folder2/x"]


def record(folder: Path, name: str) -> Path:
    """Store a resource of a name, and return the folder of its kind."""
    if not name:
        raise ValueError("no resource has an empty name")
    records = Records(folder / "records", "us-east-1")
    assert records.add(TRAINING_JOB, name, {"x": 1})
    records.update(TRAINING_JOB, name, x=2)
    again = Records(folder / "records", "us-east-1").get(TRAINING_JOB, name)
    assert again
    assert again["x"] == 2
    records.remove(TRAINING_JOB, name)
    return folder / "records"


def card(folder: Path, name: str) -> Path:
    """Make the file of an object of a key, in a bucket of a name."""
    cards = Cards(folder / "s3")
    cards.add_bucket(name, "us-east-1")
    file = cards.new_file(Location(name, name))
    file.write_text("x")
    file.unlink()
    cards.remove_bucket(name)
    return folder / "s3"


def local_path(folder: Path, name: str) -> Path:
    """Write to a LocalPath, as a job's synced folder."""
    file = opt_ml.host_path(folder / "root", f"/opt/ml/{name}") / "file"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("x")
    file.unlink()
    return folder / "root"


def channel(folder: Path, name: str) -> Path:
    """Write to a channel's folder."""
    (folder / "data").mkdir(exist_ok=True)
    file = below(child(folder / "data", name), "file")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("x")
    remove_child(folder / "data", name)
    return folder / "data"


@pytest.mark.slow
@pytest.mark.parametrize("use", [record, card, local_path, channel])
def test_no_name_leads_elsewhere(tmp_path: Path, use: Callable[[Path, str], Path]) -> None:
    assert len(MANY_NAMES) >= 200
    folder = tmp_path / "outer" / "folder"
    kept = "root/kept records/kept s3/kept data/kept kept ../kept ../../kept".split()
    for name in kept:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("kept")

    def others(inside: Path) -> list[str]:
        files = [path for path in files_below(tmp_path) if inside not in path.parents]
        return sorted(f"{path} {path.read_text()}" for path in files)

    used = 0
    before = {inside: others(folder / inside) for inside in ("root", "records", "s3", "data")}
    for name in MANY_NAMES:
        with contextlib.suppress(JobError, OSError, ValueError):  # a refusal, or too long a name
            inside = use(folder, name)
            used += 1
            assert others(inside) == before[inside.name], name
        assert len([path for path in files_below(tmp_path) if path.name == "kept"]) == 7, name
    assert used > 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    (tmp_path / "folder2").mkdir()
    (tmp_path / "folder2" / "x").write_text("kept")
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "folder2")
    (tmp_path / "folder" / "loop").symlink_to("loop")
    return tmp_path / "folder"


@pytest.mark.parametrize("function", [below, child, remove_child])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_path_below_a_folder(
    folder: Path, function: Callable[[Path, str], object], name: str
) -> None:
    with pytest.raises(JobError, match="leads out of its folder"):
        function(folder, name)
    assert (folder.parent / "folder2" / "x").read_text() == "kept"
    assert (folder / "inside").is_dir()


def test_names_that_are_allowed(folder: Path) -> None:
    assert below(folder, "a/b") == folder.resolve() / "a" / "b"
    assert below(folder, "a/../b") == folder.resolve() / "b"
    assert child(folder, "%2e%2e") == folder / "%2e%2e"
    with pytest.raises(JobError):
        child(folder, "a/b")
    with pytest.raises(JobError):
        remove_child(folder, "inside/..")
    remove_child(folder, "missing")
    remove_child(folder, "inside")
    assert sorted(path.name for path in folder.iterdir()) == ["link", "loop"]


def test_links_of_a_job_lead_to_no_upload(folder: Path) -> None:
    secret = folder.parent / "folder2" / "x"
    root = folder / "inside"
    (root / "output" / "data").mkdir(parents=True)
    (root / "output" / "data" / "own").write_text("mine")
    (root / "output" / "data" / "same").symlink_to("own")
    (root / "output" / "data" / "stolen").symlink_to(secret)
    (root / "output" / "data" / "all").symlink_to(secret.parent)
    (root / "model").symlink_to(secret.parent)
    (root / "output" / "failure").symlink_to(secret)
    found = [name for name, _ in artifacts.files_below(root / "output" / "data")]
    assert found == ["own", "same"]
    assert list(artifacts.files_below(root / "model")) == []
    assert "kept" not in hosts.reason(hosts.Ending(1, root))
    (root / "output" / "failure").unlink()
    (root / "output" / "failure").write_text("kept")
    assert hosts.reason(hosts.Ending(1, root)) == "AlgorithmError: kept, exit code: 1"


def test_a_link_in_the_state_is_not_followed(tmp_path: Path) -> None:
    """Also not if it is made between a check and the use: the kernel refuses to open it."""
    secret = tmp_path / "secret"
    secret.write_text("kept")
    link = tmp_path / "link"
    link.symlink_to(secret)
    for mode in ("w", "a", "wb", "ab", "r"):
        with pytest.raises(OSError, match="symbolic link"):
            open_private(link, mode)
    with pytest.raises(OSError, match="symbolic link"):
        open_blob(link)
    assert secret.read_text() == "kept"


def test_a_folder_and_its_files_are_private(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    assert private_folder(state).stat().st_mode & 0o777 == 0o700
    with open_private(state / "file", "w") as file:
        file.write("secret")
    assert (state / "file").stat().st_mode & 0o777 == 0o600
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(PermissionError, match="choose another folder"):
        private_folder(shared)
    for verb in ("start", "run"):
        assert main([verb, "--state", str(shared)]) == 1
        assert "choose another folder" in capsys.readouterr().err
    assert shared.stat().st_mode & 0o7777 == 0o1777
    assert list(shared.iterdir()) == []
