"""A frozen backbone that computes features: by OpenVINO on processors, else by torch."""

import logging
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version

import numpy as np
import torch
from torch import fx, nn

from classifier import inference, processor
from train.state.run import Run

# Converting takes seconds, which a few views of so many pixels win back: about 250 photos of
# 224 x 224, by the rates in benchmarks/results/engines.json and engines-avx2.json.
_WORTH_CONVERTING = 12_500_000
# The largest difference from torch's features, relative to the largest feature.
_PARITY = {"fp32": 1e-4, "bf16": 0.05}

Compute = Callable[[torch.Tensor], torch.Tensor]


class Backbone:
    """Computes the features of pictures.

    Args:
        front: the frozen part of a network, float32 [B, 3, H, W] -> [B, F], without random
            layers. It is not changed.
        run: the device, the precision, and the number of pictures. The choice of the engine depends
            on nothing else, so that a restarted job computes the same numbers.

    Attributes:
        engine: what computes, and its version: others give other last bits.
    """

    def __init__(self, front: nn.Module, run: Run) -> None:
        self.engine = "torch"
        network = inference.prepare(front, run.device)
        if run.device.type == "cuda":
            # Autocast chooses a type for each operator; a processor uses one type for all.
            self._compute = _with_torch(network, torch.float32, run.autocast)
            return
        precision = run.precision or torch.float32
        pictures = len(run.splits.train) + len(run.splits.valid)
        if pictures * run.transform.crop**2 >= _WORTH_CONVERTING:
            try:
                self._compute = _with_openvino(network, precision, run.transform.crop)
            except Exception as error:  # converters raise anything
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                run.job.log(
                    f"OpenVINO does not compute this backbone ({reason}): torch does, slower"
                )
            else:
                self.engine = f"openvino {version('openvino')}"
                return
        self._compute = _with_torch(network.to(precision), precision, nullcontext)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return [B, F] for float32 [B, 3, H, W], on the same device."""
        return self._compute(images)


def _with_torch(
    network: nn.Module,
    precision: torch.dtype,
    context: Callable[[], AbstractContextManager[object]],
) -> Compute:
    def compute(images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), context():
            features: torch.Tensor = network(images.to(precision))
        return features

    return compute


def _with_openvino(network: fx.GraphModule, precision: torch.dtype, side: int) -> Compute:
    """Return what computes features in as many threads as torch.

    Raises:
        Exception: the network cannot be converted, or computes something else then.
    """
    import openvino  # not above: on a GPU nothing needs it

    name = next(name for name, found in inference.PRECISIONS.items() if found is precision)
    fast = torch.backends.mha.get_fastpath_enabled()
    # One operator of torch for all of attention, which OpenVINO does not know.
    torch.backends.mha.set_fastpath_enabled(False)
    logger = logging.getLogger()
    level, filters, handlers = logger.level, list(logger.filters), list(logger.handlers)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # it traces, which torch calls deprecated
            model = openvino.convert_model(
                network, example_input=_noise(2, side), input=[-1, 3, side, side]
            )
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        # A conversion that fails leaves the log of the whole process at ERROR.
        logger.setLevel(level)
        logger.filters, logger.handlers = filters, handlers
    request = processor.compile_model(model, name, torch.get_num_threads()).create_infer_request()

    def compute(images: torch.Tensor) -> torch.Tensor:
        request.infer({0: images.contiguous().numpy()}, share_inputs=True)
        return torch.from_numpy(np.array(request.get_output_tensor(0).data, np.float32))

    _check(compute, network, side, _PARITY[name])
    return compute


def _check(compute: Compute, network: fx.GraphModule, side: int, tolerance: float) -> None:
    """Compare a batch of another size than the one that was traced."""
    images = _noise(3, side)
    with torch.inference_mode():
        expected = network(images)
    found = compute(images)
    if found.shape != expected.shape:
        raise ValueError(f"its features are {list(found.shape)}, torch's {list(expected.shape)}")
    difference = float((found - expected).abs().max() / expected.abs().max().clamp(min=1.0))
    if not difference <= tolerance:
        raise ValueError(f"its features differ from torch's by {difference:.1e}")


def _noise(count: int, side: int) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))
