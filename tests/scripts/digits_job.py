"""The digits experiment, made small: what the tests on the emulator run."""

from pathlib import Path

SPEC = str(Path(__file__).parents[2] / "experiments" / "digits.toml")
_CHANGES = {"image_size": 16, "epochs": 1, "warmup_epochs": 0.0, "workers": 0}
SMALL = [
    part for key, value in _CHANGES.items() for part in ("--set", f"hyperparameters.{key}={value}")
]
GRID = [*SMALL, "--set", "tuning.ranges={learning_rate=[0.000001, 0.003]}"]
