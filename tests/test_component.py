"""Components: dataclasses by being defined, checked when made."""

from __future__ import annotations

import dataclasses
from typing import Annotated, ClassVar

import annotated_types as at
import pytest

from qlab.component import Component
from qlab.errors import ConfigError
from qlab.fields import PositiveFloat, PositiveInt


class Gadget(Component):
    """A component.

    Args:
        size: how large, in metres.
        parts: names of the parts.
    """

    size: PositiveFloat = 1.0
    parts: tuple[str, ...] = ("a", "b")


class LargeGadget(Gadget):
    """A component with a field of its own and one with another default.

    Args:
        copies: how many.
    """

    size: Annotated[float, at.Ge(10.0)] = 10.0
    copies: PositiveInt = 2


class Needy(Component):
    """A component with a field that has no default.

    Args:
        name: what it is called.
    """

    name: str


def test_defining_a_subclass_makes_a_frozen_keyword_only_dataclass():
    gadget = Gadget(size=2.5)
    assert dataclasses.is_dataclass(gadget)
    assert gadget == Gadget(size=2.5, parts=("a", "b"))
    assert hash(gadget) == hash(Gadget(size=2.5))
    with pytest.raises(dataclasses.FrozenInstanceError):
        gadget.size = 3.0
    with pytest.raises(TypeError):
        Gadget(2.5)


def test_fields_are_inherited_and_can_be_narrowed():
    assert LargeGadget().config() == {"size": 10.0, "parts": ["a", "b"], "copies": 2}
    with pytest.raises(ConfigError, match=r"LargeGadget: size: got 2\.0, accepts a number of at least 10"):
        LargeGadget(size=2.0)


def test_values_are_checked_and_stored_in_the_type_of_the_field():
    gadget = Gadget(size=3, parts=["x"])
    assert (gadget.size, type(gadget.size), gadget.parts) == (3.0, float, ("x",))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 0.0}, r"Gadget: size: got 0\.0, accepts a number above 0"),
        ({"size": "big"}, 'Gadget: size: got "big", accepts a number'),
        ({"parts": "ab"}, 'Gadget: parts: got "ab", accepts a list, each value a string'),
        ({"parts": ["a", 1]}, r'Gadget: parts: got \["a", 1\]'),
    ],
)
def test_wrong_values_say_what_was_given_and_what_is_accepted(values, message):
    with pytest.raises(ConfigError, match=message):
        Gadget(**values)


def test_config_round_trips():
    gadget = LargeGadget(size=11.0, parts=("q",), copies=5)
    assert LargeGadget(**gadget.config()) == gadget


def test_a_field_without_default_must_be_given():
    assert Needy(name="x").config() == {"name": "x"}
    with pytest.raises((ConfigError, TypeError), match="name"):
        Needy()


def test_a_new_default_of_an_inherited_field_needs_no_annotation():
    class Tuned(LargeGadget):
        """As a user writes it."""

        size = 20
        parts = ("x",)

    class Finer(Tuned):
        """A default of a default."""

        size = 30.0

    assert Tuned().config() == {"size": 20.0, "parts": ["x"], "copies": 2}
    assert (Finer().size, Finer().parts, Finer(size=11.0).size) == (30.0, ("x",), 11.0)
    assert (LargeGadget().size, LargeGadget().parts) == (10.0, ("a", "b"))


def test_what_is_no_field_stays_none():
    class Fixed(Gadget):
        """With a constant of its class."""

        weight: ClassVar[int] = 1

    class Heavy(Fixed):
        """With another."""

        weight = 2

    assert (Heavy.weight, list(Heavy().config())) == (2, ["size", "parts"])


@pytest.mark.parametrize("name", ["type", "code", "training"])
def test_names_that_mean_something_else_in_files_are_refused(name):
    """A sweep over such a field would be one trial."""
    clash = type("Clash", (Gadget,), {"__annotations__": {name: str}, name: "x", "__doc__": "A component."})
    with pytest.raises(ConfigError, match=f"Clash: a field cannot be called {name}.*rename it"):
        clash()


@pytest.mark.parametrize("hint", [list, list[float], dict[str, int], Annotated[set[int], at.MinLen(1)]], ids=str)
def test_fields_that_could_be_changed_are_refused(hint):
    changeable = type("Changeable", (Component,), {"__annotations__": {"weights": hint}, "__doc__": "A component."})
    with pytest.raises(ConfigError, match=r"Changeable: the field weights is a .* write tuple\[float, \.\.\.\]"):
        changeable(weights=[1.0])


def test_a_class_without_a_docstring_has_none():
    class Silent(Gadget):
        more: int = 1

    assert Silent.__doc__ is None


def test_a_new_default_is_checked_as_the_field_is():
    class Wrong(LargeGadget):
        """Below what the field accepts."""

        size = 2.0

    with pytest.raises(ConfigError, match=r"Wrong: size: got 2\.0, accepts a number of at least 10"):
        Wrong()
