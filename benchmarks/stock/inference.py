"""The `inference.py` of a plain SageMaker endpoint, written for its inference toolkit.

As many endpoints run it: float32, one picture after the other, a worker for each core.
"""

import io
import json
import os
from pathlib import Path

import safetensors.torch
import torch
import torchvision
from PIL import Image
from torchvision import transforms

_PREPARE = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)


def model_fn(model_dir: str) -> torch.nn.Module:
    state = safetensors.torch.load_file(
        Path(os.environ.get("STOCK_BUNDLE", model_dir), "model.safetensors")
    )
    network: torch.nn.Module = torchvision.models.resnet50(num_classes=len(state["fc.bias"]))
    network.load_state_dict(state)
    return network.eval()


def input_fn(body: bytes, content_type: str) -> torch.Tensor:
    if content_type != "image/jpeg":
        raise ValueError(f"unsupported content type {content_type}")
    pixels: torch.Tensor = _PREPARE(Image.open(io.BytesIO(body)).convert("RGB"))
    return pixels.unsqueeze(0)


def predict_fn(pixels: torch.Tensor, network: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = network(pixels)
        return logits


def output_fn(logits: torch.Tensor, accept: str) -> str:  # noqa: ARG001
    return json.dumps(logits[0].tolist())
