"""The workers that help a `qlab run`, whatever starts them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from qlab.experiment.portions import Share
from qlab.experiment.schema import Experiment


class Team(Protocol):
    """Workers that claim work of the same experiment.

    Attributes:
        share: of the command itself, while they help it.
        helped: whether there are any, so that others may have run what this command was asked for.
        unsent: what they could not send to the tracking server, in words.
    """

    share: Share
    unsent: list[str]

    @property
    def helped(self) -> bool: ...  # noqa: D102 - see above

    def assemble(self) -> None:
        """There will be something to do: workers may get ready. Returns at once."""

    def begin(self, experiment: Experiment, uri: str, old_failures: Collection[str]) -> bool:
        """Has the workers begin with an experiment, whose parent run is there.

        Returns when the command itself is to begin with what is left, so at once if it is one of the workers.

        Returns:
            Whether they have done something by now, so that the command has to look again what is left.
        """


class Alone:
    """No helpers."""

    share = Share()
    helped = False

    def __init__(self) -> None:
        self.unsent: list[str] = []

    def assemble(self) -> None:
        """Does nothing."""

    def begin(self, experiment: Experiment, uri: str, old_failures: Collection[str]) -> bool:
        """Does nothing."""
        return False
