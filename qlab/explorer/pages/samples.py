"""The tab of samples on the page Compare: which of them one group's models get right and another's wrong."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab.errors import QlabError
from qlab.explorer import design
from qlab.explorer.answers import Answers, Confused
from qlab.explorer.controls import Control
from qlab.explorer.copying.origin import Origin
from qlab.explorer.figure import Figure
from qlab.explorer.loaded import Samples
from qlab.explorer.page import Page
from qlab.explorer.sample import nearest, sample_parts
from qlab.explorer.tables import plain_table
from qlab.explorer.text import Text, heading
from qlab.reading.compare import Group
from qlab.reading.confusion import BOTH, FIRST, NEITHER, OUTCOMES, SECOND
from qlab.views.compare import sample_map
from qlab.views.numerals import rounded

_PART = "samples"

_ROWS = {"training rows": "train", "validation rows": "validation"}

_CLICK = "Click a sample, or a row of the list, to see it."

_RIGHT = "Right is who says the true label, also of rows that were trained on with another."

_HALVES = design.columns(2, f"max({design.NARROWEST + 40}px, 40%)")
"""Style of two beside each other, also where there would be room for three."""


class SamplesTab:
    """Pickers of the other group, of rows and of a seed; a map of all samples, the one clicked, and lists.

    Args:
        page: whose tab it is.
        figure: where the map is drawn.
    """

    def __init__(self, page: Page, figure: Figure) -> None:
        self._page, self._figure, state = page, figure, page.state
        self._answers = Answers(page.context.reader, page.context.loader)
        self._groups: Sequence[Group] = ()
        self._open = False
        self._found: Confused | None = None
        other = pmui.Select(label="Compared with", options=[], width=320, size="small")
        self._other = Control(other, state, "other")
        rows = pmui.Select(label="Samples", options=_ROWS, width=180, size="small")
        self._rows = Control(rows, state, "compare_rows")
        self._seed = Control(pmui.Select(label="Seed", options=[], width=120, size="small"), state, "compare_seed")
        self._words = Text("", margin=(4, 10))
        self._sample = pn.Column(Text(_CLICK), sizing_mode="stretch_width")
        self._list = pn.Column(sizing_mode="stretch_width")
        self._counts = pn.Column(sizing_mode="stretch_width")
        shown = pn.Column(
            self._words,
            pn.Column(figure.view, self._sample, sizing_mode="stretch_width", styles=_HALVES),
            pn.Column(self._list, self._counts, sizing_mode="stretch_width", styles=_HALVES),
            sizing_mode="stretch_width",
        )
        pickers = pn.Row(other, rows, self._seed.widget, styles=design.WRAPPED, margin=(design.SPACE, 0, 0, 0))
        self.view = pn.Column(pickers, shown, sizing_mode="stretch_width")
        state.param.watch(lambda *_: self._draw(), ["other", "compare_rows", "compare_seed"])
        state.param.watch(lambda *_: self._show_sample(), "compare_row")

    def show(self, groups: Sequence[Group], reference: Group | None, *, seen: bool) -> None:
        """Draws the samples of groups, once the tab is seen.

        Args:
            groups: all, or none.
            reference: the group that others are compared with.
            seen: whether the tab is open: models are asked only then.
        """
        self._groups, self._reference, self._open = groups, reference, seen
        others = {group.name: group.letter for group in groups if group is not reference}
        self._other.offer(others, next(iter(others.values()), None))
        self._draw()

    def clicked(self, panel: int, x: float, y: float) -> None:
        """Shows the sample that a click into the map is meant for."""
        row = None if self._found is None else nearest(self._found.frame, x, y)
        if row is not None:
            self._page.state.compare_row = row

    def _draw(self) -> None:
        groups, first, state = self._groups, self._reference, self._page.state
        if first is None or not self._open:
            if first is None:
                self._clear("")
            self._page.say("", _PART)  # what an open tab lacks is of no interest on another
            return
        letter = state.other if state.other in {group.letter for group in groups} - {first.letter} else ""
        second = next(group for group in groups if group is not first and letter in ("", group.letter))
        samples: Samples = "validation" if state.compare_rows == "validation" else "train"
        experiment, unit = state.experiment, state.compare_seed

        def compute() -> Confused | str:
            try:
                return self._answers.confused(experiment, groups, (first, second), samples, unit)
            except QlabError as error:
                return str(error)

        def show(found: Confused | str) -> None:
            if isinstance(found, str):
                self._clear(found)
            else:
                self._show(found)

        self._page.compute(compute, show, _PART)

    def _clear(self, message: str) -> None:
        self._found = None
        self._figure.clear()
        self._words.object = ""
        self._list.objects, self._counts.objects = [], []
        self._sample.objects = []
        self._page.say(message, _PART)

    def _show(self, found: Confused) -> None:
        self._found = found
        first, second = found.pair
        self._seed.widget.visible = not first.single
        self._seed.offer(found.units, found.unit)
        said = words_of(first.letter, second.letter)
        rows = "training" if found.samples == "train" else "validation"
        seed = "" if first.single else f", models of seed {found.unit}"
        title = f"{first.letter} and {second.letter}: {len(found.frame)} {rows} rows{seed}"
        shown = {name: said[name] for name in (BOTH, NEITHER, FIRST, SECOND)}
        runs = [str(run) for group in found.pair for run in group.runs["run_id"]]
        self._figure.show(sample_map(found.frame, shown, title), found.frame, Origin(self._page.state.experiment, runs))
        self._words.object = " ".join(filter(None, (_RIGHT, found.note)))
        self._list.objects = self._listed(found)
        self._counts.objects = [
            heading(f"Counts{seed}"),
            plain_table(square(found)),
            *([] if first.single else [heading("Counts by seed: who is right"), plain_table(by_seed(found))]),
        ]
        self._show_sample()

    def _listed(self, found: Confused) -> list[object]:
        first, second = (group.letter for group in found.pair)
        if found.rows.empty:
            return [heading("Rows that one gets right"), Text(f"{first} and {second} agree on all rows.")]
        table = plain_table(listed(found), selectable=1, pagination="local", page_size=10)
        places = list(found.rows["row"])
        table.on_click(lambda event: setattr(self._page.state, "compare_row", int(places[event.row])))
        return [heading("Rows that one gets right and the other wrong"), table]

    def _show_sample(self) -> None:
        found, row = self._found, self._page.state.compare_row
        if found is None:
            return
        if not 0 <= row < len(found.frame):
            there = f"There is no row {row}; there are {len(found.frame)}. " if row >= 0 else ""
            self._sample.objects = [Text(there + _CLICK)]
            return
        experiment = self._page.state.experiment

        def show(predictions: list[tuple[str, float]]) -> None:
            sample = found.frame.iloc[row]
            letters = [group.letter for group in found.pair]
            trained = f"in {letters[0]} trained on as {sample['polluted_label']}, " if found.samples == "train" else ""
            title = f"row {row}: {trained}true label {sample['clean_label']}"
            extra = sample.drop(["x", "y", "row", "polluted_label", "clean_label", "kind", "outcome"])
            known = [words_of(*letters)[str(sample["outcome"])]]
            known += [f"{name} {value:.6g}" for name, value in extra.items()]
            drawn = found.look.drawn(found.features, row, title)
            self._sample.objects = sample_parts(drawn, ", ".join(known), predictions)

        self._page.compute(lambda: self._answers.predictions(experiment, found, row), show, "sample")


def words_of(first: str, second: str) -> dict[str, str]:
    """Outcomes in words.

    Args:
        first: letter of the first group.
        second: of the second.
    """
    texts = ("both right", f"only {first} right", f"only {second} right", "both wrong")
    return dict(zip(OUTCOMES, texts, strict=True))


def square(found: Confused) -> pd.DataFrame:
    """The counts of one seed as a table of two by two."""
    first, second = (group.letter for group in found.pair)
    own = found.counts.set_index("seed").loc[found.unit]
    return pd.DataFrame(
        {
            " ": [f"{first} right", f"{first} wrong"],
            f"{second} right": [own[BOTH], own[SECOND]],
            f"{second} wrong": [own[FIRST], own[NEITHER]],
        }
    )


def by_seed(found: Confused) -> pd.DataFrame:
    """Who gets how many samples right, of all seeds, and the mean with its standard deviation."""
    first, second = (group.letter for group in found.pair)
    short = {BOTH: "both", FIRST: f"only {first}", SECOND: f"only {second}", NEITHER: "neither"}
    table = found.counts.rename(columns=short).astype(object)
    if len(table) > 1:
        means = {
            name: rounded(float(own.mean()), float(own.std(ddof=1))).plain
            for name, own in ((name, table[name].astype(float)) for name in table.columns if name != "seed")
        }
        table = pd.concat([table, pd.DataFrame([{"seed": "mean", **means}])], ignore_index=True)
    return table.astype(str)


def listed(found: Confused) -> pd.DataFrame:
    """The rows that one gets right and the other wrong, with columns for people; the last in how many seeds."""
    first, second = (group.letter for group in found.pair)
    rows = found.rows
    table = pd.DataFrame({"row": rows["row"], "right": rows["right"].map({FIRST: first, SECOND: second})})
    table["label"] = rows["clean_label"]
    if "first_label" in rows:
        labels = {f"trained on ({letter})": rows[f"{name}_label"] for name, letter in _named(first, second)}
        same = bool((rows["first_label"] == rows["second_label"]).all())
        table = table.assign(**({"trained on": rows["first_label"]} if same else labels))
    if not found.pair[0].single:
        for name, letter in _named(first, second):
            table[f"{letter} right"] = [f"{count} of {len(found.units)}" for count in rows[f"{name}_seeds"]]
    return table


def _named(first: str, second: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (FIRST, first), (SECOND, second)
