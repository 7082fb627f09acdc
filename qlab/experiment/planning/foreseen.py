"""What a run would refuse before it trains anything, looked at for a dry run as far as that is quick."""

from __future__ import annotations

import sys

from qlab.experiment.asking.memory import parse_size
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.planning.plan import Plan
from qlab.experiment.planning.seeds import check_seeds
from qlab.experiment.planning.work import Work


def check_foreseeable(plan: Plan, materials: Materials) -> None:
    """Looks at what is left of the tasks that are quick to load: tables, and what comes with scikit-learn.

    Tasks that compute or download their data are left to the run, and so is the memory of the machine that it will be
    on, unless the file says how much models may take.

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
    quick = plan.without(slow | others)
    check_seeds(materials, quick.todo)
    Work(materials, quick, sys.maxsize if experiment.memory is None else parse_size(experiment.memory))
