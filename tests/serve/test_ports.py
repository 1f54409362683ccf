"""Only one port can be reached from elsewhere; the model server and the workers are on loopback."""

import ipaddress
import socket
import subprocess
import sys

import psutil
import pytest

from tests.serve.running import Running

pytestmark = pytest.mark.slow


def _listening(process: psutil.Process) -> set[tuple[str, int]]:
    """Address and port of all TCP sockets that a process and its children listen on."""
    family = [process, *process.children(recursive=True)]
    found = [one for member in family for one in member.net_connections(kind="tcp")]
    return {(one.laddr.ip, one.laddr.port) for one in found if one.status == psutil.CONN_LISTEN}


def _is_loopback(ip: str) -> bool:
    address = ipaddress.ip_address(ip)  # Java's are IPv4 in IPv6: ::ffff:127.0.0.1
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def test_a_server_has_one_public_port(server: Running) -> None:
    listening = _listening(psutil.Process(server.process.pid))
    public = {(ip, port) for ip, port in listening if not _is_loopback(ip)}
    assert {port for _, port in public} <= {server.port}, public
    assert server.port in {port for _, port in listening}
    assert len(listening) > 1  # the model server's


def test_another_network_namespace_reaches_no_inner_port(server: Running) -> None:
    """Loopback of another namespace, such as another container's, is another loopback."""
    ports = sorted({port for _, port in _listening(psutil.Process(server.process.pid))})
    code = (
        "import socket, sys\n"
        "for port in map(int, sys.argv[1:]):\n"
        "    with socket.socket() as one:\n"
        "        print(port, one.connect_ex(('127.0.0.1', port)) == 0)\n"
    )
    words = ["unshare", "--net", sys.executable, "-c", code, *map(str, ports)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if "unshare" in done.stderr:
        pytest.skip("making a network namespace needs root")
    assert done.stdout.splitlines() == [f"{port} False" for port in ports]
    with socket.create_connection(("127.0.0.1", server.port)):
        pass  # from here it is there
