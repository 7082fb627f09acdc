"""The base of tasks, corruptions and trainers: frozen keyword-only dataclasses whose fields are TOML keys."""

from __future__ import annotations

import dataclasses
import inspect
from abc import ABC
from typing import Any, ClassVar, dataclass_transform

from qlab.fields import check_fields, fields_of


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Component(ABC):  # noqa: B024 - the hierarchies below it declare the abstract methods
    """A choice an experiment file can name, with its settings.

    Every subclass becomes a frozen keyword-only dataclass by being defined: write annotated fields with
    defaults (or a new default for an inherited one), describe them under ``Args:``, and give constraints as
    ``Annotated`` types from :mod:`qlab.fields`. Values are checked when an instance is made.

    Override in a subclass: the abstract methods of its hierarchy, :attr:`formula` and :attr:`source`.
    """

    kind: ClassVar[str] = "component"
    formula: ClassVar[str] = ""
    source: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # A new default needs no annotation: without it, a dataclass would leave the inherited default as it is.
        own = inspect.get_annotations(cls)
        for base in cls.__mro__[1:]:
            for name, field in fields_of(base).items() if dataclasses.is_dataclass(base) else ():
                if name in vars(cls) and name not in own:
                    own[name] = field.annotation
        cls.__annotations__ = own
        documented = cls.__doc__
        dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        cls.__doc__ = documented  # else a dataclass writes its signature there

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        for name, value in check_fields(type(self), given).items():
            object.__setattr__(self, name, value)

    def config(self) -> dict[str, Any]:
        """The fields and their values, tuples as lists: what an experiment file would say."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
