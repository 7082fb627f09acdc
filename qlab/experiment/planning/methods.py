"""Whether methods can be applied to models, before anything is trained."""

from __future__ import annotations

from torch import Tensor

from qlab.errors import ConfigError
from qlab.experiment.asking.trial import Unlearning
from qlab.models import Model
from qlab.unlearning.budget import Sizes, afforded
from qlab.unlearning.changed import check_method


def check_applicable(item: Unlearning, model: Model) -> None:
    """Whether the method of an unlearning run can be applied to its teacher's model.

    Args:
        item: the unlearning run.
        model: its teacher's, built.

    Raises:
        QlabError: it cannot; says which method and which model.
    """
    trainer, called = item.teacher.trainer, f"unlearner {item.method} of {item.teacher.model_name}"
    check_method(item.unlearner, model, trainer.loss, trainer.l2_penalty, called)


def check_budget(item: Unlearning, model: Model, sizes: Sizes, row: Tensor) -> int:
    """How many steps the method of an unlearning run will take.

    Args:
        item: the unlearning run.
        model: its teacher's, built.
        sizes: of its rows.
        row: one prepared row, ``[1, ...]``.

    Raises:
        ConfigError: its budget does not pay for one; says which method and which model.
    """
    trainer, method = item.teacher.trainer, item.unlearner
    if not method.budget:
        return method.steps
    try:
        return afforded(method, model, sizes, row, loss=trainer.loss, weight_decay=trainer.l2_penalty).steps
    except ConfigError as error:
        raise ConfigError(f"unlearner {item.method} of {item.teacher.model_name}: {error}") from error
