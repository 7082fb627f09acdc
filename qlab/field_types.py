"""Which types a field can have: those whose values both a TOML file and a param in the store can hold."""

from __future__ import annotations

import ast
import collections.abc
import datetime
import enum
import inspect
import pathlib
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal

from qlab.errors import ConfigError

_PLAIN: Final = (bool, int, float, str)

_LISTS: Final = (
    list,
    set,
    frozenset,
    collections.abc.Set,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Iterable,
    collections.abc.Collection,
)

_INSTEAD: Mapping[Any, str] = {
    complex: "write two numbers: tuple[float, float]",
    bytes: "write a str",
    bytearray: "write a str",
    object: "write int, float, bool, str, Literal[...] or tuple[float, ...]",
    Any: "write int, float, bool, str, Literal[...] or tuple[float, ...]",
    datetime.datetime: 'write a str, such as "2026-11-30", and read it where it is used',
    datetime.date: 'write a str, such as "2026-11-30", and read it where it is used',
    datetime.time: "write a str, and read it where it is used",
    datetime.timedelta: "write a number of seconds: float",
}


_CHANGEABLE: Final = "which could be changed after it was checked"
_UNHELD: Final = "which neither an experiment file nor the store can hold"


class Nested:
    """What a field can hold besides plain values: something that is named by its class and has fields of its own."""

    kind: ClassVar[str]

    tag: ClassVar[str] = "type"
    """The key by which a table names the class."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """An instance, as it is: it checked its fields when it was made."""
        from pydantic_core import core_schema

        return core_schema.is_instance_schema(cls)


def nested_in(hint: Any) -> type[Nested] | None:
    """The class of which a field of some type holds one or, in a list, several; None for plain values."""
    hint = unaliased(hint)
    if inspect.isclass(hint) and issubclass(hint, Nested):
        return hint
    return next((found for part in typing.get_args(hint) if (found := nested_in(part))), None)


def unheld(hint: Any) -> str | None:
    """What a field's type is, why no field can have it, and what to write instead.

    None for integers, numbers, true or false, strings, choices among them, components, tuples and unions of those.
    """
    hint = unaliased(hint)
    if hint in (None, type(None), *_PLAIN) or (inspect.isclass(hint) and issubclass(hint, Nested)):
        return None
    if isinstance(hint, typing.NewType):
        return unheld(hint.__supertype__)
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Annotated, Final):
        return unheld(parts[0])
    if origin is Literal:
        odd = [part for part in parts if type(part) not in _PLAIN]
        among = f"a choice among {', '.join(map(repr, odd))}"
        return f"{among}, {_UNHELD}; write strings in Literal[...]" if odd else None
    if origin in (typing.Union, types.UnionType):
        return next((found for part in parts if (found := unheld(part))), None)
    if hint in (tuple, typing.Tuple):  # noqa: UP006 - as others write it
        return f"a tuple of anything, {_UNHELD}; write what is in it: tuple[float, ...]"
    if origin is tuple:
        return next((found for part in parts if part is not Ellipsis and (found := unheld(part))), None)
    kind = origin or hint
    changeable = kind in (list, dict, set, collections.abc.MutableMapping, collections.abc.MutableSequence)
    return f"{_named(hint)}, {_CHANGEABLE if changeable else _UNHELD}; {_instead(hint, kind)}"


def unaliased(hint: Any) -> Any:
    """What a ``type`` statement (Python 3.12) has given a name, as in NumPy's ``NDArray``; any other type as it is."""
    alias, parts = typing.get_origin(hint) or hint, typing.get_args(hint)
    if type(alias).__name__ != "TypeAliasType":
        return hint
    return unaliased(alias.__value__[parts] if parts else alias.__value__)


def _instead(hint: Any, kind: Any) -> str:
    if kind in _LISTS:
        return "for a list write tuple[float, ...]"
    if kind in (dict, collections.abc.Mapping, collections.abc.MutableMapping) or typing.is_typeddict(kind):
        return "write a field for each of its keys; for a list write tuple[float, ...]"
    if kind is collections.abc.Callable:
        return 'name the choices, Literal["sum", "mean"], and pick the function by the name where it is used'
    try:
        if kind in _INSTEAD:
            return _INSTEAD[kind]
    except TypeError:  # not hashable: no type at all
        pass
    if not inspect.isclass(kind):
        return "write int, float, bool, str, Literal[...] or tuple[float, ...]"
    if issubclass(kind, enum.Enum):
        choices = ", ".join(repr(item.value if isinstance(item.value, str) else item.name) for item in kind)
        return f"write Literal[{choices}]".replace("'", '"')
    if issubclass(kind, pathlib.PurePath):
        return "write a str, and turn it into a Path where it is used"
    if kind.__module__.partition(".")[0] in ("torch", "numpy", "pandas", "scipy"):
        if kind.__name__ in ("dtype", "device"):
            return f'write its name, Literal["float32", "float64"] or str, and make a {kind.__name__} of it when used'
        if kind.__name__.startswith(("float", "int", "bool", "str")):
            return f"write {kind.__name__.rstrip('_0123456789')}"
        return "write tuple[float, ...], or the path of a file with the values: str"
    return "write a field for each of its settings, and build the object from them where it is used"


def _named(hint: Any) -> str:
    """A type as its author wrote it, with an article."""
    name = hint.__name__ if inspect.isclass(hint) and not typing.get_args(hint) else str(hint).removeprefix("typing.")
    return f"{'an' if name[:1] in 'AEIOaeio' else 'a'} {name}"


def read_hints(holder: Any, cls: type, names: Sequence[str]) -> dict[str, Any]:
    """The types of some fields: of a component class, or of the keyword arguments of a model's ``__init__``.

    Args:
        holder: the class, or the function.
        cls: what messages call it.
        names: the fields; those without annotation are left out.

    Raises:
        ConfigError: one cannot be read; says which, and where it is written.
    """
    try:
        return typing.get_type_hints(holder, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError):
        pass
    found: dict[str, Any] = {}
    for base in reversed(holder.__mro__) if inspect.isclass(holder) else [holder]:
        for name, written in inspect.get_annotations(base).items():
            if name in names:
                found[name] = _read(base, cls, name, written)
    return found


def _read(base: Any, cls: type, name: str, written: Any) -> Any:
    module = sys.modules.get(base.__module__)
    scope = {**vars(module)} if module is not None else {}

    def holder() -> None: ...

    holder.__annotations__ = {name: written}
    try:
        return typing.get_type_hints(holder, scope, dict(vars(cls)), include_extras=True)[name]
    except Exception as error:  # an annotation is code
        hint = ""
        if isinstance(error, NameError):
            hint = ": import it (not only under TYPE_CHECKING), or correct the spelling"
        raise ConfigError(
            f"{cls.__name__}: the type of the field {name} cannot be read: {written}: {error}{hint}"
            f"{source_place(cls, name)}."
        ) from None


def source_place(cls: type, field: str | None = None) -> str:
    """Where a class, or a field of it, is written: ``" (parts.py, line 12)"``; empty if that is not known."""
    for base in cls.__mro__:
        module = sys.modules.get(base.__module__)
        file = getattr(module, "__file__", None)
        if file is None or base.__module__.partition(".")[0] in ("builtins", "abc", "torch", "qlab"):
            continue
        try:
            tree = ast.parse(pathlib.Path(file).read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
        defined = next(
            (
                node
                for node in ast.walk(tree)
                if isinstance(node, ast.ClassDef) and node.name == base.__qualname__.rpartition(".")[2]
            ),
            None,
        )
        line = None if defined is None else defined.lineno if field is None else _line_of_field(defined, field)
        if line is not None:
            return f" ({file}, line {line})"
    return ""


def _line_of_field(defined: ast.ClassDef, field: str) -> int | None:
    for node in defined.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == field:
            return node.lineno
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            for argument in (*node.args.kwonlyargs, *node.args.args):
                if argument.arg == field:
                    return argument.lineno
    return None
