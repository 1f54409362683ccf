"""What auditors look for in an image."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.containers.engine import Images

pytestmark = pytest.mark.docker
ROOT = Path(__file__).parents[2]
ALL = pytest.mark.parametrize("which", ["train", "serve", "serve_cpu"])
SERVING = pytest.mark.parametrize("which", ["serve", "serve_cpu"])
# All packages that Python finds, by their metadata.
PACKAGES = """
import importlib.metadata, json
found = [(one.metadata["Name"].lower(), one.version) for one in importlib.metadata.distributions()]
print(json.dumps(found))
"""


def shell(images: Images, which: str, command: str) -> str:
    done = images.run(getattr(images, which), "sh", "-c", command)
    assert done.returncode == 0, done.stdout
    return done.stdout


@ALL
def test_no_program_has_another_users_rights(images: Images, which: str) -> None:
    assert shell(images, which, "find / -xdev -type f -perm /6000") == ""


@ALL
def test_no_file_can_be_written_by_everybody(images: Images, which: str) -> None:
    assert shell(images, which, "find / -xdev -type f -perm -o+w -not -path '/proc/*'") == ""
    # Folders only where everybody has to write, and nobody can remove another's file.
    folders = shell(images, which, "find / -xdev -type d -perm -o+w -not -perm -1000")
    assert folders == ""


@ALL
def test_each_package_is_there_once(images: Images, which: str) -> None:
    found = json.loads(images.run(getattr(images, which), "python", "-c", PACKAGES).stdout)
    names = Counter(name for name, _ in found)
    assert [name for name, times in names.items() if times > 1] == []
    assert ("pip" in names) == (which == "train")


@SERVING
def test_serving_images_have_no_installer_of_python_packages(images: Images, which: str) -> None:
    assert (
        shell(images, which, "find / -xdev -name 'pip*' -path '*bin*'; find / -xdev -name '*.whl'")
        == ""
    )


@ALL
def test_no_private_key_is_there(images: Images, which: str) -> None:
    """Not even one of a package's tests: a scanner for secrets reports them all."""
    files = "--include='*.pem' --include='*.key' --include='*.crt' --include='id_*'"
    folders = "/etc /home /opt /root /srv /usr /var"
    found = shell(images, which, f"grep -rl 'PRIVATE KEY' {files} {folders} || true")
    assert found == ""


@ALL
def test_nothing_is_there_for_those_who_compile_or_test_packages(
    images: Images, which: str
) -> None:
    names = ["*.h", "*.hpp", "*.cuh", "*.c", "*.pxd", "*.pyx", "*.a"]
    files = " -o ".join(f"-name '{one}'" for one in names)
    assert shell(images, which, f"find /opt -type f \\( {files} \\)") == ""
    folders = "-type d \\( -name test -o -name tests \\)"
    assert shell(images, which, f"find /opt {folders}") == ""


@ALL
def test_packages_of_the_distribution_bring_no_documentation(images: Images, which: str) -> None:
    """Only their licences; what the base image has remains."""
    search = "find /usr/share/doc /usr/share/man /usr/share/locale /usr/share/info -type f"
    search += " -not -name copyright"
    base = images.run("--entrypoint", "sh", images.base, "-c", search).stdout.splitlines()
    assert sorted(set(shell(images, which, search).splitlines()) - set(base)) == []


def test_the_small_image_has_no_torch_and_no_cuda(images: Images) -> None:
    found = shell(
        images, "serve_cpu", "find / -xdev \\( -name 'libtorch*' -o -name 'libcu[bdfs]*' \\)"
    )
    assert found == ""
    missing = images.run(images.serve_cpu, "python", "-c", "import torch")
    assert "No module named 'torch'" in missing.stdout


@ALL
def test_the_base_takes_security_updates(images: Images, which: str) -> None:
    sources = shell(
        images, which, "cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true"
    )
    assert "security" in sources


@ALL
def test_all_files_have_the_same_time(images: Images, which: str) -> None:
    """No file says when it was built: else two builds of one commit would differ."""
    pins = dict(
        line.split("=", 1)
        for line in (ROOT / "docker" / "versions.env").read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )
    # Docker writes these when it starts a container.
    own = "-not -path '/dev*' -not -path '/proc*' -not -path '/sys*' -not -path /etc -not -path /"
    own += " -not -path /.dockerenv -not -path '/etc/host*' -not -path /etc/resolv.conf"
    own += " -not -path /etc/mtab"
    time = pins["SOURCE_DATE_EPOCH"]
    assert shell(images, which, f"find / -xdev {own} -newermt '@{time}'") == ""


@ALL
def test_the_list_of_parts_is_beside_the_image_and_in_it(images: Images, which: str) -> None:
    name = which.replace("_", "-")
    beside = (ROOT / "build" / "sbom" / f"kennel-{name}.cdx.json").read_text()
    assert beside == shell(images, which, "cat /opt/kennel/sbom.cdx.json")
    document = json.loads(beside)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["name"] == f"kennel-{name}"
    listed = [one["purl"] for one in document["components"]]
    assert len(listed) == len(set(listed))
    # Every Python package that is there, with its version, and every package of the distribution.
    python = {
        one["name"]: one["version"] for one in document["components"] if "pypi" in one["purl"]
    }
    there = json.loads(images.run(getattr(images, which), "python", "-c", PACKAGES).stdout)
    assert python == {n.replace("_", "-").replace(".", "-"): version for n, version in there}
    debian = {
        one["name"]: one["version"] for one in document["components"] if "pkg:deb" in one["purl"]
    }
    query = "dpkg-query --show --showformat '${Package} ${Version}\\n'"
    assert debian == dict(line.split() for line in shell(images, which, query).splitlines())
    if which != "train":
        # The server's own libraries are inside its jar.
        assert any(one.startswith("pkg:maven/io.netty/netty") for one in listed)
        assert any(one.startswith("pkg:generic/openjdk@") for one in listed)
