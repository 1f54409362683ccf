"""SageMaker on this machine, at one loopback address: run it, start, stop, show status, clean."""

import argparse
import logging
import os
import sys
from pathlib import Path

from emulator import daemon
from emulator.settings import ACCESS_KEY_VARIABLE, Settings


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m emulator", description=__doc__)
    parser.add_argument(
        "verb", choices=("run", "start", "stop", "status", "clean"), nargs="?", default="run"
    )
    parser.add_argument("--state", type=Path, default=Path("run/emulator"), help="the state folder")
    parser.add_argument("--port", type=int, help="on loopback; default: a free port")
    parser.add_argument("--engine", choices=("auto", "process", "docker"), help="default: auto")
    parser.add_argument("--region", help="default: us-east-1")
    parser.add_argument(
        "--jobs", type=int, help="instances of jobs at once; default: what fits cores and memory"
    )
    parser.add_argument(
        "--access-key", help=f"default: ${ACCESS_KEY_VARIABLE}, or a new random one at each start"
    )
    parser.add_argument("--config", type=Path, help="a TOML file: see docs/emulator.md")
    parser.add_argument("--yes", action="store_true", help="clean: delete the data")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Run the verb of the command line; return the exit status."""
    given = _arguments(words)
    if given.verb == "stop":
        return daemon.stop(given.state)
    if given.verb == "status":
        return daemon.status(given.state)
    if given.verb == "clean":
        return daemon.clean(given.state, confirmed=given.yes)
    if given.access_key:  # not as an argument of another process: all users can see arguments
        os.environ[ACCESS_KEY_VARIABLE] = given.access_key
    try:
        settings = Settings.read(
            given.config,
            state=given.state.absolute(),
            port=given.port,
            engine=given.engine,
            region=given.region,
            jobs=given.jobs,
            access_key=os.environ.get(ACCESS_KEY_VARIABLE) or None,
        )
    except (ValueError, OSError) as error:
        print(f"invalid settings: {error}", file=sys.stderr)
        return 2
    if given.verb == "start":
        not_options = ("verb", "access_key", "yes")
        options = {
            name: value for name, value in vars(given).items() if name not in not_options and value
        }
        return daemon.start(settings, [f"--{name}={value}" for name, value in options.items()])
    logging.basicConfig(format="%(asctime)s %(levelname)-5s %(message)s", level="WARNING")
    return daemon.run(settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
