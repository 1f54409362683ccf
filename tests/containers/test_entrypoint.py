"""docker/entrypoint.sh, run with made-up versions of driver and compat package."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

ENTRYPOINT = Path(__file__).parents[2] / "docker" / "entrypoint.sh"
PROPRIETARY = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Tue Jan  7 10:10:10 UTC 2025\n"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build  (a@b)\n"
GCC = "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14+deb12u1)\n"


def library_path(folder: Path, driver: str | None, *, compat: str = "", before: str = "") -> str:
    """The LD_LIBRARY_PATH of a command that the entrypoint starts."""
    if compat:
        (folder / "compat").mkdir()
        (folder / "compat" / f"libcuda.so.{compat}").touch()
        (folder / "compat" / "libcuda.so.1").symlink_to(f"libcuda.so.{compat}")
    if driver:
        (folder / "version").write_text(driver + GCC)
    places = {"CUDA_COMPAT_DIR": f"{folder}/compat", "NVIDIA_DRIVER_FILE": f"{folder}/version"}
    shown = subprocess.run(
        ["sh", ENTRYPOINT, "sh", "-c", "echo $LD_LIBRARY_PATH"],
        env=os.environ | places | {"LD_LIBRARY_PATH": before},
        capture_output=True,
        text=True,
        check=True,
    )
    return shown.stdout.strip()


@pytest.mark.parametrize("line", [PROPRIETARY, OPEN])
@pytest.mark.parametrize(
    ("driver", "used"),
    [
        ("470.256.02", True),
        ("595.9.1", True),  # 9 is less than 45, although as text it is greater
        ("595.45.04", False),
        ("595.45.10", False),
        ("1000.10", False),
    ],
)
def test_compat_is_used_only_with_an_older_driver(
    tmp_path: Path, line: str, driver: str, used: bool
) -> None:
    path = library_path(tmp_path, line.format(driver), compat="595.45.04")
    assert path == (f"{tmp_path}/compat" if used else "")


def test_compat_is_put_before_the_path_of_the_base_image(tmp_path: Path) -> None:
    path = library_path(tmp_path, OPEN.format("550.1"), compat="595.1", before="/usr/local/nvidia")
    assert path == f"{tmp_path}/compat:/usr/local/nvidia"


def test_without_a_driver_compat_is_not_used(tmp_path: Path) -> None:
    assert library_path(tmp_path, None, compat="595.45.04") == ""


def test_without_the_compat_package_the_path_remains(tmp_path: Path) -> None:
    assert library_path(tmp_path, OPEN.format("470.1"), before="/a") == "/a"


def test_an_unknown_driver_file_changes_nothing(tmp_path: Path) -> None:
    assert library_path(tmp_path, "NVRM version: something new\n", compat="595.45.04") == ""


def test_the_command_replaces_the_entrypoint_and_receives_its_signals() -> None:
    process = subprocess.Popen(
        ["sh", ENTRYPOINT, "sh", "-c", "echo $$; exec sleep 60"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid
        process.terminate()
        assert process.wait(10) == -signal.SIGTERM


def test_arguments_and_exit_code_are_passed_on() -> None:
    done = subprocess.run(
        ["sh", ENTRYPOINT, "sh", "-c", 'echo "$1|$2"; exit 7', "sh", "a b", "$HOME"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, "a b|$HOME\n")


@pytest.mark.parametrize("verb", ["train", "serve"])
def test_the_command_of_the_other_image_is_refused(verb: str) -> None:
    done = subprocess.run(["sh", ENTRYPOINT, verb], capture_output=True, text=True, check=False)
    assert done.returncode == 64
    assert f"this image cannot {verb}: use kennel-{verb}" in done.stderr
