r"""How long a server takes from its start to the first 200 from /ping, compared with torch alone.

Torch alone: a process that imports torch and torchvision, builds ResNet50 and loads its weights.
Both take turns, so that other load on the machine slows both alike.

    python -m benchmarks.serving_startup --bundle build/dogs-…/model
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import RESULTS, machine_load, spread, this_machine, write
from benchmarks.servers import Place, kennel

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
    parser.add_argument("--out", type=Path, default=RESULTS / "serving-startup.json")
    options = parser.parse_args()
    rounds = []
    for turn in range(options.rounds + 1):
        one = {"torch_s": torch_alone(options.bundle), "kennel_s": server(options.bundle)}
        one["ratio"] = one["kennel_s"] / one["torch_s"]
        print(json.dumps(one), flush=True)
        if turn:  # the first fills the disk's cache
            rounds.append(one)
    found = {
        "command": f"python -m benchmarks.serving_startup --rounds {options.rounds} --bundle …",
        "machine": this_machine(),
        "load": machine_load(),
        "goal": GOAL,
        **{name: spread([one[name] for one in rounds]) for name in rounds[0]},
    }
    write(options.out, found)
    print(json.dumps(found, indent=1))
    return 0


def torch_alone(model: Path) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", _TORCH, str(model / "model.safetensors")], check=True)
    return time.perf_counter() - began


def server(model: Path) -> float:
    with tempfile.TemporaryDirectory() as directory:
        place = Place(Path(directory), [])
        began = time.perf_counter()
        with kennel("kennel", model, place):
            return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
