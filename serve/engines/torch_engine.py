"""Torch: on GPUs, and on processors for bundles whose network is not in the open format."""

import hashlib
from collections.abc import MutableMapping
from typing import Any

import torch

from classifier import inference
from classifier.bundle import Bundle, load
from classifier.inference import PRECISIONS, computes_bf16
from classifier.transform import Floats
from serve.engines import gradcam
from serve.engines.engine import in_parts

__all__ = ["TorchEngine", "choose_device", "load", "precisions"]


def choose_device(setting: str, gpu: int | None = None) -> torch.device:
    """Return the device to run on.

    Args:
        setting: `auto` (a GPU if there is one), `cpu` or `cuda`.
        gpu: the GPU that the model server assigned to this worker, if any.

    Raises:
        ValueError: `cuda` without a GPU.
    """
    if setting == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "KENNEL_DEVICE=cuda, but no GPU is visible: run the container with its GPUs, "
            "or set KENNEL_DEVICE=auto"
        )
    if setting == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", gpu or 0)


def precisions(setting: str, device: torch.device) -> list[str]:
    """Return the precisions to try, best first.

    `auto` is bfloat16 where the processor or GPU computes in it, then float32 in case the golden
    logits differ too much.

    Args:
        setting: `auto`, `fp32` or `bf16`.
        device: where the network will run.
    """
    if setting != "auto":
        return [setting]
    return ["bf16", "fp32"] if computes_bf16(device) else ["fp32"]


class TorchEngine:
    """A bundle's network, prepared for inference; the bundle's own network is not changed.

    Args:
        bundle: as loaded.
        device: where to run.
        threads: processor threads for one forward pass.
        precision: of weights and activations: `fp32` or `bf16`.
        max_batch: most pictures in one forward pass.

    Raises:
        MemoryError: the GPU's memory is too small too.
    """

    name = "torch"

    def __init__(
        self,
        bundle: Bundle,
        device: torch.device,
        threads: int,
        precision: str = "fp32",
        max_batch: int = 32,
    ) -> None:
        torch.set_num_threads(threads)
        # TF32 changes logits by 1e-3 of their size, which is all that the golden logits allow.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        self.precision = precision
        self.device = str(device)
        self._device = device
        self._flip = bundle.description.test_time_flip
        self._max_batch = max_batch
        try:
            self.network = inference.prepare(
                bundle.network,
                device,
                PRECISIONS[precision],
            )
        except torch.OutOfMemoryError as error:
            raise MemoryError(str(error)) from error

    def predict(self, pixels: Floats) -> Floats:
        """Return logits, float32 [B, C], for float32 [B, 3, H, W]."""
        with torch.inference_mode():
            return in_parts(self._predict, pixels, self._max_batch, flip=self._flip)

    def explain(self, pixels: Floats, target: int) -> bytes:
        """Return a heat map of float32 [3, H, W] for class `target`, a PNG.

        Raises:
            RequestError: 400, the network has no feature maps.
        """
        return gradcam.explain(self.network, self._to_device(pixels[None]), target)

    def share_weights(self, known: MutableMapping[str, Any]) -> None:
        """Use equal tensors of `known` instead of its own, and add the others."""
        for module in self.network.modules():
            tensors: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
            for own in tensors:
                for name, tensor in own.items():
                    if tensor is not None:
                        own[name] = known.setdefault(_digest(tensor), tensor)

    def _predict(self, pixels: Floats) -> Floats:
        logits: Floats = self.network(self._to_device(pixels)).float().cpu().numpy()
        return logits

    def _to_device(self, pixels: Floats) -> torch.Tensor:
        return torch.from_numpy(pixels).to(
            device=self._device,
            dtype=PRECISIONS[self.precision],
            memory_format=torch.channels_last,
        )


def _digest(tensor: torch.Tensor) -> str:
    layout = f"{tensor.dtype} {tuple(tensor.shape)} {tensor.device} {tensor.stride()}"
    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return layout + hashlib.sha256(data.numpy().data).hexdigest()
