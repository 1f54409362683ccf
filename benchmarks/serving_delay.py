r"""What the model server's batch delay costs a lone client and gives many: 0, 1 and 2 ms in turns.

With 0 the model server takes no more than two requests at once (Model.pollBatch of 1.1.11: one it
waits for, one that is there, and then the delay is over).

    python -m benchmarks.serving_delay --bundle build/dogs-…/model --photos ../shared/data/dogs/test
"""

import argparse
import contextlib
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.servers import Place, jpegs, kennel, load, this_machine
from benchmarks.serving import figures

DELAYS_MS = (0, 1, 2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="a ResNet50's")
    parser.add_argument("--photos", type=Path, required=True, help="a folder of JPEGs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of one load")
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/serving-delay.json"))
    given = parser.parse_args()
    with contextlib.ExitStack() as everything:
        directory = Path(everything.enter_context(tempfile.TemporaryDirectory()))
        place = Place(directory, jpegs(given.photos, 64))
        servers = [
            everything.enter_context(
                kennel(f"{ms} ms", given.bundle, place, KENNEL_MAX_BATCH_DELAY_MS=str(ms))
            )
            for ms in DELAYS_MS
        ]
        rounds = []
        for turn in range(given.rounds):
            found = {}
            for server in servers[:: -1 if turn % 2 else 1]:
                one = load(server, clients=1, seconds=given.seconds)
                many = load(server, clients=given.clients, seconds=given.seconds)
                found[server.name] = {
                    "p50_ms_alone": one["p50_ms"],
                    "requests_per_s": many["requests_per_s"],
                    "p99_ms": many["p99_ms"],
                    "errors": one["errors"] + many["errors"],
                }
            print(json.dumps(found), flush=True)
            rounds.append(found)
    contents = {
        "command": f"python -m benchmarks.serving_delay --rounds {given.rounds} --bundle …",
        "machine": this_machine(),
        "clients": given.clients,
        "figures": figures(rounds),
        "rounds": rounds,
    }
    given.out.write_text(json.dumps(contents, indent=1) + "\n")
    print(json.dumps(contents["figures"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
