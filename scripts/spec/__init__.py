"""An experiment: one TOML file, read strictly. docs/kennel.md lists every key."""

from scripts.spec.experiment import Experiment, encoded
from scripts.spec.reading import SpecError, check, load
from scripts.spec.tuning import canonical

__all__ = ["Experiment", "SpecError", "canonical", "check", "encoded", "load"]
