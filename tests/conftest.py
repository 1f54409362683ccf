"""Fixtures of several rooms: generated digits, and real photos and weights if they are there."""

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

REAL = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first; the others keep their order."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


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
