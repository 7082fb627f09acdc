"""Tables on a page; every cell is plain text."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, Final

import pandas as pd
import panel as pn

from qlab.explorer import design
from qlab.views.readable import Written

_COMPARED: Final = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}

FILTER: Final = re.compile(r"\s*(>=|<=|!=|>|<|=)?\s*(-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\s*")
"""A number to compare with, such as "> 0.9"."""


class Table(pn.widgets.Tabulator):  # type: ignore[misc]
    """A table filtered by what is written above its columns: ``> 0.9`` for numbers, else a part of the text.

    Numbers that are written as text are sorted by their value, where the server sorts (``pagination="remote"``).
    """

    def _get_header_filters(self, df: pd.DataFrame) -> list[Any]:
        return [
            matching(df[asked["field"]], str(asked["value"]))
            for asked in self.filters
            if asked["field"] in df and str(asked["value"]).strip()
        ]

    def _sort_df(self, df: pd.DataFrame) -> pd.DataFrame:
        asked = [(own["field"], own["dir"] == "asc") for own in self.sorters if own["field"] in df]
        if not asked:
            return df
        keys = {str(place): _key(df[field]).to_numpy() for place, (field, _) in enumerate(asked)}
        order = pd.DataFrame(keys).sort_values(list(keys), ascending=[way for _, way in asked], kind="stable").index
        return df.iloc[order]


def _key(column: pd.Series[Any]) -> pd.Series[Any]:
    """What a column is sorted by: numbers by value, missing ones last, text whatever its case."""
    written = values_of(column)
    if written is not None:
        return written
    return column if column.dtype.kind in "biufM" else column.fillna("").astype(str).str.lower()


def values_of(column: pd.Series[Any]) -> pd.Series[float] | None:
    """The values of a column of :class:`qlab.views.readable.Written`; None of another."""
    if column.dtype != object or not any(isinstance(cell, Written) for cell in column):
        return None
    values = [cell.value if isinstance(cell, Written) else float("nan") for cell in column]
    return pd.Series(values, index=column.index, dtype=float)


def matching(column: pd.Series[Any], text: str) -> pd.Series[bool]:
    """Which values of a column match what is written above it."""
    number = FILTER.fullmatch(text)
    written = values_of(column)
    values = pd.to_numeric(column, errors="coerce") if written is None else written
    if number is not None and values.notna().any():
        return _COMPARED[number[1] or "="](values, float(number[2])) & values.notna()
    return column.fillna("").astype(str).str.contains(text.strip(), case=False, regex=False)


def plain_table(frame: pd.DataFrame, **options: Any) -> Table:
    """A sortable table that shows whatever a store holds as text."""
    return Table(
        frame,
        disabled=True,
        show_index=False,
        layout="fit_data_stretch",
        formatters=formatters(frame),
        sizing_mode="stretch_width",
        stylesheets=[design.TABLE],
        configuration={"columnDefaults": {"headerWordWrap": True}},
        **options,
    )


def formatters(frame: pd.DataFrame) -> dict[str, Any]:
    """Tabulator's formatters for the columns of a frame: plain text."""
    return {str(column): {"type": "plaintext"} for column in frame.columns}


class PlacedTable:
    """A table in its place on a page: newer rows are shown by the table that is there, on the page it is turned to.

    Args:
        clicked: gets the number of a row that is clicked.
        options: see :func:`plain_table`.
    """

    def __init__(self, clicked: Callable[[int], None] | None = None, **options: Any) -> None:
        self._clicked, self._options = clicked, {"pagination": "remote", **options}
        self._table: Table | None = None
        self.view = pn.Column(sizing_mode="stretch_width")

    def show(self, frame: pd.DataFrame) -> None:
        """Shows a frame."""
        frame = frame.reset_index(drop=True)
        table = self._table
        if table is not None and list(table.value.columns) == list(frame.columns):
            if not frame.equals(table.value):
                table.value = frame
            return
        self._table = table = plain_table(frame, **self._options)
        if (clicked := self._clicked) is not None:
            table.on_click(lambda event: clicked(int(event.row)))
        self.view.objects = [table]
