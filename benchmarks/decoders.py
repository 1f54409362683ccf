"""Is another JPEG decoder faster than Pillow, and are its pixels those that training saw?

Each side decodes the same photos to an RGB picture of Pillow, which resizes it next, no larger than
serving needs; in turns, on one thread.
`large` are the same photos at 12 megapixels, which Pillow decodes at an eighth of their size. A
side without such a scaled decoder decodes them whole, or at the scale that it has.

The others are in no lock: they are read from a folder of their own.

    pip install --target build/decoders simplejpeg opencv-python-headless pyvips-binary pyvips \
        imagecodecs
    PYTHONPATH=build/decoders python -m benchmarks.decoders [--photos FOLDER] [--rounds 7]
"""

import argparse
import importlib
import importlib.metadata
import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, features
from torchvision import io as torchvision_io

from benchmarks.measuring import RESULTS, machine_load, spread, this_machine, write
from benchmarks.servers import jpegs
from benchmarks.training import REAL
from pictures.decoder import decode

AT_LEAST = 256  # pixels of the shorter side, as the transform of ImageNet needs
_LARGE = (4032, 3024)
Decode = Callable[[bytes], Image.Image]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=REAL / "dogs" / "test", help="JPEGs")
    parser.add_argument("--count", type=int, default=48, help="photos of each set")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULTS / "decoders.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    photos = [one.read_bytes() for one in jpegs(options.photos, options.count)]
    sets = {"as they are": photos, "large": [enlarged(one) for one in photos[:8]]}
    sides = all_sides()
    contents = {
        "command": f"python -m benchmarks.decoders --rounds {options.rounds}"
        f" --count {options.count}",
        "machine": this_machine(),
        "load before": machine_load(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES}
        | {"libjpeg-turbo of Pillow": features.version("libjpeg_turbo")},
        "sets": {name: measure(sides, some, options.rounds) for name, some in sets.items()},
    }
    write(options.out, contents)
    print(json.dumps(contents["sets"], indent=1))
    return 0


def enlarged(photo: bytes) -> bytes:
    """Return a photo with as many pixels as a phone's."""
    image = Image.open(io.BytesIO(photo)).convert("RGB")
    size = _LARGE if image.width >= image.height else _LARGE[::-1]
    out = io.BytesIO()
    image.resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


_PACKAGES = (
    "pillow",
    "torchvision",
    "simplejpeg",
    "opencv-python-headless",
    "pyvips-binary",
    "imagecodecs",
)


def all_sides() -> dict[str, Decode]:
    """Return the decoders, Pillow's first."""
    os.environ["VIPS_CONCURRENCY"] = "1"
    modules: dict[str, Any] = {
        name: importlib.import_module(name) for name in ("simplejpeg", "cv2", "pyvips")
    }
    codecs: Any = importlib.import_module("imagecodecs")
    simplejpeg, cv2, pyvips = modules.values()
    cv2.setNumThreads(1)

    def by_opencv(data: bytes) -> Image.Image:
        width, height = Image.open(io.BytesIO(data)).size
        scale = next((one for one in (8, 4, 2) if min(width, height) >= AT_LEAST * one), 1)
        flags = (
            cv2.IMREAD_IGNORE_ORIENTATION
            | {
                1: cv2.IMREAD_COLOR,
                2: cv2.IMREAD_REDUCED_COLOR_2,
                4: cv2.IMREAD_REDUCED_COLOR_4,
                8: cv2.IMREAD_REDUCED_COLOR_8,
            }[scale]
        )
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        return Image.fromarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))

    def by_vips(data: bytes) -> Image.Image:
        width, height = Image.open(io.BytesIO(data)).size
        scale = next((one for one in (8, 4, 2) if min(width, height) >= AT_LEAST * one), 1)
        image = pyvips.Image.jpegload_buffer(data, shrink=scale)
        return Image.fromarray((image if image.bands == 3 else image.colourspace("srgb")).numpy())

    def by_torchvision(data: bytes) -> Image.Image:
        tensor = torch.from_numpy(np.frombuffer(data, np.uint8).copy())
        decoded = torchvision_io.decode_jpeg(tensor, torchvision_io.ImageReadMode.RGB)
        return Image.fromarray(decoded.permute(1, 2, 0).numpy())

    def by_imagecodecs(data: bytes) -> Image.Image:
        return Image.fromarray(codecs.jpeg8_decode(data)).convert("RGB")

    return {
        "pillow": by_pillow,
        "kennel (pillow, with its checks)": lambda data: decode(data, at_least=AT_LEAST),
        "simplejpeg, any eighth": lambda data: Image.fromarray(
            simplejpeg.decode_jpeg(data, "RGB", min_height=AT_LEAST, min_width=AT_LEAST)
        ),
        "simplejpeg, whole": lambda data: Image.fromarray(simplejpeg.decode_jpeg(data, "RGB")),
        "opencv": by_opencv,
        "pyvips": by_vips,
        "torchvision, whole": by_torchvision,
        "imagecodecs, whole": by_imagecodecs,
    }


def by_pillow(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.draft(None, (AT_LEAST, AT_LEAST))
    return image.convert("RGB")


def measure(sides: dict[str, Decode], photos: list[bytes], rounds: int) -> dict[str, Any]:
    """Return for each side: ms for a photo, the ratio to Pillow, and how its pixels differ."""
    wanted = [np.asarray(by_pillow(one)) for one in photos]
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):  # the first warms up
        for name, side in list(sides.items())[:: -1 if turn % 2 else 1]:
            began = time.process_time()
            for photo in photos:
                side(photo)
            if turn:
                taken[name].append(1e3 * (time.process_time() - began) / len(photos))
    found: dict[str, Any] = {}
    for name, side in sides.items():
        pairs = [(np.asarray(side(photo)), one) for photo, one in zip(photos, wanted, strict=True)]
        same_shape = [(one, other) for one, other in pairs if one.shape == other.shape]
        ratios = [one / other for one, other in zip(taken[name], taken["pillow"], strict=True)]
        found[name] = {
            "ms": spread(taken[name]),
            "of pillow's time": spread(ratios),
            "photos with equal pixels": sum(np.array_equal(*pair) for pair in same_shape),
            "photos of another size": len(pairs) - len(same_shape),
            "largest difference": max(
                (int(np.abs(a.astype(int) - b).max()) for a, b in same_shape), default=None
            ),
            "photos": len(photos),
        }
    return found


if __name__ == "__main__":
    sys.exit(main())
