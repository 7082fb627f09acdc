"""Whether methods can be applied to models, before anything is trained."""

from __future__ import annotations

from qlab.experiment.asking.trial import Unlearning
from qlab.models import Model
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
