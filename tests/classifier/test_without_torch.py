"""A bundle is read and its golden inputs are prepared in a process that cannot import torch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from classifier import bundle, networks
from classifier.transform import EvaluationTransform

_READ = """
import sys
sys.modules |= {"torch": None, "torchvision": None}  # an import of them raises ImportError
from pathlib import Path
from classifier import description, golden
read = description.read(Path(sys.argv[1]))
pictures = golden.read(read)
pixels = golden.inputs(pictures.photos, read.description.transform)
print(read.description.architecture, pixels.shape, pixels.dtype, pictures.logits.shape)
"""


@pytest.mark.slow
def test_a_bundle_is_read_without_torch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    description = bundle.Description(
        architecture="resnet18",
        classes=("cat", "dog"),
        folders=("cat", "dog"),
        transform=EvaluationTransform(resize=36, crop=32),
    )
    made = bundle.make(networks.build("resnet18", 2), description, [Image.new("RGB", (50, 40))])
    bundle.save(made, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == "resnet18 (1, 3, 32, 32) float32 (1, 2)".split()
