"""A figure on a page: the picture, and its files."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Literal

import holoviews as hv
import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab.views.saving import picture_bytes

WRAPPED = {"flex-wrap": "wrap"}
"""Style of a row that goes on below where the window ends; Panel's FlexBox would evaluate text as a script."""


def fitting(figure: Any, width: int = 460, height: int = 400) -> Any:
    """Panels in rows of two, of a size at which they fit the screen."""
    if not isinstance(figure, hv.Layout):
        return figure
    panels = [panel.opts(width=width, height=height, backend="bokeh") for panel in figure]
    return hv.Layout(panels).cols(2).opts(shared_axes=False, backend="bokeh")


class _Pane(pn.pane.HoloViews):  # type: ignore[misc]
    """A picture that takes everything along when it goes.

    HoloViews keeps what listens to a figure in a table of its own, and with it the figure, its page and the visitor's
    document; nothing there takes them out again.
    """

    def _cleanup(self, root: Any = None) -> None:
        if root is not None:
            self._let_go(root.ref["id"])
        super()._cleanup(root)

    def close(self) -> None:
        """Takes everything out, wherever the picture is shown."""
        for reference in list(self._plots):
            self._let_go(reference)

    def _let_go(self, reference: str) -> None:
        plot, _ = self._plots.get(reference, (None, None))
        if plot is None:
            return
        for part in plot.traverse(lambda part: part, [lambda part: bool(getattr(part, "callbacks", None))]):
            for callback in list(part.callbacks):
                callback.cleanup()


class Figure:
    """A HoloViews figure with buttons that save it as PNG, SVG and CSV.

    The files are drawn by the same function as the picture, when they are asked for.

    Args:
        name: of the files, without suffix.
        on_screen: makes the object for the page from what is saved, by default :func:`fitting`; or a list of objects,
            which stand in rows as far as the window has room.
    """

    def __init__(self, name: str, on_screen: Callable[[Any], Any] | None = None) -> None:
        self.name = name
        self._made: Callable[[], tuple[Any, pd.DataFrame]] | None = None
        self._on_screen = on_screen or fitting
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
        # A fresh pane drops the old figure's models and with them everything it held in memory.
        shown = self._on_screen(figure)
        panes = [
            _Pane(own, backend="bokeh", linked_axes=False) for own in (shown if isinstance(shown, list) else [shown])
        ]
        self._place.objects = [pn.Row(*panes, styles=WRAPPED)] if isinstance(shown, list) else panes
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

    def close(self) -> None:
        """Lets go of what would outlive the page; the picture is left alone."""
        for pane in self._place.select(_Pane):
            pane.close()

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
