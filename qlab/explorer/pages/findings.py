"""Findings: what each experiment of the store asks and found, and one of them as a story."""

from __future__ import annotations

import dataclasses
import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab.claims.overview import cell
from qlab.claims.table import VERDICT_NOTE, records
from qlab.errors import DataError, QlabError
from qlab.explorer import design
from qlab.explorer.page import Page
from qlab.explorer.tables import plain_table
from qlab.explorer.text import Text, heading
from qlab.reading.findings import Finding
from qlab.report.page import write_report
from qlab.report.sections import section_of
from qlab.tracking import frames, names
from qlab.views.readable import readable
from qlab.views.summary import summarize
from qlab.words import counted

_WIDTH: Final = 360
"""Of a card, pixels."""

_CARD: Final = {
    "border": "1px solid rgba(128, 128, 128, 0.4)",
    "border-radius": "8px",
    "padding": f"{2 * design.SPACE}px",
    "box-sizing": "border-box",
    "flex": f"0 0 {_WIDTH}px",
    "height": "fit-content",
    "max-width": "100%",
}

_CARDS: Final = {**design.WRAPPED, "gap": f"{2 * design.SPACE}px", "align-items": "flex-start"}

_NO_CLAIMS: Final = "It claims nothing: a [[claim]] in its file would be given a verdict."


@dataclasses.dataclass(frozen=True, eq=False)
class _Story:
    finding: Finding
    pictures: Mapping[str, bytes]
    missing: Sequence[str]
    states: Mapping[str, int]
    table: pd.DataFrame


class FindingsPage(Page):
    """Cards of all experiments; from each to its claims, the figure for each, the table, and what was left out."""

    title = "Findings"
    depends = ("experiment", "story")

    def build(self) -> list[Any]:
        """The cards, or the story."""
        self._shown = pn.Column(sizing_mode="stretch_width")
        self._cards: dict[str, tuple[tuple[Any, ...], pn.Column]] = {}
        return [self._shown]

    def update(self) -> None:
        """Reads what experiments recorded of themselves."""
        if self.state.story:
            experiment = self.state.experiment
            self.compute(lambda: self._read_story(experiment), self._show_story)
        else:
            self.compute(self._read_cards, self._show_cards)

    def _read_cards(self) -> list[tuple[Finding, bytes | None]]:
        found = self.context.reader.findings()
        if not found:
            raise DataError("No experiment in this store was run by qlab yet. Run: qlab run xxz_flip")
        return [(finding, self._picture(finding.run, next(iter(finding.figures), ""))[0]) for finding in found]

    def _picture(self, run_id: str, path: str) -> tuple[bytes | None, str]:
        """A picture, or why there is none; neither if there is no path."""
        try:
            return (self.context.reader.picture(run_id, path), "") if path else (None, "")
        except QlabError as error:
            return None, str(error)

    def _show_cards(self, cards: Sequence[tuple[Finding, bytes | None]]) -> None:
        """Cards of what has not changed stay as they are: pages of many would flash whenever a run ends."""
        made = {}
        for finding, picture in cards:
            said = (finding.about, said_of_claims(finding), said_of_run(finding), picture)
            before = self._cards.get(finding.experiment)
            known = before is not None and before[0] == said
            made[finding.experiment] = before if before and known else (said, self._card(finding, picture))
        self._cards = made
        views = [view for _, view in made.values()]
        if [list(part.objects) for part in self._shown.objects if isinstance(part, pn.Row)] != [views]:
            self._shown.objects = [pn.Row(*views, styles=_CARDS)]

    def _card(self, finding: Finding, picture: bytes | None) -> pn.Column:
        opened = pmui.Button(label=f"Open {finding.experiment}", size="small", variant="outlined")
        opened.on_click(lambda _: self._open(finding.experiment))
        drawn = (
            []
            if picture is None
            else [_image(picture, finding.experiment, sizing_mode="fixed", width=_WIDTH - 4 * design.SPACE - 2)]
        )
        return pn.Column(
            heading(finding.experiment),
            Text(finding.about),
            *drawn,
            Text(said_of_claims(finding)),
            Text(said_of_run(finding)),
            opened,
            styles=_CARD,
        )

    def _open(self, experiment: str) -> None:
        self.state.param.update(experiment=experiment, story=True)

    def _read_story(self, experiment: str) -> _Story:
        finding = self.context.reader.finding(experiment)
        if finding is None:
            raise DataError(f'"{experiment}" was not run by qlab: it has runs, but none of an experiment file.')
        pictures, missing = {}, []
        for path in finding.figures:
            content, why = self._picture(finding.run, path)
            if content is None:
                missing.append(why)
            else:
                pictures[path] = content
        frame = self.context.reader.runs(experiment)
        own = frame[frame["kind"].notna() & (frame["kind"] != names.EXPERIMENT)]
        states = {str(state).lower(): int(count) for state, count in own["status"].value_counts().items()}
        trials = frames.latest_per_trial(frame[frame["kind"] == names.TRIAL])
        return _Story(finding, pictures, missing, states, pd.DataFrame() if trials.empty else summarize(trials))

    def _show_story(self, story: _Story) -> None:
        finding = story.finding
        back = pmui.Button(label="All experiments", icon="arrow_back", size="small", variant="text")
        back.on_click(lambda _: setattr(self.state, "story", False))
        report = pmui.FileDownload(
            callback=lambda: self._report(finding.experiment),
            filename=f"{PurePosixPath(finding.experiment).name}.html",
            label="As a report",
            size="small",
            variant="outlined",
        )
        runs = ", ".join(f"{count} {state}" for state, count in story.states.items())
        self._shown.objects = [
            pmui.Row(back, report),
            heading(finding.experiment),
            Text(finding.about),
            Text(f"{said_of_run(finding)}. Runs: {runs or 'none'}."),
            *self._claims(story),
            *self._rest(story),
        ]

    def _claims(self, story: _Story) -> list[Any]:
        """Each figure, and below it the claims that it shows."""
        finding = story.finding
        if finding.claims.empty:
            return [Text(_NO_CLAIMS)]
        groups: dict[str, list[Any]] = {}
        for row in records(finding.claims):
            groups.setdefault(finding.figure_of(str(row["figure"])), []).append(row)
        found: list[Any] = [heading("Claims")]
        for path, rows in groups.items():
            found += [
                pn.Column(Text(f"{row['claim']}", styles={"font-weight": "600"}), Text(cell(row))) for row in rows
            ]
            if path in story.pictures:
                found.append(_image(story.pictures[path], PurePosixPath(path).stem, max_width=1100))
        return [*found, Text(VERDICT_NOTE)]

    def _rest(self, story: _Story) -> list[Any]:
        """The figures that no claim is about, the table, and what is not in it."""
        claimed = {story.finding.figure_of(str(name)) for name in story.finding.claims["figure"]}
        others = [path for path in story.pictures if path not in claimed]
        found: list[Any] = [Text(why) for why in story.missing]
        if others:
            found += [heading("Figures"), *(_image(story.pictures[path], PurePosixPath(path).stem) for path in others)]
        if len(story.table):
            found += [
                heading("Groups"),
                plain_table(readable(story.table), pagination="remote", page_size=12),
                Text(left_out(story.table)),
            ]
        return found

    def _report(self, experiment: str) -> io.BytesIO:
        section = section_of(self.context.reader.store, experiment, None)
        if section is None:
            raise DataError(f'"{experiment}" has no trials to report yet.')
        with tempfile.TemporaryDirectory() as folder:
            return io.BytesIO(write_report(self.context.reader.store, [section], Path(folder)).page.read_bytes())


def said_of_claims(finding: Finding) -> str:
    """How many claims have which verdict, in words."""
    verdicts = ", ".join(f"{count} {word}" for word, count in finding.verdicts.items())
    total = sum(finding.verdicts.values())
    return f"{counted(total, 'claim')}: {verdicts}" if total else "no claims"


def said_of_run(finding: Finding) -> str:
    """How the experiment's last run ended, and when."""
    when = pd.Timestamp(finding.changed, unit="ms", tz="UTC").strftime("%Y-%m-%d %H:%M UTC")
    words = {"FINISHED": "finished", "RUNNING": "running since", "FAILED": "failed", "KILLED": "stopped"}
    said = f"{words.get(finding.status, finding.status.lower())} {when}"
    return f"{said}: {finding.error}" if finding.error and finding.status in ("FAILED", "KILLED") else said


def left_out(table: pd.DataFrame) -> str:
    """What of a summary's runs is in no mean, and why."""
    rows = [row for row in table.to_dict("records") if row.get("left_out")]
    if not rows:
        return "Every run is in the table: none was left out."
    lines = [f"{row['model']}, {row['corruption']} {row['ratio']:g}: {row['left_out']}" for row in rows]
    return "\n".join(["Left out:", *lines])


def _image(content: bytes, alt: str, **options: Any) -> pn.pane.PNG:
    return pn.pane.PNG(content, alt_text=alt, **{"sizing_mode": "scale_width", "margin": (8, 0), **options})
