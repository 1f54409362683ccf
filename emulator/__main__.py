"""SageMaker on this machine, at one loopback address: run, start, stop or show it."""

import argparse
import logging
import sys
from pathlib import Path

from emulator import daemon
from emulator.settings import Settings


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m emulator", description=__doc__)
    parser.add_argument(
        "verb", choices=("run", "start", "stop", "status"), nargs="?", default="run"
    )
    parser.add_argument("--state", type=Path, default=Path("run/emulator"), help="where it is kept")
    parser.add_argument("--port", type=int, help="on loopback; a free one unless given")
    parser.add_argument("--engine", choices=("auto", "process", "docker"), help="auto unless given")
    parser.add_argument("--region", help="us-east-1 unless given")
    parser.add_argument("--config", type=Path, help="a TOML file: see docs/emulator.md")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Do what the command line says; return the exit status."""
    given = _arguments(words)
    if given.verb == "stop":
        return daemon.stop(given.state)
    if given.verb == "status":
        return daemon.status(given.state)
    try:
        settings = Settings.read(
            given.config,
            state=given.state.absolute(),
            port=given.port,
            engine=given.engine,
            region=given.region,
        )
    except (ValueError, OSError) as error:
        print(f"these settings cannot be used: {error}", file=sys.stderr)
        return 2
    if given.verb == "start":
        options = {name: value for name, value in vars(given).items() if name != "verb" and value}
        return daemon.start(settings, [f"--{name}={value}" for name, value in options.items()])
    logging.basicConfig(format="%(asctime)s %(levelname)-5s %(message)s", level="WARNING")
    return daemon.run(settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
