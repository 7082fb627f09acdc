"""Parallel coordinates: where lines meet axes, and which runs a range keeps."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from qlab.errors import ConfigError
from qlab.views.parallel import Axis, axes_of, lines_of, ranges_of, ranges_text, within

TABLE = pd.DataFrame(
    {
        "training.learning_rate": [0.001, 0.01, 0.1, np.nan],
        "corruption.ratio": [0.0, 0.2, 0.4, 0.4],
        "model.depth": [2.0, 2.0, 2.0, 2.0],
        "validation_accuracy": [0.9, 0.7, np.inf, 0.5],
        "empty": [np.nan] * 4,
    },
    index=pd.Index(["a", "b", "c", "d"]),
)


def test_axes_reach_from_the_lowest_value_to_the_highest() -> None:
    axes = axes_of(TABLE)
    assert [axis.name for axis in axes] == list(TABLE.columns)[:-1]
    assert (axes[0].low, axes[0].high, axes[0].log) == (0.001, 0.1, True)
    assert (axes[3].low, axes[3].high, axes[3].log) == (0.5, 0.9, False)


def test_lines_meet_axes_where_their_values_are() -> None:
    expected = [[0, 0, 0.5, 1], [0.5, 0.5, 0.5, 0.5], [1, 1, 0.5, np.nan], [np.nan, 1, 0.5, 0]]
    np.testing.assert_allclose(lines_of(TABLE, axes_of(TABLE)), expected, atol=1e-12)


@settings(deadline=None)
@given(
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
    st.booleans(),
    st.floats(0.0, 1.0),
)
def test_a_place_has_the_value_that_is_placed_there(low: float, size: float, log: bool, place: float) -> None:
    first = abs(low) + 1e-3
    axis = Axis("x", first, first * (31 + size), True) if log else Axis("x", low, low + size)
    found = axis.places(np.array([axis.value(place)]))[0]
    assert found == pytest.approx(place, abs=2e-3)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", "abcd"),
        ("corruption.ratio 0.1..0.4", "bcd"),
        ("corruption.ratio 0.4..0.1 , validation_accuracy 0..1", "bd"),
        ("training.learning_rate 1e-3..1e-2", "ab"),
        ("training.learning_rate 0..10", "abc"),
        ("validation_accuracy -1..0", ""),
    ],
)
def test_ranges_keep_the_runs_that_are_in_all(text: str, kept: str) -> None:
    found = within(TABLE, ranges_of(text))
    assert "".join(found.index[found]) == kept


def test_ranges_are_text_that_reads_as_the_same() -> None:
    ranges = {"training.learning_rate": (0.001, 0.0123457), "validation_accuracy": (-1.5, 1e6)}
    assert ranges_of(ranges_text(ranges)) == ranges


@pytest.mark.parametrize("text", ["high", "a 1", "a 1..b", "a 1..2 b 3..4", "1..2", "a 1…2", "a nan..1"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match='ranges: got "'):
        ranges_of(text)


def test_a_range_of_what_no_run_has_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"ranges: no run here has depth as a number; there are: training\.learning_rate"
    ):
        within(TABLE, {"depth": (0.0, 1.0)})
