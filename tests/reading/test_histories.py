"""Histories of many runs are those of each."""

from __future__ import annotations

from qlab.reading.histories import Histories
from qlab.tracking import frames, names
from qlab.tracking.store import Store


def test_histories_of_many_runs_are_those_of_each(study_uri: str) -> None:
    store = Store(study_uri)
    runs = frames.runs_of_kind(store, [store.experiment_id("study")], names.UNLEARNING)["run_id"].tolist()
    read = Histories(store, runs)
    for metric in ("validation_accuracy", "retain_loss", "no_such_metric"):
        assert {run: read(run, metric) for run in runs} == {run: store.metric_history(run, metric) for run in runs}
    assert len(read(runs[0], "validation_accuracy")) == 3
