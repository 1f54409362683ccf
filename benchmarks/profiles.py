"""What a colour profile costs: decoding and cropping a JPEG with and without one, in turns.

Photos of a phone (12 megapixels) and of ImageNet's usual size, as evaluation and serving read them.
Processor time of one thread. Display P3 is converted to sRGB; sRGB's own profile is recognised.

    python -m benchmarks.profiles [--rounds 40] [--out benchmarks/results/profiles.json]
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from benchmarks.measuring import RESULTS, machine_load, spread, this_machine, write
from pictures.decoder import decode
from pictures.geometry import CentreCrop
from tests.pictures.inputs import DISPLAY_P3, encode, profile

SIZES = {"phone": (4032, 3024), "small": (500, 375)}
CROP = CentreCrop(256, 224)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out", type=Path, default=RESULTS / "profiles.json")
    options = parser.parse_args()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profiles = {"none": b"", "sRGB": srgb, "Display P3": profile(DISPLAY_P3, 2.2)}
    found: dict[str, object] = {"rounds": options.rounds}
    for name, size in SIZES.items():
        photos = {kind: photo(size, data) for kind, data in profiles.items()}
        took: dict[str, list[float]] = {kind: [] for kind in photos}
        for turn in range(options.rounds + 1):
            for kind, data in photos.items():
                began = time.process_time()
                CROP(decode(data, at_least=256))
                if turn:  # the first builds the transform
                    took[kind].append(1000 * (time.process_time() - began))
        found[name] = {
            "milliseconds": {kind: spread(one) for kind, one in took.items()},
            "ratio_to_none": {
                kind: spread([a / b for a, b in zip(took[kind], took["none"], strict=True)])
                for kind in ("sRGB", "Display P3")
            },
        }
    found |= {"machine": this_machine(), "load": machine_load()}
    write(options.out, found)
    print(json.dumps(found, indent=2))
    return 0


def photo(size: tuple[int, int], data: bytes) -> bytes:
    """Return a JPEG with as much detail as a photo: about 2 bits a pixel."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (24, 32, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))
    noisy = smooth.astype(np.int16) + random.normal(0, 6, smooth.shape).astype(np.int16)
    picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    return encode(picture, "JPEG", quality=90, **({"icc_profile": data} if data else {}))


if __name__ == "__main__":
    sys.exit(main())
