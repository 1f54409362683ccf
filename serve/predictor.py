"""The network on its device: pixels in, logits out, as fast as the machine can."""

import torch

from classifier import inference, mirror
from classifier.bundle import Bundle
from classifier.precision import PRECISIONS, computes_bf16
from serve import gradcam

# How much further than float32's the golden logits may come out: 8 bits of mantissa for 24, through
# some fifty layers. Measured: 0.5 to 2 % of the greatest logit.
TOLERATED = {torch.float32: 1, torch.bfloat16: 50}


def choose_device(wish: str, gpu: int | None = None) -> torch.device:
    """Return the device to run on.

    Args:
        wish: `auto` (a GPU where there is one), `cpu` or `cuda`.
        gpu: the GPU that the model server gave to this worker, if it gave one.

    Raises:
        ValueError: a GPU is asked for and there is none.
    """
    if wish == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "KENNEL_DEVICE=cuda, but no GPU can be seen: run the container with its GPUs, "
            "or set KENNEL_DEVICE=auto"
        )
    if wish == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", gpu or 0)


def choose_precisions(wish: str, device: torch.device) -> list[torch.dtype]:
    """Return the precisions to try, best first.

    `auto` is bfloat16 where the processor or GPU computes in it, and float32 should the golden
    inputs come out too far off in that.

    Args:
        wish: `auto`, `fp32` or `bf16`.
        device: where the network will run.
    """
    if wish != "auto":
        return [PRECISIONS[wish]]
    return [torch.bfloat16, torch.float32] if computes_bf16(device) else [torch.float32]


def batch_sizes(most: int) -> list[int]:
    """Return the batch sizes to lay weights out for, where batches have at most `most` pictures.

    One, two and three pictures each ask a processor for layouts of their own, and all more for one:
    benchmarks/serving_layouts.py.
    """
    return sorted({*range(1, min(3, most) + 1), most})


class Predictor:
    """A bundle's network, laid out for inference; the bundle keeps its own as it is.

    Args:
        bundle: as loaded.
        device: where to run.
        threads: processor threads for one forward pass.
        precision: of weights and activations.
        most: pictures that go through the network at once.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: torch.device,
        threads: int,
        precision: torch.dtype = torch.float32,
        most: int = 32,
    ) -> None:
        torch.set_num_threads(threads)
        # TF32 would move logits by 1e-3 of their size; the golden inputs allow no more than that.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        self.device = device
        self.precision = precision
        self._most = most
        self.network = inference.prepare(
            bundle.network,
            device,
            precision,
            side=bundle.description.transform.crop,
            batch_sizes=batch_sizes(most),
        )
        if bundle.description.test_time_flip:
            mirror.look_twice(self.network)

    def predict(self, batch: torch.Tensor) -> torch.Tensor:
        """Return logits, float32 [B, C] on the CPU, for float32 [B, 3, H, W]."""
        with torch.inference_mode():
            rows = [
                self.network(self._laid_out(part)).float().cpu()
                for part in torch.split(batch, self._most)
            ]
            return torch.cat(rows)

    def warm(self, side: int, size: int = 1) -> None:
        """Run once with a batch size: the first of its size costs more than the others."""
        self.predict(torch.zeros(size, 3, side, side))

    def explain(self, pixels: torch.Tensor, target: int) -> bytes:
        """Return a heat map, PNG, of what in float32 [3, H, W] spoke for class `target`.

        Raises:
            RequestError: 400, this network cannot be explained so.
        """
        return gradcam.heat_map(self.network, self._laid_out(pixels[None]), target)

    def _laid_out(self, batch: torch.Tensor) -> torch.Tensor:
        return batch.to(device=self.device, dtype=self.precision, memory_format=torch.channels_last)
