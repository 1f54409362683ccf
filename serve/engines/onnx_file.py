"""Checks an ONNX file of a bundle before an engine reads it: a bundle can be a stranger's.

A small reader of protobuf's wire format, which looks at the structure and skips the weights.

Refused are paths to other files, loops and subgraphs, nodes in a cycle (on which OpenVINO never
ends), functions, operators of other domains, tensors whose shape does not fit their data, and other
inputs or outputs than the network's.

Source: onnx.proto of ONNX 1.19, https://protobuf.dev/programming-guides/encoding.
"""

import math
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter

from classifier.description import BundleError

PIXELS, LOGITS, MAPS = "pixels", "logits", "maps"
_MOST_FIELDS = 2_000_000  # of protobuf; the largest network of the tests has 60,000
_MOST_NODES = 50_000
_MOST_DIMENSIONS = 8
_MOST_NAME = 1000  # bytes of a name between nodes
_OPSETS = range(7, 27)  # of ONNX's own operators
_OWN_DOMAIN = ("", "ai.onnx")
# They run other graphs, or are never the same twice, or have no place in a classifier.
_REFUSED = frozenset(
    "If Loop Scan SequenceMap Optional OptionalGetElement OptionalHasElement SequenceAt "
    "SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength SplitToSequence "
    "ConcatFromSequence RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli "
    "Multinomial ImageDecoder StringConcat StringNormalizer StringSplit RegexFullMatch "
    "TfIdfVectorizer RNN GRU LSTM".split()
)
# Types of tensors: integers, floats of 16, 32 and 64 bits, bool. Others, as text, are refused.
_TYPES = {1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 16}
_FLOAT = 1
# Fields of messages, by what they are for.
_MODEL, _MODEL_KNOWN = {"graph": 7, "opset": 8}, {1, 2, 3, 4, 5, 6, 7, 8, 14}
_GRAPH = {"node": 1, "tensor": 5, "in": 11, "out": 12}
_GRAPH_KNOWN = {1, 2, 5, 10, 11, 12, 13, 14, 16}
_NODE = {"in": 1, "out": 2, "operator": 4, "attribute": 5, "domain": 7}
_NODE_KNOWN = set(range(1, 10))
_ATTRIBUTE_REFUSED, _ATTRIBUTE_TENSORS = {6, 11, 14, 15, 22, 23}, {5, 10}
_TENSOR = {"dims": 1, "type": 2, "name": 8, "location": 14}
_TENSOR_REFUSED, _TENSOR_DATA = {3, 6, 13}, {4, 5, 7, 9, 10, 11}

Value = int | memoryview
Described = tuple[int, tuple[int | None, ...]]  # type and shape; None is any size


class _Bad(ValueError):
    """What is wrong with the file."""


def check(data: bytes, where: str, *, side: int, has_maps: bool) -> None:
    """Check the structure of an ONNX file.

    Args:
        data: its bytes.
        where: its path, for errors.
        side: H and W of the input.
        has_maps: whether it must have the output `maps`.

    Raises:
        BundleError: with what is wrong.
    """
    try:
        _Reader(side, {LOGITS, MAPS} if has_maps else {LOGITS}).model(memoryview(data))
    except (_Bad, IndexError, UnicodeDecodeError) as error:
        reason = str(error) if isinstance(error, _Bad) else "it is not an ONNX file"
        raise BundleError(f"{where} is refused: {reason}") from error


class _Reader:
    def __init__(self, side: int, outputs: set[str]) -> None:
        self._side = side
        self._outputs = outputs
        self._fields = 0
        self._nodes: list[tuple[list[str], list[str]]] = []  # names of inputs and outputs

    def model(self, data: memoryview) -> None:
        graphs = 0
        opsets = []
        for field, value in self._read(data):
            if field not in _MODEL_KNOWN:
                raise _Bad(f"the model has field {field}, such as functions or training")
            if field == _MODEL["graph"]:
                graphs += 1
                self._graph(_message(value))
            elif field == _MODEL["opset"]:
                parts = dict(self._read(_message(value)))
                if _text(parts.get(1, b"")) in _OWN_DOMAIN:
                    opsets.append(parts.get(2, 0))
        if graphs != 1:
            raise _Bad(f"it has {graphs} graphs")
        if len(opsets) != 1 or opsets[0] not in _OPSETS:
            raise _Bad(f"it has opset {opsets}; 7 to 26 are read")

    def _graph(self, data: memoryview) -> None:
        inputs: dict[str, Described] = {}
        outputs: dict[str, Described] = {}
        weights: set[str] = set()
        for field, value in self._read(data):
            if field not in _GRAPH_KNOWN:
                raise _Bad(f"the graph has field {field}, such as sparse weights")
            if field == _GRAPH["node"]:
                self._node(_message(value))
            elif field == _GRAPH["tensor"]:
                weights.add(self._tensor(_message(value)))
            elif field in (_GRAPH["in"], _GRAPH["out"]):
                name, kind, shape = self._described(_message(value))
                (inputs if field == _GRAPH["in"] else outputs)[name] = (kind, shape)
        self._check_order()
        inputs = {name: one for name, one in inputs.items() if name not in weights}
        if set(inputs) != {PIXELS} or set(outputs) != self._outputs:
            raise _Bad(
                f"its inputs are {_names(inputs)} and its outputs {_names(outputs)}, "
                f"not {PIXELS} and {_names(self._outputs)}"
            )
        kind, shape = inputs[PIXELS]
        fitting = (None, 3, self._side, self._side)
        if kind != _FLOAT or len(shape) != 4 or shape[1:] != fitting[1:]:
            raise _Bad(f"its input is {shape} of type {kind}, not float32 {list(fitting)}")
        if shape[0] not in (None, 0):
            raise _Bad(f"its batch size is fixed at {shape[0]}")
        if any(kind != _FLOAT for kind, _ in outputs.values()):
            raise _Bad("its outputs are not float32")

    def _node(self, data: memoryview) -> None:
        inputs: list[str] = []
        outputs: list[str] = []
        self._nodes.append((inputs, outputs))
        if len(self._nodes) > _MOST_NODES:
            raise _Bad(f"it has more than {_MOST_NODES:,} nodes")
        operator = domain = ""
        for field, value in self._read(data):
            if field not in _NODE_KNOWN:
                raise _Bad(f"a node has field {field}")
            if field in (_NODE["in"], _NODE["out"]):
                if len(_message(value)) > _MOST_NAME:
                    raise _Bad(f"a node has a name of over {_MOST_NAME:,} bytes")
                (inputs if field == _NODE["in"] else outputs).append(_text(value))
            elif field == _NODE["operator"]:
                operator = _text(value)
            elif field == _NODE["domain"]:
                domain = _text(value)
            elif field == _NODE["attribute"]:
                self._attribute(_message(value))
        if domain not in _OWN_DOMAIN or operator in _REFUSED:
            raise _Bad(f"it has the operator {domain[:50]}:{operator[:50]}")

    def _check_order(self) -> None:
        """Check that the nodes can be computed one after the other."""
        makers: dict[str, int] = {}
        for number, (_, outputs) in enumerate(self._nodes):
            for name in filter(None, outputs):
                if name in makers:
                    raise _Bad(f"two nodes make {name[:50]}")
                makers[name] = number
        needed = {
            number: {makers[name] for name in inputs if name in makers}
            for number, (inputs, _) in enumerate(self._nodes)
        }
        try:
            TopologicalSorter(needed).prepare()
        except CycleError as error:
            raise _Bad("its nodes form a cycle") from error

    def _attribute(self, data: memoryview) -> None:
        for field, value in self._read(data):
            if field in _ATTRIBUTE_REFUSED:
                raise _Bad("it has an attribute with a graph, a sparse tensor or a type")
            if field in _ATTRIBUTE_TENSORS:
                self._tensor(_message(value))

    def _tensor(self, data: memoryview) -> str:
        """Check a tensor, and return its name."""
        dims: list[int] = []
        kind, stored, name = 0, 0, ""
        for field, value in self._read(data):
            if field == _TENSOR["dims"]:
                dims += [value] if isinstance(value, int) else _varints(value)
            elif field == _TENSOR["type"]:
                kind = value if isinstance(value, int) else 0
            elif field == _TENSOR["name"]:
                name = _text(value)
            elif field in _TENSOR_REFUSED or (field == _TENSOR["location"] and value != 0):
                raise _Bad("it has a tensor that is in another file, in segments, or of text")
            elif field in _TENSOR_DATA:
                stored += len(value) if isinstance(value, memoryview) else 8
        if kind not in _TYPES:
            raise _Bad(f"it has a tensor of type {kind}")
        if len(dims) > _MOST_DIMENSIONS or any(size >= 2**31 for size in dims):
            raise _Bad(f"it has a tensor of shape {dims[:9]}")
        # In the typed fields a number takes one byte or more, whatever its type.
        if math.prod(dims) > stored:
            raise _Bad(f"it has a tensor of shape {dims} with {stored} bytes")
        return name

    def _described(self, data: memoryview) -> tuple[str, int, tuple[int | None, ...]]:
        """Return name, type and shape of an input or output; None is any size."""
        name, kind = "", 0
        shape: list[int | None] = []
        for field, value in self._read(data):
            if field == 1:
                name = _text(value)
            elif field == 2:
                tensor = dict(self._read(_message(value))).get(1)
                if tensor is None:
                    raise _Bad(f"{name[:50]} is not a tensor")
                for part, inner in self._read(_message(tensor)):
                    if part == 1 and isinstance(inner, int):
                        kind = inner
                    elif part == 2:
                        for _, dimension in self._read(_message(inner)):
                            size = dict(self._read(_message(dimension))).get(1)
                            shape.append(size if isinstance(size, int) else None)
        return name, kind, tuple(shape)

    def _read(self, data: memoryview) -> Iterator[tuple[int, Value]]:
        """Yield the fields of a message: numbers, and the rest as bytes."""
        place = 0
        while place < len(data):
            self._fields += 1
            if self._fields > _MOST_FIELDS:
                raise _Bad(f"it has more than {_MOST_FIELDS:,} fields")
            key, place = _varint(data, place)
            field, wire = key >> 3, key & 7
            if wire == 0:
                number, place = _varint(data, place)
                yield field, number
                continue
            if wire == 2:
                size, place = _varint(data, place)
            elif wire in (1, 5):
                size = 8 if wire == 1 else 4
            else:
                raise _Bad("it is not an ONNX file")
            if place + size > len(data):
                raise _Bad("it is cut off")
            yield field, data[place : place + size]
            place += size


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """Return a number of at most 64 bits, and the place after it."""
    number = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
    raise _Bad("it is not an ONNX file")


def _varints(data: memoryview) -> list[int]:
    found, place = [], 0
    while place < len(data):
        number, place = _varint(data, place)
        found.append(number)
        if len(found) > _MOST_DIMENSIONS:
            break
    return found


def _message(value: Value | bytes) -> memoryview:
    if isinstance(value, int):
        raise _Bad("it is not an ONNX file")
    return memoryview(value)


def _text(value: Value | bytes) -> str:
    return bytes(_message(value)[:_MOST_NAME]).decode()


def _names(named: Iterable[str]) -> str:
    return ", ".join(sorted(name[:50] for name in named)[:5]) or "none"
