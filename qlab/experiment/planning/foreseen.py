"""What a run would refuse before it trains anything, looked at for a dry run as far as that is quick."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator

import torch

from qlab.errors import ConfigError, DataError, QlabError
from qlab.experiment.asking.memory import parse_size
from qlab.experiment.asking.trial import Trial, Unlearning, content_hash
from qlab.experiment.jobs.materials import Materials, told_of
from qlab.experiment.planning.inputs import refused_by_model
from qlab.experiment.planning.methods import check_applicable
from qlab.experiment.planning.plan import Plan
from qlab.experiment.planning.seeds import check_seeds
from qlab.experiment.planning.work import Work
from qlab.landscape import LandscapeProbe
from qlab.models import Features, Model, PennyLaneQNN
from qlab.models.noisy import NoisyModel
from qlab.own_code import is_own
from qlab.tasks import Task


def check_foreseeable(plan: Plan, materials: Materials) -> None:
    """Looks at what is left of the tasks that are quick to load: tables, and what comes with scikit-learn.

    Tasks that compute or download their data are left to the run, but for :func:`check_noise`, :func:`check_blocks`,
    :func:`check_methods` and :func:`check_known`. So is the memory of the machine that it will be on, unless the file
    says how much models may take.

    Args:
        plan: what is left.
        materials: the data; they are loaded.

    Raises:
        QlabError: the run would say the same.
    """
    experiment = plan.experiment
    slow = {trial.key for trial in experiment.trials if not trial.task.quick_to_load}
    others = {item.key for item in experiment.unlearnings if item.teacher.key in slow}
    others |= {item.key for item in experiment.probe_runs if item.trial.key in slow}
    check_blocks(plan)
    check_noise(plan, materials)
    check_methods(plan)
    quick = plan.without(slow | others)
    check_seeds(materials, quick.todo)
    check_known(plan)
    Work(materials, quick, sys.maxsize if experiment.memory is None else parse_size(experiment.memory))


def check_blocks(plan: Plan) -> None:
    """Whether models take what they get of tasks that hand over reduced density matrices, without loading them.

    Raises:
        DataError: there are no such inputs, or a light cone leaves the block.
    """
    for trials in plan.ensembles:
        model, task = trials[0].model, trials[0].task
        if is_own(type(task)) or task.block is None or (features := _declared(task)) is None:
            continue
        with refused_by_model(plan, trials[0]):
            if (wanted := model.input_map) is not None:
                wanted.on(task.block).check(features.dimension, features.is_complex)
            if isinstance(model, PennyLaneQNN):
                model.build(features)


def check_noise(plan: Plan, materials: Materials) -> None:
    """Builds each circuit with noise or shots for as many features as its task will have, without data that are slow.

    A run does so before it says what it trains: channels name gates, which are known once the circuit has its qubits.
    Where only the data of a user's own task say how many features there are, what does not depend on them is checked,
    see :meth:`NoisyModel.check_any_register`.

    Args:
        plan: what is left.
        materials: the data; those of tasks that are quick to load are loaded.

    Raises:
        QlabError: there is no such circuit, or its noise does not fit.
    """
    with _in_file(plan):
        built: dict[str, Model] = {}
        for trials in plan.ensembles:
            model, task = trials[0].model, trials[0].task
            if not isinstance(model, NoisyModel) or not (model.is_noisy or model.has_shots):
                continue
            if (features := _features(task, materials)) is not None:
                _built(trials[0], features, built)
            elif model.is_noisy:
                model.check_any_register()
        tried: set[tuple[str, LandscapeProbe]] = set()
        for item in plan.todo_probe_runs:
            place = _circuit_key(item.trial, item.probe.replaces), item.probe
            if type(item.probe).check_built is LandscapeProbe.check_built or place in tried:
                continue
            tried.add(place)
            if (features := _features(item.trial.task, materials)) is not None:
                try:
                    item.probe.check_built(_built(item.trial, features, built))
                except ConfigError as error:
                    raise ConfigError(f"probe {item.name}: {error}") from error


def _built(trial: Trial, features: Features, built: dict[str, Model]) -> Model:
    """A trial's circuit, built once for all trials that share it."""
    key = _circuit_key(trial)
    if key not in built:
        built[key] = trial.network.build(features)
    return built[key]


def _circuit_key(trial: Trial, without: Collection[str] = ()) -> str:
    model = {field: value for field, value in trial.config["model"].items() if field not in without}
    return content_hash({"task": trial.config["task"], "model": model})


@contextlib.contextmanager
def _in_file(plan: Plan) -> Iterator[None]:
    """Has what is refused name the experiment's file."""
    try:
        yield
    except (ConfigError, DataError) as error:
        raise type(error)(f"{plan.experiment.source}: {error}") from error


def check_methods(plan: Plan) -> None:
    """Whether methods can be applied to models of tasks that say without loading how many features they have.

    Data may have features that are zero in every row, which some models leave out: what depends on how many parameters
    there are, such as the size of a Hessian, is left to the run.

    Args:
        plan: what is left.

    Raises:
        ConfigError: a method has no layers to change, or assumes what does not hold.
    """
    alike: dict[str, dict[str, Unlearning]] = {}
    for item in plan.todo_unlearnings:
        key = content_hash({part: item.teacher.config[part] for part in ("task", "model", "training")})
        alike.setdefault(key, {}).setdefault(item.method_key, item)
    for items in map(list, map(dict.values, alike.values())):
        teacher, features = items[0].teacher, _declared(items[0].teacher.task)
        if features is None or is_own(type(teacher.model)) or not teacher.has_gradients:
            continue
        try:
            model = teacher.network.build(features)
        except QlabError:  # the run says so of the model
            continue
        for item in items:
            with contextlib.suppress(DataError):
                check_applicable(item, model)


def check_known(plan: Plan) -> None:
    """Whether rows are named to methods, of tasks that say without loading how their rows are labelled.

    Args:
        plan: what is left.

    Raises:
        DataError: no corrupted row is known, or there are more false alarms than clean rows.
    """
    for item in plan.todo_unlearnings:
        trial, task, corruption = item.teacher, item.teacher.task, item.teacher.corruption
        if is_own(type(task)) or is_own(type(corruption)) or (labels := task.expected_labels) is None:
            continue
        corrupted = sum(corruption.counts_of(labels))
        with told_of(trial):
            item.knowledge.counts(corrupted, len(labels) - corrupted)


def _features(task: Task, materials: Materials) -> Features | None:
    """What a circuit must know of its inputs; None if only slow loading, or a user's own class, can say it."""
    if task.quick_to_load:
        return Features.of(materials.dataset(task))
    return _declared(task)


def _declared(task: Task) -> Features | None:
    """The same of qlab's own tasks, from their fields alone."""
    if is_own(type(task)) or task.expected_features is None:
        return None
    dimension, is_complex = task.expected_features
    return Features(dimension, is_complex, torch.ones(dimension, dtype=torch.bool), block=task.block)
