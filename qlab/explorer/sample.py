"""One sample by itself: what it is, its labels, and what models say of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np
import pandas as pd
import panel as pn

from qlab.explorer.tables import plain_table
from qlab.explorer.text import Text
from qlab.tasks import Dataset, Task
from qlab.tasks.features import FeatureRows, dense_rows
from qlab.tasks.images import ImageTask
from qlab.views.data_map import amplitudes, expectation_values, feature_values, picture

_NEAR: Final = 0.04
"""A click is meant for a sample that is no farther away, as a part of the map's width."""


@dataclasses.dataclass(frozen=True)
class Look:
    """How a task's samples are drawn: as pictures, as expectation values, as numbers that have names, or amplitudes.

    Args:
        shape: height and width of pictures.
        names: of features of a table.
        strings: Pauli strings of expectation values.
    """

    shape: tuple[int, int] | None
    names: tuple[str, ...]
    strings: tuple[str, ...]

    @classmethod
    def of(cls, task: Task, dataset: Dataset) -> Self:
        """That of a task."""
        return cls(
            task.shape if isinstance(task, ImageTask) else None,
            () if dataset.preprocessing is None else dataset.preprocessing.feature_names,
            () if dataset.block is None else dataset.block.strings,
        )

    def drawn(self, features: FeatureRows, row: int, title: str) -> Any:
        """A sample as a HoloViews object."""
        vector = dense_rows(features[row : row + 1])[0].numpy()
        if self.shape:
            return picture(vector, self.shape, title)
        if self.strings:
            return expectation_values(vector, self.strings, title)
        return feature_values(vector, self.names, title) if self.names else amplitudes(vector, title)


def sample_parts(
    drawn: Any, known: str, predictions: Sequence[tuple[str, float]], ticked: Sequence[bool] = ()
) -> list[Any]:
    """A sample for a page: its picture, what else is known, and a table of what models say, selected ones first."""
    table = pd.DataFrame(list(predictions), columns=["model", "probability of class 1"]).round(4)
    if any(ticked):
        marks = ["yes" if tick else "" for tick in ticked]
        table = table.assign(selected=marks).sort_values("selected", ascending=False, kind="stable")
    return [pn.pane.HoloViews(drawn, backend="bokeh"), Text(known), plain_table(table)]


def nearest(frame: pd.DataFrame, x: float, y: float) -> int | None:
    """The sample of a map that a click is meant for, by its place in the frame; None if none is near.

    Args:
        frame: see :func:`qlab.views.data_map.map_frame`.
        x: where the click was.
        y: where the click was.
    """
    width = np.ptp(frame["x"]) or 1.0, np.ptp(frame["y"]) or 1.0
    distance = ((frame["x"] - x) / width[0]) ** 2 + ((frame["y"] - y) / width[1]) ** 2
    return int(distance.to_numpy().argmin()) if distance.min() < _NEAR**2 else None
