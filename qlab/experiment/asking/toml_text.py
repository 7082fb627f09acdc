"""Values as TOML, on lines that people read; Python reads TOML but does not write it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from qlab.errors import ConfigError
from qlab.words import by_number

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def key(name: str) -> str:
    """A key, in quotes where TOML needs them."""
    return name if _BARE.fullmatch(name) else string(name)


def string(text: str) -> str:
    """Text in quotes; letters that do not show, and those that turn others round, by their number."""
    return f'"{"".join(_letter(letter) for letter in text)}"'


def value(given: Any) -> str:
    """A value on one line; tables as inline ones.

    Raises:
        ConfigError: TOML has no such value: none, or a number that is not finite.
    """
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, str):
        return string(given)
    if isinstance(given, int) or (isinstance(given, float) and math.isfinite(given)):
        return repr(given)
    if isinstance(given, Mapping):
        return f"{{ {', '.join(pair(name, own) for name, own in given.items())} }}" if given else "{}"
    if isinstance(given, list | tuple):
        return f"[{', '.join(map(value, given))}]"
    raise ConfigError(f"got {given!r}, which TOML cannot say.")


def pair(name: str, given: Any) -> str:
    """A key and its value."""
    return f"{key(name)} = {value(given)}"


def comment(text: str) -> str:
    """Text as lines of a comment, whatever is in it."""
    return "\n".join(f"# {''.join(_letter(letter, quoted=False) for letter in line)}" for line in text.splitlines())


def _letter(letter: str, *, quoted: bool = True) -> str:
    if quoted and letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter.isprintable():
        return letter
    return by_number(letter)
