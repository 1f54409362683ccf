"""Names of the same networks in other packages and in older files, turned into torchvision's.

timm's ResNets have torchvision's names already.
"""

import re
from collections.abc import Mapping

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
# Hugging Face's ViTForImageClassification. Source: transformers/models/vit/modeling_vit.py.
_VIT = (
    (r"(?:vit\.)?embeddings\.cls_token$", "class_token"),
    (r"(?:vit\.)?embeddings\.position_embeddings$", "encoder.pos_embedding"),
    (r"(?:vit\.)?embeddings\.patch_embeddings\.projection\.", "conv_proj."),
    (r"(?:vit\.)?encoder\.layer\.(\d+)\.", _VIT_BLOCK),
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
# torchvision's own files of DenseNet and ViT have names that its networks have no longer.
# Source: torchvision/models/densenet.py, vision_transformer.py.
_OLD = (
    (r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2."),
    (r"(encoder_layer_\d+\.mlp)\.linear_1\.", r"\1.0."),
    (r"(encoder_layer_\d+\.mlp)\.linear_2\.", r"\1.3."),
)
# A name that only one of them has, and its rules.
_PACKAGES = (
    ("embedder.embedder.convolution.weight", _RESNET),
    ("embeddings.patch_embeddings.projection.weight", _VIT),
    ("cls_token", _TIMM_VIT),
)


def translate(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors by today's names of torchvision if another package's network is recognised.

    Other tensors keep their names. Query, key and value of attention become one tensor.
    """
    rules = next(
        (rules for mark, rules in _PACKAGES if any(name.endswith(mark) for name in tensors)), _OLD
    )
    renamed = {_rename(name, rules): tensor for name, tensor in tensors.items()}
    return _join_attention(renamed)


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
