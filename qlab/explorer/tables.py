"""Tables on a page; every cell is plain text."""

from __future__ import annotations

from typing import Any

import pandas as pd
import panel as pn


def plain_table(frame: pd.DataFrame, **options: Any) -> pn.widgets.Tabulator:
    """A sortable table that shows whatever a store holds as text."""
    return pn.widgets.Tabulator(
        frame,
        disabled=True,
        show_index=False,
        layout="fit_data_stretch",
        formatters=formatters(frame),
        sizing_mode="stretch_width",
        **options,
    )


def formatters(frame: pd.DataFrame) -> dict[str, Any]:
    """Tabulator's formatters for the columns of a frame: plain text."""
    return {str(column): {"type": "plaintext"} for column in frame.columns}
