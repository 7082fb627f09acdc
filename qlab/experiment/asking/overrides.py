"""``--set model.depth=2``: overriding an experiment file's values on the command line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from qlab.component import stated
from qlab.errors import ConfigError, unknown
from qlab.fields import fields_of, show
from qlab.models import Estimator
from qlab.registry import KINDS, find
from qlab.training import Trainer

TABLES = tuple(kind for kind in KINDS if kind not in ("loss", "channel"))
"""The hierarchies that have tables of their own in a file; losses are values of a field."""


def parse(assignment: str) -> tuple[str, Any]:
    """``"model.depth=2"`` as a key and a TOML value; what is not TOML is taken as a string."""
    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f'--set {assignment}: accepts KEY=VALUE, for example "model.depth=2".')
    if "\n" in text or "\r" in text:
        raise ConfigError(f"--set {key.strip()}: accepts a value on one line, got {text!r}.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"--set {key.strip()}: the value cannot be read: {error}") from None
    return key.strip(), value


def apply(raw: dict[str, Any], key: str, value: Any, folder: Path | None) -> None:
    """Sets one value in a parsed experiment file, in place.

    ``model.depth`` sets the field in every model that has it, ``model.PennyLaneQNN.depth`` in models of that type;
    ``training.epochs`` sets it for every model, and ``training.loss.q`` a field of what is the value of a field.
    """
    head, *rest = key.split(".")
    where = f"--set {key}"
    if head in TABLES:
        _set_in_tables(raw, head, rest, value, folder, where)
    elif head == "training" and rest:
        tables = [_table(model, "training", where) for model in _tables(raw, "model")]
        own = [table for table in tables if rest[0] in table]
        common = _table(raw, "training", where)
        if len(rest) == 1 or rest[0] in common or len(own) < len(tables):
            own.append(common)
        for table in own:
            _set(Trainer, table, rest, value, folder, where, "training")
    elif head == "run" and len(rest) == 1:
        _table(raw, "run", where)[rest[0]] = value
    elif head in ("select", "search", "audit") and rest:
        if head not in raw:
            raise ConfigError(f"{where}: the file has no [{head}] table.")
        _table(raw, head, where)[".".join(rest)] = value
    elif head in ("name", "about") and not rest:
        raw[head] = value
    else:
        choices = [*(f"{kind}.FIELD" for kind in TABLES), "training.FIELD", "run.FIELD", "name"]
        raise ConfigError(f"{where}: " + unknown("key", key, choices))


def _set_in_tables(
    raw: dict[str, Any], kind: str, rest: list[str], value: Any, folder: Path | None, where: str
) -> None:
    tables = _tables(raw, kind)
    if not tables:
        raise ConfigError(f"{where}: the file has no [{kind}] table.")
    # Names of modules have dots, too: model.sklearn.svm:SVC.C
    lengths = [length for length in range(len(rest) - 1, 0, -1) if _of_type(tables, ".".join(rest[:length]))]
    if lengths:
        tables, rest = _of_type(tables, ".".join(rest[: lengths[0]])), rest[lengths[0] :]
    if rest == ["type"]:
        if len(tables) > 1:
            raise ConfigError(
                f"{where}: the file has {len(tables)} of them; use {kind}.TYPE.type for those of one type."
            )
        tables[0]["type"] = value
        return
    if kind == "model" and len(rest) > 1 and rest[0] == "training":
        trained = [table for table in tables if not _is_estimator(table, folder)]
        if not trained:
            raise ConfigError(f"{where}: estimators are fitted at once; there is no training to set.")
        for table in trained:
            _set(Trainer, _table(table, "training", where), rest[1:], value, folder, where, "training")
        return
    if not rest:
        raise ConfigError(f"{where}: accepts {kind}.FIELD or {kind}.TYPE.FIELD.")
    # Tables without a type are left to the reader of the file, which says what is wrong with them.
    named = [(table, table["type"]) for table in tables if isinstance(table.get("type"), str)]
    classes = [(table, find(kind, name, folder)) for table, name in named]
    if classes:
        known = sorted({name for _, cls in classes for name in fields_of(cls)})
        if len(rest) > 1 and rest[0] not in known:
            raise ConfigError(f"{where}: accepts {kind}.FIELD or {kind}.TYPE.FIELD.")
        _check_name(rest[0], known, where, f"{kind} field")
    for table, cls in classes:
        if rest[0] in fields_of(cls):
            _set(cls, table, rest, value, folder, where, kind)


def _of_type(tables: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [table for table in tables if table.get("type") == name]


def _is_estimator(table: dict[str, Any], folder: Path | None) -> bool:
    name = table.get("type")
    return isinstance(name, str) and issubclass(find("model", name, folder), Estimator)


def _set(
    cls: type, table: dict[str, Any], rest: list[str], value: Any, folder: Path | None, where: str, head: str
) -> None:
    """Sets a field of a class in its table, or a field of the component that is the field's value."""
    fields = fields_of(cls)
    _check_name(rest[0], list(fields), where, f"{head} {'key' if head == 'training' else 'field'}")
    if len(rest) == 1:
        table[rest[0]] = value
        return
    field = fields[rest[0]]
    if field.nested is None or field.takes_list:
        raise ConfigError(f"{where}: {rest[0]} has no fields of its own, it is {field.accepts}; accepts {head}.FIELD.")
    inner = table.get(rest[0], stated(field.default))
    inner = {"type": inner} if isinstance(inner, str) else dict(inner) if isinstance(inner, dict) else inner
    if not isinstance(inner, dict) or not isinstance(inner.get("type"), str):
        raise ConfigError(f"{where}: {rest[0]} is {show(inner)} in this file; set it as a whole.")
    table[rest[0]] = inner
    if rest[1:] == ["type"]:
        table[rest[0]] = {"type": value}
        return
    _set(find(field.nested.kind, inner["type"], folder), inner, rest[1:], value, folder, where, rest[0])


def _tables(raw: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = raw.get(name, [])
    return [table for table in (value if isinstance(value, list) else [value]) if isinstance(table, dict)]


def _table(raw: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    table = raw.setdefault(name, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: {name} is not a table in this file.")
    return table


def _check_name(name: str, choices: list[str], where: str, what: str) -> None:
    if name not in choices:
        raise ConfigError(f"{where}: " + unknown(what, name, choices))
