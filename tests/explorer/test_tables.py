"""Tables sort and filter numbers by their value, however these are written."""

from __future__ import annotations

import pandas as pd
import pytest

from qlab.explorer.tables import matching, plain_table
from qlab.views.readable import Written, number, spread_text

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")  # Bokeh's own

CELLS = [spread_text(12.0, 0.5, 5), Written("–"), spread_text(3e-7, 1e-8, 3), spread_text(-2.0, 0.1, 2), number(100)]


@pytest.mark.parametrize(("way", "order"), [("asc", [3, 2, 0, 4, 1]), ("desc", [4, 0, 2, 3, 1])])
def test_written_numbers_are_sorted_by_value_and_missing_ones_stand_last(way: str, order: list[int]) -> None:
    frame = pd.DataFrame({"name": list("abcde"), "value": pd.Series(CELLS, dtype=object)})
    table = plain_table(frame, pagination="remote", page_size=2, sorters=[{"field": "value", "dir": way}])
    assert list(table.current_view["name"]) == [list("abcde")[place] for place in order]
    assert list(table.current_view.index) == order


def test_text_is_sorted_as_before() -> None:
    table = plain_table(
        pd.DataFrame({"name": ["b", "A", "c"]}), pagination="remote", sorters=[{"field": "name", "dir": "asc"}]
    )
    assert list(table.current_view["name"]) == ["A", "b", "c"]


@pytest.mark.parametrize(("asked", "kept"), [("> 5", [0, 4]), ("<= 0", [3]), ("n = 3", [2]), ("= 100", [4])])
def test_written_numbers_are_filtered_by_value_and_by_what_is_written(asked: str, kept: list[int]) -> None:
    found = matching(pd.Series(CELLS, dtype=object), asked)
    assert [place for place, own in enumerate(found) if own] == kept
