"""Experiment files written from configurations make the same runs: their keys are equal."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from support.experiments import TASK

from qlab.experiment.asking import schema, toml_text
from qlab.experiment.asking.boxes import boxes
from qlab.experiment.asking.writing import Written, written

BASE = f"""
name = "study"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.0, 0.25, 0.5]
[[model]]
type = "MLP"
hidden = [[4], [8, 2]]
training = {{ epochs = [2, 3], learning_rate = 0.01 }}
[[model]]
type = "PennyLaneQNN"
depth = [1, 2]
[training]
batch_size = 8
loss = {{ type = "CrossEntropy", label_smoothing = [0.0, 0.1] }}
[run]
seeds = [3, 5]
"""

UNLEARNED = f"""
name = "known"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.25, 0.5]
known = [0.5, 1.0]
[model]
type = "MLP"
hidden = [4]
[training]
epochs = 2
[[unlearner]]
type = "Scrub"
lambda_fo = [0.1, 0.2]
[[unlearner]]
type = "Finetune"
steps = 3
[run]
seeds = 2
repeats = 2
oracles = 2
"""

PROBED = f"""
name = "probed"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.25, 0.5]
[model]
type = "MLP"
hidden = [4]
[training]
epochs = 2
[[unlearner]]
type = "Scrub"
[[unlearner]]
type = "Finetune"
steps = 3
[[probe]]
type = "RougheningProbe"
[[probe]]
type = "InterpolationProbe"
path = ["trained", "Finetune", "oracle"]
[run]
seeds = 1
"""

SAMPLED = f"""
name = "noise"
{TASK}
[corruption]
type = "NoCorruption"
[model]
type = "PennyLaneQNN"
depth = 1
noise = [
    [],
    [{{ channel = "BitFlip", p = 0.1 }}],
    [{{ channel = "BitFlip", p = 0.2 }}, {{ channel = "DepolarizingChannel", p = 0.01 }}],
]
shots = ["exact", 100]
[run]
seeds = 1
"""


def configs(text: str) -> dict[str, Any]:
    return {item.key: item.config for item in schema.parse(text, source="given").items}


def again(found: Written) -> set[str]:
    return {item.key for item in schema.parse(found.text, source="written").items}


@pytest.mark.parametrize("text", [BASE, UNLEARNED, PROBED, SAMPLED])
def test_a_whole_experiment_is_written_with_the_same_keys(text: str) -> None:
    every = configs(text)
    found = written("study", every, every)
    assert again(found) == set(every)
    assert (found.made, found.more, found.notes) == (frozenset(every), {}, ())
    assert f"makes all {len(every)} of them" in found.text


def test_values_that_vary_stand_in_lists_and_classes_in_tables() -> None:
    text = written("study", configs(BASE)).text
    for line in ("ratio = [0.0, 0.25, 0.5]", "hidden = [[4], [8, 2]]", "depth = [1, 2]", "seeds = [3, 5]"):
        assert line in text.splitlines()
    assert text.count("[[model]]") == 2
    assert "shift" not in text  # what a class means anyway is not said


def test_a_part_of_a_grid_makes_that_part() -> None:
    every = configs(BASE)
    part = {key: own for key, own in every.items() if own["corruption"]["ratio"] == 0.5 and own["seed"] == 3}
    found = written("study", part, every)
    assert again(found) == set(part)
    assert found.more == {}


def test_what_is_no_grid_says_how_many_runs_too_many_it_makes() -> None:
    every = configs(BASE)
    some = {
        key: own
        for key, own in every.items()
        if own["model"]["type"] == "MLP" or (own["corruption"]["ratio"], own["seed"]) == (0.5, 3)
    }
    found = written("study", some, every)
    assert found.made == frozenset(some)
    assert found.more == {"trial": len(again(found)) - len(some)}
    assert again(found) >= set(some)
    assert f"it also makes {found.more['trial']} trials" in found.text


def test_unlearning_runs_bring_their_teachers_which_are_not_too_many() -> None:
    every = configs(UNLEARNED)
    methods = {key: own for key, own in every.items() if own.get("unlearner", {}).get("type") == "Scrub"}
    found = written("known", methods, every)
    assert found.made == frozenset(methods)
    assert found.more == {}
    assert "[probe" not in found.text
    assert 'type = "Finetune"' not in found.text


def test_probes_bring_the_methods_they_go_through() -> None:
    every = configs(PROBED)
    probes = {key: own for key, own in every.items() if own.get("probe", {}).get("type") == "InterpolationProbe"}
    found = written("probed", probes, every)
    assert found.made == frozenset(probes)
    assert 'type = "Finetune"' in found.text
    assert "Scrub" not in found.text


def test_clean_twins_of_probes_are_no_ratio_of_the_file() -> None:
    # Listed as a ratio, zero would have the other probe taken there, too.
    every = configs(PROBED + '[[probe]]\ntype = "HessianProbe"\n')
    found = written("probed", every, every)
    assert any(own["corruption"]["ratio"] == 0.0 for own in every.values())
    assert "ratio = [0.25, 0.5]" in found.text
    assert again(found) == set(every)


def test_a_class_of_ones_own_is_named_and_not_imported() -> None:
    every = configs(BASE)
    own = {key: {**one, "model": {"type": "mine:Net", "code": "abc", "width": 3}} for key, one in every.items()}
    found = written("study", own)
    assert 'type = "mine:Net"' in found.text
    assert "code" not in found.text
    assert found.made is None
    assert "mine:Net" in found.notes[0]


def test_chosen_trials_are_said_to_be_others() -> None:
    every = configs(BASE)
    key, one = next(iter(every.items()))
    found = written("study", {key: one | {"select": {"over": ["training.learning_rate"]}}})
    assert "[select]" in found.notes[0]


def test_hostile_names_are_text() -> None:
    hostile = 'x"]\n[run]\nseeds = 9 \u202e'
    every = {key: {**one, "model": {"type": hostile, hostile: hostile}} for key, one in configs(BASE).items()}
    found = written(hostile, every)
    import tomllib

    read = tomllib.loads(found.text)
    assert read["model"]["type"] == hostile
    assert read["model"][hostile] == hostile
    assert read["run"]["seeds"] == [3, 5]
    assert set(read["name"]) <= schema._NAME_CHARACTERS
    assert "\u202e" not in found.text


TABLES = st.lists(
    st.fixed_dictionaries({"a": st.integers(0, 2), "b": st.sampled_from(["x", "y"]), "c": st.integers(0, 1)}),
    min_size=1,
    max_size=12,
)


@settings(max_examples=80, deadline=None)
@given(TABLES, st.sets(st.sampled_from("abc")))
def test_boxes_stand_for_the_tables_each_once_and_for_no_others(tables: list[dict[str, Any]], kept: set[str]) -> None:
    import itertools

    found = boxes(tables, lambda name: name not in kept)
    made = [tuple(zip(box, values, strict=True)) for box in found for values in itertools.product(*box.values())]
    assert sorted(made) == sorted({tuple(table.items()) for table in tables})
    assert all(len(box[name]) == 1 for box in found for name in kept)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    )
)
def test_values_are_read_as_they_were_written(value: Any) -> None:
    import tomllib

    assert tomllib.loads(toml_text.pair("value", value))["value"] == value
