"""Run: one run whole."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab.errors import DataError
from qlab.explorer.copying import scripts
from qlab.explorer.copying.origin import Origin
from qlab.explorer.figure import Figure
from qlab.explorer.page import Page
from qlab.explorer.tables import plain_table
from qlab.explorer.text import Link, Text
from qlab.tracking import names, params
from qlab.views.kept import flaw
from qlab.views.labels import UNKNOWN
from qlab.views.readable import number
from qlab.views.training import METRICS, curves_over_epochs, last_of
from qlab.views.words import heading, is_count

TABLES = ("Configuration", "Metrics", "Artifacts", "Lineage", "Tags")
"""What is shown of a run."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Shown:
    title: str
    url: str
    tables: dict[str, pd.DataFrame]
    history: pd.DataFrame
    name: str
    model: str
    experiment: str


class RunPage(Page):
    """Configuration, metrics, artifacts, health and lineage of the run selected first."""

    title = "Run"
    depends = ("experiment", "runs")

    def build(self) -> list[Any]:
        """Title, curves and tables."""
        self._title = Text(styles={"--size": "16px", "--weight": "600"})
        self._link = Link("open in the MLflow UI")
        self.training = Figure("run")
        self._tables = {name: pn.Column(sizing_mode="stretch_width") for name in TABLES}
        return [pmui.Row(self._title, self._link), self.training.view, pmui.Tabs(*self._tables.items())]

    def update(self) -> None:
        """Reads the run that is selected first."""
        experiment, chosen = self.state.experiment, list(self.state.runs)

        def compute() -> _Shown:
            if not chosen:
                raise DataError("No run is selected. Tick one on the page Runs, or click a point on Resilience.")
            frame = self.context.reader.runs(experiment)
            rows = frame[frame["run_id"] == chosen[0]]
            if rows.empty:
                raise DataError(f'The run {chosen[0]} is not in "{experiment}".')
            return self._read(frame, rows.iloc[0])

        self.compute(compute, self._show)

    def _read(self, frame: pd.DataFrame, row: Any) -> _Shown:
        reader, run_id = self.context.reader, str(row["run_id"])
        run = reader.store.get_run(run_id)
        lineage = frame[
            (frame["parent_id"] == run_id)
            | (frame["run_id"] == row["parent_id"])
            | (
                (frame["parent_id"] == row["parent_id"])
                & (frame["trial"] == row["trial"])
                & (row["kind"] != names.TRIAL)
            )
        ]
        files = reader.store.files(run_id)
        tables = {
            "Configuration": _configuration(run.data.params),
            "Metrics": _metrics(run.data.metrics),
            "Artifacts": pd.DataFrame(files.items(), columns=["artifact", "bytes"]),
            "Lineage": lineage[["kind", "name", "status", "health", "run_id"]].reset_index(drop=True),
            "Tags": pd.DataFrame(sorted(run.data.tags.items()), columns=["tag", "value"]),
        }
        running = [run_id] if row["status"] == "RUNNING" else []
        history = reader.histories([run_id], METRICS, running)
        parts = [str(row["name"]), str(row["status"]).lower(), str(row["health"] or "no health tag yet")]
        model = row.get("model.type")
        return _Shown(
            ", ".join(parts),
            reader.run_url(run_id, str(row["experiment_id"])),
            tables,
            history,
            str(row["name"]),
            model if isinstance(model, str) else UNKNOWN,
            self.state.experiment,
        )

    def _show(self, shown: _Shown) -> None:
        self._title.object = shown.title
        self._link.address = shown.url
        if shown.history["step"].nunique() > 1:
            labels = pd.Series({str(run): shown.model for run in shown.history["run_id"].unique()}, dtype=str)
            metrics = list(dict.fromkeys(map(str, shown.history["metric"])))
            script = scripts.training({str(run): shown.model for run in labels.index}, metrics, title=shown.name)
            origin = Origin(
                shown.experiment, [str(run) for run in labels.index], script, last_of(shown.history, labels)
            )
            self.training.show(curves_over_epochs(shown.history, labels, title=shown.name), shown.history, origin)
        else:
            self.training.clear()
        for name, table in shown.tables.items():
            self._tables[name].objects = [plain_table(table, pagination="remote", page_size=12)]


def _configuration(values: Mapping[str, str]) -> pd.DataFrame:
    """Params by the names that filters and files take, with what they are in words."""
    rows = sorted(values.items())
    return pd.DataFrame([(name, heading(name), value) for name, value in rows], columns=["param", "in words", "value"])


def _metrics(values: Mapping[str, float]) -> pd.DataFrame:
    """Metrics with their last values; those that are no finite numbers in words, as an empty cell says nothing."""
    known = {name: params.metric(value) for name, value in sorted(values.items())}
    shown = [
        number(value, count=is_count(name)) if math.isfinite(value) else flaw("", value, True).strip()
        for name, value in known.items()
    ]
    rows = [(heading(name), cell, name) for name, cell in zip(known, shown, strict=True)]
    return pd.DataFrame(rows, columns=["metric", "last value", "name"], dtype=object)
