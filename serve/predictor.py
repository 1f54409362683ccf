"""The network, ready to answer: on its device, with its threads, batch in and logits out."""

import torch

from classifier.bundle import Bundle


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


class Predictor:
    """A bundle's network in float32 on one device.

    Args:
        bundle: as loaded; its network is moved to `device`.
        device: where to run.
        threads: processor threads for one forward pass.
    """

    def __init__(self, bundle: Bundle, device: torch.device, threads: int) -> None:
        torch.set_num_threads(threads)
        # TF32 would move logits by 1e-3 of their size; the golden inputs allow no more than that.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        self.device = device
        self._network = bundle.network.to(device)

    def predict(self, batch: torch.Tensor) -> torch.Tensor:
        """Return logits, float32 [B, C] on the CPU, for float32 [B, 3, H, W]."""
        with torch.inference_mode():
            logits: torch.Tensor = self._network(batch.to(self.device))
            return logits.float().cpu()
