"""Events: the messages in event files of smdebug (tensors) and TensorBoard (scalars).

Source of the field numbers: tensorflow/core/util/event.proto, framework/summary.proto,
framework/tensor.proto. smdebug writes mode and step of a tensor into the plug-in data.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from debugger.formats.tfevents import wire
from debugger.formats.tfevents.wire import Damaged

# Type numbers of TensorFlow. A bfloat16 is the upper half of a float32.
_BFLOAT16 = 14
_TYPES: dict[int, np.dtype] = {
    code: np.dtype(kind).newbyteorder("<")
    for code, kind in {
        1: "f4", 2: "f8", 3: "i4", 4: "u1", 5: "i2", 6: "i1", 8: "c8", 9: "i8", 10: "?",
        _BFLOAT16: "u2", 17: "u2", 18: "c16", 19: "f2", 22: "u4", 23: "u8",
    }.items()
}  # fmt: skip
_CODES = {kind: code for code, kind in _TYPES.items() if code not in (_BFLOAT16,)}


@dataclass(frozen=True)
class Value:
    """A named value of an event: a tensor, a number, or neither for other types."""

    tag: str
    tensor: np.ndarray | None = None
    number: float | None = None
    plugins: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """The values written at a time (seconds since 1970) and a step."""

    at: float
    step: int
    values: tuple[Value, ...]


def decode(message: memoryview) -> Event:
    """Read an event.

    Raises:
        Damaged: the message or one of its values is invalid.
    """
    at, step, values = 0.0, 0, []
    for number, value in wire.fields(message):
        if number == 1:
            at = wire.real(value)
        elif number == 2:
            step = wire.number(value)
        elif number == 5:
            values += [
                _value(wire.content(item)) for n, item in wire.fields(wire.content(value)) if n == 1
            ]
    if not math.isfinite(at):
        raise Damaged(f"an event at time {at}")
    return Event(at, step, tuple(values))


def encode(event: Event) -> bytes:
    """Return the message of an event."""
    summary = b"".join(wire.put_bytes(1, _put_value(value)) for value in event.values)
    return (
        wire.put_double(1, event.at) + wire.put_number(2, event.step) + wire.put_bytes(5, summary)
    )


def file_version(at: float) -> bytes:
    """Return the first message of a TensorBoard event file."""
    return wire.put_double(1, at) + wire.put_bytes(3, "brain.Event:2")


def _value(message: memoryview) -> Value:
    tag, number, tensor, plugins = "", None, None, {}
    for which, value in wire.fields(message):
        if which == 1:
            tag = wire.text(value)
        elif which == 2:
            number = wire.real(value)
        elif which == 8:
            tensor = _tensor(wire.content(value))
        elif which == 9:
            for inner, plugin in wire.fields(wire.content(value)):
                if inner == 1:
                    found = {n: wire.text(v) for n, v in wire.fields(wire.content(plugin))}
                    plugins[found.get(1, "")] = found.get(2, "")
    return Value(tag, tensor, number, plugins)


def _tensor(message: memoryview) -> np.ndarray | None:
    """Return a tensor; None for a tensor of strings."""
    code, shape, packed, singles = 0, [], None, []
    for which, value in wire.fields(message):
        if which == 1:
            code = wire.number(value)
        elif which == 2:
            shape = _shape(wire.content(value))
        elif which == 4:
            packed = wire.content(value)
        elif which in (5, 6) and len(wire.content(value)) in (4, 8):
            singles.append(wire.real(value))
    kind = _TYPES.get(code)
    if kind is None:
        return None
    if packed is None:
        found = np.array(singles, kind)
    elif len(packed) % kind.itemsize:
        raise Damaged(f"a tensor of {kind} in {len(packed)} bytes")
    else:
        found = np.frombuffer(packed, kind)
    if math.prod(shape) != found.size:
        raise Damaged(f"a tensor of shape {shape} with {found.size} elements")
    if code == _BFLOAT16:
        found = (found.astype("<u4") << 16).view("<f4")
    return found.reshape(shape)


def _shape(message: memoryview) -> list[int]:
    shape = []
    for which, value in wire.fields(message):
        if which == 2:
            sizes = [wire.number(v) for n, v in wire.fields(wire.content(value)) if n == 1]
            shape.append(sizes[-1] if sizes else 0)
    if len(shape) > 32 or any(size < 0 for size in shape):
        raise Damaged(f"a tensor of shape {shape[:40]}")
    return shape


def _put_value(value: Value) -> bytes:
    written = wire.put_bytes(1, value.tag)
    if value.number is not None:
        written += wire.put_float(2, value.number)
    if value.tensor is not None:
        written += wire.put_bytes(8, _put_tensor(value.tensor))
    plugins = b"".join(
        wire.put_bytes(1, wire.put_bytes(1, name) + wire.put_bytes(2, content))
        for name, content in value.plugins.items()
    )
    return written + (wire.put_bytes(9, plugins) if plugins else b"")


def _put_tensor(tensor: np.ndarray) -> bytes:
    kind = tensor.dtype.newbyteorder("<")
    return (
        wire.put_number(1, _CODES[kind])
        + wire.put_bytes(2, _put_shape(tensor.shape))
        + wire.put_bytes(4, np.ascontiguousarray(tensor, kind).tobytes())
    )


def _put_shape(shape: Sequence[int]) -> bytes:
    return b"".join(wire.put_bytes(2, wire.put_number(1, size)) for size in shape)
