"""The process that `kennel import` starts: `python -m classifier.import_command`.

The command itself imports no torch.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from pydantic import ValidationError

from classifier import bundle, class_names, ending, importing, networks
from classifier.transform import EvaluationTransform
from pictures.picture import DataError

_MOST = 5  # of a mean or std: of colours of 0 to 1 they are below, of 0 to 255 far above


def main() -> int:
    """Make the bundle and print what was done; return the exit code."""
    ending.on_signals()
    arguments = _parser().parse_args()
    try:
        out: Path = arguments.out
        check_free(out)
        classes = class_names.read(arguments.classes)
        transform = _transform(arguments)
        made = importing.make(
            arguments.file, arguments.architecture, classes, transform, arguments.photos
        )
        difference = _write(made, out)
    except ValidationError as error:
        problems = [item["msg"].removeprefix("Value error, ") for item in error.errors()]
        print(f"kennel: {'; '.join(problems)}", file=sys.stderr)
        return 1
    except (ValueError, DataError, OSError) as error:
        print(f"kennel: {error}", file=sys.stderr)
        return 1
    shown = transform.model_dump()
    print("input: " + ", ".join(f"{name} {value}" for name, value in shown.items()))
    options = {"resize": "image_size", "crop": "image_size"}
    absent = [
        name
        for name in shown
        if all(getattr(arguments, one, None) is None for one in (name, options.get(name, name)))
    ]
    if absent:
        print(
            f"not given, so as for the pretrained weights of {made.description.architecture}: "
            + ", ".join(absent)
        )
    print(f"the golden inputs come back with a difference of {difference:.1e}")
    print(f"{out}: {made.description.architecture} with {len(classes)} classes")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    for name in ("file", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--classes", type=Path, required=True)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--resize", type=int)
    parser.add_argument("--mean")
    parser.add_argument("--std")
    parser.add_argument("--interpolation")
    return parser


def _transform(arguments: argparse.Namespace) -> EvaluationTransform:
    """Return the transform of the architecture's pretrained weights, with the options given."""
    transform = networks.preset(arguments.architecture, arguments.file.name)
    if arguments.image_size:
        transform = transform.at_size(arguments.image_size)
    given = {
        "resize": arguments.resize,
        "interpolation": arguments.interpolation,
        "mean": _numbers("--mean", arguments.mean),
        "std": _numbers("--std", arguments.std),
    }
    changed = {name: value for name, value in given.items() if value is not None}
    return EvaluationTransform.model_validate(transform.model_dump() | changed)


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"{option} {text}: give three numbers for red, green and blue of 0 to 1, as in "
            f"{option} 0.5,0.5,0.5"
        ) from None
    if not all(-_MOST <= number <= _MOST for number in (red, green, blue)):
        shown = ",".join(f"{number / 255:.4g}" for number in (red, green, blue))
        raise ValueError(
            f"{option} {text}: colours are numbers of 0 to 1 here; if these are of 0 to 255, give "
            f"{option} {shown}"
        )
    return red, green, blue


def check_free(out: Path) -> None:
    """Raise ValueError if no bundle can be written there."""
    bundle.check_name(out)
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ValueError(f"{out} exists already: remove it, or give another name")


def _write(made: bundle.Bundle, out: Path) -> float:
    """Write a folder or an archive; return the difference of its golden inputs when it is loaded.

    Raises:
        BundleError: what was written does not load, or answers something else.
    """
    with tempfile.TemporaryDirectory() as scratch:
        packed = out.name.endswith(bundle.PACKED)
        folder = Path(scratch) if packed else out
        bundle.save(made, folder)
        difference = bundle.replay(bundle.load(folder))
        if difference > bundle.TOLERANCE:
            raise bundle.BundleError(f"{out} does not give the logits that it was made with")
        if packed:
            bundle.pack(folder, out)
        return difference


if __name__ == "__main__":
    sys.exit(main())
