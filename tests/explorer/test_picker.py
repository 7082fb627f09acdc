"""Finding one of thousands of runs by what it is."""

from __future__ import annotations

import pytest

from qlab.explorer.picker import MOST, Picker, matches

TEXTS = {
    "a1": "MLP LabelFlip 0.2 seed 3",
    "b2": "MLP LabelFlip 0.25 seed 13",
    "c3": "PennyLaneQNN depth=2 LabelFlip 0.2 seed 0",
    "d4": "Scrub of MLP LabelFlip 0.2 seed 3",
    "e5": "oracle 0 of MLP LabelFlip 0.2 seed 3",
    "f6": "MLP MixedFlip 1e-05 seed 3: trained",
}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("mlp", "a1 b2 d4 e5 f6"),
        ("seed 3", "a1 d4 e5 f6"),
        ("seed=3 scrub", "d4"),
        ("0.2", "a1 c3 d4 e5"),
        (".20 qnn", "c3"),
        ("depth=2", "c3"),
        ("flip 0.25", "b2"),
        ("oracle 0", "e5"),
        ("0.00001", "f6"),
        ("trained", "f6"),
        ("d4", "d4"),
        ("3", "a1 d4 e5 f6"),
        ("MLP resnet", ""),
        ("[b](", ""),
    ],
)
def test_all_words_have_to_match_and_numbers_are_whole(query: str, found: str) -> None:
    assert matches(TEXTS, query) == found.split()


def test_the_first_matches_are_shown_and_one_of_them_is_taken() -> None:
    taken: list[str] = []
    picker = Picker("Find", taken.append)
    picker.offer({f"r{number}": f"MLP <b>{number}</b> seed {number}" for number in range(3000)})
    picker._field.param.update(value_input="mlp seed 2999")
    (button,) = picker._list.objects
    assert picker._said.object == "1 matches"
    button.param.trigger("clicks")
    picker._field.param.update(value_input="mlp")
    assert len(picker._list.objects) == MOST
    assert picker._said.object == "3,000 match, the first 8 shown: type more"
    picker._take("r7")
    assert taken[-1] == "r7"
    assert picker._list.objects == []
    picker._field.param.update(value_input="nothing like it")
    assert picker._said.object == "Nothing matches."
