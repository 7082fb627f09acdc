"""Values as MLflow's params, which are text: written here, and read back here with their types."""

from __future__ import annotations

import functools
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

LONGEST = 6000
"""MLflow cuts params after so many characters."""


def write(value: Any) -> str:
    """A value as a param: numbers, booleans, None and lists as JSON, a string as it is.

    A string that :func:`read` would take for something else (``"true"``, ``"10"``) is written in JSON's quotes.
    """
    if not isinstance(value, str):
        return json.dumps(value)
    return value if _is(read(value), value) else json.dumps(value)


@functools.lru_cache(maxsize=100_000)  # thousands of runs say the same
def read(text: str) -> Any:
    """The value that a param says: what :func:`write` was given, with lists as tuples.

    Text that is no JSON, and a JSON object (which nothing here writes), is a string.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    try:
        return _frozen(value)
    except TypeError:
        return text


def _frozen(value: Any) -> Any:
    """A JSON value that can be compared and hashed.

    Raises:
        TypeError: there is an object in it.
    """
    if isinstance(value, dict):
        raise TypeError("objects are left as text")
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _is(value: object, text: str) -> bool:
    return isinstance(value, str) and value == text


def number(value: object) -> float | int | None:
    """A param's value if it is a finite number, else None: what others write under qlab's names may be anything."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if -sys.float_info.max <= value <= sys.float_info.max else None


def metric(value: float) -> float:
    """A metric's value as it was logged: databases hold the largest number in place of infinity."""
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value


def shown(value: Any) -> str:
    """A param's value for people: numbers with all digits that tell them from others, lists as JSON, strings as is."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e16:
        return str(int(value))
    if isinstance(value, Sequence):
        return f"[{', '.join(json.dumps(item) if isinstance(item, str) else shown(item) for item in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
