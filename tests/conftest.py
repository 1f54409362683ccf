"""Fixtures of several rooms: generated digits, and real photos and weights if they are there."""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from scripts.make import digits
from tests import dogs
from tests.opt_ml import OptMl

# The drawn examples are the same in every run, and a slow machine can take any time for one.
settings.register_profile(
    "kennel",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("kennel")

# Files that take longest come first, so that no process works on one at the end while others wait.
LONGEST = ("test_demo.py", "test_every_network.py", "test_every_export.py", "test_real_clients.py")

# Seconds for one test of the images. The first one builds all of them.
IMAGES = 2400

REAL = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first; the others keep their order."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
    for item in items:
        if item.get_closest_marker("docker"):
            item.add_marker(pytest.mark.timeout(IMAGES))


class Failures:
    """Shows why a test failed at once: a run that a time limit ends never comes to its summary."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._terminal.write_line(f"\n{report.nodeid}, {report.when}:", red=True)
            lines = report.longreprtext.splitlines()
            reasons = [line for line in lines if line.startswith("E ")] or lines[-1:]
            self._terminal.write_line("\n".join(reasons[:12]))


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register `Failures` where the results are written, which is in no worker of xdist.

    SIGINT is not ignored: a shell makes what it starts in the background ignore it, and so would
    all processes of the tests.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if terminal := config.pluginmanager.get_plugin("terminalreporter"):
        config.pluginmanager.register(Failures(terminal))


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 handwritten digits in train, valid and test folders."""
    root = tmp_path_factory.mktemp("digits")
    digits.write(root, limit=200)
    return root


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real dog photos and ImageNet weights, which their licences forbid to ship."""
    if not (REAL / "dogs").is_dir():
        pytest.skip("needs the real photos and weights in ../shared/data, which are not shipped")
    return REAL


@pytest.fixture(scope="session")
def dogs_job(real_data: Path) -> OptMl:
    """A finished job: ResNet50's head, trained on photos of ten breeds."""
    return dogs.train(real_data)
