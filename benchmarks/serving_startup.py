r"""How long a server takes from its start to the first 200 from /ping, beside torch alone.

Torch alone: a process that imports torch and torchvision, makes the ResNet50 and loads its weights.
The two take turns, so that a machine that is busy is busy for both.

    python -m benchmarks.serving_startup --bundle build/dogs-…/model
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.servers import Place, kennel, this_machine

GOAL = 1.5
_TORCH = """
import sys
import torch
import torchvision
from safetensors.torch import load_file
state = load_file(sys.argv[1])
network = torchvision.models.resnet50(num_classes=len(state["fc.bias"]))
network.load_state_dict(state)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="a ResNet50's")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/serving-startup.json"))
    given = parser.parse_args()
    rounds = []
    for turn in range(given.rounds + 1):
        one = {"torch_s": torch_alone(given.bundle), "kennel_s": server(given.bundle)}
        one["ratio"] = one["kennel_s"] / one["torch_s"]
        print(json.dumps(one), flush=True)
        if turn:  # the first fills the disk's cache
            rounds.append(one)
    found = {
        "command": f"python -m benchmarks.serving_startup --rounds {given.rounds} --bundle …",
        "machine": this_machine(),
        "load": round(os.getloadavg()[0], 2),
        "goal": GOAL,
        **{
            name: {
                "median": round(statistics.median(one[name] for one in rounds), 3),
                "least": round(min(one[name] for one in rounds), 3),
                "greatest": round(max(one[name] for one in rounds), 3),
            }
            for name in rounds[0]
        },
    }
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return 0


def torch_alone(model: Path) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", _TORCH, str(model / "model.safetensors")], check=True)
    return time.perf_counter() - begun


def server(model: Path) -> float:
    with tempfile.TemporaryDirectory() as directory:
        place = Place(Path(directory), [])
        begun = time.perf_counter()
        with kennel("kennel", model, place):
            return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
