"""An instance that has ended gets no requests, however long it is until the next ping."""

from collections.abc import Iterator

import pytest

from tests.emulator.client import IMAGES, Emulator, refused, with_photos
from tests.emulator.hosting import deploy, invoke, predict

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulator that pings once only, while an endpoint starts."""
    state = tmp_path_factory.mktemp("health") / "state"
    with with_photos(Emulator(state, IMAGES, limits={"ping_every_s": 3600})) as emulator:
        yield emulator


def test_the_others_answer(emulator: Emulator) -> None:
    deploy(emulator, "two", count=2)
    assert refused(invoke, emulator, "two", b"die")[0] == "ModelError"

    def answers() -> bool:
        try:
            return len({predict(emulator, "two")["pid"] for _ in range(4)}) == 1
        except emulator.client("sagemaker-runtime").exceptions.ModelError:
            return False

    emulator.wait_until(answers, 60)


def test_without_another_the_endpoint_is_unavailable(emulator: Emulator) -> None:
    deploy(emulator, "single")
    assert refused(invoke, emulator, "single", b"die")[0] == "ModelError"
    emulator.wait_until(lambda: refused(invoke, emulator, "single")[0] == "ServiceUnavailable", 60)
