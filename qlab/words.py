"""Words for people."""

from __future__ import annotations

import unicodedata

_UNSEEN = {"Cc", "Cf", "Zl", "Zp"}
"""Categories of characters that move the cursor, colour a terminal or turn the order of a line around."""


def counted(number: int, what: str) -> str:
    """A number of things: "1 run", "2 runs"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def plural(noun: str) -> str:
    """A regular noun for several: "tasks", "losses"."""
    return noun + ("es" if noun.endswith("s") else "s")


def visible(text: str, keep: str = "") -> str:
    """A text whose control and direction characters are written out as in TOML, but for those to keep.

    So that what a file says cannot change how a terminal shows it: a line break becomes ``\\n``, ESC ``\\u001b``.
    """
    return "".join(
        sign if sign in keep or unicodedata.category(sign) not in _UNSEEN else _written(sign) for sign in text
    )


def _written(sign: str) -> str:
    short = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return short.get(sign) or by_number(sign)


def by_number(sign: str) -> str:
    """A character by its number, as TOML has it: ``\\u001b``."""
    number = ord(sign)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
