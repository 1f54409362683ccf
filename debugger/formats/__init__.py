"""Recordings in other formats: smdebug, SageMaker and TensorBoard."""

from debugger.formats.reading import read
from debugger.formats.smdebug.export import to_smdebug
from debugger.formats.tensorboard import to_tensorboard

__all__ = ["read", "to_smdebug", "to_tensorboard"]
