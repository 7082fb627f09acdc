"""Which rows methods are told to forget: how many, which, and what is refused."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qlab.corruptions import Backdoor, Knowledge, LabelFlip, PairDuplicate
from qlab.corruptions.base import Corrupted
from qlab.errors import ConfigError, DataError
from qlab.fields import Ratio
from qlab.tasks import XXZ, Digits, Split

TASK = XXZ(length=4)


def split(rows: int = 40, seed: int = 0) -> Split:
    generator = torch.Generator().manual_seed(seed)
    delta = torch.rand(rows, generator=generator, dtype=torch.float64) * 2.0
    return Split(torch.randn(rows, 16, generator=generator), (delta > 1.0).long(), {"delta": delta})


def told(knowledge: Knowledge, mask: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return knowledge.rows(mask, split(len(mask)), TASK, seed)


@given(
    mask=st.lists(st.booleans(), min_size=2, max_size=60),
    known=st.floats(0.01, 1.0),
    alarms=st.floats(0.0, 2.0),
    rows=st.sampled_from(["random", "near", "far"]),
    seed=st.integers(0, 5),
)
def test_as_many_rows_are_named_as_asked_for(
    mask: list[bool], known: float, alarms: float, rows: Any, seed: int
) -> None:
    corrupted = torch.tensor(mask)
    n, clean = int(corrupted.sum()), int((~corrupted).sum())
    wanted = int(known * n + 0.5)
    wrong = int(alarms * wanted + 0.5)
    knowledge = Knowledge(known, rows, alarms)
    if n and (wanted == 0 or wrong > clean or (wrong and wrong + wanted == len(mask))):
        with pytest.raises(DataError):
            told(knowledge, corrupted, seed)
        return
    found = told(knowledge, corrupted, seed)
    assert int((found & corrupted).sum()) == wanted
    assert int((found & ~corrupted).sum()) == (wrong if n else 0)


@pytest.mark.parametrize("rows", ["random", "near", "far"])
def test_rows_of_a_smaller_fraction_are_among_those_of_a_larger(rows: Any) -> None:
    mask = torch.arange(40) % 2 == 0
    nested = [told(Knowledge(known, rows), mask) for known in (0.1, 0.25, 0.5, 1.0)]
    for smaller, larger in itertools.pairwise(nested):
        assert not (smaller & ~larger).any()
        assert smaller.sum() < larger.sum()
    assert torch.equal(nested[-1], mask)
    few, many = (told(Knowledge(0.5, rows, alarms), mask) for alarms in (0.2, 0.8))
    assert not (few & ~many).any()
    assert torch.equal(few & mask, nested[2])  # false alarms change nothing of what is known


def test_near_and_far_go_by_the_distance_that_the_task_knows() -> None:
    mask = torch.arange(40) % 2 == 0
    distances = (split().about["delta"] - 1.0).abs()
    for rows, largest in (("near", False), ("far", True)):
        found = told(Knowledge(0.25, rows), mask)  # type: ignore[arg-type]
        expected = distances[mask].sort(descending=largest).values[:5]
        assert torch.equal(distances[found].sort(descending=largest).values, expected)


def test_other_seeds_know_others_and_the_same_seed_the_same() -> None:
    mask = torch.ones(40, dtype=torch.bool)
    found = [told(Knowledge(0.25), mask, seed) for seed in (0, 0, 1)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_rows_equally_far_are_taken_at_random() -> None:
    about = {"delta": torch.zeros(30, dtype=torch.float64)}
    same = Split(torch.randn(30, 16), torch.arange(30) % 2, about)
    found = [
        Knowledge(0.2, "near").rows(torch.ones(30, dtype=torch.bool), same, TASK, seed).nonzero().flatten().tolist()
        for seed in range(3)
    ]
    assert len({tuple(rows) for rows in found}) == 3


@pytest.mark.parametrize(
    ("knowledge", "message"),
    [
        (Knowledge(0.1), "known: got 0.1, which names none of the 4 corrupted rows; accepts at least 0.126 there"),
        (
            Knowledge(0.5, false_alarms=4.0),
            "false_alarms: got 4, which is 8 clean rows beside 2 known ones, but only 6 rows are clean; accepts at "
            "most 3 there",
        ),
        (
            Knowledge(false_alarms=1.5),
            "false_alarms: got 1.5, which is 6 clean rows beside 4 known ones, which leaves nothing to retain; accepts "
            "less than 1.5 there",
        ),
    ],
)
def test_what_cannot_be_named_is_refused_with_counts(knowledge: Knowledge, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        told(knowledge, torch.arange(10) < 4)


def test_what_is_said_to_be_accepted_is_accepted() -> None:
    mask = torch.arange(10) < 4
    assert told(Knowledge(0.126), mask).sum() == 1
    assert told(Knowledge(0.5, false_alarms=3.0), mask).sum() == 8


def test_a_task_without_distances_has_no_near_rows() -> None:
    with pytest.raises(ConfigError, match=r'known_rows: got "near", but Digits knows no distance'):
        Knowledge(0.5, "near").check_task(Digits())
    Knowledge(0.5).check_task(Digits())
    Knowledge(1.0, "near").check_task(Digits())  # all rows are known, whichever come first
    Knowledge(0.5, "near").check_task(TASK)


@pytest.mark.parametrize(
    ("values", "stated"),
    [
        ({}, {}),
        ({"known_rows": "near"}, {}),
        ({"known": 0.5}, {"known": 0.5}),
        ({"known": 0.5, "known_rows": "far"}, {"known": 0.5, "known_rows": "far"}),
        ({"false_alarms": 0.5, "known_rows": "near"}, {"false_alarms": 0.5}),
    ],
)
def test_only_what_decides_is_stated(values: dict[str, Any], stated: dict[str, Any]) -> None:
    assert Knowledge(**values).stated() == stated
    assert Knowledge(**values).is_complete == (not stated)


@pytest.mark.parametrize("values", [{"known": 0.0}, {"known": 1.5}, {"false_alarms": -1.0}, {"known_rows": "close"}])
def test_values_out_of_range_are_refused_by_name(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        LabelFlip(**values)


def test_a_corruption_does_the_same_whatever_is_known_of_it() -> None:
    clean = split()

    def apply(corruption: LabelFlip) -> Corrupted:
        return corruption.apply(clean, TASK, torch.Generator().manual_seed(0))

    own = LabelFlip(ratio=0.5, known=0.25, known_rows="near", false_alarms=1.0)
    assert own.fully_known == LabelFlip(ratio=0.5)
    assert own.knowledge == Knowledge(0.25, "near", 1.0)
    assert torch.equal(apply(own).mask, apply(own.fully_known).mask)


class Own(LabelFlip):
    """Has a field of that name for something else."""

    known: Ratio = 0.5


def test_a_field_that_a_class_declares_anew_is_its_own() -> None:
    own = Own(ratio=0.5, known=0.25, false_alarms=1.0)
    assert Own.told_fields() == ("known_rows", "false_alarms")
    assert own.knowledge == Knowledge(false_alarms=1.0)
    assert own.fully_known == Own(ratio=0.5, known=0.25)


class Half(LabelFlip):
    """Of which half is known unless something else is said."""

    known = 0.5


def test_another_default_means_the_same() -> None:
    assert Half().knowledge == Knowledge(0.5)
    assert Half().fully_known == Half(known=1.0)


def test_only_a_corruption_that_can_mark_unseen_rows_has_a_trigger() -> None:
    assert Backdoor().has_trigger
    assert not LabelFlip().has_trigger
    assert not PairDuplicate().has_trigger
