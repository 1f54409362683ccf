"""Linux namespaces for a process that stands in for a container: network, names, /opt/ml.

`init` enters them before it starts the command. Needs root or unprivileged user namespaces.
Run as a module with `network` or `folder`, it exits with status 0 if this machine allows that.
"""

import ctypes
import fcntl
import os
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

# From linux/sched.h, linux/prctl.h, sys/mount.h, linux/sockios.h.
_NEW_MOUNTS, _NEW_NAMES, _NEW_USER, _NEW_NETWORK = 0x20000, 0x4000000, 0x10000000, 0x40000000
_DEATH_SIGNAL, _SUBREAPER = 1, 36
_BIND, _RECURSIVE, _PRIVATE = 0x1000, 0x4000, 0x40000
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 0x1


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants, as a container's PID 1 does."""
    if sys.platform == "linux":
        _checked(_libc().prctl(_SUBREAPER, 1, 0, 0, 0), "prctl")


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies."""
    if sys.platform == "linux":
        _checked(_libc().prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0), "prctl")


def own_network() -> None:
    """Move to a new network that has only loopback.

    Raises:
        OSError: not permitted.
    """
    _unshare(_NEW_NETWORK)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH22x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(control, _GET_FLAGS, request), 16)
        fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sH22x", b"lo", flags | _UP))


def join_network(pid: int) -> None:
    """Move to the network of another process.

    Raises:
        OSError: not permitted, or the process has ended.
    """
    for kind in ("user", "net"):
        path = Path(f"/proc/{pid}/ns/{kind}")
        if path.readlink() != Path(f"/proc/self/ns/{kind}").readlink():
            with path.open() as namespace:
                _checked(_libc().setns(namespace.fileno(), 0), "setns")


def own_names(hostname: str, hosts: Mapping[str, str], hosts_file: Path) -> None:
    """Set a private host name and a private /etc/hosts, which is written to `hosts_file`.

    Raises:
        OSError: not permitted.
    """
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in hosts.items())]
    hosts_file.write_text("\n".join(lines) + "\n")
    _unshare(_NEW_NAMES | _NEW_MOUNTS)
    mount = _libc().mount
    _checked(mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None), "mount")
    _checked(mount(os.fsencode(hosts_file), b"/etc/hosts", None, _BIND, None), "mount")
    socket.sethostname(hostname)


def own_folder(folder: Path, path: str) -> None:
    """Let a folder appear at a path like /opt/ml, for this process and its children only.

    If the path does not exist on this machine, its parent is replaced by one that has all that the
    parent has, and the path.

    Raises:
        OSError: not permitted.
    """
    _unshare(_NEW_MOUNTS)
    mount = _libc().mount
    _checked(mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None), "mount")
    if not Path(path).is_dir():
        parent = Path(path).parent
        stand_in = folder.with_name(f"{folder.name}{parent.name}")
        stand_in.mkdir()
        for child in parent.iterdir():
            inside = stand_in / child.name
            if child.is_symlink():
                inside.symlink_to(child.readlink())
                continue
            inside.mkdir() if child.is_dir() else inside.touch()
            _bind(child, inside)
        (stand_in / Path(path).name).mkdir()
        _bind(stand_in, parent)
    _bind(folder, Path(path))


def _bind(source: Path, target: Path) -> None:
    mount, flags = _libc().mount, _BIND | _RECURSIVE
    _checked(mount(os.fsencode(source), os.fsencode(target), None, flags, None), "mount")


def _unshare(flags: int) -> None:
    """Create new namespaces; without root, in a new user namespace."""
    user, group = os.geteuid(), os.getegid()
    try:
        _checked(_libc().unshare(flags), "unshare")
    except PermissionError:
        _checked(_libc().unshare(_NEW_USER | flags), "unshare")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _try(what: str, folder: Path) -> None:
    if what == "network":
        own_network()
        own_names("trial", {"trial": "127.77.0.1"}, folder / "hosts")
    else:
        own_folder(folder / "trial", "/opt/ml")


def main(what: str) -> int:
    """Try in a child process; return its exit status."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "trial").mkdir()
        # The folder is deleted here, where what the child mounts into it does not appear.
        child = os.fork()
        if not child:
            try:
                _try(what, Path(name))
            except OSError as error:
                print(error, file=sys.stderr)
                os._exit(1)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
