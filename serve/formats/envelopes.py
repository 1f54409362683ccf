"""What every reader of a body returns: pictures, not decoded yet, and parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from serve.errors import RequestError

Pixels = npt.NDArray[np.uint8]  # [H, W, 3] or [H, W]

# Values in addition to the pictures: parameters, and what belongs to a picture.
MORE_VALUES = 100


@dataclass(frozen=True)
class Content:
    """The content of a body.

    Args:
        pictures: encoded bytes or pixels.
        is_list: whether they came as a list; the answer is a list too, then.
        parameters: options in the body.
        is_lines: whether each picture came on a line of its own: a bad line harms no other line.
        line_errors: the lines that have no picture, by their index among all lines.
    """

    pictures: tuple[bytes | Pixels, ...]
    is_list: bool = False
    parameters: Mapping[str, object] = field(default_factory=dict)
    is_lines: bool = False
    line_errors: Mapping[int, RequestError] = field(default_factory=dict)

    @property
    def indices(self) -> list[int]:
        """The index of each picture among all lines; without lines, among the pictures."""
        everything = range(len(self.pictures) + len(self.line_errors))
        return [index for index in everything if index not in self.line_errors]

    @property
    def positions(self) -> list[str]:
        """What an error calls each picture: `line 3: `, `picture 3: `, or nothing for one alone."""
        if not (self.is_list or self.is_lines):
            return [""] * len(self.pictures)
        noun = "line" if self.is_lines else "picture"
        return [f"{noun} {index + 1}: " for index in self.indices]


def check_count(count: int, most: int) -> None:
    """Raise RequestError 422 for more pictures than allowed."""
    if count > most:
        raise RequestError(
            422,
            f"{count} pictures in one request; at most {most} are allowed",
            "send them in several requests (a batch transform: BatchStrategy SingleRecord), "
            "or raise KENNEL_MAX_PICTURES",
        )
