"""Where a figure comes from: the runs that it shows, and the Python that makes it again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pandas as pd


@dataclasses.dataclass(frozen=True)
class Script:
    """Python that makes a figure and the numbers in it from ``results``, which :func:`qlab.results` gave.

    Args:
        imports: lines before, of what the others need.
        lines: that set ``table``, the numbers, and ``figure``.
        where: an MLflow filter that the results are of.
        draws: whether there is a figure, or a table alone.
    """

    imports: Sequence[str]
    lines: Sequence[str]
    where: str = ""
    draws: bool = True


@dataclasses.dataclass(frozen=True, eq=False)
class Origin:
    """Where a figure comes from.

    Args:
        experiment: the experiment's name.
        runs: ids of the runs that it shows.
        script: makes it again; None if nothing does.
        short: a table that says as much as there is room for in a paper, if the figure's own numbers are too many.
        note: what the Python lacks.
    """

    experiment: str
    runs: Sequence[str]
    script: Script | None = None
    short: pd.DataFrame | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """What is on the page.

    Args:
        figure: a HoloViews object; None if it is a table alone.
        table: the numbers.
        origin: where it comes from, if that is known.
    """

    figure: Any
    table: pd.DataFrame
    origin: Origin | None = None
