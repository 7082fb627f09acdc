"""Models that are passed on the way of an unlearning, for probes of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection

from torch import Tensor

from qlab.errors import DataError
from qlab.experiment.asking.trial import Unlearning
from qlab.experiment.jobs.base import Inputs
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.jobs.unlearn import Taught, told_in
from qlab.training.ensemble import Parameters
from qlab.unlearning import Samples
from qlab.unlearning.engine import unlearn

_PATH_BYTES = 2**28
"""All steps of an unlearning are kept up to so much: the next probe is likely to want another of them."""


def state_after(materials: Materials, item: Unlearning, step: int, inputs: Inputs) -> dict[str, Tensor]:
    """The parameters after some steps of an unlearning, which is done once more.

    It agrees to rounding with the one that is stored, which was done together with those of other seeds.

    Args:
        materials: the trial's data.
        item: the unlearning.
        step: how many steps; 0 for the parameters that it starts from.
        inputs: hold its teacher.
    """
    teacher = inputs.states[item.teacher.key]
    one = sum(math.prod(value.shape) * value.element_size() for value in teacher.values())
    every = range(item.unlearner.steps + 1)
    # How many steps a budget pays for is known once they are taken.
    alone = item.unlearner.budget or one * len(every) > _PATH_BYTES
    steps: Collection[int] = (step,) if alone else every
    path = materials.latest("path", (item.key, tuple(steps)), lambda: _path(materials, item, steps, inputs))
    return {name: values[list(steps).index(step)] for name, values in path.items()}


def _path(materials: Materials, item: Unlearning, steps: Collection[int], inputs: Inputs) -> Parameters:
    """Parameters by name after each of some steps, first axis: step."""
    taught = Taught.of(materials, (item.teacher,), inputs)
    data = dataclasses.replace(taught.data, told=told_in(materials, [item]))
    trainer, rows = item.teacher.trainer, taught.compared[0]
    found = unlearn(
        item.unlearner,
        taught.model,
        taught.parameters,
        data,
        [item.seed],
        trained_loss=trainer.loss,
        weight_decay=trainer.l2_penalty,
        unseen=[Samples(rows.unseen_x, rows.unseen_y.to(taught.model.dtype))],
        curves=False,
        snapshots=steps,
    )
    if not found.trajectory:
        raise DataError(
            f"step: got {min(steps)}, but the budget of {item.method} pays for fewer; give a lower step, or -1 for the "
            "last."
        )
    buffers = {name: value for name, value in taught.model.state_dict().items() if name not in found.trajectory}
    repeated = {name: value.expand(len(steps), *value.shape) for name, value in buffers.items()}
    return repeated | {name: values[0] for name, values in found.trajectory.items()}
