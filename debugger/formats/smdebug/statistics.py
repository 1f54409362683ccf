"""The statistics of a complete tensor."""

import math

import numpy as np

from debugger.records import Statistics


def statistics(tensor: np.ndarray) -> Statistics:
    """Return the statistics of a tensor, as debugger/records.py defines them.

    If no element is finite, they are nan.
    """
    size = tensor.size
    values = np.abs(tensor) if np.iscomplexobj(tensor) else tensor
    flat = values.reshape(-1).astype(np.float64)
    finite = flat[np.isfinite(flat)]
    if not finite.size:
        share = 1.0 if size else math.nan
        return Statistics(*(math.nan,) * 6, zeros=0.0, nonfinite=share, size=size)
    largest = float(np.abs(finite).max())
    scale = largest or 1.0  # so that squares of very large numbers do not overflow
    return Statistics(
        mean=float(finite.mean()),
        std=float((finite / scale).std()) * scale,
        min=float(finite.min()),
        max=float(finite.max()),
        l2=float(np.linalg.norm(finite / scale)) * scale,
        mean_abs=float(np.abs(finite).mean()),
        zeros=float((flat == 0).sum()) / size,
        nonfinite=1.0 - finite.size / size,
        size=size,
    )
