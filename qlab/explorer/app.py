"""The explorer app: one visitor's pages, their state in the address, and what the store has new."""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import panel as pn
import panel_material_ui as pmui
from panel_material_ui.template.base import Page as Template

from qlab.explorer import design
from qlab.explorer.address import decode
from qlab.explorer.controls import Control
from qlab.explorer.filtered import Filtered
from qlab.explorer.loaded import Loader
from qlab.explorer.page import Context, Page
from qlab.explorer.pages import PAGES
from qlab.explorer.reader import Reader, reader
from qlab.explorer.state import State
from qlab.explorer.text import Text
from qlab.explorer.visit import History
from qlab.explorer.work import Work

REFRESH_MILLISECONDS = 3000
"""So often the store is asked what is new."""


@dataclasses.dataclass(frozen=True)
class _Found:
    """What the store has, for one visitor: its experiments, the one looked at, its version, and runs that are gone."""

    experiments: list[str]
    experiment: str
    version: int
    gone: list[str]


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
        chosen = pmui.Select(label="MLflow experiment", options=[], width=design.CONTROL, size="small", searchable=True)
        self._experiments = Control(chosen, self.state, "experiment")
        self._message = Text(visible=False, styles=design.ALERT)
        self._filtered = Filtered(self.state, source, self.work)
        self._controls = pn.Column(width=design.SIDEBAR)
        self._known = self._away = False
        self._drawn: tuple[str, int, bool] | None = None
        self._offered: list[str] = []
        self.history = History(self.state, later)
        self.history.refused = self._refuse
        self.refused: list[str] = []
        self._watchers: list[Any] = []
        self._busy = Text("working …", visible=False, styles={"--size": "12px"}, margin=(10, 4))
        self._main = pn.Column(sizing_mode="stretch_width")
        self._tabs = pmui.RadioButtonGroup(
            options=list(self.pages),
            value=self.state.page,
            size="small",
            orientation="vertical",
            width=design.CONTROL,
            button_type="primary",
            sx=design.NAVIGATION,
        )
        self.work.param.watch(lambda event: setattr(self._busy, "visible", event.new), "busy")
        self._tabs.link(self.state, value="page")
        self.state.param.watch(lambda _: self._open(), "page")
        fields = sorted({field for page in self.pages.values() for field in (*page.depends, *page.lit_by)})
        self.state.param.watch(self._changed, fields)

    @property
    def page(self) -> Page:
        """The page that is open."""
        return self.pages.get(self.state.page, self.pages[next(iter(self.pages))])

    def close(self) -> None:
        """Ends the visitor's work, and takes out what would keep the page in memory."""
        self.work.close()
        for watcher in self._watchers:
            pn.state.param.unwatch(watcher)
        self._watchers = []

    def start(self) -> None:
        """Reads the store and opens the page that the state names."""
        self._open()
        self.refresh()

    def refresh(self) -> None:
        """Asks the store what is new, in the background, and draws where something is."""
        if self.work.under_way("refresh"):  # a slow store is not asked again before it has answered
            return
        experiment = self.state.experiment
        named = [*self.state.runs, *self.state.points]

        def compute() -> _Found:
            experiments = self.reader.experiments()
            chosen = experiment or (experiments[0] if experiments else "")
            if chosen not in experiments:
                return _Found(experiments, chosen, 0, [])
            version = self.reader.refresh(chosen)
            known = set(self.reader.runs(chosen)["run_id"]) if named else set()
            return _Found(experiments, chosen, version, [run for run in dict.fromkeys(named) if run not in known])

        self.work.submit("refresh", compute, self._refreshed, self._lost, quiet=True)

    def _refuse(self, refused: list[str]) -> None:
        self.refused = refused
        self.refresh()

    def _lost(self, message: str) -> None:
        self._away = True
        self._say(message)

    def _refreshed(self, found: _Found) -> None:
        drawn = (found.experiment, found.version, found.experiment in found.experiments)
        changed = self._away or drawn != self._drawn
        self._away, self._drawn, self._known = False, drawn, True
        self._offered = found.experiments
        if changed:
            for page in self.pages.values():
                page.stale = True
            self._filtered.count()
        if not self.state.experiment:
            self.history.by_itself(lambda: self.state.param.update(experiment=found.experiment))
        self._experiments.offer(found.experiments)
        gone = ", ".join(found.gone)
        self._say(
            "\n".join(
                [
                    *([f"Not understood in the address: {', '.join(self.refused)}"] if self.refused else []),
                    *([] if self.state.page in self.pages else [f'There is no page "{self.state.page}".']),
                    *([f'Not in "{found.experiment}": run {gone}'] if gone else []),
                ]
            )
        )
        self._draw()

    def _changed(self, *events: Any) -> None:
        names = {event.name for event in events}
        if names & {"experiment", "where"} and self._known:
            self._filtered.count()
        for page in self.pages.values():
            if names & set(page.depends):
                page.stale = True
            page.unlit = page.unlit or bool(names & set(page.lit_by))
        self._draw()

    def _open(self) -> None:
        if self._tabs.value != self.page.title:
            self._tabs.value = self.page.title
        self._filtered.head(self.page.title)
        self._main.objects = [self.page.view]
        self._controls.objects = self.page.controls
        self._draw()

    def _draw(self) -> None:
        page = self.page
        # Nothing is drawn before the store has been read once.
        if not self._known or not (page.stale or page.unlit):
            return
        page.unlit = False
        if not page.stale:
            page.light()
            return
        page.stale = False
        page.clear()
        if self.state.experiment in self._offered:
            page.update()
            return
        for figure in page.figures():
            figure.clear()
        if self.state.experiment and self._offered:
            page.say(
                f'There is no experiment "{self.state.experiment}" in {self.reader.location}. '
                f"Choose one on the left: {', '.join(self._offered)}"
            )
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
        small = {"overflow-wrap": "anywhere", "--size": "12px"}
        where = Text(f"Store: {self.reader.location}. Times are UTC.", styles=small)
        export = pmui.FileDownload(
            callback=self.standalone, filename="qlab.html", label="This page as HTML", size="small", variant="outlined"
        )
        before = _busy_watchers()
        chosen = [self._tabs, self._experiments.widget, self._filtered.control, self._controls]
        shown = [self.history.browser, self._message, self._filtered.view, self._main]
        page = Template(
            title="qlab explorer",
            sidebar=[pn.Column(*chosen, pmui.Row(export, self._busy), where, width=design.SIDEBAR)],
            sidebar_width=design.SIDEBAR + design.SPACE,
            main=[pn.Column(*shown, sizing_mode="stretch_width")],
            sidebar_resizable=False,
            theme_config=design.themes(),
            sx=design.PAGE,
        )
        # The page follows whether the server is busy, and the server's own state would know it for ever.
        self._watchers = [watcher for watcher in _busy_watchers() if watcher not in before]
        return page


def _busy_watchers() -> list[Any]:
    """Who follows whether the server is busy, pages of all visitors among them."""
    return list(pn.state.param.watchers.get("busy", {}).get("value", []))


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
    explorer.refused = decode(explorer.state, _query())
    # Panel's own reading of the address fails on IPv6, and each of its writings is an entry of the browser's history.
    explorer.template().servable(location=False)
    # What the thread finds before the page is loaded could not be delivered.
    pn.state.onload(lambda: _begin(explorer))
    pn.state.on_session_destroyed(lambda _: explorer.close())


def _query() -> str:
    """The query the visitor came with."""
    arguments = pn.state.session_args or {}
    return "?" + urlencode({name: values[-1].decode() for name, values in arguments.items()})


def _begin(explorer: Explorer) -> None:
    explorer.start()
    explorer.history.begin()
    pn.state.add_periodic_callback(explorer.refresh, period=REFRESH_MILLISECONDS)
