"""Data that take long to make: by how many processes they are made, and who is told."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from contextvars import ContextVar


def _nobody(line: str) -> None:
    """Tells nobody."""


@dataclasses.dataclass(frozen=True)
class Making:
    """How slow data are made.

    Args:
        processes: how many may work beside each other.
        tell: is told how it goes, in lines for people.
    """

    processes: int = 1
    tell: Callable[[str], None] = _nobody


_CURRENT: ContextVar[Making] = ContextVar("qlab_making", default=Making())  # noqa: B039  (frozen)


def current() -> Making:
    """How slow data are made here and now: in this process and without a word, unless a command says otherwise."""
    return _CURRENT.get()


@contextlib.contextmanager
def made(processes: int, tell: Callable[[str], None]) -> Iterator[None]:
    """Has data made within it by so many processes, with a word on how it goes."""
    token = _CURRENT.set(Making(processes, tell))
    try:
        yield
    finally:
        _CURRENT.reset(token)
