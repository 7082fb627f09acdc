"""Whether tasks give the inputs that models ask for, looked at before anything is trained."""

from __future__ import annotations

from qlab.errors import ConfigError, DataError
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.planning.plan import Plan


def check_inputs(materials: Materials, plan: Plan) -> None:
    """Looks at the features of each task and the inputs of each model that are left to be trained.

    Raises:
        DataError: there are no such inputs; says in which file and of which model.
    """
    for trials in plan.ensembles:
        wanted, data = trials[0].model.input_map, materials.dataset(trials[0].task)
        try:
            if wanted is not None:
                wanted.on(data.block).check(data.train.x.shape[1], data.train.x.is_complex())
        except (ConfigError, DataError) as error:
            names = trials[0].names
            raise DataError(f"{plan.experiment.source}: model: {error} The task is {names['task']}.") from error
