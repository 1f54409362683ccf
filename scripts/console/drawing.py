"""Draws a photo with the scores of its classes on the terminal, in half blocks."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from scripts.console.safe import without_escapes
from scripts.problem import Problem

_MAX_COLUMNS = 48
_BAR = 24


def photo_with_scores(photo: Path, scores: Sequence[tuple[str, float]]) -> None:
    """Print the photo, two pixels in each character, and a bar for each class.

    Args:
        photo: a picture that `pictures.decoder` reads.
        scores: labels with their probabilities, 0 to 1.

    Raises:
        Problem: the photo cannot be read, or Pillow is missing.
    """
    try:
        import numpy as np

        from pictures import decoder
    except ImportError:
        raise Problem("--show needs Pillow: pip install 'sagemaker-kennel[data]'") from None
    console = Console(highlight=False, markup=False)
    try:
        picture = decoder.decode(photo.read_bytes(), at_least=2 * _MAX_COLUMNS)
    except (OSError, decoder.ImageError) as error:
        raise Problem(f"{photo}: {error}") from None
    columns = min(_MAX_COLUMNS, shutil.get_terminal_size().columns)
    picture.thumbnail((columns, columns))
    pixels = np.asarray(picture)  # [height, width, 3], uint8
    height, width = pixels.shape[:2]
    console.print(without_escapes(str(photo)))
    if console.is_terminal:
        for y in range(0, height - 1, 2):
            line = Text()
            for x in range(width):
                above, below = (Color.from_rgb(*map(int, pixels[row, x])) for row in (y, y + 1))
                line.append("▀", Style(color=above, bgcolor=below))
            console.print(line)
    longest = max((len(label) for label, _ in scores), default=0)
    for label, probability in scores:
        bar = "█" * round(_BAR * probability)
        console.print(f"{without_escapes(label):{longest}}  {bar:{_BAR}} {probability:.3f}")
