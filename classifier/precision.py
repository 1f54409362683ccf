"""The precisions that a device computes in at full speed."""

import torch

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def computes_bf16(device: torch.device) -> bool:
    """Return whether the hardware has bfloat16; emulation would be slower."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
