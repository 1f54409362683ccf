"""The real SDKs of SageMaker against the emulator: attach, analytics, tuning, script mode."""

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulator.client import BUCKET, HERE, IMAGES, KEY, Emulator, upload_photos
from tests.emulator.hosting import archive
from tests.scripts.conftest import TRUST
from tests.scripts.sdk import CLIENTS, interpreter

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    images = IMAGES | {"toolkit*": {"train": str(HERE / "toolkit.py")}}
    emulator = Emulator(tmp_path_factory.mktemp("sdk") / "state", images).start()
    upload_photos(emulator)
    emulator.s3.put_object(Bucket=BUCKET, Key="model.tar.gz", Body=archive(name="archived"))
    yield emulator
    emulator.end()


def run(emulator: Emulator, lock: str, script: str, *arguments: str) -> str:
    """Run a client script by an SDK's interpreter; return what it printed."""
    variables = {
        "AWS_ENDPOINT_URL": emulator.url,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": "emulator",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
        "PYTHONPATH": str(CLIENTS),
    }
    done = subprocess.run(
        [interpreter(lock), str(CLIENTS / script), *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def made_by_the_script(emulator: Emulator, key: str) -> str:
    with tarfile.open(fileobj=io.BytesIO(emulator.body(key))) as model:
        file = model.extractfile("made.txt")
        assert file
        return file.read().decode()


def test_version_2(emulator: Emulator, tmp_path: Path) -> None:
    printed = run(
        emulator, "sdk2.txt", "version2.py", "files,attach,tune,script,host", str(tmp_path)
    )
    assert [line for line in printed.splitlines() if line.startswith("did ")] == [
        "did files",
        "did attach",
        "did tune",
        "did script",
        "did host",
    ]
    assert made_by_the_script(emulator, "out/sdk2-script/output/model.tar.gz") == "by the script"
    assert "answers" not in emulator.keys("sdk2/transformed/")


def test_version_3_runs_source_code(emulator: Emulator, tmp_path: Path) -> None:
    # Version 3 checks that the role trusts SageMaker.
    emulator.client("iam").create_role(
        RoleName="kennel", AssumeRolePolicyDocument=json.dumps(TRUST)
    )
    printed = run(emulator, "sdk.txt", "version3.py", str(tmp_path))
    where = printed.strip().splitlines()[-1].partition(f"s3://{BUCKET}/")[2]
    assert made_by_the_script(emulator, where) == "by the script"
