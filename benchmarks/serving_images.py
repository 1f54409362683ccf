r"""Start-up, memory and size of the two serving images, in one run.

Both take turns, so that other load on the machine slows both alike. Start-up is the time from
`docker run` to the first 200 from /ping. Memory is the container's, without files in the cache,
after a picture was answered.

    python -m benchmarks.serving_images --bundle build/dogs-…/model --picture dog.jpg [--tag local]
"""

import argparse
import json
import subprocess
import time
import urllib.error
import urllib.request
import uuid
import zlib
from pathlib import Path
from typing import Any

from benchmarks.measuring import RESULTS, machine_load, spread, this_machine, write
from scripts import docker

IMAGES = ("kennel-serve", "kennel-serve-cpu")
WORKERS = 2
# Of the small image; `share` is of the large one's start-up.
GOALS = {"start_s": 4.0, "share": 0.5, "memory_mb": 500, "size_mb": 600, "compressed_mb": 240}
_LIMIT_S = 240
# Of cgroups in version 2, or in version 1.
_MEMORY = """
import pathlib
new, old = (pathlib.Path("/sys/fs/cgroup", one) for one in ("memory.stat", "memory/memory.stat"))
file, keys = (new, ("anon", "shmem")) if new.exists() else (old, ("total_rss", "total_shmem"))
pages = dict(line.split() for line in file.read_text().splitlines())
print(sum(int(pages.get(key, 0)) for key in keys))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="with model.onnx")
    parser.add_argument("--picture", type=Path, required=True, help="a JPEG")
    parser.add_argument("--tag", default="local")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "serving-images.json")
    options = parser.parse_args()
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in IMAGES}
    for turn in range(options.rounds + 1):
        for name in IMAGES:
            one = once(f"{name}:{options.tag}", options.bundle, options.picture.read_bytes())
            print(json.dumps({"image": name} | one), flush=True)
            if turn:  # the first fills the disk's cache
                rounds[name].append(one)
    small, large = rounds["kennel-serve-cpu"], rounds["kennel-serve"]
    shares = [one["start_s"] / other["start_s"] for one, other in zip(small, large, strict=True)]
    found = {
        "command": "python -m benchmarks.serving_images --bundle … --picture …",
        "machine": this_machine(),
        "load": machine_load(),
        "rounds": options.rounds,
        "workers": WORKERS,
        "goals_of_the_small_image": GOALS,
        "share_of_start": spread(shares),
        "compressed_mb_of_the_small_image": compressed(f"kennel-serve-cpu:{options.tag}"),
        **{
            name: {
                "size_mb": size(f"{name}:{options.tag}"),
                **{key: spread([one[key] for one in rounds[name]]) for key in rounds[name][0]},
            }
            for name in IMAGES
        },
    }
    write(options.out, found)
    print(json.dumps(found, indent=1))
    return 0


def once(image: str, bundle: Path, picture: bytes) -> dict[str, float]:
    """Start a container, ask it once, and remove it."""
    name = f"kennel-measure-{uuid.uuid4().hex[:12]}"
    options = ["--detach", "--name", name, "--publish", "127.0.0.1::8080"]
    options += ["--env", f"SAGEMAKER_MODEL_SERVER_WORKERS={WORKERS}"]
    options += ["--volume", f"{bundle.resolve()}:/opt/ml/model:ro"]
    began = time.perf_counter()
    try:
        call("run", *options, image, "serve")
        address = call("port", name, "8080").split()[0]
        while not pings(address):
            if time.perf_counter() - began > _LIMIT_S:
                raise TimeoutError(call("logs", name))
            time.sleep(0.02)
        started = time.perf_counter() - began
        for _ in range(WORKERS * 4):
            request = urllib.request.Request(
                f"http://{address}/invocations", picture, {"Content-Type": "image/jpeg"}
            )
            urllib.request.urlopen(request, timeout=60).close()  # noqa: S310
        memory = int(call("exec", name, "/opt/venv/bin/python", "-c", _MEMORY)) / 1e6
    finally:
        subprocess.run([docker.client(), "rm", "--force", name], capture_output=True, check=False)
    return {"start_s": started, "memory_mb": memory}


def pings(address: str) -> bool:
    """Whether the server is ready."""
    try:
        with urllib.request.urlopen(f"http://{address}/ping", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def size(image: str) -> float:
    """Return the uncompressed size in MB."""
    about: Any = json.loads(call("image", "inspect", image))
    return round(about[0]["Size"] / 1e6, 1)


def compressed(image: str) -> float:
    """Return the size in MB of the layers in gzip, as a registry stores them."""
    packer, total = zlib.compressobj(), 0
    with subprocess.Popen([docker.client(), "save", image], stdout=subprocess.PIPE) as saved:
        assert saved.stdout
        while block := saved.stdout.read(1 << 20):
            total += len(packer.compress(block))
    if saved.returncode:
        raise OSError(f"docker save {image} ended with {saved.returncode}")
    return round((total + len(packer.flush())) / 1e6, 1)


def call(*arguments: str) -> str:
    """Run docker and return its output."""
    done = subprocess.run([docker.client(), *arguments], capture_output=True, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    raise SystemExit(main())
