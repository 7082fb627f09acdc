"""Samples that one model gets right and another wrong, against counting them one by one."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from qlab.errors import DataError
from qlab.reading.confusion import confusion_counts, disagreements, is_right, outcomes

ANSWERS = st.integers(1, 12).flatmap(
    lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n).map(np.array), min_size=4, max_size=4)
)


@given(ANSWERS)
def test_counts_and_rows_are_those_of_a_loop(answers: list[np.ndarray]) -> None:
    first, second = {0: answers[0], 7: answers[1], 3: answers[0]}, {7: answers[2], 0: answers[3], 5: answers[0]}
    counts = confusion_counts(first, second)
    assert counts["seed"].tolist() == [0, 7]
    for row in counts.to_dict("records"):
        pairs = list(zip(first[row["seed"]], second[row["seed"]], strict=True))
        expected = {"both": (True, True), "first": (True, False), "second": (False, True), "neither": (False, False)}
        for name, pair in expected.items():
            assert row[name] == sum(tuple(map(bool, own)) == pair for own in pairs)
    rows = disagreements(first, second, 7)
    assert set(rows["row"]) == {row for row, (a, b) in enumerate(zip(first[7], second[7], strict=True)) if a != b}
    for own in rows.to_dict("records"):
        assert own["right"] == ("first" if first[7][own["row"]] else "second")
        assert own["first_seeds"] == int(first[0][own["row"]]) + int(first[7][own["row"]])
        assert own["second_seeds"] == int(second[0][own["row"]]) + int(second[7][own["row"]])
    assert rows["right"].is_monotonic_increasing


def test_right_is_what_every_accuracy_counts() -> None:
    logits = np.array([0.0, 1e-9, -3.0, 2.0])
    assert is_right(logits, np.array([0, 1, 1, 0])).tolist() == [True, True, False, False]


def test_answers_to_other_samples_are_refused() -> None:
    with pytest.raises(DataError, match="4 samples cannot be compared with 3 labels"):
        is_right(np.zeros(4), np.zeros(3))
    with pytest.raises(DataError, match="Answers to 4 and to 3 samples"):
        outcomes(np.zeros(4, dtype=bool), np.zeros(3, dtype=bool))
