"""Configurations as an experiment file states them: whole tables, then only what a file has to say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from qlab.component import stated
from qlab.corruptions.knowledge import FIELDS
from qlab.errors import ConfigError
from qlab.fields import REQUIRED, Field, fields_of
from qlab.registry import find, tag_of
from qlab.training import Trainer

DIGESTS: Final = ("code", "files")
"""Keys of a configuration that no file states: digests of classes and data beside it."""

KNOWLEDGE: Final = FIELDS
"""Keys of a corruption that say what methods are told of it; no model depends on them."""


def class_of(kind: str, name: str) -> type | None:
    """The class of a table, if it is qlab's, a plugin's or scikit-learn's; others are not imported."""
    try:
        return Trainer if kind == "training" else find(kind, name, imports=False)
    except ConfigError:
        return None


def whole(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A table with every field, those that were left out among them; of classes that are not here, as it is.

    Args:
        kind: a hierarchy, or "training".
        config: of a store.
    """
    own = {name: value for name, value in config.items() if name not in DIGESTS}
    cls = class_of(kind, str(own.get(_tag(kind))))
    if cls is None:
        return own
    found = {_tag(kind): own[_tag(kind)]} if kind != "training" else {}
    for name, field in fields_of(cls).items():
        if name in own:
            found[name] = _whole_value(field, own.pop(name))
        elif field.absent is not None:
            found[name] = _whole_value(field, stated(field.absent.value))
        elif _has_default(field):
            found[name] = _whole_value(field, stated(field.default))
    return found | own


def short(kind: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """The same without what a class means anyway.

    Args:
        kind: a hierarchy, or "training".
        table: see :func:`whole`.
    """
    cls = class_of(kind, str(table.get(_tag(kind))))
    fields = {} if cls is None else fields_of(cls)
    found: dict[str, Any] = {}
    for name, value in table.items():
        field = fields.get(name)
        if field is None or not _has_default(field) or value != _whole_value(field, stated(field.default)):
            found[name] = short_value(field, value)
    return found


def short_value(field: Field | None, value: Any) -> Any:
    """A field's value without what classes of components mean anyway: a name is enough for one with its defaults."""
    nested = None if field is None else field.nested
    if nested is None:
        return value
    if isinstance(value, list):
        return [short_value(field, item) for item in value]
    own = short(nested.kind, value)
    return own[nested.tag] if list(own) == [nested.tag] else own


def is_swept(kind: str, table: Mapping[str, Any], name: str) -> bool:
    """Whether several values of a key can stand in a list, and would not be taken for one value."""
    if name == _tag(kind):
        return False
    cls = class_of(kind, str(table.get(_tag(kind))))
    field = None if cls is None else fields_of(cls).get(name)
    if field is None:
        return not isinstance(table.get(name), list | dict)
    if field.nested is not None or field.sweeps_any_list:
        return True
    try:
        field.check([table.get(name)] * 2)
    except ConfigError:
        return True
    return False  # a list of such values is itself one


def one_value(kind: str, table: Mapping[str, Any], name: str, value: Any) -> Any:
    """A single value as a file has to write it: in a list of its own where a list means a sweep."""
    cls = class_of(kind, str(table.get(_tag(kind))))
    field = None if cls is None else fields_of(cls).get(name)
    return [value] if field is not None and field.sweeps_any_list and isinstance(value, list) else value


def names_in(kind: str, table: Mapping[str, Any]) -> list[str]:
    """The names of the classes in a table, components that are values among them."""
    found = [str(table[_tag(kind)])] if _tag(kind) in table else []
    for value in table.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                found += [str(own) for tag, own in item.items() if tag in ("type", "channel")]
    return found


def _whole_value(field: Field, value: Any) -> Any:
    nested = field.nested
    if isinstance(value, tuple | list):
        return [_whole_value(field, item) for item in value]
    if nested is None or value is None:
        return value
    return whole(nested.kind, value if isinstance(value, Mapping) else {nested.tag: value})


def _has_default(field: Field) -> bool:
    return field.default is not REQUIRED


def _tag(kind: str) -> str:
    return "type" if kind == "training" else tag_of(kind)
