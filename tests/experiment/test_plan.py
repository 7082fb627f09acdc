"""What is left of an experiment to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from qlab.experiment.asking import schema
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.asking.trial import Trial
from qlab.experiment.jobs.materials import Materials, Setting
from qlab.experiment.planning.plan import Plan
from qlab.experiment.planning.work import Work
from qlab.tracking import names
from qlab.tracking.store import Status, Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def experiment(tiny: str) -> Experiment:
    return schema.parse(tiny, source="tiny.toml")


@pytest.fixture
def store(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Store:
    return Store(write_empty_store(tmp_path / "mlflow.db"))


def add(store: Store, experiment: Experiment, trial: Trial, status: Status) -> str:
    tags = {names.KIND: names.TRIAL, names.TRIAL_KEY: trial.key}
    run_id = store.create_run(store.experiment_id(experiment.name), trial.label, params=trial.params, tags=tags)
    if status != "RUNNING":
        store.finish(run_id, status)
    return run_id


def test_without_a_store_everything_is_left_in_one_ensemble_for_each_model(experiment: Experiment) -> None:
    plan = Plan.of(experiment, None)
    assert (plan.done, plan.states) == ({}, {})
    assert [{trial.names["model"] for trial in group} for group in plan.ensembles] == [{"MLP"}, {"PennyLaneQNN"}]
    assert {trial.key for trial in plan.todo} == {trial.key for trial in experiment.trials}


def test_a_store_that_never_saw_the_experiment_changes_nothing(experiment: Experiment, store: Store) -> None:
    assert len(Plan.of(experiment, store).todo) == len(experiment.trials)


def test_finished_trials_are_done_and_others_are_left_with_their_state(experiment: Experiment, store: Store) -> None:
    finished, failed, killed, running, *new = experiment.trials
    run_id = add(store, experiment, finished, "FINISHED")
    for trial, status in ((failed, "FAILED"), (killed, "KILLED"), (running, "RUNNING")):
        add(store, experiment, trial, status)
    plan = Plan.of(experiment, store)
    assert plan.done == {finished.key: run_id}
    assert plan.states == {failed.key: "FAILED", killed.key: "KILLED", running.key: "INTERRUPTED"}
    assert {trial.key for trial in plan.todo} == {trial.key for trial in (failed, killed, running, *new)}


@pytest.mark.parametrize("order", [("FAILED", "FINISHED"), ("FINISHED", "FAILED")], ids=" then ".join)
def test_a_trial_that_ever_finished_is_done(experiment: Experiment, store: Store, order: tuple[Status, Status]) -> None:
    trial = experiment.trials[0]
    run_ids = {status: add(store, experiment, trial, status) for status in order}
    assert Plan.of(experiment, store).done == {trial.key: run_ids["FINISHED"]}


def test_a_deleted_run_is_to_be_done_again(experiment: Experiment, store: Store) -> None:
    run_id = add(store, experiment, experiment.trials[0], "FINISHED")
    store.client.delete_run(run_id)
    assert Plan.of(experiment, store).done == {}


def test_runs_of_other_trials_do_not_count(experiment: Experiment, store: Store, tiny: str) -> None:
    other = schema.parse(tiny.replace("epochs = 2", "epochs = 3"), source="tiny.toml")
    for trial in other.trials:
        add(store, experiment, trial, "FINISHED")
    assert Plan.of(experiment, store).done == {}


def test_every_worker_gets_a_share_of_each_ensemble_unless_there_are_many(experiment: Experiment) -> None:
    """Ensembles cost very different times: with few of them a worker would wait long for another's."""
    materials, plan = Materials(Setting("cpu", 1, 30.0)), Plan.of(experiment, None)
    for workers, sizes in ((1, [4]), (2, [2, 2]), (3, [2, 2]), (4, [1, 1, 1, 1])):
        work = Work(materials, plan, 2**30, workers)
        for trials in plan.ensembles:
            cut = work.training_parts(plan, trials)
            assert [len(part) for part in cut] == sizes
            assert [trial for part in cut for trial in part] == list(trials)
    many = dataclasses.replace(plan, ensembles=plan.ensembles * 8)  # 16 for 4 workers
    assert Work(materials, many, 2**30, 4).training_parts(many, many.ensembles[0]) == [many.ensembles[0]]
