"""The digits experiment with a small network: what the tests run on the emulator."""

from collections.abc import Mapping
from pathlib import Path

SPEC = str(Path(__file__).parents[2] / "experiments" / "digits.toml")
BUCKET = "kennel-digits"


def changes(settings: Mapping[str, object]) -> list[str]:
    """The `--set` options for settings."""
    return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


# The network, its exports and the number of epochs do not matter to the verbs.
_NETWORK: dict[str, object] = {
    "hyperparameters.architecture": "squeezenet1_1",
    "hyperparameters.epochs": 1,
    "hyperparameters.warmup_epochs": 0.0,
    "hyperparameters.workers": 0,
    "hyperparameters.export": "none",
}
_NOT_RECORDED: dict[str, object] = {"debugger.enabled": "false", "profiler.enabled": "false"}
SMALL = changes(_NETWORK | _NOT_RECORDED)
# The trials record, for the report.
GRID = changes(_NETWORK | {"tuning.ranges": "{learning_rate=[0.000001, 0.003]}"})
