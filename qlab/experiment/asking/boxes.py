"""Tables with some values each, put together as tables with lists: every combination of a list is one of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Table = Mapping[str, Any]
"""Values by key; of JSON's types."""

Box = dict[str, list[Any]]
"""Lists of values by key: stands for every combination."""


def boxes(tables: Iterable[Table], mergeable: Callable[[str], bool]) -> list[Box]:
    """As few boxes as a greedy search finds that stand for the tables, each once, and for no others.

    Args:
        tables: with the same keys where they can be in one box.
        mergeable: whether several values of a key can stand in a list.
    """
    values: dict[str, Any] = {}

    def text(value: Any) -> str:
        found = json.dumps(value, sort_keys=True)
        values.setdefault(found, value)
        return found

    found: list[_Box] = list(
        dict.fromkeys(tuple((name, (text(value),)) for name, value in table.items()) for table in tables)
    )
    keys = list(dict.fromkeys(name for box in found for name, _ in box if mergeable(name)))
    before = 0
    while before != len(found):
        before = len(found)
        for key in keys:
            found = _merged(found, key)
    return [{name: [values[own] for own in texts] for name, texts in box} for box in found]


def in_order(values: list[Any]) -> list[Any]:
    """Values of one key: numbers by size, all others as they came."""
    plain = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return sorted(values) if plain else values


_Box = tuple[tuple[str, tuple[str, ...]], ...]


def _merged(found: list[_Box], key: str) -> list[_Box]:
    """The boxes that differ in one key only, put together."""
    alike: dict[tuple[Any, ...], dict[str, None]] = {}
    for box in found:
        rest = tuple((name, None if name == key else tuple(sorted(texts))) for name, texts in box)
        own = next((texts for name, texts in box if name == key), ())
        alike.setdefault(rest, {}).update(dict.fromkeys(own))
    first: dict[tuple[Any, ...], _Box] = {}
    for box in found:
        first.setdefault(tuple((name, None if name == key else tuple(sorted(texts))) for name, texts in box), box)
    return [
        tuple((name, tuple(alike[rest]) if name == key else texts) for name, texts in box)
        for rest, box in first.items()
    ]
