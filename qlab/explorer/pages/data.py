"""Data and circuit: the corrupted training split as a map, each sample by itself, and the circuit that reads it."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from qlab.errors import DataError, QlabError
from qlab.explorer import design
from qlab.explorer.cache import MEBIBYTE, Kept
from qlab.explorer.controls import Control, bound
from qlab.explorer.copying import scripts
from qlab.explorer.copying.origin import Origin
from qlab.explorer.figure import Figure
from qlab.explorer.highlights import Marks
from qlab.explorer.loaded import Checkpoint, checkpoints, corrupted_of, data_of, fitted_runs
from qlab.explorer.page import Page
from qlab.explorer.picker import Picker
from qlab.explorer.sample import Look, nearest, sample_parts
from qlab.explorer.text import Text, heading
from qlab.explorer.training_map import mapped
from qlab.models import Features, PennyLaneQNN
from qlab.registry import find, make
from qlab.tasks.features import FeatureRows
from qlab.tracking import names
from qlab.views.circuit import draw_circuit
from qlab.views.data_map import data_map
from qlab.views.labels import label_corruptions, natural, ratio_text

_pictures: Kept[str, bytes] = Kept(16 * MEBIBYTE)
"""Circuits that were drawn, for all visitors."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Choices:
    corruptions: list[str]
    ratios: list[float]
    seeds: list[int]
    trials: dict[str, tuple[str, str, float, int]]


@dataclasses.dataclass(frozen=True, eq=False)
class _Shown:
    choices: _Choices
    chosen: tuple[str, float, int]
    frame: pd.DataFrame
    features: FeatureRows
    look: Look
    models: list[Checkpoint]
    fitted: list[Checkpoint]
    runs: list[str]
    trial: tuple[str, str]


class DataPage(Page):
    """Click a sample to see it, its labels, and what the models that were trained on it say."""

    title = "Data and circuit"
    depends = ("experiment", "corruption", "ratio", "seed", "projection")
    lit_by = ("row", "runs", "points")

    def build(self) -> list[Any]:
        """The map with the sample beside it, then the circuits."""
        state = self.state
        self._shown: _Shown | None = None
        self._corruption = Control(pmui.Select(label="Corruption", options=[], **design.FIELD), state, "corruption")
        self._ratio = Control(pmui.Select(label="Ratio", options=[], **design.FIELD), state, "ratio")
        self._seed = Control(pmui.Select(label="Seed", options=[], **design.FIELD), state, "seed")
        projection = bound(
            pmui.Select(label="Projection", options={"principal components": "pca", "t-SNE": "tsne"}, **design.FIELD),
            state,
            "projection",
        )
        self._picker = Picker("Find a trial", self._pick)
        self.map = Figure("data_map", self._clicked, height=480)
        self._sample = pn.Column(Text("Click a sample."), sizing_mode="stretch_width")
        self._circuit = pn.Column(sizing_mode="stretch_width")
        self._circuits_shown: list[bytes | str] | None = None
        self.controls = [self._picker.view, self._corruption.widget, self._ratio.widget, self._seed.widget, projection]
        return [
            pn.Column(self.map.view, self._sample, sizing_mode="stretch_width", styles=design.columns(2)),
            heading("Circuits, and the light cone of their readout"),
            self._circuit,
        ]

    def update(self) -> None:
        """Makes the data of the chosen trial again, and projects them."""
        state = self.state
        experiment, projection = state.experiment, state.projection
        wanted = (state.corruption, state.ratio, state.seed)

        def compute() -> _Shown:
            frame = self.context.reader.runs(experiment)
            trials = frame[(frame["kind"] == names.TRIAL) & frame["trial"].notna()]
            if "corruption.type" not in trials or trials["corruption.type"].isna().all():
                raise DataError(f'No trials in "{experiment}" yet. Run: qlab run xxz_flip')
            return self._read(experiment, frame, trials[trials["corruption.type"].notna()], wanted, projection)

        self.compute(compute, self._show)
        self.compute(lambda: self._circuits(experiment), self._show_circuits, "circuits")

    def _read(
        self,
        experiment: str,
        frame: pd.DataFrame,
        trials: pd.DataFrame,
        wanted: tuple[str, float, int],
        projection: str,
    ) -> _Shown:
        kinds = label_corruptions(trials)  # two of one class may differ in other fields than the ratio
        choices = _Choices(
            sorted(kinds.unique(), key=natural),
            sorted(float(ratio) for ratio in trials["corruption.ratio"].dropna().unique()),
            sorted(int(seed) for seed in trials["seed"].dropna().unique()),
            {
                str(run): (str(name), kind, float(ratio), int(seed))
                for run, name, kind, ratio, seed in zip(
                    *(trials[column] for column in ("run_id", "name")),
                    kinds,
                    *(trials[column] for column in ("corruption.ratio", "seed")),
                    strict=True,
                )
                if pd.notna(ratio) and pd.notna(seed)
            },
        )
        corruption = wanted[0] if wanted[0] in choices.corruptions else choices.corruptions[0]
        ratio = min(choices.ratios, key=lambda value: abs(value - wanted[1]))
        seed = wanted[2] if wanted[2] in choices.seeds else choices.seeds[0]
        same = (kinds == corruption) & (trials["corruption.ratio"] == ratio)
        own = trials[same & (trials["seed"] == seed)]
        if own.empty:
            raise DataError(
                f"There is no trial with {corruption}, ratio {ratio_text(ratio, choices.ratios)} and seed {seed}."
            )
        first = own.iloc[0]
        trial = (str(first["trial"]), str(first["parent_id"]))
        config = self.context.reader.config(experiment, *trial)
        task, dataset = data_of(config)
        features = corrupted_of(config).split.x
        runs = set(own["run_id"])
        models = [item for item in checkpoints(frame) if item.run_id in runs]
        fitted = [item for run, item in fitted_runs(frame).items() if run in runs]
        chosen = (corruption, ratio, seed)
        mapped_rows = mapped(config, projection)
        look = Look.of(task, dataset)
        return _Shown(choices, chosen, mapped_rows, features, look, models, fitted, sorted(runs), trial)

    def _show(self, shown: _Shown) -> None:
        self._shown = shown
        self._picker.offer({run: found[0] for run, found in shown.choices.trials.items()})
        corruption, ratio, seed = shown.chosen
        self._corruption.offer(shown.choices.corruptions, corruption)
        self._ratio.offer(shown.choices.ratios, ratio)
        self._seed.offer(shown.choices.seeds, seed)
        title = f"{corruption} {ratio_text(ratio, shown.choices.ratios)}, seed {seed}"
        projection = "tsne" if self.state.projection == "tsne" else "pca"
        script = scripts.data_map(self.state.experiment, *shown.trial, projection, title)
        counts = shown.frame.groupby("kind").size().rename("rows").reset_index()
        origin = Origin(self.state.experiment, shown.runs, script, counts)
        self.map.show(data_map(shown.frame, title), shown.frame, origin)
        self.light()

    def light(self) -> None:
        """Rings the sample that is looked at, and shows it with what the models say."""
        shown, number = self._shown, self.state.row
        here = shown is not None and 0 <= number < len(shown.frame)
        places = [] if shown is None or not here else [tuple(shown.frame[["x", "y"]].iloc[number])]
        self.map.highlights.show({0: Marks(rings=places)})
        self._show_sample()

    def _pick(self, run: str) -> None:
        """Shows the data of a trial, which is selected on all pages."""
        if self._shown is not None:
            _, corruption, ratio, seed = self._shown.choices.trials[run]
            self.state.param.update(corruption=corruption, ratio=ratio, seed=seed, runs=[run])

    def _clicked(self, panel: int, x: float, y: float) -> None:
        if self._shown is None:
            return
        if (row := nearest(self._shown.frame, x, y)) is not None:
            self.state.row = row

    def _show_sample(self) -> None:
        shown, number = self._shown, self.state.row
        if shown is None or not 0 <= number < len(shown.frame):
            self._sample.objects = [Text("Click a sample.")]
            return
        experiment = self.state.experiment

        def show(predictions: list[tuple[str, float]]) -> None:
            sample = shown.frame.iloc[number]
            title = f"row {number}: trained on as {sample['polluted_label']}, clean label {sample['clean_label']}"
            chosen = set(self.selected)
            ticked = [item.run_id in chosen for item in (*shown.models, *shown.fitted)]
            extra = sample.drop(["x", "y", "row", "polluted_label", "clean_label", "kind"])
            known = ", ".join(f"{name} {value:.6g}" for name, value in extra.items())
            self._sample.objects = sample_parts(
                shown.look.drawn(shown.features, number, title), known or str(sample["kind"]), predictions, ticked
            )

        loader = self.context.loader

        def predict() -> list[tuple[str, float]]:
            found = loader.predictions(experiment, shown.models, number)
            for item in shown.fitted:  # one of a class that is not here keeps nobody else from being shown
                try:
                    found += loader.predictions(experiment, [item], number)
                except QlabError as error:
                    found.append((f"{item.label}: {error}", float("nan")))
            return found

        self.compute(predict, show, "sample")

    def _circuits(self, experiment: str) -> list[bytes | str]:
        """Pictures of the circuits; of models whose class is not here, why they have none."""
        frame = self.context.reader.runs(experiment)
        trials = frame[(frame["kind"] == names.TRIAL) & (frame["status"] == "FINISHED")]
        columns = [name for name in trials.columns if name.startswith("model.")]
        drawn: list[bytes | str] = []
        for _, row in trials.drop_duplicates(columns).iterrows():
            config = self.context.reader.config(experiment, str(row["trial"]), str(row["parent_id"]))
            try:
                if issubclass(find("model", config["model"]["type"], imports=False), PennyLaneQNN):
                    drawn.append(_circuit(config))
            except QlabError as error:  # the others are drawn nevertheless
                drawn.append(f"Not drawn: {error}")
        return drawn

    def _show_circuits(self, drawn: list[bytes | str]) -> None:
        if drawn == self._circuits_shown:  # nothing flashes while other runs end
            return
        self._circuits_shown = drawn
        self._circuit.objects = [
            Text(image)
            if isinstance(image, str)
            else pn.pane.PNG(image, sizing_mode="scale_width", max_width=900, alt_text="circuit with its light cone")
            for image in drawn
        ] or [Text("No quantum model in this experiment.")]


def _circuit(config: Mapping[str, Any]) -> bytes:
    def draw() -> bytes:
        _, dataset = data_of(config)
        model = make("model", config["model"]).build(Features.of(dataset))
        with tempfile.TemporaryDirectory() as folder:
            return draw_circuit(model, Path(folder) / "circuit.png").read_bytes()

    own = {name: config.get(name) for name in ("task", "model", names.FOLDER)}
    return _pictures.get(json.dumps(own, sort_keys=True), draw)
