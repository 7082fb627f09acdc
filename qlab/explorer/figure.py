"""A figure on a page: the picture, and what it can be copied as."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import panel as pn

from qlab.explorer import design, drawing
from qlab.explorer.copying.menu import CopyMenu
from qlab.explorer.copying.origin import Origin, Shown
from qlab.explorer.highlights import Highlights
from qlab.explorer.redrawn import Redrawn
from qlab.explorer.text import LegendStrip


class Figure:
    """A HoloViews figure with a menu of what it can be copied as, see :mod:`qlab.explorer.copying`.

    Files are made of what the picture is made of, when they are asked for.

    Args:
        name: of the files, without suffix.
        tapped: gets the number of a panel that is clicked, and the coordinates.
        height: of a panel, pixels.
        narrowest: width of a panel below which there is one less in a row, as CSS has it.
    """

    def __init__(
        self,
        name: str,
        tapped: Callable[[int, float, float], None] | None = None,
        height: int = design.HEIGHT,
        narrowest: str = f"{design.NARROWEST + 40}px",
    ) -> None:
        self.name = name
        self.highlights = Highlights()
        self._narrowest = narrowest
        self._tapped, self._height = tapped, height
        self._made: Callable[[], tuple[Any, pd.DataFrame]] | None = None
        self._place = pn.Column(sizing_mode="stretch_width")
        self._redrawn: Redrawn | None = None
        self._origin: Origin | None = None
        self.copies = CopyMenu(name, lambda: None if self._made is None else Shown(*self._made(), self._origin))
        self.view = pn.Column(self._place, self.copies.view, sizing_mode="stretch_width")

    def show(self, figure: Any, table: pd.DataFrame, origin: Origin | None = None) -> None:
        """Draws a figure; one that differs from that which is shown in its numbers only is shown in its place.

        Args:
            figure: a HoloViews object.
            table: the numbers in it.
            origin: where it comes from; without it there are no Python and no experiment file of it.
        """
        self._made, self._origin = lambda: (figure, table), origin
        models = [drawing.rendered(panel, self._height) for panel in drawing.panels_of(figure)]
        groups = list(drawing.grouped(models))
        with pn.io.hold():
            if self._redrawn is not None and self._redrawn.take(groups):
                return
        if self._tapped is not None:
            drawing.follow_taps(models, self._tapped)
        parts: list[Any] = []
        strips = [LegendStrip(keys) if keys else None for keys, _ in groups]
        self._redrawn = Redrawn(groups, strips)  # without the marks over it
        self.highlights.attach(models)
        for strip, (_, group) in zip(strips, groups, strict=True):
            panes = [pn.pane.Bokeh(model, sizing_mode="stretch_width", margin=0) for model in group]
            styles = design.columns(min(len(models), 2), self._narrowest)
            parts += [
                *([strip] if strip is not None else []),
                pn.Column(*panes, sizing_mode="stretch_width", styles=styles),
            ]
        # Fresh panes drop the old figure's models and with them everything they held in memory.
        self._place.objects = parts
        self.copies.show(True)

    def embody(
        self,
        view: pn.viewable.Viewable,
        make: Callable[[], tuple[Any, pd.DataFrame]],
        origin: Origin | None = None,
    ) -> None:
        """Shows what draws itself.

        Args:
            view: the picture on the page, which goes on living.
            make: the HoloViews object and the numbers in it, for the files.
            origin: see :meth:`show`.
        """
        self._made, self._origin, self._redrawn = make, origin, None
        if self._place.objects != [view]:
            self._place.objects = [view]
        self.copies.show(True)

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
        self._made = self._redrawn = None
        self._place.objects = []
        self.highlights.forget()
        self.copies.show(False)
