"""Params: text in the store, values with types outside it."""

from __future__ import annotations

import math
import sys
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from qlab.tracking import params
from qlab.tracking.groups import keys_of, keys_of_params

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(SCALARS, lambda items: st.lists(items, max_size=4).map(tuple), max_leaves=8)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of one type, all the way down."""
    if isinstance(one, tuple):
        return isinstance(other, tuple) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other and str(one) == str(other)


@given(VALUES)
@example("true")
@example("10")
@example(" 10 ")
@example("null")
@example("NaN")
@example("-Infinity")
@example("1e999")
@example('"quoted"')
@example("[1, 2]")
@example('{"a": 1}')
@example('[{"a": 1}]')
@example("[" * 100_000)
@example("9" * 5000)
@example("")
@example(0.1 + 0.2)
@example(-0.0)
@example(2**80)
@example((1, 1.0, True, "1", ((2,), None)))
def test_what_is_written_is_read_back_with_its_type(value: Any) -> None:
    assert same(params.read(params.write(value)), value)


def test_lists_are_read_back_as_tuples_and_plain_names_are_written_as_they_are() -> None:
    assert params.read(params.write([64, [16]])) == (64, (16,))
    assert params.write("my_parts:FlipOnes") == "my_parts:FlipOnes"
    assert (params.write(True), params.write(0.3), params.write([4])) == ("true", "0.3", "[4]")


@given(st.text())
def test_whatever_others_wrote_is_read_as_something_that_can_be_hashed(text: str) -> None:
    hash(params.read(text))


@pytest.mark.parametrize("value", ["x", True, None, math.nan, math.inf, 10**400, (1,)])
def test_only_finite_numbers_are_numbers(value: Any) -> None:
    assert params.number(value) is None
    assert params.number(3) == 3


def test_the_largest_number_stands_for_infinity() -> None:
    assert params.metric(sys.float_info.max) == math.inf
    assert params.metric(-sys.float_info.max) == -math.inf
    assert math.isnan(params.metric(math.nan))
    assert params.metric(1e300) == 1e300


SETTINGS = st.dictionaries(st.sampled_from(["task.type", "model.depth", "model.flags", "corruption.ratio"]), VALUES)


@given(SETTINGS, st.integers(), st.integers())
def test_a_group_is_the_same_from_the_configuration_and_from_what_the_store_holds_of_it(
    settings: dict[str, Any], seed: int, other: int
) -> None:
    texts = {name: params.write(value) for name, value in settings.items()}
    if any(len(text) >= params.LONGEST for text in texts.values()):
        return
    stored = keys_of_params(texts | {"seed": params.write(other), "points.clean": "of another seed"}, "run")
    assert keys_of(settings | {"seed": seed}) == stored


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (1, True), ("1", 1), (None, "null"), (0.3, 0.1 + 0.2), ((1, 2), (12,))], ids=str
)
def test_values_that_differ_in_type_or_in_the_last_digit_make_groups_of_their_own(one: Any, other: Any) -> None:
    assert keys_of({"model.x": one}).curve != keys_of({"model.x": other}).curve


def test_a_curve_runs_over_the_ratio_alone() -> None:
    one, other = ({"corruption.ratio": ratio, "corruption.known": 0.5} for ratio in (0.2, 0.4))
    assert keys_of(one).curve == keys_of(other).curve
    assert keys_of(one).group != keys_of(other).group
    assert keys_of(one | {"corruption.known": 1.0}).curve != keys_of(one).curve


def test_a_run_with_a_param_that_was_cut_is_alone_in_its_group() -> None:
    cut = {"model.hidden": "[" + "1, " * 4000}
    cut = {name: text[: params.LONGEST] for name, text in cut.items()}
    assert keys_of_params(cut, "a") != keys_of_params(cut, "b")
