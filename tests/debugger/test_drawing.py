"""What the report draws: curves of many points, and heat maps."""

import io

import numpy as np
import pytest
from PIL import Image

from debugger.report.drawing import heatmap, series


def test_columns_keep_minimum_and_maximum() -> None:
    random = np.random.default_rng(0)
    x, y = np.arange(50_000.0), random.standard_normal(50_000)
    y[31_415] = 1_000.0
    drawn = series.columns(x, y, 0, 50_000)
    assert len(drawn.x) == series.COLUMNS
    places = (x / 50_000 * series.COLUMNS).astype(int)
    for column in range(series.COLUMNS):
        inside = y[places == column]
        assert drawn.low[column] == inside.min()
        assert drawn.high[column] == inside.max()
        assert drawn.low[column] <= drawn.mid[column] <= drawn.high[column]


def test_few_points_are_drawn_without_columns() -> None:
    x, y = np.arange(20.0), np.r_[np.arange(19.0), np.nan]
    drawn = series.columns(x, y, 0, 20)
    assert drawn.single_values
    assert drawn.x.tolist() == list(range(19))


def test_a_heat_map_is_a_png_of_its_levels() -> None:
    values = np.array([[1e-6, 1e-3], [0.0, np.inf], [np.nan, 1.0]])
    scale = heatmap.scale(values, logarithmic=True)
    levels = scale.levels(values)
    palette = np.stack([np.arange(256)] * 3, 1).astype(np.uint8)
    picture = Image.open(io.BytesIO(heatmap.png(levels, palette)))
    assert np.array_equal(np.asarray(picture), levels)
    assert levels[0, 0] == 0
    assert levels[2, 1] == 249
    assert levels[0, 1] == pytest.approx(249 / 2, abs=1)
    # Zero, infinite and absent have separate colours; absent is transparent.
    assert len({int(levels[i, j]) for i, j in ((1, 0), (1, 1), (2, 0))}) == 3
    assert np.asarray(picture.convert("RGBA"))[2, 0, 3] == 0
