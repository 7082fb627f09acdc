"""What is wrong with a table, found in one pass and said together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from qlab.errors import DataError

MOST_SHOWN: Final = 10
"""So many are shown, the others counted."""


class TableError(DataError):
    """A table that cannot be used.

    Args:
        task: which says so.
        problems: each in whole sentences; at least one.
    """

    problems: tuple[str, ...]

    @classmethod
    def of(cls, task: str, problems: tuple[str, ...]) -> TableError:
        """The message of one or several problems."""
        if len(problems) == 1:
            made = cls(f"{task}: {problems[0]}")
        else:
            shown = [f"\n- {problem}" for problem in problems[:MOST_SHOWN]]
            more = len(problems) - MOST_SHOWN
            made = cls(f"{task}: {len(problems)} problems:{''.join(shown)}" + (f"\nAnd {more} more." * (more > 0)))
        made.problems = problems
        return made


class Problems:
    """Problems of a table, as they are found.

    Args:
        task: which looks for them.
    """

    def __init__(self, task: str) -> None:
        self._task = task
        self._found: list[str] = []

    def add(self, problem: str) -> None:
        """One more, in whole sentences."""
        self._found.append(problem)

    @contextlib.contextmanager
    def collected(self) -> Iterator[None]:
        """Adds what is raised, and goes on."""
        try:
            yield
        except TableError as error:
            self._found += error.problems
        except DataError as error:
            self.add(str(error).removeprefix(f"{self._task}: "))

    def check(self) -> None:
        """Raises what was found.

        Raises:
            TableError: something was.
        """
        if self._found:
            raise TableError.of(self._task, tuple(self._found))
