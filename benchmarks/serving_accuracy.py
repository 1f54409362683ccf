r"""Does serving cost accuracy? Top-1 of the server, compared with the network in float32.

Each photo is classified twice: over HTTP by a server with its default settings (its own precision,
scaled decoding, batches), and in this process by the bundle's network as it was trained, from the
picture decoded at full size.

    python -m benchmarks.serving_accuracy --bundle build/dogs-…/model --photos ../shared/data/dogs
"""

import argparse
import json
import sys
import tempfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from benchmarks.measuring import RESULTS, this_machine, write
from benchmarks.servers import Place, Server, jpegs, kennel
from classifier import bundle
from pictures.decoder import decode

GOAL_POINTS = 0.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument(
        "--photos",
        type=Path,
        required=True,
        help="valid/, test/, … of class folders",
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "serving-top1.json")
    options = parser.parse_args()
    loaded = bundle.load(options.bundle)
    transform, folders = loaded.description.transform, loaded.description.folders
    parts = {}
    with tempfile.TemporaryDirectory() as directory:
        place = Place(Path(directory), [])
        with kennel("kennel", options.bundle, place) as server, ThreadPoolExecutor(8) as clients:
            for folder in sorted(path for path in options.photos.iterdir() if path.is_dir()):
                photos = jpegs(folder)
                truth = torch.tensor([folders.index(photo.parent.name) for photo in photos])
                served = torch.tensor(list(clients.map(lambda one: ask(server, one), photos)))
                with torch.inference_mode():
                    alone = torch.cat(
                        [
                            loaded.network(torch.from_numpy(pixels)[None])
                            for pixels in (transform(decode(one.read_bytes())) for one in photos)
                        ]
                    )
                parts[folder.name] = compare(truth, served.argmax(1), alone.argmax(1))
                print(folder.name, json.dumps(parts[folder.name]), flush=True)
        precision = next(
            line
            for line in (place.directory / "kennel.log").read_text().splitlines()
            if "serving in" in line
        )
    contents = {
        "command": "python -m benchmarks.serving_accuracy --bundle … --photos …",
        "machine": this_machine(),
        "served": precision.partition("serving in ")[2],
        "goal_points": GOAL_POINTS,
        "parts": parts,
    }
    write(options.out, contents)
    return 0


def compare(truth: torch.Tensor, served: torch.Tensor, alone: torch.Tensor) -> dict[str, float]:
    """Return top-1 of both in percent, and for how many pictures their classes differ."""
    percent = [100 * (one == truth).float().mean().item() for one in (served, alone)]
    return {
        "pictures": len(truth),
        "served_top1": round(percent[0], 2),
        "fp32_top1": round(percent[1], 2),
        "points_lost": round(percent[1] - percent[0], 2),
        "named_otherwise": int((served != alone).sum()),
    }


def ask(server: Server, photo: Path) -> list[float]:
    request = urllib.request.Request(  # noqa: S310
        server.url, photo.read_bytes(), {"Content-Type": "image/jpeg", "Accept": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        logits: list[float] = json.load(answer)
        return logits


if __name__ == "__main__":
    sys.exit(main())
