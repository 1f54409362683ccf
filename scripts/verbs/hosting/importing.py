"""`kennel import`: a bundle of a model that Kennel did not train.

The work needs torch, so it runs in a process of its own: nothing of it is imported here.
"""

import importlib.util
from pathlib import Path
from typing import Annotated, Literal

import typer

from scripts.problem import Problem
from scripts.verbs.hosting import process

Numbers = Annotated[
    str | None, typer.Option(metavar="R,G,B", help="of red, green, blue from 0 to 1")
]


def import_(
    file: Annotated[
        Path,
        typer.Argument(help="weights: .pth, .pt, .bin, .safetensors", show_default=False),
    ],
    out: Annotated[Path, typer.Argument(help="a new folder, or a new .tar.gz", show_default=False)],
    architecture: Annotated[
        str, typer.Option(help="torchvision's name, such as resnet50", show_default=False)
    ],
    classes: Annotated[
        Path,
        typer.Option(help="a name on each line, or JSON, in order", show_default=False),
    ],
    photos: Annotated[
        Path | None, typer.Option(help="pictures to test it on, in class folders")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=16, max=1024, help="input side in pixels")
    ] = None,
    resize: Annotated[
        int | None, typer.Option(min=16, max=4096, help="shorter side before the crop")
    ] = None,
    mean: Numbers = None,
    std: Numbers = None,
    interpolation: Annotated[
        Literal["bilinear", "bicubic", "nearest"] | None, typer.Option(help="of the resize")
    ] = None,
) -> None:
    """Make a bundle of a model from elsewhere.

    Takes state dicts of torchvision's networks, of timm's and Hugging Face's
    ResNet and ViT, and TorchScript. Without options the input is made as for
    torchvision's pretrained weights. Nothing in the file is executed.
    """
    if importlib.util.find_spec("torch") is None:
        raise Problem("kennel import needs torch: pip install 'sagemaker-kennel[train]'")
    options: dict[str, object] = {
        "--architecture": architecture,
        "--classes": classes,
        "--photos": photos,
        "--image-size": image_size,
        "--resize": resize,
        "--mean": mean,
        "--std": std,
        "--interpolation": interpolation,
    }
    process.run("classifier.import_command", options, str(file), str(out))
