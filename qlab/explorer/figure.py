"""A figure on a page: the picture, and its files."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Literal

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab.explorer import design, drawing
from qlab.explorer.text import LegendStrip
from qlab.views.saving import picture_bytes


class Figure:
    """A HoloViews figure with buttons that save it as PNG, SVG and CSV.

    The files are drawn by the same function as the picture, when they are asked for.

    Args:
        name: of the files, without suffix.
        tapped: gets the number of a panel that is clicked, and the coordinates.
        height: of a panel, pixels.
    """

    def __init__(
        self,
        name: str,
        tapped: Callable[[int, float, float], None] | None = None,
        height: int = design.HEIGHT,
    ) -> None:
        self.name = name
        self._tapped, self._height = tapped, height
        self._made: Callable[[], tuple[Any, pd.DataFrame]] | None = None
        self._place = pn.Column(sizing_mode="stretch_width")
        self._buttons = pmui.Row(*(self._button(form) for form in ("png", "svg", "csv")), visible=False)
        self.view = pn.Column(self._place, self._buttons, sizing_mode="stretch_width")

    def show(self, figure: Any, table: pd.DataFrame) -> None:
        """Draws a figure.

        Args:
            figure: a HoloViews object.
            table: the numbers in it.
        """
        self._made = lambda: (figure, table)
        models = [drawing.rendered(panel, self._height) for panel in drawing.panels_of(figure)]
        if self._tapped is not None:
            drawing.follow_taps(models, self._tapped)
        parts: list[Any] = []
        for keys, group in drawing.grouped(models):
            panes = [pn.pane.Bokeh(model, sizing_mode="stretch_width", margin=0) for model in group]
            styles = design.columns(min(len(models), 2))
            parts += [
                *([LegendStrip(keys)] if keys else []),
                pn.Column(*panes, sizing_mode="stretch_width", styles=styles),
            ]
        # Fresh panes drop the old figure's models and with them everything they held in memory.
        self._place.objects = parts
        self._buttons.visible = True

    def embody(self, view: pn.viewable.Viewable, make: Callable[[], tuple[Any, pd.DataFrame]]) -> None:
        """Shows what draws itself.

        Args:
            view: the picture on the page, which goes on living.
            make: the HoloViews object and the numbers in it, for the files.
        """
        self._made = make
        if self._place.objects != [view]:
            self._place.objects = [view]
        self._buttons.visible = True

    @property
    def shown(self) -> bool:
        """Whether there is a picture."""
        return self._made is not None

    @property
    def figure(self) -> Any:
        """The HoloViews object; None if nothing is shown."""
        return None if self._made is None else self._made()[0]

    @property
    def table(self) -> pd.DataFrame:
        """The numbers in it."""
        return pd.DataFrame() if self._made is None else self._made()[1]

    def clear(self) -> None:
        """Shows nothing."""
        self._made = None
        self._place.objects = []
        self._buttons.visible = False

    def file(self, form: Literal["png", "svg", "csv"]) -> io.BytesIO:
        """The content of one of the files."""
        if form == "csv":
            return io.BytesIO(self.table.to_csv(index=False).encode())
        return io.BytesIO(picture_bytes(self.figure, form))

    def _button(self, form: Literal["png", "svg", "csv"]) -> Any:
        return pmui.FileDownload(
            callback=lambda: self.file(form),
            filename=f"{self.name}.{form}",
            label=form.upper(),
            size="small",
            variant="text",
            embed=False,
        )
