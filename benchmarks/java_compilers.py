"""Java with its fast compiler only, as Kennel starts it without a GPU, and with both compilers.

One server runs at a time; they take turns, and who is first alternates. The slow compiler works
while the first requests come, so the first seconds under load and the time after them are apart.

    python -m benchmarks.java_compilers [--bundle BUNDLE] [--photos FOLDER]
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import bundles
from benchmarks.measuring import RESULTS, family, machine_load, spread, this_machine, write
from benchmarks.servers import Place, Server, jpegs, kennel, load
from benchmarks.training import REAL

# The last of these options is the one that Java obeys.
SIDES = {"fast": {}, "both": {"SAGEMAKER_MODEL_SERVER_VMARGS": "-XX:TieredStopAtLevel=4"}}
CLIENTS = 16
SETTLED_S = 3  # the second worker loads after the first 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, help="a ResNet50's with exports")
    parser.add_argument("--photos", type=Path, default=REAL / "dogs" / "test", help="JPEGs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=6, help="under load, of each side in a round")
    parser.add_argument("--seconds", type=int, default=4, help="of a turn")
    parser.add_argument("--out", type=Path, default=RESULTS / "java-compilers.json")
    options = parser.parse_args()
    rounds = []
    with tempfile.TemporaryDirectory() as directory:
        model = options.bundle or Path(directory) / "model"
        if options.bundle is None:
            bundles.of_dogs(model)
        for turn in range(options.rounds):
            order = list(SIDES) if turn % 2 else list(SIDES)[::-1]
            photos = jpegs(options.photos)
            rounds.append({side: one_side(side, model, photos, options) for side in order})
            print(json.dumps(rounds[-1]), flush=True)
    found = {
        "command": f"python -m benchmarks.java_compilers --rounds {options.rounds} "
        f"--turns {options.turns} --seconds {options.seconds}",
        "machine": this_machine(),
        "load": machine_load(),
        "ratios, fast / both": {
            name: spread([one["fast"][name] / one["both"][name] for one in rounds])
            for name in rounds[0]["fast"]
        },
        "rounds": rounds,
    }
    write(options.out, found)
    print(json.dumps(found["ratios, fast / both"], indent=1))
    return 0


def one_side(
    side: str, model: Path, photos: list[Path], options: argparse.Namespace
) -> dict[str, float]:
    """Start a server and put load on it; return its figures, by name."""
    with tempfile.TemporaryDirectory() as directory:
        place = Place(Path(directory), photos)
        began = time.perf_counter()
        with kennel(side, model, place, **SIDES[side]) as server:
            start_s, start_cpu_s = time.perf_counter() - began, server.cpu_s()
            time.sleep(SETTLED_S)
            loads = [
                load(server, clients=CLIENTS, seconds=options.seconds) for _ in range(options.turns)
            ]
            first, late = loads[0], loads[len(loads) // 2 :]
            return {
                "seconds to the first 200": start_s,
                "processor seconds to the first 200": start_cpu_s,
                "requests_per_s at first": first["requests_per_s"],
                "cpu_ms of a request at first": first["cpu_ms"],
                "requests_per_s later": sum(one["requests_per_s"] for one in late) / len(late),
                "cpu_ms of a request later": sum(one["cpu_ms"] for one in late) / len(late),
                "memory of Java, MiB": java_memory(server),
            }


def java_memory(server: Server) -> float:
    (java,) = (one for one in family(server.pid) if one.name() == "java")
    return float(java.memory_info().rss) / 2**20


if __name__ == "__main__":
    sys.exit(main())
