"""Results: what a store holds of some experiments, summed up, drawn and written."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from qlab.errors import DataError
from qlab.reading.audited import Audited
from qlab.reading.axes import Axes
from qlab.reading.claims import write_claims
from qlab.reading.lengths import inches
from qlab.reading.table_files import FORMATS, suffix_of, write_table
from qlab.reading.tables import UNLEARNED, axes_of, summaries_of, table_of
from qlab.reading.tidy import Kind, kind_of
from qlab.tracking.store import Store

_COLUMN = "3.4in"
"""The width of a column of most two-column journals, 86 mm."""


def results(*experiments: str | Sequence[str], tracking_uri: str | None = None, where: str = "") -> Results:
    """What a store holds of experiments, by name: frames, curves, models, tables and figures.

    ::

        results = qlab.results("xxz_flip")
        results.frame.groupby(["model", "ratio"])["validation_accuracy"].mean()

    Args:
        experiments: their names; by default all that have runs of qlab.
        tracking_uri: an MLflow tracking URI; by default ``MLFLOW_TRACKING_URI``, else the store under ``mlruns``.
        where: an MLflow filter that runs must match: "params.`model.type` = 'MLP'"; by default all count.

    Raises:
        StoreError: there is no such store or experiment, or MLflow does not accept the filter.
    """
    wanted = [name for given in experiments for name in ([given] if isinstance(given, str) else given)]
    return Results.of(Store(tracking_uri, create=False), wanted, where=where)


class Results(Audited):
    """What a store held of some experiments when it was read: see :class:`~qlab.reading.contents.Contents`, and below.

    Of a trial (unlearning run, probe) that was run several times the last finished run counts; ``runs`` has them all.
    """

    def table(
        self,
        y: str | Sequence[str] | None = None,
        x: str | None = None,
        by: str | Sequence[str] = (),
        of: Kind = "trials",
    ) -> pd.DataFrame:
        """Mean and standard deviation (n - 1) of metrics over seeds, how many runs are kept, and why others are not.

        Args:
            y: metrics; by default what the summary of the experiment shows.
            x: a param of numbers; by default the corruption ratio.
            by: params that tell models apart, such as ``"model"`` or ``"depth"``; by default all that differ.
            of: the kind of runs.

        Raises:
            ConfigError: there is no such param or metric.
        """
        if y is None and x is None and (of == "trials" or not by):
            named = self.axes((), x, by, of).by if by else ()
            return summaries_of(self._parts(of), kind_of(of), named)
        return table_of(self._parts(of), self.axes(y, x, by, of), kind_of(of))

    def plot(
        self,
        y: str | Sequence[str] | None = None,
        x: str | None = None,
        by: str | Sequence[str] = (),
        of: Kind = "trials",
        *,
        log_x: bool = False,
    ) -> Any:
        """The figure of an experiment as a HoloViews object, which a notebook shows.

        Without arguments it is the one that `qlab run` draws: accuracies against the corruption ratio, of unlearning
        runs against the step, of probes what they measure against the ratio.

        Args:
            y: see :meth:`table`; a panel for each.
            x: see :meth:`table`.
            by: see :meth:`table`.
            of: the kind of runs.
            log_x: whether the axis is logarithmic.

        Raises:
            ConfigError: there is no such param or metric, or nothing to draw.
        """
        from qlab.reading.drawing import figure_of  # libraries that draw: frames do without

        plain = y is None and x is None and not by and not log_x
        chosen = None if plain else self.axes(y, x, by, of)
        return figure_of(self._store, self._parts(of), chosen, kind_of(of), log_x=log_x)

    def save_figure(
        self,
        path: str | Path,
        y: str | Sequence[str] | None = None,
        x: str | None = None,
        by: str | Sequence[str] = (),
        of: Kind = "trials",
        *,
        width: str | float = _COLUMN,
        aspect: float = 1.4,
        font_size: float = 8.0,
        log_x: bool = False,
        log_y: bool = False,
        dpi: int = 300,
    ) -> Path:
        """Draws a figure for print: a vector file (PDF, SVG, EPS) or a PNG, exactly as wide as asked for.

        Fonts are embedded, labels do not overlap, and the legend says how many runs are kept and why others are not.

        Args:
            path: the file; its suffix says of which kind.
            y: see :meth:`table`; a panel for each.
            x: see :meth:`table`; unlearning runs are drawn over steps by default.
            by: see :meth:`table`.
            of: the kind of runs.
            width: with a unit (``"3.4in"``, ``"86mm"``, ``"246pt"``), or in inches.
            aspect: width of a panel divided by its height.
            font_size: in points; ticks and the legend are a point smaller.
            log_x: whether the axis is logarithmic.
            log_y: whether the metrics' axes are.
            dpi: dots per inch of a PNG.

        Raises:
            ConfigError: there is no such param, metric, unit or kind of file.
            DataError: there is nothing to draw.
        """
        from qlab.reading.drawing import check_positive, panels_of
        from qlab.views import publication

        suffix_of(Path(path), publication.FORMATS, "figure")
        form = publication.Format(inches(width, "width"), aspect, font_size, log_x, log_y)
        steps = of == "unlearning" and y is None and x is None and not by
        chosen = None if steps else self.axes(y, x, by, of)
        panels = panels_of(self._store, self._parts(of), chosen, kind_of(of))
        check_positive(panels, log_x=log_x, log_y=log_y)
        return publication.save(panels, Path(path), form, dpi)

    def save_table(
        self,
        path: str | Path,
        y: str | Sequence[str] | None = None,
        x: str | None = None,
        by: str | Sequence[str] = (),
        of: Kind = "trials",
    ) -> Path:
        """Writes :meth:`table` as LaTeX (``.tex``, for booktabs and siunitx), Markdown (``.md``) or CSV.

        Args:
            path: the file; its suffix says of which kind.
            y: see :meth:`table`.
            x: see :meth:`table`.
            by: see :meth:`table`.
            of: the kind of runs.

        Raises:
            ConfigError: there is no such param, metric or kind of file.
        """
        suffix_of(Path(path), FORMATS, "table")
        short = of == "unlearning" and y is None and Path(path).suffix.lower() != ".csv"
        return write_table(self.table(UNLEARNED if short else y, x, by, of), Path(path), ", ".join(self.names))

    def save_claims(self, path: str | Path) -> Path:
        """Writes :attr:`claims` as LaTeX (``.tex``), Markdown (``.md``) or, with all columns, CSV.

        Args:
            path: the file; its suffix says of which kind.

        Raises:
            ConfigError: there is no such kind of file.
            DataError: the experiments claim nothing.
        """
        suffix_of(Path(path), FORMATS, "claims")
        if self.claims.empty:
            raise DataError(f"{', '.join(self.names)}: no claims; [[claim]] tables in an experiment file make some.")
        return write_claims(self.claims, Path(path), ", ".join(self.names))

    def axes(
        self,
        y: str | Sequence[str] | None = None,
        x: str | None = None,
        by: str | Sequence[str] = (),
        of: Kind = "trials",
    ) -> Axes:
        """Which params and metrics are meant, by their whole names; see :meth:`table`."""
        return axes_of(
            [part for _, part in self._parts(of)],
            None if y is None else [y] if isinstance(y, str) else list(y),
            x,
            [by] if isinstance(by, str) else list(by),
            kind_of(of),
        )

    def _repr_html_(self) -> str:
        shown = "".join(f"<li>{html.escape(line)}</li>" for line in self.lines())
        tables = [
            html.escape(f"results.{name}") for name in ("frame", "unlearning", "probes") if len(getattr(self, name))
        ]
        head = f"<b>Results</b> of {html.escape(', '.join(self.names))} in {html.escape(self._store.location)}"
        table = self.table().to_html(index=False, float_format="{:.4g}".format, escape=True) if len(self.frame) else ""
        return f"<div>{head}<ul>{shown}</ul>{table}<p>{', '.join(tables)}</p></div>"
