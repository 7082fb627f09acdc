"""What a page of the explorer needs of a store of thousands of runs, beside MLflow's own search for the same runs.

Targets on 2 cores: 3,000 runs are read in a fifth of the time of MLflow's search, and all that Resilience shows of
them is worked out in half a second; what is drawn of 3,000 single runs takes no more than twice as long as without.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.runs import run_text

from qlab.explorer.figure import Figure
from qlab.explorer.loaded import checkpoints
from qlab.explorer.reader import Reader
from qlab.explorer.standing import table_of
from qlab.tracking import frames, names
from qlab.tracking.store import Store
from qlab.views.resilience import accuracy_against_ratio
from qlab.views.summary import labelled_trials, summarize

TEXT = """
name = "long"
[task]
type = "XXZ"
length = 4
[corruption]
type = "LabelFlip"
ratio = [0.0, 0.1, 0.2, 0.3, 0.4]
[model]
type = "MLP"
hidden = [[3], [4], [5]]
[training]
epochs = 2
"""


def seconds(action: Callable[[], Any]) -> tuple[float, Any]:
    """Of the processor, as the machine may be shared, and what comes out."""
    start = time.process_time()
    found = action()
    return time.process_time() - start, found


def test_a_store_of_3000_runs(tmp_path: Path, capsys: Any) -> None:
    store = Store(f"sqlite:///{tmp_path}/mlflow.db")
    run_text(store, tmp_path, TEXT, run__seeds=200)
    ids = store.experiment_ids(["long"])
    slow, _ = seconds(lambda: list(store.search(ids)))
    reader = Reader(store.uri)
    read, frame = seconds(lambda: reader.runs("long"))
    again, _ = seconds(lambda: reader.refresh("long"))
    trials = frames.latest_per_trial(frame[frame["kind"] == names.TRIAL])
    assert len(trials) == 3000
    worked, (table, runs) = seconds(lambda: (summarize(trials), labelled_trials(trials)))
    listed, _ = seconds(lambda: (table_of(frame, time.time() * 1e3), checkpoints(frame)))
    figure = Figure("resilience")
    figure.show(accuracy_against_ratio(table), table)  # HoloViews' own beginnings
    plain, _ = seconds(lambda: Figure("resilience").show(accuracy_against_ratio(table), table))
    placed, _ = seconds(lambda: figure.show(accuracy_against_ratio(table), table))
    single, _ = seconds(lambda: Figure("resilience").show(accuracy_against_ratio(table, None, runs), table))
    with capsys.disabled():
        print(
            f"\n3,000 runs: MLflow's search {slow:.1f} s, the frame {read:.2f} s ({slow / read:.1f} times as fast), a "
            f"refresh {again:.2f} s; groups {worked:.2f} s, the table and checkpoints {listed:.2f} s; Resilience drawn "
            f"in {plain:.2f} s, in place {placed:.2f} s, with every run {single:.2f} s ({single / plain:.1f} times)"
        )
