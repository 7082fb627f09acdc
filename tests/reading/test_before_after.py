"""Rows before unlearning and after, counted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from qlab.errors import DataError
from qlab.reading.before_after import ALARM, CLEAN, HIDDEN, KNOWN, confused, judged, row_kinds

CORRUPTED = np.array([True, True, False, False, True])
TOLD = np.array([True, False, False, True, True])
CLEAN_Y = np.array([0, 1, 1, 0, 0])
GIVEN_Y = np.array([1, 0, 1, 0, 1])
BEFORE = np.array([2.0, -1.0, 3.0, -1.0, 0.5])  # says 1, 0, 1, 0, 1
AFTER = np.array([-2.0, -1.0, -3.0, -1.0, 0.0])  # says 0, 0, 0, 0, 0


def rows() -> pd.DataFrame:
    frame = pd.DataFrame({"clean_label": CLEAN_Y, "polluted_label": GIVEN_Y})
    return judged(frame, BEFORE, AFTER).assign(told=row_kinds(CORRUPTED, TOLD))


def test_rows_are_told_apart_by_what_the_method_was_told() -> None:
    assert rows()["told"].tolist() == [KNOWN, HIDDEN, CLEAN, ALARM, KNOWN]


def test_what_was_mended_and_lost_is_counted_for_each_kind() -> None:
    found = rows()
    assert found["before"].tolist() == [False, False, True, True, False]
    assert found["after"].tolist() == [True, False, False, True, True]
    counts = confused(found).set_index("rows")
    assert counts.index.tolist() == [CLEAN, ALARM, KNOWN, HIDDEN, "all"]
    columns = ["n", "right_before", "right_after", "mended", "lost", "given_before", "given_after"]
    assert counts[columns].loc[KNOWN].tolist() == [2, 0, 2, 2, 0, 2, 0]
    assert counts[columns].loc[HIDDEN].tolist() == [1, 0, 0, 0, 0, 1, 1]
    assert counts[columns].loc[CLEAN].tolist() == [1, 1, 0, 0, 1, 1, 0]
    assert counts[columns].loc["all"].tolist() == [5, 2, 3, 2, 1, 5, 2]


def test_answers_to_other_rows_are_refused() -> None:
    with pytest.raises(DataError, match="cannot be compared"):
        judged(pd.DataFrame({"clean_label": CLEAN_Y}), BEFORE[:3], AFTER)
