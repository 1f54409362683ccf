"""One emulator for each pytest worker."""

from collections.abc import Iterator

import pytest

from tests.emulator.client import IMAGES, Emulator, with_photos


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The emulator of the tests that change no setting and do not restart it."""
    with with_photos(Emulator(tmp_path_factory.mktemp("emulator") / "state", IMAGES)) as emulator:
        yield emulator
