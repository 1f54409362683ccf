"""Reduces tensors to a few numbers each on their device; one transfer brings them to the host."""

import math
from dataclasses import dataclass, field

import torch
from torch.linalg import vector_norm

from debugger.records import Statistics

# A channel counts as dead if less than this share of its values is positive, and as saturated if
# less than this share of its inputs is in the range where the function is not flat.
INACTIVE = 0.01
_BASE = ("mean", "std", "min", "max", "l2", "mean_abs", "zeros", "nonfinite")


@torch.no_grad()
def reduce(tensor: torch.Tensor) -> torch.Tensor:
    """Return float32 [8], the first fields of Statistics, without waiting for a GPU.

    `std` takes two passes, because a difference of squares loses its digits if the mean is large.
    """
    values = flat(tensor)
    size = values.numel()
    total = values.abs().sum()  # several times faster than a norm on a CPU
    zeros = size - torch.count_nonzero(values)
    if values.device.type == "cpu" and math.isfinite(total):
        mean = values.mean() if size else total
        low, high = torch.aminmax(values) if size else (total, total)
        deviation = vector_norm(values - mean)
        parts = [
            *(mean, deviation / math.sqrt(max(1, size)), low, high),
            *(vector_norm(values), total / max(1, size), zeros / max(1, size), total * 0),
        ]
        return torch.stack(parts)
    finite = torch.isfinite(values)
    count = finite.sum()
    clean = torch.where(finite, values, 0)
    mean = clean.sum() / count
    deviation = vector_norm(torch.where(finite, values - mean, 0))
    low = torch.where(finite, values, math.inf).amin()
    high = torch.where(finite, values, -math.inf).amax()
    none = torch.full_like(mean, math.nan)
    parts = [
        *(mean, deviation / count.sqrt()),
        *(torch.where(count > 0, low, none), torch.where(count > 0, high, none)),
        *(vector_norm(clean), clean.abs().sum() / count, zeros / size, 1 - count / size),
    ]
    return torch.stack(parts)


def flat(tensor: torch.Tensor) -> torch.Tensor:
    """Return the values as float32 [n]; a view if possible, for channels_last too."""
    values = tensor.detach()
    if not values.is_contiguous() and values.dim() == 4:
        values = values.permute(0, 2, 3, 1)
    values = values.reshape(-1)
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


@torch.no_grad()
def dead(output: torch.Tensor) -> torch.Tensor:
    """Return the share of dead channels (dimension 1) in a ReLU's output; see INACTIVE."""
    return _rare(output > 0)


@torch.no_grad()
def saturated(given: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Return the share of channels whose input is almost never between `low` and `high`."""
    return _rare((given > low) & (given < high))


def _rare(active: torch.Tensor) -> torch.Tensor:
    others = [dimension for dimension in range(active.dim()) if dimension != 1]
    return (active.float().mean(others) < INACTIVE).float().mean()


@dataclass
class Table:
    """Statistics of a collection's tensors at one step, collected on the device."""

    names: list[str] = field(default_factory=list)
    _sizes: list[int] = field(default_factory=list)
    _extras: list[dict[str, int]] = field(default_factory=list)  # positions in the row
    _rows: list[torch.Tensor] = field(default_factory=list)
    _values: torch.Tensor | None = None

    def add(self, name: str, tensor: torch.Tensor, **extras: torch.Tensor) -> None:
        """Reduce a tensor; `extras` are scalars: change, dead, saturated."""
        self.names.append(name)
        self._sizes.append(tensor.numel())
        row = [reduce(tensor).float(), *(one.reshape(1).float() for one in extras.values())]
        self._extras.append({key: len(_BASE) + at for at, key in enumerate(extras)})
        self._rows.append(torch.cat(row))

    def fetch(self) -> None:
        """Start to copy the statistics to the host; the copy ends with the device's work so far."""
        if self._rows:
            self._values = torch.cat(self._rows).to("cpu", non_blocking=True)
        self._rows = []

    def read(self) -> dict[str, Statistics]:
        """Return the statistics that `fetch` copied, by tensor."""
        assert self._values is not None or not self.names
        values = [] if self._values is None else self._values.tolist()
        numbers = [float(f"{value:.7g}") for value in values]  # the digits of a float32
        found: dict[str, Statistics] = {}
        for name, size, extras in zip(self.names, self._sizes, self._extras, strict=True):
            row, numbers = numbers[: len(_BASE) + len(extras)], numbers[len(_BASE) + len(extras) :]
            mean, std, low, high, l2, mean_abs, zeros, nonfinite = row[: len(_BASE)]
            # A change from zero is not a number.
            more = {key: row[at] for key, at in extras.items() if not math.isnan(row[at])}
            found[name] = Statistics(
                mean, std, low, high, l2, mean_abs, zeros, nonfinite, size, **more
            )
        return found
