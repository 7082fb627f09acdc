"""The explorer app: one visitor's pages, their state in the address, and what the store has new."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import panel as pn
import panel_material_ui as pmui
from panel_material_ui.template.base import Page as Template

from qlab.explorer.address import decode, encode
from qlab.explorer.controls import Control
from qlab.explorer.loaded import Loader
from qlab.explorer.page import Context, Page
from qlab.explorer.pages import PAGES
from qlab.explorer.reader import Reader, reader
from qlab.explorer.state import State
from qlab.explorer.text import Text
from qlab.explorer.work import Work

REFRESH_MILLISECONDS = 3000
"""So often the store is asked what is new."""

ADDRESS_MILLISECONDS = 500
"""So long after it has loaded the page's address says everything."""

_THEME = {"typography": {"fontFamily": "system-ui, sans-serif"}}
"""The design's web font would come from a server elsewhere; the page asks nobody but its own."""

_TABS = {"& .MuiToggleButton-root": {"whiteSpace": "nowrap", "textTransform": "none"}}


class Explorer:
    """The pages of one visitor.

    Args:
        source: reads the store.
        loader: makes landscapes; shared by visitors.
        later: calls a function on the event loop.
    """

    def __init__(self, source: Reader, loader: Loader, later: Callable[[Callable[[], None]], None]) -> None:
        self.state = State()
        self.reader = source
        self.work = Work(later)
        context = Context(self.state, source, loader, self.work)
        self.pages: dict[str, Page] = {page.title: page(context) for page in PAGES}
        chosen = pmui.Select(label="MLflow experiment", options=[], sizing_mode="stretch_width")
        self._experiments = Control(chosen, self.state, "experiment")
        self._message = Text(visible=False)
        self._known = self._away = False
        self._drawn: tuple[str, int] | None = None
        self.refused: list[str] = []
        self._busy = pmui.LoadingSpinner(value=False, size=24, margin=(5, 10))
        self._main = pn.Column(sizing_mode="stretch_width")
        self._tabs = pmui.RadioButtonGroup(
            options=list(self.pages),
            value=self.state.page,
            size="small",
            margin=(4, 10),
            button_type="primary",
            sx=_TABS,
        )
        self.work.param.watch(lambda event: setattr(self._busy, "value", event.new), "busy")
        self._tabs.link(self.state, value="page")
        self.state.param.watch(lambda _: self._open(), "page")
        fields = sorted({field for page in self.pages.values() for field in page.depends})
        self.state.param.watch(self._changed, fields)

    @property
    def page(self) -> Page:
        """The page that is open."""
        return self.pages.get(self.state.page, self.pages[next(iter(self.pages))])

    def start(self) -> None:
        """Reads the store and opens the page that the state names."""
        self._open()
        self.refresh()

    def refresh(self) -> None:
        """Asks the store what is new, in the background, and draws where something is."""
        if self.work.under_way("refresh"):  # a slow store is not asked again before it has answered
            return
        experiment = self.state.experiment

        def compute() -> tuple[list[str], tuple[str, int]]:
            found = self.reader.experiments()
            chosen = experiment if experiment in found else (found[0] if found else "")
            return found, (chosen, self.reader.refresh(chosen) if chosen else 0)

        self.work.submit("refresh", compute, self._refreshed, self._lost, quiet=True)

    def _lost(self, message: str) -> None:
        self._away = True
        self._say(message)

    def _refreshed(self, found: tuple[list[str], tuple[str, int]]) -> None:
        experiments, version = found
        changed = self._away or version != self._drawn
        self._away, self._drawn = False, version
        refused = ", ".join(self.refused)
        self._say(f"Not understood in the address: {refused}" if refused else "")
        self._known = True
        if changed:
            for page in self.pages.values():
                page.stale = True
        if self.state.experiment not in experiments:
            if self.state.experiment and experiments:
                self._say(f'There is no experiment "{self.state.experiment}" in the store.')
            self.state.experiment = experiments[0] if experiments else ""
        self._experiments.offer(experiments)
        self._draw()

    def _changed(self, *events: Any) -> None:
        names = {event.name for event in events}
        for page in self.pages.values():
            if names & set(page.depends):
                page.stale = True
        self._draw()

    def _open(self) -> None:
        if self._tabs.value != self.page.title:
            self._tabs.value = self.page.title
        self._main.objects = [self.page.view]
        self._draw()

    def _draw(self) -> None:
        page = self.page
        # Nothing is drawn before the store has been read once.
        if not page.stale or not self._known:
            return
        page.stale = False
        page.say("")
        if self.state.experiment:
            page.update()
        else:
            page.say(f"No experiments in {self.reader.location} yet. Run: qlab run xxz_flip")

    def _say(self, message: str) -> None:
        self._message.object = message
        self._message.visible = bool(message)

    def standalone(self) -> io.BytesIO:
        """The figures of the open page as one HTML file that needs no network."""
        from qlab.views.saving import page_html

        figures = [figure.figure for figure in self.page.figures()]
        return io.BytesIO(page_html(figures, f"{self.page.title}: {self.state.experiment}").encode())

    def template(self) -> Any:
        """The whole page."""
        where = Text(f"Store: {self.reader.location}", styles={"overflow-wrap": "anywhere"})
        export = pmui.FileDownload(
            callback=self.standalone, filename="qlab.html", label="This page as HTML", size="small", variant="outlined"
        )
        return Template(
            title="qlab explorer",
            sidebar=[self._experiments.widget, pmui.Row(export, self._busy), self._message, where],
            sidebar_width=230,
            main=[pn.Column(self._tabs, self._main, sizing_mode="stretch_width")],
            theme_config=_THEME,
        )


@functools.cache
def _shared(uri: str) -> tuple[Reader, Loader]:
    source = reader(uri)
    return source, Loader(source)


def serve(uri: str | None = None) -> None:
    """Makes the page for a visitor of `panel serve`.

    Args:
        uri: of the store, by default ``MLFLOW_TRACKING_URI``, else the embedded one.
    """
    from qlab.tracking.uri import resolve

    pn.extension("tabulator", notifications=False)
    document = pn.state.curdoc

    def later(function: Callable[[], None]) -> None:
        if document is not None and document.session_context is not None:
            document.add_next_tick_callback(function)

    explorer = Explorer(*_shared(resolve(uri)), later)
    query = "" if pn.state.location is None else pn.state.location.search or _query()
    explorer.refused = decode(explorer.state, query)
    explorer.template().servable()
    # What the thread finds before the page is loaded could not be delivered.
    pn.state.onload(lambda: _begin(explorer))
    pn.state.on_session_destroyed(lambda _: explorer.work.close())


def _query() -> str:
    """The query the visitor came with."""
    arguments = pn.state.session_args or {}
    return "?" + urlencode({name: values[-1].decode() for name, values in arguments.items()})


def _begin(explorer: Explorer) -> None:
    explorer.start()
    _follow_address(explorer)
    pn.state.add_periodic_callback(explorer.refresh, period=REFRESH_MILLISECONDS)


def _follow_address(explorer: Explorer) -> None:
    location, document = pn.state.location, pn.state.curdoc
    if location is None or document is None:
        return

    def write(*_: Any) -> None:
        location.search = encode(explorer.state)

    def read(event: Any) -> None:
        if event.new != encode(explorer.state):  # the visitor went back, or edited the address
            decode(explorer.state, event.new)

    explorer.state.param.watch(write, [name for name in explorer.state.param if name != "name"])
    location.param.watch(read, "search")
    # What is written before the page listens would be lost.
    document.add_timeout_callback(write, ADDRESS_MILLISECONDS)
