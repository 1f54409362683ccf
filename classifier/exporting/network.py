"""A network as ONNX: standard operators only, any batch size, the same logits as in torch.

pixels   float32 [batch, 3, H, W]   normalised, as the network takes them
logits   float32 [batch, classes]
maps     float32 [batch, D, h, w]   the last feature maps, where the network allows it (maps.py)
"""

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from classifier.exporting import maps
from classifier.exporting.session import LOGITS, PIXELS, predictor
from classifier.transform import Floats

# Source: benchmarks/results/README.md. Float32 in another order differs by about 1e-6.
PARITY = 1e-4
OPSET = 17  # has every operator of these networks, and each engine reads it
_MOST_BYTES = 2**31 - 1  # of a protobuf message
_GRAPH_BYTES = 2**24  # at most, in addition to the weights


class ExportError(ValueError):
    """A network that cannot be exported, or an export that computes something else."""


def export(network: nn.Module, side: int) -> bytes:
    """Return a network as an ONNX file.

    Args:
        network: float32, on the CPU, in evaluation mode, without hooks.
        side: H and W of its pictures, pixels.

    Raises:
        ExportError: it cannot be exported, or its logits differ from torch's by over `PARITY`.
    """
    check_bytes(network)
    # Tracing takes a second or two; dynamo ten times as long, and it exports what tracing cannot.
    reasons = []
    for way in (_trace, _dynamo):
        try:
            model = way(network, side)
            difference = compare(model, network, side)
        except Exception as error:  # exporters raise anything
            reasons.append(f"{type(error).__name__}: {error}")
            continue
        if difference <= PARITY:
            return _with_maps(model, network, side)
        reasons.append(f"its logits differ from torch's by {difference:.1e}")
    raise ExportError("; ".join(reason.splitlines()[0][:300] for reason in reasons))


def check_bytes(network: nn.Module) -> None:
    """Raise ExportError if a network's weights do not fit into an ONNX file."""
    size = sum(one.nbytes for one in network.state_dict().values())
    if size > _MOST_BYTES - _GRAPH_BYTES:
        raise ExportError(f"its weights have {size:,} bytes, more than an ONNX file can hold")


def compare(model: bytes, network: nn.Module, side: int) -> float:
    """Return the largest difference of logits from torch's, relative to the largest if over 1.

    The batch has another size than that of the export, so a fixed batch size is found.
    """
    pictures = _noise(3, side)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pictures)).numpy()
    found = predictor(model, flip=False)(pictures)
    if found.shape != expected.shape:
        return float("inf")
    difference = float(np.abs(found - expected).max()) / max(1.0, float(np.abs(expected).max()))
    return difference if np.isfinite(difference) else float("inf")


def _with_maps(model: bytes, network: nn.Module, side: int) -> bytes:
    return maps.add(model, network, _noise(2, side))


def _trace(network: nn.Module, side: int) -> bytes:
    buffer = io.BytesIO()
    with _exporting(), torch.no_grad():
        torch.onnx.export(
            network,
            (torch.from_numpy(_noise(2, side)),),
            buffer,  # type: ignore[arg-type] # it takes a file too
            dynamo=False,
            input_names=[PIXELS],
            output_names=[LOGITS],
            dynamic_axes={PIXELS: {0: "batch"}, LOGITS: {0: "batch"}},
            opset_version=OPSET,
        )
    return buffer.getvalue()


def _dynamo(network: nn.Module, side: int) -> bytes:
    with _exporting(), torch.no_grad():
        program = torch.onnx.export(
            network,
            (torch.from_numpy(_noise(2, side)),),
            dynamo=True,
            input_names=[PIXELS],
            output_names=[LOGITS],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=18,  # dynamo's first
            verbose=False,
        )
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    return data


@contextlib.contextmanager
def _exporting() -> Iterator[None]:
    """Prepare torch for an export, and keep what exporters print out of the log.

    They warn, and print the whole graph from C++ if they fail. Attention's fast path is one
    operator, which ONNX does not have.
    """
    quiet = logging.getLogger("torch.onnx")
    level, fast = quiet.level, torch.backends.mha.get_fastpath_enabled()
    quiet.setLevel(logging.CRITICAL)
    torch.backends.mha.set_fastpath_enabled(False)
    sys.stdout.flush()
    sys.stderr.flush()
    copies = {number: os.dup(number) for number in (1, 2)}
    try:
        with (
            Path(os.devnull).open("wb") as nowhere,
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            for number in copies:
                os.dup2(nowhere.fileno(), number)
            warnings.simplefilter("ignore")
            yield
    finally:
        for number, copied in copies.items():
            os.dup2(copied, number)
            os.close(copied)
        torch.backends.mha.set_fastpath_enabled(fast)
        quiet.setLevel(level)


def _noise(count: int, side: int) -> Floats:
    draw = np.random.default_rng(0)
    return draw.standard_normal((count, 3, side, side), dtype=np.float32)
