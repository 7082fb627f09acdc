"""``--set model.depth=2``: overriding an experiment file's values on the command line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from qlab.errors import ConfigError, unknown
from qlab.fields import fields_of
from qlab.registry import KINDS, find
from qlab.training import Trainer


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
    ``training.epochs`` sets it for every model.
    """
    head, *rest = key.split(".")
    where = f"--set {key}"
    if head in KINDS:
        _set_in_tables(raw, head, rest, value, folder, where)
    elif head == "training" and len(rest) == 1:
        _check_name(rest[0], list(fields_of(Trainer)), where, "training key")
        _table(raw, "training", where)[rest[0]] = value
        for model in _tables(raw, "model"):
            if rest[0] in _table(model, "training", where):
                model["training"][rest[0]] = value
    elif head == "run" and len(rest) == 1:
        _table(raw, "run", where)[rest[0]] = value
    elif head in ("name", "about") and not rest:
        raw[head] = value
    else:
        choices = [*(f"{kind}.FIELD" for kind in KINDS), "training.FIELD", "run.FIELD", "name"]
        raise ConfigError(f"{where}: " + unknown("key", key, choices))


def _set_in_tables(
    raw: dict[str, Any], kind: str, rest: list[str], value: Any, folder: Path | None, where: str
) -> None:
    tables = _tables(raw, kind)
    if not tables:
        raise ConfigError(f"{where}: the file has no [{kind}] table.")
    by_type = [table for table in tables if rest and table.get("type") == rest[0]]
    if by_type and len(rest) > 1:
        tables, rest = by_type, rest[1:]
    if rest == ["type"]:
        if len(tables) > 1:
            raise ConfigError(
                f"{where}: the file has {len(tables)} of them; use {kind}.TYPE.type for those of one type."
            )
        tables[0]["type"] = value
        return
    if kind == "model" and len(rest) == 2 and rest[0] == "training":
        _check_name(rest[1], list(fields_of(Trainer)), where, "training key")
        for table in tables:
            _table(table, "training", where)[rest[1]] = value
        return
    if len(rest) != 1:
        raise ConfigError(f"{where}: accepts {kind}.FIELD or {kind}.TYPE.FIELD.")
    # Tables without a type are left to the reader of the file, which says what is wrong with them.
    named = [(table, table["type"]) for table in tables if isinstance(table.get("type"), str)]
    fields = [(table, fields_of(find(kind, name, folder))) for table, name in named]
    if fields:
        _check_name(rest[0], sorted({name for _, known in fields for name in known}), where, f"{kind} field")
    for table, known in fields:
        if rest[0] in known:
            table[rest[0]] = value


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
