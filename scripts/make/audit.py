"""`make audit`: known security problems of the images' packages, where their sources answer.

pip-audit looks up Python's packages, from the locks. The distribution's are looked up in Debian's
security tracker, from the lists that `make build` writes to build/sbom. docker/accepted.toml has
the problems that are accepted until a day.

Exit status: 0 no other problem, 1 problems, 2 with --strict: a source does not answer.

Source: https://security-tracker.debian.org/tracker/data/json
"""

import argparse
import datetime
import json
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.problem import Problem

_ROOT = Path(__file__).parents[2]
_TRACKER = "https://security-tracker.debian.org/tracker/data/json"
_LOCKS = ("train", "serve", "serve-cpu")
_RELEASES = {"debian-12": "bookworm", "debian-13": "trixie"}
_MAX_BYTES = 400 << 20
_TIMEOUT_S = 300


@dataclass(frozen=True, order=True)
class Finding:
    """A known problem of a package: in which lock or image, and what mends it."""

    id: str
    package: str
    where: str
    fix: str


def accepted(file: Path, today: datetime.date) -> set[str]:
    """Return the problems that are accepted today.

    Raises:
        Problem: an entry's day has passed, or the file is not as it should be.
    """
    entries = tomllib.loads(file.read_text()).get("accepted", [])
    for entry in entries:
        if set(entry) != {"id", "package", "until", "reason"}:
            raise Problem(f"{file}: each entry has id, package, until and reason: {entry}")
        if entry["until"] < today:
            raise Problem(
                f"{file}: {entry['id']} was accepted until {entry['until']} ({entry['reason']}): "
                "take a version without it, or accept it anew with a reason"
            )
    return {entry["id"] for entry in entries}


def python_problems(uv: str, version: str, lock: str) -> list[Finding]:
    """Ask pip-audit about a lock.

    Raises:
        OSError: its source does not answer.
    """
    command = [uv, "tool", "run", f"pip-audit@{version}", "--disable-pip", "--require-hashes"]
    command += ["--format", "json", "--requirement", str(_ROOT / f"docker/locks/{lock}.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise OSError(last) from None
    # A package that its source does not know is "skipped", and has no problems.
    skipped = [one["name"] for one in found if "skip_reason" in one]
    if skipped:
        raise OSError(f"its source knows nothing of {len(skipped)} of {len(found)} packages")
    return [
        Finding(problem["id"], one["name"], lock, ", ".join(problem["fix_versions"]) or "no fix")
        for one in found
        for problem in one.get("vulns", ())
    ]


def tracker(address: str) -> dict[str, Any]:
    """Read Debian's list of problems.

    Raises:
        OSError: it does not answer.
    """
    with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:  # noqa: S310
        body = answer.read(_MAX_BYTES + 1)
    if len(body) > _MAX_BYTES:
        raise OSError(f"more than {_MAX_BYTES} bytes")
    try:
        found: dict[str, Any] = json.loads(body)
    except ValueError as error:
        raise OSError(f"no JSON: {error}") from None
    return found


def debian_problems(known: dict[str, Any], sbom: dict[str, Any]) -> Iterator[Finding]:
    """Yield the problems of an image that Debian has mended in a newer version."""
    where = sbom["metadata"]["component"]["name"]
    for one in sbom["components"]:
        if not one["purl"].startswith("pkg:deb/"):
            continue
        release = _RELEASES.get(one["purl"].rpartition("distro=")[2])
        about = {each["name"]: each["value"] for each in one["properties"]}
        source, version = about["kennel:source"], about["kennel:source-version"]
        for number, problem in known.get(source, {}).items():
            fixed = problem.get("releases", {}).get(release, {}).get("fixed_version", "0")
            if fixed != "0" and _is_older(version, fixed):
                yield Finding(number, source, where, fixed)


def _is_older(version: str, than: str) -> bool:
    command = ["dpkg", "--compare-versions", version, "lt", than]
    return subprocess.run(command, check=False).returncode == 0


def main() -> int:
    """Print what was found, and what could not be asked."""
    parser = argparse.ArgumentParser(prog="python -m scripts.make.audit", description=__doc__)
    parser.add_argument("--uv", default="uv")
    parser.add_argument("--pip-audit", default="2.10.1", help="its version")
    parser.add_argument("--tracker", default=_TRACKER, help="Debian's list")
    parser.add_argument("--strict", action="store_true", help="fail if a source does not answer")
    given = parser.parse_args()
    allowed = accepted(
        _ROOT / "docker" / "accepted.toml", datetime.datetime.now(datetime.UTC).date()
    )
    found: list[Finding] = []
    silent: list[str] = []
    for lock in _LOCKS:
        try:
            found += python_problems(given.uv, given.pip_audit, lock)
        except OSError as error:
            silent.append(f"docker/locks/{lock}.txt: pip-audit: {error}")
    lists = sorted((_ROOT / "build" / "sbom").glob("*.cdx.json"))
    if not lists:
        silent.append("the distribution's packages: no list in build/sbom: run `make build` first")
    else:
        try:
            known = tracker(given.tracker)
            for file in lists:
                found += debian_problems(known, json.loads(file.read_text()))
        except OSError as error:
            silent.append(f"the distribution's packages: {given.tracker}: {error}")
    wrong = sorted({one for one in found if one.id not in allowed})
    for one in wrong:
        print(f"{one.where}: {one.package}: {one.id}: mended in {one.fix}")
    for line in silent:
        print(f"not checked: {line}")
    print(f"{len(wrong)} problems; {len(found) - len(wrong)} accepted; {len(silent)} not checked")
    return 1 if wrong else 2 if silent and given.strict else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Problem as problem:
        sys.exit(str(problem))
