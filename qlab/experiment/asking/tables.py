"""Tables of an experiment file: TOML in, components out, one for each combination of swept values."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from qlab.component import Component, called
from qlab.errors import ConfigError, unknown
from qlab.fields import Field, fields_of, show
from qlab.models import Model
from qlab.noise import Channel
from qlab.noise.device import ALONE
from qlab.noise.device_table import device_noises, tables_of_devices
from qlab.own_code import described
from qlab.registry import KINDS, find, tag_of
from qlab.tasks import Task
from qlab.tasks.files import placed
from qlab.words import plural


class Tables:
    """Turns tables into checked components; messages start with the key.

    Args:
        folder: where ``module:Class`` names, and the files of tasks, are looked for.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def variants(self, value: Any, kind: str) -> Iterator[tuple[str, Any]]:
        """Objects of a kind, of every table and every combination of swept values, with the names of their classes."""
        for where, table in self.tables(value, kind):
            yield from self.variant(table, kind, where)

    def variant(self, table: dict[str, Any], kind: str, where: str) -> Iterator[tuple[str, Any]]:
        """Objects for every combination of a table's swept values, with the name of their class."""
        tag = tag_of(kind)
        name = table.get(tag)
        if not isinstance(name, str):
            given = "nothing" if name is None else show(name)
            raise ConfigError(
                f"{where}.{tag}: got {given}, accepts the name of a {kind}. Run `qlab list {plural(kind)}`."
            )
        try:
            cls = find(kind, name, self._folder)
        except ConfigError as error:
            raise ConfigError(f"{where}.{tag}: {error}") from error
        fields = {key: value for key, value in table.items() if key != tag}
        for made in self.sweep(cls, fields, where):
            yield name, made

    def sweep(self, cls: type, table: Mapping[str, Any], where: str) -> Iterator[Any]:
        """An object of a class for every combination of the values in a table."""
        try:
            fields = fields_of(cls)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
        choices: dict[str, list[Any]] = {}
        for key, value in table.items():
            if key not in fields:
                instead = getattr(cls, "refused", {}).get(key)
                raise ConfigError(f"{where}: {instead or unknown(f'{cls.__name__} key', key, fields)}")
            if fields[key].nested is None:
                choices[key] = _choices(fields[key], value, where)
            else:
                choices[key] = self._nested_choices(fields[key], value, f"{where}.{key}")
        for combination in itertools.product(*choices.values()):
            yield self.make(cls, dict(zip(choices, combination, strict=True)), where)

    def _nested_choices(self, field: Field, value: Any, where: str) -> list[Any]:
        """The values of a field that holds components: by name or as tables, each of which may be swept itself."""
        if field.takes_list:
            if field.nested is Channel and tables_of_devices(value):
                return self._noises(field, value, where)
            if not isinstance(value, list):
                whole = ' Or the noise of a device: { device = "kingston" }.' if field.nested is Channel else ""
                raise ConfigError(f"{where}: got {show(value)}, accepts {field.accepts}.{whole}")
            swept = value if value and all(isinstance(item, list) for item in value) else [value]
            return [
                combination
                for items in swept
                for combination in itertools.product(
                    *(self._components(field, item, f"{where}[{n}]") for n, item in enumerate(items, start=1))
                )
            ]
        if value == []:
            raise ConfigError(f"{where}: got an empty list, accepts {field.accepts}, or a list of them to sweep.")
        swept = value if isinstance(value, list) else [value]
        return [made for item in swept for made in self._components(field, item, where)]

    def _noises(self, field: Field, value: Any, where: str) -> list[Any]:
        """Noise of devices, and beside it, where it is swept, lists of channels."""
        if not isinstance(value, list):
            return [(made,) for made in device_noises(value, self._folder, where)]
        found: list[Any] = []
        for number, item in enumerate(value, start=1):
            place = f"{where}[{number}]"
            if isinstance(item, dict) and "device" not in item:
                raise ConfigError(f"{place}: {ALONE}")
            found += self._nested_choices(field, item, place)
        return found

    def _components(self, field: Field, value: Any, where: str) -> list[Component]:
        """A component, or several if some of its fields are swept."""
        kind = "" if field.nested is None else field.nested.kind
        if kind not in KINDS:
            raise ConfigError(
                f"{where}: holds a {getattr(field.nested, '__name__', '')}, which no experiment file can name; "
                f"accepts {', '.join(KINDS)}."
            )
        if field.nested is Channel and tables_of_devices(value):
            raise ConfigError(f"{where}: {ALONE}")
        if not isinstance(value, str | dict):
            raise ConfigError(f"{where}: got {show(value)}, accepts {field.accepts}.")
        table = {tag_of(kind): value} if isinstance(value, str) else value
        return [called(made, name) for name, made in self.variant(table, kind, where)]

    def make(self, cls: type, table: Any, where: str) -> Any:
        """One object of a class, from a table of values.

        Raises:
            ConfigError: a key is unknown or missing, a value is not accepted, or the class refuses them.
        """
        values = self.table(table, where)
        fields = fields_of(cls)
        for key, value in values.items():
            if key not in fields:
                raise ConfigError(f"{where}: " + unknown("key", key, fields))
            _check(fields[key], value, where)
        for name, field in fields.items():
            if name not in values and field.default is dataclasses.MISSING:
                raise ConfigError(f"{where}.{name}: missing; accepts {field.accepts}.")
        try:
            made = cls(**values)
            if isinstance(made, Model):
                made.config()  # is not there if the class forgot super().__init__
            if isinstance(made, Task) and self._folder is not None:
                made = placed(made, self._folder)
            return made
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
        except (Exception, SystemExit) as error:  # a user's class may raise anything
            raise ConfigError(f"{where}: {cls.__name__} cannot be created: {described(error)}") from error

    def tables(self, value: Any, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each table of ``[kind]`` or ``[[kind]]`` with its name in messages."""
        if isinstance(value, list) and value:
            for number, table in enumerate(value, start=1):
                where = f"{kind}[{number}]" if len(value) > 1 else kind
                yield where, self.table(table, where)
        else:
            yield kind, self.table(value, kind)

    def table(self, value: Any, where: str) -> dict[str, Any]:
        """The value, if it is a table."""
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: got {show(value)}, accepts a table.")
        return value


def _choices(field: Field, value: Any, where: str) -> list[Any]:
    """The values a field takes: one, or each of a list where the field's own type is not that list."""
    if field.sweeps_any_list and isinstance(value, list) and value:
        return [_check(field, item, where) for item in value]
    try:
        return [field.check(value)]
    except ConfigError as error:
        if not isinstance(value, list) or (field.takes_list and not all(isinstance(item, list) for item in value)):
            raise ConfigError(f"{where}.{error}") from None
    if not value:
        raise ConfigError(
            f"{where}.{field.name}: got an empty list, accepts {field.accepts}, or a list of them to sweep."
        )
    return [_check(field, item, where) for item in value]


def _check(field: Field, value: Any, where: str) -> Any:
    try:
        return field.check(value)
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from None
