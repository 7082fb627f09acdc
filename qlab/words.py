"""Words for people."""

from __future__ import annotations


def counted(number: int, what: str) -> str:
    """A number of things: "1 run", "2 runs"."""
    return f"{number} {what}{'' if number == 1 else 's'}"
