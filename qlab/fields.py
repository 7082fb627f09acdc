"""Fields: the keys of an experiment file, read off the classes that take them.

A component's fields are its dataclass fields, a model's the keyword arguments of its ``__init__``. Types are
checked the same way whether a value comes from a TOML file or from a notebook.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import annotated_types as at
import docstring_parser
import pydantic

from qlab.errors import ConfigError, nearest, unknown
from qlab.field_types import Nested, nested_in, read_hints, source_place, unaliased, unheld
from qlab.words import visible

REQUIRED: Final = dataclasses.MISSING

_RESERVED = ("type", "code", "training")
"""Keys that tables of an experiment file and configurations in a store have besides the fields of a class."""

Ratio = Annotated[float, at.Interval(ge=0.0, le=1.0)]
PositiveInt = Annotated[int, at.Ge(1)]
NonNegativeInt = Annotated[int, at.Ge(0)]
Shots = Annotated[int, at.Interval(ge=1, le=10**12)]
"""Outcomes of one measurement; more than these are exact for all that double precision shows."""
NonNegativeFloat = Annotated[float, at.Ge(0.0)]
PositiveFloat = Annotated[float, at.Gt(0.0)]

_MOST_BITS = 4000
"""Python refuses to write longer integers as decimals."""

_STRICT = pydantic.ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)


@dataclasses.dataclass(frozen=True)
class AbsentMeans:
    """Marks a field that came later than stored trials of its class: ``Annotated[int, AbsentMeans(0)] = 0``.

    With this value it is left out of a trial's identity and params, so that those trials are found again. A default
    that a subclass changes does not change what absence means.

    Args:
        value: what a configuration without the field means, as an experiment file would say it.
    """

    value: Any


@dataclasses.dataclass(frozen=True)
class OneFor:
    """Marks a field that takes one value, or a tuple of one for each of something: ``T | tuple[T, ...]``.

    In an experiment file a list is a sweep, and a list in it is such a tuple, as of any field whose type is a list.

    Args:
        what: for which there is one each, such as "wire".
    """

    what: str


@dataclasses.dataclass(frozen=True)
class Field:
    """One key of a class: its type, default and description."""

    name: str
    annotation: Any
    default: Any = REQUIRED
    doc: str = ""
    absent: AbsentMeans | None = None

    @property
    def declared(self) -> Any:
        """The type as the class writes it, with what absence means."""
        return self.annotation if self.absent is None else Annotated[self.annotation, self.absent]

    @property
    def accepts(self) -> str:
        """What the field accepts, in words."""
        return describe_type(self.annotation)

    @property
    def choices(self) -> tuple[str, ...]:
        """The strings that a field accepts; empty if it accepts other values."""
        return typing.get_args(self.annotation) if typing.get_origin(self.annotation) is Literal else ()

    @property
    def nested(self) -> type[Nested] | None:
        """The class of which the field holds one or, in a list, several; None if it holds plain values."""
        return nested_in(self.annotation)

    @property
    def takes_list(self) -> bool:
        """Whether one value of the field is itself a list."""
        return _origin(self.annotation) is tuple

    @property
    def sweeps_any_list(self) -> bool:
        """Whether a list in an experiment file is a sweep although the field accepts lists, see :class:`OneFor`."""
        return any(isinstance(mark, OneFor) for mark in getattr(self.annotation, "__metadata__", ()))

    def check(self, value: Any) -> Any:
        """The value, converted to the field's own type.

        Raises:
            ConfigError: the value is not what the field accepts; says what was given and what is accepted.
        """
        try:
            checked = check_value(self.annotation, value)
        except pydantic.ValidationError:
            hint = nearest(value, _strings(self.annotation)) if isinstance(value, str) else ""
            hint = hint or self._in_python(value)
            raise ConfigError(f"{self.name}: got {show(value)}, accepts {self.accepts}.{hint}") from None
        if _beyond_machine(checked):
            raise ConfigError(
                f"{self.name}: got {show(value)}, accepts {self.accepts}, and integers of at most 64 bits."
            )
        return checked

    def _in_python(self, value: Any) -> str:
        """What to write in Python instead of a component's name or table; empty if these are neither."""
        if (base := self.nested) is None:
            return ""
        items = value if isinstance(value, list | tuple) else (value,)
        tables = [item if isinstance(item, Mapping) else {base.tag: item} for item in items]
        names = [table.get(base.tag) for table in tables]
        package = base.__module__.rpartition(".")[0]
        if not names or not all(isinstance(name, str) and hasattr(sys.modules[package], name) for name in names):
            return ""
        made = [
            f"{table[base.tag]}({', '.join(f'{key}={own!r}' for key, own in table.items() if key != base.tag)})"
            for table in tables
        ]
        written = f"({', '.join(made)}{',' * (len(made) == 1)})" if self.takes_list else ", ".join(made)
        imported = ", ".join(dict.fromkeys(map(str, names)))
        return f" In Python: from {package} import {imported}; {self.name}={written}"


def check_value(annotation: Any, value: Any) -> Any:
    """``value`` checked against ``annotation``; an integer may stand for a float, and NumPy's numbers for Python's."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()
    checked = _adapter(annotation).validate_python(_as_tuples(value))
    return checked + 0.0 if isinstance(checked, float) else checked  # -0.0 is 0.0


def _strings(annotation: Any) -> tuple[str, ...]:
    """The strings that an annotation names, beside whatever else it accepts."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return tuple(part for part in parts if isinstance(part, str))
    return tuple(text for part in parts for text in _strings(part)) if origin in (typing.Union, types.UnionType) else ()


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list) else value


def _beyond_machine(value: Any) -> bool:
    """Whether an integer exceeds the 64 bits that TOML and PyTorch allow; Python reads any."""
    if isinstance(value, tuple):
        return any(map(_beyond_machine, value))
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def show(value: Any) -> str:
    """A value as a user would have typed it in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{visible(value)}"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(show(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {show(item)}" for key, item in value.items()) + " }"
    if isinstance(value, Nested):
        return show(type(value).__name__)
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return f"an integer of {value.bit_length()} bits"
    return str(value)


def describe_type(annotation: Any) -> str:
    """A type annotation in words: ``a number in [0, 1]``."""
    annotation = unaliased(annotation)
    if typing.get_origin(annotation) is Annotated:
        base, *constraints = typing.get_args(annotation)
        if several := [mark for mark in constraints if isinstance(mark, OneFor)]:
            one, *rest = typing.get_args(base)
            found = f"{describe_type(one)}, or one for each {several[0].what} ([[...]] in a file, where [...] is swept)"
            return f"{found}, or left out" if type(None) in rest else found
        return " ".join([describe_type(base), *map(_describe_constraint, constraints)])
    origin = typing.get_origin(annotation)
    if origin is Literal:
        choices = [show(choice) for choice in typing.get_args(annotation)]
        return "one of " + ", ".join(choices) if len(choices) > 1 else choices[0]
    if origin in (typing.Union, types.UnionType):
        parts = [describe_type(part) for part in typing.get_args(annotation) if part is not type(None)]
        optional = type(None) in typing.get_args(annotation)
        return " or ".join([*parts, "left out"] if optional else parts)
    if origin is tuple:
        items = typing.get_args(annotation)
        if items[-1] is Ellipsis:
            return f"a list, each value {describe_type(items[0])}"
        return "a list [" + ", ".join(describe_type(item) for item in items) + "]"
    if isinstance(annotation, type) and issubclass(annotation, Nested):
        return f"a {annotation.kind}: its name, or a table with its {annotation.tag} and fields (in Python an object)"
    names = {int: "an integer", float: "a number", bool: "true or false", str: "a string"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def fields_of(cls: type) -> dict[str, Field]:
    """The fields of a component or model class, by name, in the order of definition."""
    return dict(_fields_of(cls))


def check_fields(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """All fields of ``cls``, checked: ``values`` where given, defaults elsewhere.

    Raises:
        ConfigError: an unknown field, a missing one, or a value the field does not accept.
    """
    fields = fields_of(cls)
    for name in values:
        if name not in fields:
            raise ConfigError(f"{cls.__name__}: " + unknown("field", name, fields))
    checked = {}
    for name, field in fields.items():
        if name not in values and field.default is REQUIRED:
            raise ConfigError(f"{cls.__name__}: the field {name} has no default; give a value ({field.accepts}).")
        try:
            checked[name] = field.check(values.get(name, field.default))
        except ConfigError as error:
            raise ConfigError(f"{cls.__name__}: {error}") from None
    return checked


def identity_of(cls: type, config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without the fields whose values its absence means, see :class:`AbsentMeans`."""
    absent = {name: field.absent.value for name, field in fields_of(cls).items() if field.absent is not None}
    return {name: value for name, value in config.items() if name not in absent or value != _said(absent[name])}


def _said(value: Any) -> Any:
    """A value as an experiment file would say it: a list for a tuple."""
    return [_said(item) for item in value] if isinstance(value, tuple) else value


@functools.cache
def _fields_of(cls: type) -> types.MappingProxyType[str, Field]:
    hints, defaults = _component_fields(cls) if dataclasses.is_dataclass(cls) else _model_fields(cls)
    for name in hints:
        if name in _RESERVED:
            raise ConfigError(
                f"{cls.__name__}: a field cannot be called {name}, which means something else in experiment files and "
                f"in the store; rename it{source_place(cls, name)}."
            )
        if hidden := _hidden(cls, name):
            raise ConfigError(
                f"{cls.__name__}: a field cannot be called {name}, which hides {hidden}; rename it"
                f"{source_place(cls, name)}."
            )
    for name, hint in hints.items():
        if refused := unheld(hint):
            raise ConfigError(f"{cls.__name__}: the field {name} is {refused}{source_place(cls, name)}.")
    docs = _field_docs(cls)
    found = {}
    for name, hint in hints.items():
        annotation, absent = _without_mark(unaliased(hint))
        found[name] = Field(name, annotation, defaults[name], docs.get(name, ""), absent)
    return types.MappingProxyType(found)


def _without_mark(annotation: Any) -> tuple[Any, AbsentMeans | None]:
    if typing.get_origin(annotation) is not Annotated:
        return annotation, None
    base, *rest = typing.get_args(annotation)
    marks = [item for item in rest if isinstance(item, AbsentMeans)]
    kept = tuple(item for item in rest if not isinstance(item, AbsentMeans))
    return (Annotated[(base, *kept)] if kept else base), (marks[-1] if marks else None)


def _hidden(cls: type, name: str) -> str | None:
    """The method of qlab's that a field would hide."""
    for base in cls.__mro__ if dataclasses.is_dataclass(cls) else ():
        found = vars(base).get(name)
        if base.__module__.startswith("qlab.") and inspect.isroutine(found):
            return f"{base.__name__}.{name}"
    return None


def _component_fields(cls: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """Types and defaults of a component's fields.

    Raises:
        ConfigError: a field is computed, is not kept, or has a type that cannot be read.
    """
    hints: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    every: Mapping[str, dataclasses.Field[Any]] = vars(cls)["__dataclass_fields__"]
    for name, field in every.items():
        if "INITVAR" in str(getattr(field, "_field_type", "")):
            raise ConfigError(
                f"{cls.__name__}: {name} is an InitVar, which no trial would remember; write an ordinary field"
                f"{source_place(cls, name)}."
            )
    own = dataclasses.fields(cls)
    read = read_hints(cls, cls, [field.name for field in own])
    for field in own:
        if not field.init:
            raise ConfigError(
                f"{cls.__name__}: the field {field.name} cannot be set (init=False); a value derived from other "
                f"fields is not a field: write a property{source_place(cls, field.name)}."
            )
        made = field.default_factory
        hints[field.name] = read[field.name]
        defaults[field.name] = field.default if made is dataclasses.MISSING else made()
    return hints, defaults


def _model_fields(cls: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """Types and defaults of a model's keyword arguments; what has no annotation is of the type of its default.

    Raises:
        ConfigError: a type cannot be read, or there is none and the default does not say it.
    """
    hints: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        init = vars(base)["__init__"]
        parameters = inspect.signature(init).parameters.values()
        new = [item for item in parameters if item.kind is item.KEYWORD_ONLY and item.name not in hints]
        read = read_hints(init, cls, [item.name for item in new])
        for item in new:
            defaults[item.name] = REQUIRED if item.default is item.empty else item.default
            hints[item.name] = read[item.name] if item.name in read else _hint_of_default(cls, item)
        if not any(item.kind is item.VAR_KEYWORD for item in parameters):
            break
    return hints, defaults


def _hint_of_default(cls: type, parameter: inspect.Parameter) -> Any:
    """The type of a keyword argument without annotation, from its default: an integer may stand for any number."""
    kinds = {bool: bool, int: int | float, float: float, str: str}
    found: Any = kinds.get(type(parameter.default))
    if found is None:
        given = "no default" if parameter.default is parameter.empty else f"the default {parameter.default!r}"
        raise ConfigError(
            f"{cls.__name__}: the field {parameter.name} has no type and {given}; write what it accepts, such as "
            f"{parameter.name}: float = 1.0 or {parameter.name}: tuple[int, ...] = (64, 16)"
            f"{source_place(cls, parameter.name)}."
        )
    return found


def _field_docs(cls: type) -> dict[str, str]:
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        for parameter in docstring_parser.parse(vars(base).get("__doc__") or "").params:
            docs[parameter.arg_name] = " ".join((parameter.description or "").split())
    return docs


def _origin(annotation: Any) -> Any:
    if typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    return typing.get_origin(annotation)


def _describe_constraint(constraint: Any) -> str:
    if isinstance(constraint, at.Interval):
        if len(list(constraint)) == 1:
            return " ".join(_describe_constraint(part) for part in constraint)
        low = f"[{constraint.ge:g}" if constraint.ge is not None else f"({constraint.gt:g}"
        high = f"{constraint.le:g}]" if constraint.le is not None else f"{constraint.lt:g})"
        return f"in {low}, {high}"
    words = {
        at.Ge: ("of at least", "ge"),
        at.Gt: ("above", "gt"),
        at.Le: ("of at most", "le"),
        at.Lt: ("below", "lt"),
        at.MultipleOf: ("divisible by", "multiple_of"),
        at.MinLen: ("(length at least", "min_length"),
        at.MaxLen: ("(length at most", "max_length"),
    }
    for kind, (phrase, attribute) in words.items():
        if isinstance(constraint, kind):
            bound = getattr(constraint, attribute)
            number = f"{bound:g}" if isinstance(bound, float) else str(bound)
            return f"{phrase} {number}" + (")" if phrase.startswith("(") else "")
    return str(constraint)


@functools.cache
def _adapter(annotation: Any) -> pydantic.TypeAdapter[Any]:
    if isinstance(annotation, type) and issubclass(annotation, Nested):  # a dataclass, which takes no settings here
        return pydantic.TypeAdapter(annotation)
    return pydantic.TypeAdapter(annotation, config=_STRICT)
