"""The check before `.venv` is made."""

import pytest

from scripts.make.check_python import problems, warnings


@pytest.mark.parametrize("version", [(3, 11, 12), (3, 12, 10), (3, 13, 3), (3, 11, 0)])
def test_a_python_with_a_weak_tarfile_is_named(version: tuple[int, int, int]) -> None:
    (warning,) = warnings(version)
    assert "tarfile" in warning
    assert ".".join(map(str, version)) in warning


@pytest.mark.parametrize("version", [(3, 11, 13), (3, 12, 11), (3, 13, 4), (3, 14, 0)])
def test_a_python_with_a_mended_tarfile_is_not(version: tuple[int, int, int]) -> None:
    assert warnings(version) == []


def test_this_python_works() -> None:
    assert problems() == []
