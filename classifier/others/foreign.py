"""Names of the same networks in other packages and in older files, turned into torchvision's.

timm's ResNets have torchvision's names already. What names mean that cannot be used is here too.
"""

import re
from collections.abc import Collection, Iterable, Mapping

import torch

# Hugging Face's ResNetForImageClassification.
# Source: transformers/models/resnet/modeling_resnet.py, convert_resnet_to_pytorch.py.
_RESNET = (
    (r"(?:resnet\.)?embedder\.embedder\.convolution\.", "conv1."),
    (r"(?:resnet\.)?embedder\.embedder\.normalization\.", "bn1."),
    (r"(?:resnet\.)?encoder\.stages\.(\d+)\.layers\.(\d+)\.", r"layer<\1>.\2."),
    (r"shortcut\.convolution\.", "downsample.0."),
    (r"shortcut\.normalization\.", "downsample.1."),
    (r"layer\.(\d+)\.convolution\.", r"conv<\1>."),
    (r"layer\.(\d+)\.normalization\.", r"bn<\1>."),
    (r"classifier\.1\.", "fc."),
)
_VIT_BLOCK = r"encoder.layers.encoder_layer_\1."
# Hugging Face's ViTForImageClassification. Source: transformers/models/vit/modeling_vit.py, of
# versions 4 and 5: a state dict of version 5 has names that `save_pretrained` does not write.
_VIT = (
    (r"(?:vit\.)?embeddings\.cls_token$", "class_token"),
    (r"(?:vit\.)?embeddings\.position_embeddings$", "encoder.pos_embedding"),
    (r"(?:vit\.)?embeddings\.patch_embeddings\.projection\.", "conv_proj."),
    (r"(?:vit\.)?encoder\.layer\.(\d+)\.", _VIT_BLOCK),
    (r"(?:vit\.)?layers\.(\d+)\.", _VIT_BLOCK),
    (r"attention\.q_proj\.", "self_attention.query."),
    (r"attention\.k_proj\.", "self_attention.key."),
    (r"attention\.v_proj\.", "self_attention.value."),
    (r"attention\.o_proj\.", "self_attention.out_proj."),
    (r"mlp\.fc1\.", "mlp.0."),
    (r"mlp\.fc2\.", "mlp.3."),
    (r"attention\.attention\.", "self_attention."),
    (r"attention\.output\.dense\.", "self_attention.out_proj."),
    (r"layernorm_before\.", "ln_1."),
    (r"layernorm_after\.", "ln_2."),
    (r"intermediate\.dense\.", "mlp.0."),
    (r"output\.dense\.", "mlp.3."),
    (r"(?:vit\.)?layernorm\.", "encoder.ln."),
    (r"classifier\.", "heads.head."),
)
# timm's VisionTransformer. Source: timm/models/vision_transformer.py.
_TIMM_VIT = (
    (r"cls_token$", "class_token"),
    (r"pos_embed$", "encoder.pos_embedding"),
    (r"patch_embed\.proj\.", "conv_proj."),
    (r"blocks\.(\d+)\.", _VIT_BLOCK),
    (r"attn\.qkv\.", "self_attention.in_proj_"),
    (r"attn\.proj\.", "self_attention.out_proj."),
    (r"norm1\.", "ln_1."),
    (r"norm2\.", "ln_2."),
    (r"mlp\.fc1\.", "mlp.0."),
    (r"mlp\.fc2\.", "mlp.3."),
    (r"norm\.", "encoder.ln."),
    (r"head\.", "heads.head."),
)
# torchvision's own files of DenseNet and ViT have names that its networks have no longer; PyTorch's
# example for ImageNet wraps the convolutions of AlexNet and VGG in DataParallel.
# Source: torchvision/models/densenet.py, vision_transformer.py; pytorch/examples imagenet/main.py.
_OLD = (
    (r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2."),
    (r"(encoder_layer_\d+\.mlp)\.linear_1\.", r"\1.0."),
    (r"(encoder_layer_\d+\.mlp)\.linear_2\.", r"\1.3."),
    (r"features\.module\.", "features."),
)
# What names of weights mean that are computed from others, and how to compute them for good.
# Source: torch/nn/utils (prune.py, parametrize.py, weight_norm.py, spectral_norm.py), torch/ao.
_COMPUTED = {
    r"weight_mask$": "it is pruned: call torch.nn.utils.prune.remove(layer, 'weight')",
    r"parametrizations\.": "its weights are computed from others: call "
    "torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight')",
    r"weight_g$": "its weights are normalised: call torch.nn.utils.remove_weight_norm(layer)",
    r"weight_u$": "its weights are normalised: call torch.nn.utils.remove_spectral_norm(layer)",
    r"(lora_|_fake_quant\.|activation_post_process\.|_packed_params)": "it was prepared for "
    "quantisation, or has adapters: take the network before that, or with them merged",
    r"^(model\.)?(\d+\.)+(weight|bias|running_mean)$": "its names are the numbers of "
    "nn.Sequential, as of fastai: load them into the network itself",
}
# Names in their other networks, which are not turned. Source: timm/models (efficientnet.py,
# convnext.py, regnet.py, swin_transformer.py, vgg.py), transformers/models.
_UNREAD = {
    "timm": r"(conv_stem|stem\.conv|stages\.\d+\.(blocks|b\d+)|layers\.\d+\.blocks|pre_logits)\.",
    "Hugging Face": r"(beit|convnext(v2)?|deit|dinov2|efficientnet|mobilenet_v\d|regnet|swin)\.",
}
# A name that only one of them has, its rules, and what it is.
_PACKAGES = (
    ("embedder.embedder.convolution.weight", _RESNET, "Hugging Face's ResNet"),
    ("embeddings.patch_embeddings.projection.weight", _VIT, "Hugging Face's ViT"),
    ("cls_token", _TIMM_VIT, "timm's ViT"),
)


def translate(
    tensors: Mapping[str, torch.Tensor], own: Collection[str]
) -> tuple[dict[str, torch.Tensor], str]:
    """Return tensors by today's names of torchvision if another package's network is recognised.

    Other tensors keep their names. Query, key and value of attention become one tensor.

    Args:
        tensors: of a file.
        own: the network's names: a network of another package keeps its own.

    Returns:
        The tensors, and the other package's network; empty for torchvision's.
    """
    found = next((one for one in _PACKAGES if _has(tensors, one[0])), None)
    if found and _has(own, found[0]):
        return dict(tensors), ""
    rules, package = found[1:] if found else (_OLD, "")
    renamed = {_rename(name, rules): tensor for name, tensor in tensors.items()}
    return _join_attention(renamed), package


def hints(missing: Collection[str], unknown: Collection[str], inside: Collection[str]) -> list[str]:
    """Return what to do about tensors that a network does not have.

    Args:
        missing: names of the network that are not in the file.
        unknown: names of the file that the network does not have.
        inside: all names of the file.
    """
    layers = tuple(name.removesuffix("weight") for name in missing if name.endswith("weight"))
    near = [*unknown, *(name for name in inside if name.startswith(layers))]
    cures = [
        f"{cure}, and save the state dict again"
        for pattern, cure in _COMPUTED.items()
        if any(re.search(pattern, name) for name in near)
    ]
    packages = (
        package
        for package, pattern in _UNREAD.items()
        if any(re.search(rf"(^|\.){pattern}", name) for name in unknown)
    )
    return cures + [
        f"its names are those of {package}, of which ResNet and ViT are read: register its network "
        "as an architecture of your own, or train torchvision's"
        for package in packages
    ]


def _has(names: Iterable[str], mark: str) -> bool:
    return any(name.endswith(mark) for name in names)


def _rename(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        name = re.sub(rf"(?<![a-z0-9_]){pattern}", replacement, name)
    return re.sub(r"<(\d+)>", lambda found: str(int(found[1]) + 1), name)  # they count from 0


def _join_attention(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for part in ("weight", "bias"):
        for name in [name for name in tensors if name.endswith(f"self_attention.query.{part}")]:
            path = name.removesuffix(f"query.{part}")
            names = [f"{path}{each}.{part}" for each in ("query", "key", "value")]
            if all(each in tensors for each in names):
                tensors[f"{path}in_proj_{part}"] = torch.cat([tensors.pop(each) for each in names])
    return tensors
