"""The tab of a model before and after unlearning: the data as two linked maps, and counts of confused rows."""

from __future__ import annotations

from typing import Final

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab.explorer import design
from qlab.explorer.controls import Control
from qlab.explorer.figure import Figure
from qlab.explorer.forgetting import Forgotten, forgotten
from qlab.explorer.highlights import Marks
from qlab.explorer.page import Page
from qlab.explorer.sample import nearest, sample_parts
from qlab.explorer.tables import plain_table
from qlab.explorer.text import Text
from qlab.reading.before_after import confused
from qlab.views.before_after import before_and_after

PART: Final = "before and after"

MOST: Final = 200
"""So many runs are offered at once."""

_CLICK: Final = "Click a sample to ring it in both maps and to see what is said of it."

_HEADS: Final = {
    "rows": "training rows",
    "n": "number",
    "right_before": "right before",
    "right_after": "right after",
    "mended": "wrong before, right after",
    "lost": "right before, wrong after",
    "given_before": "label trained on, before",
    "given_after": "label trained on, after",
}


class BeforeAfter:
    """A picker of an unlearning run, the two maps, counts, and the sample that is looked at.

    Args:
        page: whose tab it is.
        figure: where the maps are drawn; its clicks come to :meth:`clicked`.
    """

    def __init__(self, page: Page, figure: Figure) -> None:
        self._page, self._figure = page, figure
        self._found: Forgotten | None = None
        self._runs = pd.DataFrame()
        self._open = False
        self._of = Control(
            pmui.Select(label="Unlearning run", options={}, width=460, size="small", searchable=True),
            page.state,
            "unlearned",
        )
        self._more = Text("", visible=False, styles={"--size": design.SMALL})
        self._counts = pn.Column(sizing_mode="stretch_width")
        self._sample = pn.Column(sizing_mode="stretch_width")
        self.view = pn.Column(
            pn.Row(self._of.widget, self._more, styles=design.WRAPPED),
            figure.view,
            self._counts,
            self._sample,
            sizing_mode="stretch_width",
        )
        page.state.param.watch(lambda *_: self._draw(), ["unlearned", "projection"])
        page.state.param.watch(lambda *_: self._ring(), "row")

    def show(self, runs: pd.DataFrame) -> None:
        """Offers the finished ones among unlearning runs, selected ones first, and draws the chosen one."""
        done = runs[runs["status"] == "FINISHED"]
        first = done["run_id"].isin(self._page.state.runs)
        self._runs = pd.concat([done[first], done[~first]])
        offered = self._runs.iloc[:MOST]
        chosen = self._runs[self._runs["run_id"] == self._page.state.unlearned]
        titles: dict[str, str] = {}
        for run, name in [*_named(offered), *_named(chosen)]:
            titles[name if name not in titles or titles[name] == run else f"{name} ({run[:6]})"] = run
        self._of.offer(titles, next(iter(titles.values()), None))
        left = len(self._runs) - len(offered)
        self._more.object = f"{left} more: choose methods, models or corruptions on the left, or select runs."
        self._more.visible = left > 0
        self._open = True
        self._draw()

    def clicked(self, panel: int, x: float, y: float) -> None:
        """Rings the sample that a click is meant for."""
        row = None if self._found is None else nearest(self._found.rows, x, y)
        if row is not None:
            self._page.state.row = row

    def hide(self) -> None:
        """Asks no more models until it is shown again."""
        self._open = False
        self._page.say("", PART)

    def _draw(self) -> None:
        if not self._open:
            return
        state, context = self._page.state, self._page.context
        run = state.unlearned or next(iter(self._runs["run_id"]), "")
        if not run:
            self._clear()
            self._page.say("No unlearning run has finished yet.", PART)
            return
        experiment, projection = state.experiment, state.projection

        def compute() -> Forgotten:
            frame = context.reader.runs(experiment)
            return forgotten(context.loader, experiment, frame, run, projection)

        self._clear()
        self._page.compute(compute, self._show, PART)

    def _clear(self) -> None:
        self._found = None
        self._figure.clear()
        self._counts.objects, self._sample.objects = [], []

    def _show(self, found: Forgotten) -> None:
        self._found = found
        self._figure.show(before_and_after(found.rows), found.rows)
        self._counts.objects = [plain_table(confused(found.rows).rename(columns=_HEADS))]
        self._ring()

    def _ring(self) -> None:
        found, row = self._found, self._page.state.row
        if found is None or not self._open:
            return
        here = 0 <= row < len(found.rows)
        places = [tuple(found.rows[["x", "y"]].iloc[row])] if here else []
        self._figure.highlights.show({0: Marks(rings=places), 1: Marks(rings=places)})
        if not here:
            there = f"There is no row {row}; there are {len(found.rows)}. " if row >= 0 else ""
            self._sample.objects = [Text(there + _CLICK)]
            return
        sample = found.rows.iloc[row]
        title = f"row {row}: trained on as {sample['polluted_label']}, true label {sample['clean_label']}"
        said = ", ".join(f"{'right' if sample[name] else 'wrong'} {name}" for name in ("before", "after"))
        answers = [(f"{name} unlearning", float(sample[f"{name}_p"])) for name in ("before", "after")]
        drawn = found.look.drawn(found.features, row, title)
        self._sample.objects = sample_parts(drawn, f"{sample['told']} row: {said}", answers)


def _named(runs: pd.DataFrame) -> list[tuple[str, str]]:
    return [(str(row["run_id"]), str(row["name"])) for row in runs[["run_id", "name"]].to_dict("records")]
