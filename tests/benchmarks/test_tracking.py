"""What tracking adds to a trial that trains in no time, beside the same writes through MLflow's client alone.

Targets: 20 ms a trial, and no more for a thousand trials than for a hundred.
"""

from __future__ import annotations

import time

import mlflow.entities as entities

from qlab.experiment.asking import schema
from qlab.experiment.runner import Runner
from qlab.reading import Results
from qlab.tracking.store import Store
from qlab.tracking.writes import DatasetRecord

TEXT = """
name = "tiny"
[task]
type = "XXZ"
length = 4
[corruption]
type = "LabelFlip"
ratio = [0.0, 0.1, 0.2, 0.3, 0.4]
[model]
type = "MLP"
hidden = [4]
[training]
epochs = 2
[run]
seeds = {seeds}
"""


def bare(store: Store, like: str, times: int) -> float:
    """Seconds for a run with the params, tags, metrics, data sets and checkpoint of another, by MLflow's own client."""
    client, run = store.client, store.get_run(like)
    histories = [(name, client.get_metric_history(like, name)) for name in run.data.metrics]
    metrics = [entities.Metric(name, item.value, 0, item.step) for name, items in histories for item in items]
    params = [entities.Param(key, value) for key, value in run.data.params.items()]
    data = [DatasetRecord("XXZ", f"d{n}", "training", {"n": n}, {"rows": 8}).to_mlflow() for n in range(2)]
    place = store.artifact_place(like)
    experiment = store.experiment_id("bare")
    start = time.perf_counter()
    for _ in range(times):
        run_id = client.create_run(experiment, tags=dict(run.data.tags)).info.run_id
        client.log_batch(run_id, params=params)
        client.log_inputs(run_id, data)
        client.log_artifact(run_id, f"{place}/checkpoint/model.safetensors", "checkpoint")
        client.log_batch(run_id, metrics=metrics, tags=[entities.RunTag("digest", "0")])
        client.set_terminated(run_id)
    return (time.perf_counter() - start) / times


def test_tracking_of_tiny_trials(tmp_path, capsys):
    for trials in (100, 1000):
        store = Store(f"sqlite:///{tmp_path}/{trials}/mlflow.db")
        experiment = schema.parse(TEXT.format(seeds=trials // 5), source="tiny.toml")
        outcome = Runner(store).run(experiment)
        assert outcome.trained == trials
        own = outcome.tracking_seconds / trials
        last = next(run for run in store.search([store.experiment_id("tiny")]) if "model.type" in run.data.params)
        alone = bare(store, last.info.run_id, 100)
        with capsys.disabled():
            print(f"\n{trials} trials: {1e3 * own:.0f} ms each; MLflow's own calls alone {1e3 * alone:.0f} ms")


def test_tracking_of_ten_thousand_tiny_trials_in_groups(tmp_path, capsys):
    """Targets: 20 s of tracking; 2 s for the frame; processor seconds beside, as the machine may be shared."""
    store = Store(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = schema.parse(TEXT.format(seeds=2000), source="tiny.toml", assignments=[("run.track", "groups")])
    processor = time.process_time()
    outcome = Runner(store).run(experiment)
    processor = time.process_time() - processor
    assert outcome.trained == 10_000
    wall, own = time.perf_counter(), time.process_time()
    frame = Results.of(Store(store.uri), ["tiny"]).frame
    wall, own = time.perf_counter() - wall, time.process_time() - own
    assert len(frame) == 10_000
    with capsys.disabled():
        print(
            f"\n10,000 trials in groups: {outcome.tracking_seconds:.0f} s of tracking (the run {processor:.0f} s of a "
            f"processor); the frame {wall:.1f} s ({own:.1f} s of a processor)"
        )
