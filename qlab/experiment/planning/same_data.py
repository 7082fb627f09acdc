"""Whether runs in the store were made with the data that tasks load now.

A task's fields and files are part of a trial's identity, but nobody can force a task to name its files. So what own
tasks and plugins load is compared with the digests that the store has of it.

Of qlab's own tasks those that read pictures are compared, by the pictures and not by features computed of them; and
only where something is left to do for a task: reading them takes a second, and finished runs alone mix nothing. Tasks
that compute their data are not compared: the last digits differ between machines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from qlab.errors import DataError, StoreAwayError
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.asking.trial import Trial
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.planning.data_records import dataset_records
from qlab.experiment.planning.plan import Plan
from qlab.experiment.planning.seeds import check_load
from qlab.own_code import is_own
from qlab.tasks.images import ImageTask
from qlab.tracking import names
from qlab.tracking.query import Query
from qlab.tracking.store import Store

_SHOWN = 3


def check_same_data(store: Store, materials: Materials, plan: Plan) -> None:
    """Compares what tasks load with what the finished runs of the same task say of their data.

    Runs that say nothing of it (of older versions, or not sent yet) are taken as they are.

    Raises:
        DataError: they differ; a table would mix results of two data sets.
    """
    loaded = _loaded(plan)
    if not loaded:
        return
    try:
        experiment_id = store.find_experiment(plan.experiment.name)
        kind = Query({names.KIND: names.TRIAL})
        runs = [] if experiment_id is None else list(store.search([experiment_id], kind))
    except StoreAwayError:
        return
    done = {run_id: trial for trial in loaded if (run_id := plan.done.get(trial.key)) is not None}
    by_task = {_task_params(trial.params): trial for trial in loaded}
    differing: dict[str, list[Any]] = {}
    first: dict[str, Trial] = {}
    for run in runs:
        if run.info.status != "FINISHED":
            continue
        hit = done.get(run.info.run_id)
        alike = hit or by_task.get(_task_params(run.data.params))
        if alike is None:
            continue
        if split := _other_split(materials, run, alike, exact=hit is not None):
            differing.setdefault(split, []).append(run)
            first.setdefault(split, alike)
    for split, others in differing.items():
        if is_own(type(first[split].task)):
            check_load(materials, first[split].task)
        raise DataError(_message(plan.experiment, first[split], split, others))


def other_data(materials: Materials, run: Any, trial: Trial) -> bool:
    """Whether a run of a trial was begun with other data than its task loads now, as far as the store says."""
    return _other_split(materials, run, trial, exact=True) is not None


def _loaded(plan: Plan) -> list[Trial]:
    """The trials whose data are compared: those of own tasks, and of qlab's image tasks that are loaded anyway."""
    work = [*plan.todo, *(item.teacher for item in plan.todo_unlearnings), *(m.trial for m in plan.todo_probe_runs)]
    needed = {_task_params(trial.params) for trial in work if isinstance(trial.task, ImageTask)}
    trials = plan.experiment.trials
    return [trial for trial in trials if is_own(type(trial.task)) or _task_params(trial.params) in needed]


def _other_split(materials: Materials, run: Any, trial: Trial, *, exact: bool) -> str | None:
    """The split in which a run's data differ; ``exact`` if it is of this very trial, else it is of the same task."""
    clean = run.data.tags.get(names.DATA)
    if not is_own(type(trial.task)):
        return _other_pictures(materials, clean, trial)
    recorded = _recorded(run)
    same = clean is not None and clean == materials.data_digest(trial.task)
    if same or (clean is None and not recorded):
        return None
    now = {record.context: record.digest for record in dataset_records(materials, trial)}
    if clean is not None:
        others = _differing(recorded, now, [*dict.fromkeys([*recorded, *now])] if recorded else [])
        return next((context for context in others if context != "training"), "training")
    wanted = ("training", "validation", "test") if exact else ("validation", "test")
    return next(iter(_differing(recorded, now, [context for context in wanted if context in recorded])), None)


def _differing(recorded: Mapping[str, str], now: Mapping[str, str], contexts: Iterable[str]) -> list[str]:
    return [context for context in contexts if recorded.get(context) != now.get(context)]


def _other_pictures(materials: Materials, recorded: str | None, trial: Trial) -> str | None:
    """The split whose pictures are others than a run of one of qlab's own tasks says; None if it says nothing."""
    if recorded is None or not isinstance(trial.task, ImageTask):
        return None
    now = materials.data_digest(trial.task)
    if now is None or now == recorded:
        return None
    return "validation" if now.partition("-")[0] == recorded.partition("-")[0] else "training"


def _recorded(run: Any) -> dict[str, str]:
    """The digests that a run has of its data, by what they were used for."""
    found = {}
    for given in getattr(run.inputs, "dataset_inputs", None) or ():
        context = next((tag.value for tag in given.tags if tag.key == names.DATASET_CONTEXT), "")
        found[context] = given.dataset.digest
    return found


def _task_params(params: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in params.items() if name.startswith("task.")))


def _message(experiment: Experiment, trial: Trial, split: str, runs: list[Any]) -> str:
    name = trial.names["task"]
    shown = ", ".join(f"{run.info.run_name} (run {run.info.run_id})" for run in runs[:_SHOWN])
    more = f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
    task, restore = trial.task, "Restore the data"
    if is_own(type(task)):
        restore += f"; or return their files from {type(task).__name__}.files(), so that edited data make new trials"
    elif isinstance(task, ImageTask):
        restore = f"Restore the pictures in {task.place}"
    return (
        f"{experiment.name}: the {split} data that {name} loads now are not those of its finished runs: {shown}"
        f"{more}. Results of both would become one. {restore}; or give the experiment another name; or delete these "
        "runs in `qlab ui`."
    )
