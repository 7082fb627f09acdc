"""What a plan says of models before they are trained."""

from __future__ import annotations

from qlab.experiment.jobs.materials import Materials
from qlab.experiment.jobs.train import Train
from qlab.experiment.planning.plan import Plan
from qlab.models import Model


def remarks(plan: Plan, materials: Materials) -> list[str]:
    """For each ensemble that is left whose model may have something to say: how it is evaluated, and that.

    Loads the data of those alone: how many features a circuit sees depends on how many there are.

    Args:
        plan: what is left.
        materials: the data.

    Raises:
        QlabError: a model does not take its data; running it would say so too.
    """
    found = []
    for trials in plan.ensembles:
        if not isinstance(trials[0].model, Model) or not trials[0].model.may_remark:
            continue
        model: Model = materials.build(trials[0])
        if said := getattr(model, "engine_name", "") or "; ".join(model.remarks()):
            found.append(f"{Train(trials).label}: {said}")
    return found
