"""Gives an image one time: `stamp.py DOCKER IMAGE CREATED`.

Old builders write the clock into an image's description, so that equal layers have another digest
at each build. This writes the description again, with the commit's time. The layers stay
where they are.

Docker with containerd's store cannot load a description alone; its newer builder takes the time
from SOURCE_DATE_EPOCH itself, and the image stays as it is.
"""

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from typing import Any

_KEPT = (
    "Env",
    "Entrypoint",
    "Cmd",
    "WorkingDir",
    "User",
    "ExposedPorts",
    "Volumes",
    "Labels",
    "StopSignal",
)


def main(docker: str, image: str, created: str) -> int:
    """Replace `image` by its copy of that time."""

    def call(*arguments: str, given: bytes | None = None) -> bytes:
        done = subprocess.run([docker, *arguments], input=given, capture_output=True, check=False)
        if done.returncode:
            raise OSError(done.stderr.decode(errors="replace").strip())
        return done.stdout

    about = json.loads(call("image", "inspect", image))[0]
    lines = call("history", "--no-trunc", "--format", "{{json .}}", image).splitlines()
    steps = [json.loads(line) for line in reversed(lines)]
    described = json.dumps(description(about, steps, created), sort_keys=True).encode()
    number = hashlib.sha256(described).hexdigest()
    if about["Id"].endswith(number):
        return 0
    try:
        call("load", "--quiet", given=archive(described, number, image, about["RootFS"]["Layers"]))
        loaded = json.loads(call("image", "inspect", image))[0]["Id"]
    except OSError as error:
        loaded = str(error)
    if not loaded.endswith(number):
        print(f"{image} keeps the builder's times: {loaded}", file=sys.stderr)
        return 0
    # Without its name the builder's copy would remain for ever. Its layers are the new one's.
    subprocess.run([docker, "image", "rm", about["Id"]], capture_output=True, check=False)
    return 0


def description(about: dict[str, Any], steps: list[dict[str, str]], created: str) -> dict[str, Any]:
    """Return the image's configuration, as a registry stores it.

    Source: https://github.com/moby/docker-image-spec/blob/main/specs-go/v1
    """
    config = {name: about["Config"][name] for name in _KEPT if about["Config"].get(name)}
    layers = about["RootFS"]["Layers"]
    history = []
    for step in steps:
        by = step["CreatedBy"]
        makes = not by or "ADD " in by[:40] or by.startswith(("RUN ", "COPY "))
        history.append(
            {"created": created, "created_by": by} | ({} if makes else {"empty_layer": True})
        )
    # A base of another builder can name its steps otherwise; then the steps are not told apart.
    if sum("empty_layer" not in one for one in history) != len(layers):
        history = [{"created": created, "created_by": layer} for layer in layers]
    return {
        "architecture": about["Architecture"],
        "os": about["Os"],
        "created": created,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": layers},
        "history": history,
    }


def archive(described: bytes, number: str, image: str, layers: list[str]) -> bytes:
    """Return a `docker load` archive without layers: Docker takes those that it has."""
    names = [f"{layer.partition(':')[2]}/layer.tar" for layer in layers]
    manifest = [{"Config": f"{number}.json", "RepoTags": [image], "Layers": names}]
    files = {f"{number}.json": described, "manifest.json": json.dumps(manifest).encode()}
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
