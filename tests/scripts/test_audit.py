"""`make audit`: what is accepted until a day, and Debian's list read from a real server."""

import datetime
import functools
import http.server
import json
import shutil
import threading
from pathlib import Path

import pytest

from scripts.make import audit
from scripts.problem import Problem

TODAY = datetime.date(2026, 11, 28)
ROOT = Path(__file__).parents[2]
ENTRY = '[[accepted]]\nid = "CVE-1"\npackage = "p"\nuntil = {}\nreason = "why"\n'
# Debian's form: source, problem, release, version.
KNOWN = {
    "openssl": {
        "CVE-2026-0001": {"releases": {"bookworm": {"fixed_version": "3.0.20-1~deb12u2"}}},
        "CVE-2026-0002": {"releases": {"bookworm": {"fixed_version": "3.0.19-1~deb12u1"}}},
        "CVE-2026-0003": {"releases": {"bookworm": {"status": "open"}}},
        "CVE-2026-0004": {"releases": {"sid": {"fixed_version": "9"}}},
    }
}
SBOM = {
    "metadata": {"component": {"name": "kennel-serve-cpu"}},
    "components": [
        {
            "purl": "pkg:deb/debian/libssl3@3.0.20-1~deb12u1?arch=amd64&distro=debian-12",
            "properties": [
                {"name": "kennel:source", "value": "openssl"},
                {"name": "kennel:source-version", "value": "3.0.20-1~deb12u1"},
            ],
        },
        {"purl": "pkg:pypi/openssl@1"},
    ],
}


def test_the_repositorys_list_is_valid_and_no_day_has_passed() -> None:
    assert audit.accepted(ROOT / "docker" / "accepted.toml", TODAY)


def test_an_entry_ends_with_its_day(tmp_path: Path) -> None:
    file = tmp_path / "accepted.toml"
    file.write_text(ENTRY.format("2026-11-28"))
    assert audit.accepted(file, TODAY) == {"CVE-1"}
    with pytest.raises(Problem, match=r"CVE-1 was accepted until 2026-11-28 \(why\)"):
        audit.accepted(file, TODAY + datetime.timedelta(days=1))


def test_an_entry_without_a_day_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "accepted.toml"
    file.write_text('[[accepted]]\nid = "CVE-1"\npackage = "p"\nreason = "for ever"\n')
    with pytest.raises(Problem, match="id, package, until and reason"):
        audit.accepted(file, TODAY)


def test_the_list_of_debian_names_what_a_newer_version_mends(tmp_path: Path) -> None:
    if not shutil.which("dpkg"):
        pytest.skip("needs dpkg")
    (tmp_path / "data.json").write_text(json.dumps(KNOWN))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        known = audit.tracker(f"http://127.0.0.1:{server.server_port}/data.json")
        with pytest.raises(OSError, match="404"):
            audit.tracker(f"http://127.0.0.1:{server.server_port}/nothing")
        server.shutdown()
    found = list(audit.debian_problems(known, SBOM))
    assert found == [
        audit.Finding("CVE-2026-0001", "openssl", "kennel-serve-cpu", "3.0.20-1~deb12u2")
    ]
