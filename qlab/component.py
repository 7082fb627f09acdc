"""The base of tasks, corruptions and trainers: frozen keyword-only dataclasses whose fields are TOML keys."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from abc import ABC
from collections.abc import Callable
from typing import Any, ClassVar, dataclass_transform

from qlab.errors import ConfigError
from qlab.field_types import Nested
from qlab.fields import check_fields, fields_of

DECORATOR = "leave the decorator out, or write @dataclass(frozen=True, kw_only=True)"

_CHECKED = "__qlab_checked__"
"""Marks a ``__post_init__`` that checks the fields."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Component(Nested, ABC):
    """A choice an experiment file can name, with its settings.

    Every subclass automatically becomes a frozen keyword-only dataclass: write annotated fields with
    defaults (or a new default for an inherited one), describe them under ``Args:``, and give constraints as
    ``Annotated`` types from :mod:`qlab.fields`. Values are checked when an instance is made, before and after a
    ``__post_init__`` of the class. ``@dataclass(frozen=True, kw_only=True)`` above a subclass changes nothing.

    Override in a subclass: the abstract methods of its hierarchy, :attr:`formula` and :attr:`source`.
    """

    kind: ClassVar[str] = "component"
    formula: ClassVar[str] = ""
    source: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__dataclass_fields__" in vars(cls):  # slots=True makes the class again, from what a dataclass was
            raise ConfigError(
                f"{cls.__name__}: components cannot be @dataclass(slots=True), which breaks methods that call "
                f"super(); {DECORATOR}."
            )
        # A new default needs no annotation: without it, a dataclass would leave the inherited default as it is.
        own = inspect.get_annotations(cls)
        for base in cls.__mro__[1:]:
            for name, field in fields_of(base).items() if dataclasses.is_dataclass(base) else ():
                if name in vars(cls) and name not in own:
                    own[name] = field.declared
        cls.__annotations__ = own
        for name in own:
            _settle_default(cls, name)
        if not hasattr(cls.__post_init__, _CHECKED):  # the class's own, or that of a class mixed in
            cls.__post_init__ = _checked(cls.__post_init__)  # type: ignore[method-assign]
        documented = cls.__doc__
        try:
            dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        except ValueError as error:  # a default that can be changed
            said = str(error).partition(" is not allowed")[0]
            raise ConfigError(
                f"{cls.__name__}: {said} could be changed after it was checked; for a list write a tuple, such as "
                "(1.0, 2.0)."
            ) from None
        cls.__doc__ = documented  # else a dataclass writes its signature there
        # Component's own do the same. A decorator above the class writes them once more, and refuses if they are there.
        for name in ("__setattr__", "__delattr__"):
            delattr(cls, name)

    def __setattr__(self, name: str, value: Any) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def __post_init__(self, *values: Any) -> None:
        for name, value in check_fields(type(self), self.field_values()).items():
            object.__setattr__(self, name, value)

    def config(self) -> dict[str, Any]:
        """The fields and their values, tuples as lists: what an experiment file would say."""
        return {name: stated(value) for name, value in self.field_values().items()}

    def field_values(self) -> dict[str, Any]:
        """The fields and their values, as they are."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]


_NAME = "__qlab_name__"
"""Where a component that is the value of a field keeps how an experiment file named its class."""


def called(component: Component, name: str) -> Component:
    """The same component, which remembers how an experiment file or a store names its class.

    One of qlab's own losses is the same trial's however it is named; long names of other kinds are part of identities
    in stores.
    """
    if component.kind == "loss" and type(component).__module__.partition(".")[0] == "qlab":
        name = type(component).__name__
    object.__setattr__(component, _NAME, name)
    return component


def name_of(component: Component) -> str:
    """How a component's class is named where it is the value of a field: as in the file, else the class's own name."""
    return str(vars(component).get(_NAME, type(component).__name__))


def stated(value: Any) -> Any:
    """A field's value as an experiment file would say it: tuples as lists, components as tables that name them."""
    if isinstance(value, Component):
        return {value.tag: name_of(value), **value.config()}
    if isinstance(value, tuple):
        return [stated(item) for item in value]
    return value


def _settle_default(cls: type, name: str) -> None:
    """Turns ``field(default_factory=...)`` into the default that it makes: a second decorator would lose the factory.

    Raises:
        ConfigError: the factory makes another value each time, so that a class means another trial each time.
    """
    given = vars(cls).get(name)
    if not isinstance(given, dataclasses.Field) or given.default_factory is dataclasses.MISSING:
        return
    made, again = given.default_factory(), given.default_factory()
    try:
        hash(made)
    except TypeError:
        return  # lists and the like are refused with their type
    if made != again:
        raise ConfigError(
            f"{cls.__name__}: the default of the field {name} differs each time it is made ({made!r}, then "
            f"{again!r}), so that no trial could be found again; write a fixed default."
        )
    given.default, given.default_factory = made, dataclasses.MISSING


def _checked(post_init: Callable[..., None]) -> Callable[..., None]:
    """A user's ``__post_init__`` between two checks of the fields, whether it calls that of the base or not."""

    @functools.wraps(post_init)
    def checked(self: Component, *values: Any) -> None:
        Component.__post_init__(self)
        post_init(self, *values)
        Component.__post_init__(self)

    setattr(checked, _CHECKED, True)
    return checked


setattr(Component.__post_init__, _CHECKED, True)
