"""Words for people."""

from __future__ import annotations


def counted(number: int, what: str) -> str:
    """A number of things: "1 run", "2 runs"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def plural(noun: str) -> str:
    """A regular noun for several: "tasks", "losses"."""
    return noun + ("es" if noun.endswith("s") else "s")
