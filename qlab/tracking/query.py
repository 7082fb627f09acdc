"""What runs are asked for: as a filter that MLflow understands, and as a test of a run that is here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self


@dataclasses.dataclass(frozen=True)
class Query:
    """Runs for which all of this holds.

    Args:
        tags: these tags have these values.
        having: this tag is there, and not empty.
        status: of MLflow.
        since: milliseconds since the epoch; they began no earlier.
        run_ids: they are among these.
        text: a filter in MLflow's own words, which only MLflow understands.
    """

    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    having: str | None = None
    status: str | None = None
    since: int | None = None
    run_ids: tuple[str, ...] = ()
    text: str = ""

    @classmethod
    def of(cls, query: Query | str) -> Query:
        """A query, which may be given in MLflow's words."""
        return cls(text=query) if isinstance(query, str) else query

    def tagged(self, tags: Mapping[str, str]) -> Self:
        """The same for runs with these tags too."""
        return dataclasses.replace(self, tags={**self.tags, **tags})

    @property
    def filter(self) -> str:
        """The filter for MLflow."""
        parts = [f"tags.`{key}` = '{value}'" for key, value in self.tags.items()]
        if self.having is not None:
            parts.append(f"tags.`{self.having}` != ''")
        if self.status is not None:
            parts.append(f"attributes.status = '{self.status}'")
        if self.since is not None:
            parts.append(f"attributes.start_time >= {self.since}")
        if self.run_ids:
            listed = ", ".join(f"'{run_id}'" for run_id in self.run_ids)
            parts.append(f"attributes.run_id IN ({listed})")
        return " and ".join([*parts, *([self.text] if self.text else [])])

    def matches(self, run: Any) -> bool:
        """Whether a run of MLflow is asked for; not to be asked if there is a :attr:`text`."""
        tags, info = run.data.tags, run.info
        return (
            all(tags.get(key) == value for key, value in self.tags.items())
            and (self.having is None or bool(tags.get(self.having)))
            and self.status in (None, info.status)
            and (self.since is None or info.start_time >= self.since)
            and (not self.run_ids or info.run_id in self.run_ids)
        )
