"""The versions of everything that turns a picture's bytes into features."""

import functools
import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from PIL import features

import classifier
import pictures
import train.batches

_PACKAGES = ("torch", "torchvision", "numpy", "pillow", "pillow-heif")
_CODECS = ("libjpeg_turbo", "jpg_2000", "zlib", "libtiff", "webp", "avif", "littlecms2")
_CODE = (pictures, classifier, train.batches)  # decoder, transform, network, random draws


@functools.cache
def of_the_numbers() -> str:
    """Return a text that differs if decoder, transform or arithmetic can give other numbers.

    It names the packages, the libraries inside Pillow (a JPEG decoder rounds in its own way), and a
    digest of Kennel's own code from a picture's bytes to the backbone's input.
    """
    found = [f"{name} {_package(name)}" for name in _PACKAGES]
    found += [f"{name} {features.version(name)}" for name in _CODECS if features.check(name)]
    return "; ".join([*found, f"code {_digest()}"])


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _digest() -> str:
    found = hashlib.sha256()
    for package in _CODE:
        (folder,) = package.__path__
        for file in sorted(Path(folder).rglob("*.py")):
            found.update(f"{package.__name__} {file.name}\n".encode() + file.read_bytes())
    return found.hexdigest()[:32]
