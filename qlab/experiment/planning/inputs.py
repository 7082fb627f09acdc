"""Whether tasks give the inputs that models ask for, looked at before anything is trained."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from qlab.errors import ConfigError, DataError
from qlab.experiment.asking.trial import Trial
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.planning.plan import Plan


def check_inputs(materials: Materials, plan: Plan) -> None:
    """Looks at the features of each task and the inputs of each model that are left to be trained.

    Raises:
        DataError: there are no such inputs; says in which file and of which model.
    """
    for trials in plan.ensembles:
        wanted, data = trials[0].model.input_map, materials.dataset(trials[0].task)
        with refused_by_model(plan, trials[0]):
            if wanted is not None:
                wanted.on(data.block).check(data.train.x.shape[1], data.train.x.is_complex())


@contextlib.contextmanager
def refused_by_model(plan: Plan, trial: Trial) -> Iterator[None]:
    """Has what a model refuses of a task's inputs name the experiment's file and the task.

    Raises:
        DataError: it refuses something.
    """
    try:
        yield
    except (ConfigError, DataError) as error:
        raise DataError(f"{plan.experiment.source}: model: {error} The task is {trial.names['task']}.") from error
