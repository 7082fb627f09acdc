"""Unlearning: methods side by side as a scoreboard, over their steps and at their end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Final

import pandas as pd
import panel_material_ui as pmui

from qlab.explorer import design
from qlab.explorer.controls import Control
from qlab.explorer.copying import scripts
from qlab.explorer.copying.origin import Origin
from qlab.explorer.drawing import nearest
from qlab.explorer.figure import Figure
from qlab.explorer.highlights import Marks
from qlab.explorer.kinship import Kinship
from qlab.explorer.page import Page
from qlab.explorer.pages.before_after import BeforeAfter
from qlab.explorer.pages.margins import Margins
from qlab.explorer.pages.scoreboard import ScoreboardTab
from qlab.explorer.tables import PlacedTable
from qlab.explorer.unlearned import Series, ends, selected_curves
from qlab.reading.known import against_known, known_table, sweeps_known
from qlab.reading.scoreboard import Scoreboard, scoreboard
from qlab.tracking import frames, names
from qlab.views.kept import measured
from qlab.views.labels import natural
from qlab.views.readable import readable
from qlab.views.relearning import (
    relearning_curves,
    relearning_history,
    relearning_metrics,
    relearning_table,
    was_audited,
)
from qlab.views.unlearning import (
    DRAWN,
    MOST_ROWS,
    accuracy_against_step,
    curves_of,
    final_bars,
    history_of,
    label_runs,
    summarize_unlearning,
    trade_off,
)
from qlab.views.words import APART, TITLES, named

_TAB: Final = "tab"
"""The part of the page that the open tab's messages are of."""

_UNFINISHED: Final = "No unlearning run has finished yet."


@dataclasses.dataclass(frozen=True, eq=False)
class _Shown:
    """What all tabs are made of."""

    runs: pd.DataFrame
    board: Scoreboard
    options: dict[str, list[str]]
    labels: pd.DataFrame
    kinship: Kinship


class UnlearningPage(Page):
    """A scoreboard; every metric against the unlearning step, the ends as bars, forgotten against kept, single rows."""

    title = "Unlearning"
    depends = ("experiment", "where", "methods", "models", "corruptions")
    lit_by = ("runs", "points")

    def build(self) -> list[Any]:
        """The tabs, of which only the open one is drawn."""
        state = self.state
        self._shown: _Shown | None = None
        self._drawn: set[str] = set()
        self._left = ""
        self._marks: dict[str, Callable[[frozenset[str]], None]] = {}
        self._chosen = {
            name: Control(pmui.MultiChoice(label=name.title(), options=[], width=design.CONTROL), state, name)
            for name in ("methods", "models", "corruptions")
        }
        metrics = pmui.MultiChoice(
            label="Metrics", options={named(name): name for name in TITLES}, width=design.CONTROL
        )
        self._metrics = Control(metrics, state, "metrics")
        self._board = ScoreboardTab(self)
        self.curves = Figure("unlearning_curves")
        self.bars = Figure("unlearning_final")
        self.trade = Figure("unlearning_trade_off", self._clicked)
        self._ends: dict[int, list[tuple[tuple[float, float], str]]] = {}
        self.known = Figure("unlearning_known")
        self.relearning = Figure("unlearning_relearning")
        self.margins = Figure("unlearning_margins")
        self._margins = Margins(self, self.margins)
        self.maps = Figure("unlearning_before_and_after", lambda *place: self._before_after.clicked(*place), height=420)
        self._before_after = BeforeAfter(self, self.maps)
        self._table = PlacedTable(page_size=12)
        self._draws: dict[str, tuple[Any, Callable[[_Shown], None]]] = {
            "Scoreboard": (self._board.view, lambda shown: self._board.show(shown.board)),
            "Over steps": (self.curves.view, self._draw_curves),
            "At the end": (self.bars.view, self._draw_bars),
            "Trade-off": (self.trade.view, self._draw_trade),
            "Known rows": (self.known.view, self._draw_known),
            "Before and after": (self._before_after.view, lambda shown: self._before_after.show(shown.runs)),
            "Relearning": (self.relearning.view, self._draw_relearning),
            "Margins": (self._margins.view, lambda shown: self._margins.show(shown.runs)),
            "Table": (self._table.view, self._draw_table),
        }
        self._tabs = pmui.Tabs(*((name, view) for name, (view, _) in self._draws.items()))
        self._tabs.param.watch(self._opened, "active")
        state.param.watch(lambda _: self._open(), "unlearning_tab")
        state.param.watch(lambda _: self._redraw("Over steps", "At the end"), "metrics")
        self.controls = [*(control.widget for control in self._chosen.values()), self._metrics.widget]
        self._open()
        return [self._tabs]

    def update(self) -> None:
        """Reads the runs of the methods, and draws the open tab."""
        experiment, where = self.state.experiment, self.state.where
        wanted = {name: list(getattr(self.state, name)) for name in self._chosen}

        def compute() -> _Shown:
            frame = self.context.reader.runs(experiment, where)
            runs = frames.latest_per_trial(frame[frame["kind"] == names.UNLEARNING])
            if runs.empty:
                raise self.nothing("unlearning runs", "Run: qlab run xxz_unlearn")
            labels = label_runs(runs)
            options = {
                name: sorted(labels[name.removesuffix("s")].unique(), key=natural) for name in ("methods", "models")
            }
            own = runs.reindex(columns=["corruption.type"])["corruption.type"].fillna("").astype(str)
            every = {*labels["corruption"], *own} - {""}
            options["corruptions"] = sorted(every, key=natural)
            kept = pd.Series(True, index=runs.index)
            for name, values in wanted.items():
                if known := set(values) & set(options[name]):
                    of = labels[name.removesuffix("s")].isin(known)
                    kept &= of | own.isin(known) if name == "corruptions" else of
            if not kept.any():
                chosen = "; ".join(f"{name}: {', '.join(values)}" for name, values in wanted.items() if values)
                raise self.nothing(f"unlearning runs with {chosen}", "Choose others on the left.")
            whole = frame if not where.strip() else self.context.reader.runs(experiment)
            board = scoreboard(runs[kept], whole, labels[kept])
            return _Shown(runs[kept], board, options, labels, Kinship(whole))

        self.compute(compute, self._show)

    def _show(self, shown: _Shown) -> None:
        self._shown = shown
        for name, control in self._chosen.items():
            control.offer(shown.options[name])
        offered = [*TITLES, *self._apart(shown), *measured(shown.runs)]
        self._metrics.offer({named(name): name for name in offered})
        self._redraw(*self._draws)

    def _redraw(self, *tabs: str) -> None:
        """Draws the open one of some tabs again; the others when they are opened, and no file holds them till then."""
        self._drawn -= set(tabs)
        figures = {"Over steps": self.curves, "At the end": self.bars, "Trade-off": self.trade}
        figures |= {
            "Known rows": self.known,
            "Before and after": self.maps,
            "Relearning": self.relearning,
            "Margins": self.margins,
        }
        for name in set(tabs) & figures.keys() - {self._tab}:
            figures[name].clear()
        self._draw()

    @property
    def _tab(self) -> str:
        tabs = list(self._draws)
        return self.state.unlearning_tab if self.state.unlearning_tab in tabs else tabs[0]

    def _opened(self, event: Any) -> None:
        self.state.unlearning_tab = list(self._draws)[event.new]

    def _open(self) -> None:
        tab = self._tab
        self._tabs.active = list(self._draws).index(tab)
        self._metrics.widget.visible = tab in ("Over steps", "At the end")
        unknown = tab != self.state.unlearning_tab
        self.say(f'There is no tab "{self.state.unlearning_tab}" on this page.' if unknown else "", "tabs")
        self._draw()
        self.light()

    def _draw(self) -> None:
        tab, left = self._tab, self._left
        self._left = tab
        if tab != left and (self.says(_TAB) or self.says("few")):
            self._drawn.discard(left)  # to say it again when it is opened again
        if tab != "Before and after":
            self._drawn.discard("Before and after")
            self._before_after.hide()
        drawn = tab in self._drawn
        if tab != left or not drawn:
            self.say("", _TAB)
            self.say("", "few")
        if self._shown is None or drawn:
            return
        self._drawn.add(tab)
        self._draws[tab][1](self._shown)

    def _apart(self, shown: _Shown) -> list[str]:
        return [name for name in APART if name in shown.runs and shown.runs[name].notna().any()]

    def _few(self, shown: _Shown) -> pd.DataFrame:
        """The runs of as many models, corruptions and ratios as one figure shows; the page says which are left."""
        places = label_runs(shown.runs)[["model", "corruption", "ratio"]]
        groups = places.drop_duplicates()
        if len(groups) <= MOST_ROWS:
            return shown.runs
        first = places.merge(groups.iloc[:MOST_ROWS].assign(_first=True), how="left")["_first"].notna().to_numpy()
        self.say(
            f"Drawn are the first {MOST_ROWS} of {len(groups)} models and corruptions: choose some on the left.", "few"
        )
        return shown.runs[first]

    def _draw_curves(self, shown: _Shown) -> None:
        runs = self._few(shown)
        metrics = [name for name in self.state.metrics if name in (*TITLES, *self._apart(shown))] or list(DRAWN)

        def compute() -> tuple[pd.DataFrame, pd.DataFrame, Series]:
            series = self.context.reader.series([str(run) for run in runs["run_id"]], metrics)
            history = history_of(runs, lambda run, metric: series[run, metric], metrics)
            return history if history.empty else curves_of(history), summarize_unlearning(runs), series

        def show(found: tuple[pd.DataFrame, pd.DataFrame, Series]) -> None:
            curves, table, series = found
            if curves.empty:
                self.curves.clear()
                self.say(_UNFINISHED, _TAB)
            else:
                origin = self._origin(shown, runs, table, "curves", metrics)
                self.curves.show(accuracy_against_step(curves, table, metrics=metrics), curves, origin)
                self._marks["Over steps"] = lambda chosen: self.curves.highlights.show(
                    selected_curves(runs, table, series, metrics, chosen)
                )
                self.light()

        self.compute(compute, show, _TAB)

    def _draw_bars(self, shown: _Shown) -> None:
        runs = self._few(shown)
        table = summarize_unlearning(runs)
        if not table["kept"].any():
            self.bars.clear()
            self.say(_UNFINISHED, _TAB)
            return
        asked = [name for name in self.state.metrics if name in (*TITLES, *self._apart(shown), *measured(shown.runs))]
        final = [name for name in asked if f"{name}_mean" in table] or list(DRAWN)
        self.bars.show(final_bars(table, final), table, self._origin(shown, runs, table, "bars", final))

    def _draw_trade(self, shown: _Shown) -> None:
        runs = self._few(shown)
        table = summarize_unlearning(runs)
        self.trade.show(trade_off(runs), runs, self._origin(shown, runs, table, "trade_off"))
        places = self._ends = ends(runs, table)
        self._marks["Trade-off"] = lambda chosen: self.trade.highlights.show(
            {panel: Marks(rings=[place for place, run in own if run in chosen]) for panel, own in places.items()}
        )
        self.light()

    def light(self) -> None:
        """Marks what selected runs did in the open tab."""
        self._board.light()
        if self._shown is not None and self._tab in self._marks:
            self._marks[self._tab](self._shown.kinship.of(self.selected))

    def _clicked(self, panel: int, x: float, y: float) -> None:
        """Selects the run that ended at a point of the trade-off."""
        own = self._ends.get(panel, [])
        if (found := nearest([place for place, _ in own], (x, y))) is not None:
            self.state.runs = [own[found][1]]

    def _draw_known(self, shown: _Shown) -> None:
        if not sweeps_known(shown.runs):
            self.known.clear()
            self.say("All these runs know the same fraction of the corrupted rows: see known in [corruption].", _TAB)
            return
        runs = shown.runs
        self.known.show(
            against_known(runs), known_table(runs), self._origin(shown, runs, summarize_unlearning(runs), "known")
        )

    def _draw_relearning(self, shown: _Shown) -> None:
        runs = shown.runs

        def compute() -> pd.DataFrame:
            if not was_audited(runs):
                return pd.DataFrame()
            series = self.context.reader.series([str(run) for run in runs["run_id"]], relearning_metrics(runs))
            return relearning_history(runs, lambda run, metric: series[run, metric])

        def show(found: pd.DataFrame) -> None:
            if found.empty:
                self.relearning.clear()
                self.say("No run was audited with relearning: see [audit] in `qlab describe audit`.", _TAB)
            else:
                origin = self._origin(shown, runs, summarize_unlearning(runs), "relearning")
                self.relearning.show(relearning_curves(found, runs), relearning_table(found), origin)

        self.compute(compute, show, _TAB)

    def _draw_table(self, shown: _Shown) -> None:
        self._table.show(readable(summarize_unlearning(shown.runs)))

    def _origin(
        self, shown: _Shown, runs: pd.DataFrame, table: pd.DataFrame, what: str, metrics: Sequence[str] = ()
    ) -> Origin:
        """Where a figure of some of the runs, which the table sums up, comes from."""
        own, chosen, alike = shown.labels.loc[runs.index], {}, pd.Series(True, index=shown.labels.index)
        for name in ("method", "model", "corruption"):
            values = [str(value) for value in own[name].unique()]
            if len(values) < shown.labels[name].nunique():
                chosen[name] = values
                alike &= shown.labels[name].isin(values)
        if alike.sum() != len(runs):  # no product of these
            chosen = {"run_id": [str(run) for run in runs["run_id"]]}
        script = scripts.unlearning(what, chosen, metrics, self.state.where)
        drawn = [name for name in metrics or DRAWN if f"{name}_mean" in table]
        values = [f"{name}_{part}" for name in drawn for part in ("mean", "std")]
        short = table[["model", "corruption", "ratio", "method", *values, "kept", "runs", "left_out"]]
        return Origin(self.state.experiment, [str(run) for run in runs["run_id"]], script, short)
