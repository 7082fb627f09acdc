"""The tab of landscapes on the page Compare: slices around a model of each group, on one colour scale."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import panel as pn
import panel_material_ui as pmui

from qlab.errors import QlabError
from qlab.explorer.copying.origin import Origin
from qlab.explorer.figure import Figure
from qlab.explorer.page import Page
from qlab.explorer.planes import Planes, Sight
from qlab.explorer.sliced import below, limits_of, pictures, table_of
from qlab.explorer.slicing import Asked, Sliced, Slicer
from qlab.explorer.text import Text
from qlab.explorer.work import Meanwhile
from qlab.reading.compare import Group

_PART = "landscapes"


class LandscapesTab:
    """One plane for each group: the model of the seed chosen, sliced as on the page Landscape, on one scale.

    Args:
        page: whose tab it is.
        figure: where the slices are drawn.
    """

    def __init__(self, page: Page, figure: Figure) -> None:
        self._page, self._figure = page, figure
        self._slicer = Slicer(page.context.reader, page.context.loader)
        self._planes = Planes()
        self._runs: list[str] = []
        self._words = Text("", margin=(8, 10))
        self._there = pmui.Button(label="Open on Landscape", icon="terrain", size="small", margin=(4, 10))
        self._there.on_click(self._go)
        self.view = pn.Column(pn.Row(self._words, self._there), figure.view, sizing_mode="stretch_width")

    def show(self, groups: Sequence[Group], *, seen: bool) -> None:
        """Slices the landscapes of groups, once the tab is seen.

        Args:
            groups: all, or none.
            seen: whether the tab is open.
        """
        if not groups:
            self._clear("")
        if not groups or not seen:
            self._page.say("", _PART)  # what an open tab lacks is of no interest on another
            return
        state = self._page.state
        seeds = [seed for seed in groups[0].units if all(seed in group.units for group in groups)]
        seed = state.compare_seed if state.compare_seed in seeds else next(iter(seeds), None)
        chosen = {group.name: run for group in groups if (run := _run_of(group, seed)) is not None}
        self._runs = list(chosen.values())
        fields = {name: getattr(state, name) for name in ("samples", "directions", "draw", "span", "resolution")}
        asked = Asked(state.experiment, tuple(self._runs), (), fields | {"dimensions": 2})
        names = {run: name for name, run in chosen.items()}

        def compute(meanwhile: Meanwhile[Sliced | str]) -> Sliced | str:
            try:
                return self._slicer.slices(asked, meanwhile)  # type: ignore[arg-type]
            except QlabError as error:
                return str(error)

        def show(found: Sliced | str) -> None:
            if isinstance(found, str) or not found.results:
                self._clear(found if isinstance(found, str) else "\n".join(found.missing))
            else:
                self._show(found, names, "" if seed is None or groups[0].single else f" of seed {seed}")

        self._page.follow(compute, show, _PART)

    def _go(self, _: object) -> None:
        self._page.state.param.update(points=list(self._runs), page="Landscape")

    def _clear(self, message: str) -> None:
        self._planes.clear()
        self._figure.clear()
        self._words.object, self._there.visible = "", False
        self._page.say(message, _PART)

    def _show(self, found: Sliced, names: dict[str, str], seed: str) -> None:
        self._page.say("\n".join(found.missing), _PART)
        titles = {name: names.get(found.runs[name], title) for name, title in found.titles.items()}
        named = dataclasses.replace(found, titles=titles)
        limits = limits_of(named, common=True)
        self._planes.show(
            [Sight(titles[name], below(result), result, limits[name]) for name, result in found.results.items()]
        )
        origin = Origin(self._page.state.experiment, list(found.runs.values()))
        self._figure.embody(self._planes.view, lambda: (pictures(named, limits), table_of(found.results)), origin)
        self._words.object = (
            f"Slices around the models{seed}, on one colour scale; samples, directions, span and resolution are those "
            "of the page Landscape."
        )
        self._there.visible = True


def _run_of(group: Group, seed: int | None) -> str | None:
    """The run of a seed, else the first that counts."""
    runs = group.units.get(seed, ()) if seed is not None else ()
    return next(iter(runs or [run for own in group.units.values() for run in own]), None)
