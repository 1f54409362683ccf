"""A user's training image in one file, without Kennel. Hyperparameters tell it what to do."""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

ROOT = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
CONFIG = ROOT / "input" / "config"
HP = json.loads((CONFIG / "hyperparameters.json").read_text())
RESOURCES = json.loads((CONFIG / "resourceconfig.json").read_text())
ME = RESOURCES["current_host"]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def terminated(number: int, frame: object) -> None:
    print("got SIGTERM", flush=True)
    if HP.get("on_sigterm") == "ignore":
        return
    write(ROOT / "model" / "saved-at-sigterm", "yes")
    sys.exit(int(HP.get("exit_at_sigterm", "0")))


def is_first() -> bool:
    return bool(RESOURCES["hosts"][0] == ME)


def main() -> None:
    signal.signal(signal.SIGTERM, terminated)
    print(f"job {os.environ['TRAINING_JOB_NAME']} on {ME}, pid {os.getpid()}")
    print("loss=0.5 then")
    print(f"hyperparameters {json.dumps(HP, sort_keys=True)}")
    print(f"configs {sorted(path.stem for path in CONFIG.iterdir())}")
    data = ROOT / "input" / "data"
    channels = sorted(path.name for path in data.iterdir())
    for channel in channels:
        names = sorted(
            str(path.relative_to(data / channel)) for path in (data / channel).rglob("*.jpg")
        )
        print(f"channel {channel}: {names}")
    if "spawn" in HP:  # a child that outlives its parent and ignores SIGTERM
        child = os.fork()
        if not child:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        print(f"child {child}")
    if "reach" in HP:
        host, _, port = HP["reach"].partition(":")
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            print("reached")
        except OSError as error:
            print(f"not reached: {error}")
    if "long_line" in HP:
        print("x" * int(HP["long_line"]))
    if "meet" in HP:
        meet()
    if "record" in HP:
        for name in ("debughookconfig", "profilerconfig"):
            settings = json.loads((CONFIG / f"{name}.json").read_text())
            write(Path(settings["LocalPath"]) / "events" / "0.json", name)
    checkpoints()
    if "fail_on" in HP and HP["fail_on"] == ME:
        write(ROOT / "output" / "failure", HP.get("reason", ""))
        sys.exit(int(HP.get("code", "1")))
    time.sleep(float(HP.get("sleep", "0")))
    write(ROOT / "model" / f"weights-{RESOURCES['hosts'].index(ME)}.bin", "weights")
    write(ROOT / "output" / "data" / "report.txt", "report")
    loss = float(HP.get("x", "0.25"))
    for epoch in range(int(HP.get("epochs", "0"))):
        print(f"epoch {epoch}: loss={loss};")
    if loss >= float(HP.get("wait_from", "inf")):
        time.sleep(600)  # until it is stopped
    print(f"loss={loss}; done")


def checkpoints() -> None:
    """Count steps in a checkpoint file; sleep at step `sleep_at`."""
    setting = CONFIG / "checkpointconfig.json"
    if not setting.exists():
        return
    folder = Path(json.loads(setting.read_text())["LocalPath"])
    file = folder / "step.txt"
    step = int(file.read_text()) if file.exists() else 0
    print(f"starting at step {step}")
    while step < int(HP.get("steps", "3")):
        step += 1
        temporary = folder.parent / "step.tmp"
        temporary.write_text(str(step))
        temporary.rename(file)
        print(f"step {step}")
        if step == int(HP.get("sleep_at", "-1")):
            time.sleep(600)


def meet() -> None:
    """Send this host's name to the first host, found by its host name."""
    first, port = RESOURCES["hosts"][0], 17_771
    if is_first():
        with socket.create_server(("", port)) as listener:
            for _ in RESOURCES["hosts"][1:]:
                connection, _ = listener.accept()
                with connection:
                    print(f"met {connection.recv(100).decode()}")
        return
    for _ in range(2000):
        try:
            with socket.create_connection((first, port), timeout=5) as connection:
                connection.sendall(ME.encode())
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"could not reach {first}")


main()
