"""A job's Environment reaches the job, and not the program that watches over it."""

import json
from collections.abc import Iterator

import psutil
import pytest

from tests.emulator.client import Emulator, with_photos

pytestmark = pytest.mark.slow
# Variables that would change Python or the dynamic linker; the emulator's own program is Python.
HOSTILE = {
    "PYTHONPATH": "/nowhere",
    "PYTHONHOME": "",
    "PYTHONSTARTUP": "/nowhere.py",
    "PYTHONWARNINGS": "error",
    "LD_PRELOAD": "",
    "LD_LIBRARY_PATH": "/nowhere",
    "PATH": "/bin:/usr/bin",
    "DB_PASSWORD": "hunter2",
}
PROGRAM = """
import json, os, sys
print("variables " + json.dumps(dict(os.environ)), flush=True)
import time
time.sleep(float(os.environ.get("SLEEP", "0")))
print("done", flush=True)
"""


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    folder = tmp_path_factory.mktemp("environment")
    (folder / "sitecustomize").mkdir()
    (folder / "sitecustomize" / "sitecustomize.py").write_text(
        "import sys\n"
        f"with open({str(folder / 'loaded')!r}, 'a') as file:\n"
        "    file.write(' '.join(sys.argv) + chr(10))\n"
    )
    (folder / "program.py").write_text(PROGRAM)
    images = {"*": {"train": str(folder / "program.py")}}
    with with_photos(Emulator(folder / "state", images)) as emulator:
        yield emulator


def test_the_job_gets_its_variables(emulator: Emulator) -> None:
    emulator.train("hostile", Environment=HOSTILE)
    assert emulator.ended("hostile")["TrainingJobStatus"] == "Completed"
    (line,) = [line for line in emulator.lines("hostile") if line.startswith("variables ")]
    seen = json.loads(line.removeprefix("variables "))
    assert HOSTILE.items() <= seen.items()


def test_its_keeper_does_not(emulator: Emulator) -> None:
    modules = emulator.state.parent / "sitecustomize"
    variables = HOSTILE | {"PYTHONPATH": str(modules), "SLEEP": "600"}
    emulator.train("kept", Environment=variables)
    emulator.wait_for_line("kept", "variables")
    assert emulator.process
    keepers = [
        process
        for process in psutil.Process(emulator.process.pid).children(recursive=True)
        if "init.py" in " ".join(process.cmdline())
    ]
    assert keepers
    for keeper in keepers:
        assert keeper.environ().get("PYTHONPATH") != str(modules)
        assert "DB_PASSWORD" not in keeper.environ()
        assert "hunter2" not in " ".join(keeper.cmdline())  # every user can read arguments
    loaded = (emulator.state.parent / "loaded").read_text()
    assert "program.py" in loaded  # the job
    assert "init.py" not in loaded
    emulator.sagemaker.stop_training_job(TrainingJobName="kept")
    assert emulator.ended("kept")["TrainingJobStatus"] == "Stopped"


def test_a_plan_is_longer_than_a_pipe(emulator: Emulator) -> None:
    long = {f"V{number}": "x" * 500 for number in range(90)}
    emulator.train("long", Environment=long)
    (line,) = [
        line
        for line in (emulator.ended("long") and emulator.lines("long"))
        if line.startswith("variables ")
    ]
    assert long.items() <= json.loads(line.removeprefix("variables ")).items()
