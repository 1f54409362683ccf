"""What Hugging Face's and timm's programs write in files next to the weights.

`config.json` has the classes and what the network computes, `preprocessor_config.json` the input.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from classifier.statedict import WeightsError
from pictures.text import printable

_MOST_BYTES = 2**26
_NETWORK, _INPUT = "config.json", "preprocessor_config.json"
# Names of Pillow's filters. Source: PIL.Image.Resampling.
_FILTERS = {0: "nearest", 2: "bilinear", 3: "bicubic"}
# What torchvision's networks compute, where the same weights can be of something else.
# Source: transformers/models/resnet/configuration_resnet.py, vit/configuration_vit.py.
_COMPUTED: dict[str, dict[str, object]] = {
    "resnet": {
        "hidden_act": "relu",
        "downsample_in_bottleneck": False,
        "downsample_in_first_stage": False,
    },
    "vit": {"hidden_act": "gelu"},
}


def read(weights: Path) -> dict[str, object]:
    """Return what the files next to weights say of classes, network and input, by their names.

    The names are those of `statedict.opened`, after the name of the file. A file that is not there
    or cannot be read says nothing.
    """
    network, picture = _json(weights, _NETWORK), _json(weights, _INPUT)
    inner = network.get("pretrained_cfg")
    timm = inner if isinstance(inner, Mapping) else {}
    stated: dict[str, object] = {}
    for name in ("mean", "std", "input_size", "interpolation"):
        stated[f"{_NETWORK}.{name}"] = timm.get(name)
    stated[f"{_NETWORK}.architecture"] = network.get("architecture")
    stated[f"{_NETWORK}.class_names"] = network.get("label_names")
    labels = network.get("id2label")
    if isinstance(labels, Mapping) and any(labels[key] != f"LABEL_{key}" for key in labels):
        stated[f"{_NETWORK}.id2label"] = labels
    is_plain = picture.get("do_normalize") is False
    stated[f"{_INPUT}.image_mean"] = [0, 0, 0] if is_plain else picture.get("image_mean")
    stated[f"{_INPUT}.image_std"] = [1, 1, 1] if is_plain else picture.get("image_std")
    stated[f"{_INPUT}.image_size"] = _side(picture)
    filter_ = picture.get("resample")
    stated[f"{_INPUT}.interpolation"] = _FILTERS.get(filter_) if type(filter_) is int else None
    return {name: value for name, value in stated.items() if value is not None}


def check(weights: Path, network: nn.Module) -> None:
    """Check that a network computes what `config.json` next to its weights says.

    Raises:
        WeightsError: it computes something else.
    """
    stated = _json(weights, _NETWORK)
    kind = stated.get("model_type")
    expected = dict(_COMPUTED.get(kind, {})) if isinstance(kind, str) else {}
    heads = [one.num_heads for one in network.modules() if isinstance(one, nn.MultiheadAttention)]
    if kind == "vit" and heads:
        expected["num_attention_heads"] = heads[0]
    for name, value in expected.items():
        if stated.get(name, value) != value:
            raise WeightsError(
                f"{_NETWORK} next to it has {name} {printable(json.dumps(stated[name]))[:100]}, "
                f"and torchvision's network computes with {json.dumps(value)}: the same weights "
                "would give other answers. Register the network as an architecture of your own, "
                "or train one of torchvision's"
            )


def _json(weights: Path, name: str) -> Mapping[str, Any]:
    path = weights.with_name(name)
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return {}
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _side(picture: Mapping[str, Any]) -> object:
    """Return the side of the input in pixels: of the crop, or of the resize without one."""
    sizes = [picture.get("size")]
    if picture.get("do_center_crop"):
        sizes.insert(0, picture.get("crop_size"))
    for size in sizes:
        if isinstance(size, Mapping):
            return size.get("height", size.get("shortest_edge"))
        if size is not None:
            return size
    return None
