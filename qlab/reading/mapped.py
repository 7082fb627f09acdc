"""Heat maps of results: as a table, a HoloViews object, a file for print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from qlab.reading.contents import Contents
from qlab.reading.lengths import inches
from qlab.reading.table_files import suffix_of
from qlab.reading.tidy import Kind, kind_of

if TYPE_CHECKING:  # tables need no libraries that draw
    from qlab.views.crossed import Crossing

Name = str | Sequence[str]
"""A param, or several of which each run has one."""

_COLUMN = "3.4in"


class Mapped(Contents):
    """What a store held of experiments, crossed by two params."""

    def heat_map(
        self,
        metric: str | None = None,
        x: Name | None = None,
        y: Name | None = None,
        of: Kind = "trials",
        *,
        control: Mapping[str, Any] | None = None,
        contours: Sequence[float] | None = None,
    ) -> Any:
        """A metric over two params, mean over seeds, as a HoloViews object: a map for whatever else differs.

        ::

            results.heat_map("validation_accuracy", y="strength", control={"model.noise.1.p": 0.0})
            results.heat_map("forget_accuracy_clean", x="corruption.known", y="method", of="unlearning")

        Nothing is interpolated: a cell for each pair of values that was tried, crossed out where no run is kept.

        Args:
            metric: by default validation accuracy.
            x: a param, or "model", "corruption" or "method"; by default the corruption ratio.
            y: the same; by default the param of numbers with most values. "strength" is that of channels of noise,
                whatever they call it.
            of: the kind of runs.
            control: what is subtracted in a map beside each: params and values that its runs have, at the same values
                of all else that differs; the same seeds are compared. An empty list: runs without such a param. The
                name of a metric: the cell's own value times the metric, ``{"model.noise": [], "model.scale":
                "noise_attenuation"}``.
            contours: values; by default 0.9, 0.8, 0.7 and 0.6 for accuracies.

        Raises:
            ConfigError: there is no such param, metric or control, or nothing to draw.
        """
        from qlab.views.heat_map import drawn

        return drawn(self._maps(metric, x, y, of, control, contours))

    def save_heat_map(
        self,
        path: str | Path,
        metric: str | None = None,
        x: Name | None = None,
        y: Name | None = None,
        of: Kind = "trials",
        *,
        control: Mapping[str, Any] | None = None,
        contours: Sequence[float] | None = None,
        width: str | float = _COLUMN,
        aspect: float = 1.25,
        font_size: float = 8.0,
        dpi: int = 300,
    ) -> Path:
        """Draws :meth:`heat_map` for print, exactly as wide as asked for; see :meth:`qlab.reading.Results.save_figure`.

        Raises:
            ConfigError: see :meth:`heat_map`; or there is no such unit or kind of file.
        """
        from qlab.views import publication, publication_map

        suffix_of(Path(path), publication.FORMATS, "figure")
        form = publication.Format(inches(width, "width"), aspect, font_size)
        return publication_map.save(self._maps(metric, x, y, of, control, contours), Path(path), form, dpi)

    def map_table(
        self,
        metric: str | None = None,
        x: Name | None = None,
        y: Name | None = None,
        of: Kind = "trials",
        *,
        control: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """The cells of :meth:`heat_map`, one to a row: mean, deviation, how many runs are kept, difference to control.

        See :func:`qlab.views.crossed.cells`; places are in columns named as the params of the axes, or "strength".

        Raises:
            ConfigError: see :meth:`heat_map`.
        """
        crossing, table = self._cells(metric, x, y, of, control)
        return table.rename(columns=crossing.columns)

    def _maps(
        self,
        metric: str | None,
        x: Name | None,
        y: Name | None,
        of: Kind,
        control: Mapping[str, Any] | None,
        contours: Sequence[float] | None,
    ) -> Any:
        from qlab.reading.maps import checked_contours
        from qlab.views.grids import grids

        crossing, table = self._cells(metric, x, y, of, control)
        return grids(table, crossing, checked_contours(contours))

    def _cells(
        self, metric: str | None, x: Name | None, y: Name | None, of: Kind, control: Mapping[str, Any] | None
    ) -> tuple[Crossing, pd.DataFrame]:
        from qlab.reading.maps import crossing_of, table_of_maps

        kind = kind_of(of)
        crossing = crossing_of(self.raw(of), kind, metric, x, y, control)
        return crossing, table_of_maps(self._parts(of), kind, crossing)
