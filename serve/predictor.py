"""The network on its device, prepared for speed: pixels in, logits out."""

import torch

from classifier import inference, mirror
from classifier.bundle import Bundle
from classifier.inference import PRECISIONS, computes_bf16
from serve import gradcam

# The tolerance of golden logits, as a multiple of float32's: bfloat16 has 8 bits of mantissa
# instead of 24, in about fifty layers. Measured: 0.5 to 2 % of the largest logit.
TOLERANCE_FACTORS = {torch.float32: 1, torch.bfloat16: 50}


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


def choose_precisions(setting: str, device: torch.device) -> list[torch.dtype]:
    """Return the precisions to try, best first.

    `auto` is bfloat16 where the processor or GPU computes in it, then float32 in case the golden
    logits differ too much.

    Args:
        setting: `auto`, `fp32` or `bf16`.
        device: where the network will run.
    """
    if setting != "auto":
        return [PRECISIONS[setting]]
    return [torch.bfloat16, torch.float32] if computes_bf16(device) else [torch.float32]


def batch_sizes(largest: int) -> list[int]:
    """Return the batch sizes to lay out weights for, up to the largest batch.

    oneDNN prefers layouts of their own for one, two and three pictures, and one for all larger
    batches. Measured: benchmarks/results/serving-layouts-avx2.json.
    """
    return sorted({*range(1, min(3, largest) + 1), largest})


class Predictor:
    """A bundle's network, prepared for inference; the bundle's own network is not changed.

    Args:
        bundle: as loaded.
        device: where to run.
        threads: processor threads for one forward pass.
        precision: of weights and activations.
        max_batch: most pictures in one forward pass.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: torch.device,
        threads: int,
        precision: torch.dtype = torch.float32,
        max_batch: int = 32,
    ) -> None:
        torch.set_num_threads(threads)
        # TF32 changes logits by 1e-3 of their size, which is all that the golden logits allow.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        self.device = device
        self.precision = precision
        self._max_batch = max_batch
        self.network = inference.prepare(
            bundle.network,
            device,
            precision,
            side=bundle.description.transform.crop,
            batch_sizes=batch_sizes(max_batch),
        )
        if bundle.description.test_time_flip:
            mirror.add_test_time_flip(self.network)

    def predict(self, batch: torch.Tensor) -> torch.Tensor:
        """Return logits, float32 [B, C] on the CPU, for float32 [B, 3, H, W]."""
        with torch.inference_mode():
            rows = [
                self.network(self._to_device(part)).float().cpu()
                for part in torch.split(batch, self._max_batch)
            ]
            return torch.cat(rows)

    def warm(self, side: int, size: int = 1) -> None:
        """Run one batch of a size: the first of each size is slower."""
        self.predict(torch.zeros(size, 3, side, side))

    def explain(self, pixels: torch.Tensor, target: int) -> bytes:
        """Return a heat map of float32 [3, H, W] for class `target`, a PNG.

        Raises:
            RequestError: 400, the network has no feature maps.
        """
        return gradcam.heat_map(self.network, self._to_device(pixels[None]), target)

    def _to_device(self, batch: torch.Tensor) -> torch.Tensor:
        return batch.to(device=self.device, dtype=self.precision, memory_format=torch.channels_last)
