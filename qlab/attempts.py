"""Drawing what can be drawn: what cannot is said by name, and keeps nothing else from being drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from qlab.errors import QlabError, StoreAwayError
from qlab.own_code import described

T = TypeVar("T")


class Attempts:
    """Tries one thing after the other, and remembers what failed.

    Attributes:
        missing: what could not be made, by name, and why.
    """

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}

    def made(self, what: str, make: Callable[[], T]) -> T | None:
        """What ``make`` returns; None if it raises, which is remembered under the name ``what``.

        A store that is away concerns everything: that is raised.
        """
        try:
            return make()
        except StoreAwayError:
            raise
        except Exception as error:  # whatever a figure, a library or somebody's file comes up with
            self.fail(what, str(error) if isinstance(error, QlabError) else described(error))
            return None

    def fail(self, what: str, why: str) -> None:
        """Remembers that something cannot be made."""
        self.missing[what] = why.split("\n")[0]
