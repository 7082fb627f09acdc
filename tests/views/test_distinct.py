"""Names of thousands of runs are found from the few settings that they have: they are those of each run by itself."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.stored_runs import QUICK, TRIALS, UNLEARNED

from qlab.tracking.missing import is_missing
from qlab.views.distinct import distinct
from qlab.views.labels import _labelled, labelled, varying

VALUES = st.sampled_from([1, 1.0, True, 0, False, None, float("nan"), "1", "", (1,), (1.0,), [1], (True, "a"), 2**60])


@QUICK
@given(rows=st.lists(st.tuples(VALUES, VALUES), max_size=12))
def test_rows_agree_if_values_and_types_do(rows: list[tuple[object, object]]) -> None:
    columns = {name: [row[place] for row in rows] for place, name in enumerate("ab")}
    frame = pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in columns.items()})
    first, places = distinct(frame, frame.columns)
    said = [repr([None if is_missing(v) else tuple(v) if isinstance(v, list) else v for v in row]) for row in rows]
    assert [said[row] for row in first] == list(dict.fromkeys(said))
    assert [said[first[place]] for place in places] == said


@pytest.mark.parametrize("group_by", [(), ("model.depth", "seed")])
@QUICK
@given(trials=TRIALS)
def test_labels_of_many_are_those_of_each(trials: pd.DataFrame, group_by: tuple[str, ...]) -> None:
    thrice = pd.concat([trials] * 3, ignore_index=True)
    found, alone = labelled(thrice, group_by=group_by), _labelled(trials, None, group_by)
    for start in range(0, len(thrice), len(trials)):
        part = found.iloc[start : start + len(trials)]
        pd.testing.assert_frame_equal(part.reset_index(drop=True), alone.reset_index(drop=True))
    assert varying(thrice) == varying(trials)


@QUICK
@given(runs=UNLEARNED)
def test_labels_of_methods_too(runs: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(labelled(runs, "method"), _labelled(runs, "method", ()))
