"""What a metric is: a number computed from the logits of a trained model on some rows."""

from __future__ import annotations

import dataclasses
import re
from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from qlab.component import Component
from qlab.corruptions.base import Corrupted, Corruption
from qlab.errors import ConfigError
from qlab.tasks.base import Split

On = Literal["validation", "train", "retain", "forget", "test"]
When = Literal["end", "epoch"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclasses.dataclass(frozen=True, eq=False)
class Rows(Split):
    """The rows that a metric is computed on: a split, and what is known of its corruption.

    Args:
        x: features as the task has them, ``[N, d]``.
        y: labels, ``[N]``, int64: of training rows those that were trained on, polluted where ``mask`` is True.
        about: further values of each sample, see :class:`qlab.tasks.Split`.
        mask: which rows are corrupted, ``[N]``, bool; none outside the training split.
        clean_y: labels before corruption, ``[N]``, int64.
    """

    mask: Tensor = dataclasses.field(kw_only=True)
    clean_y: Tensor = dataclasses.field(kw_only=True)

    @classmethod
    def clean(cls, split: Split) -> Rows:
        """Rows that nothing was done to."""
        return cls(split.x, split.y, split.about, mask=torch.zeros(len(split), dtype=torch.bool), clean_y=split.y)

    @classmethod
    def corrupted(cls, found: Corrupted) -> Rows:
        """Rows after a corruption."""
        split = found.split
        return cls(split.x, split.y, split.about, mask=found.mask, clean_y=found.clean_y)

    def where(self, chosen: Tensor) -> Rows:
        """Some of the rows, by a mask ``[N]``."""
        about = {name: values[chosen] for name, values in self.about.items()}
        return Rows(self.x[chosen], self.y[chosen], about, mask=self.mask[chosen], clean_y=self.clean_y[chosen])


class Metric(Component):
    """A number computed from a model's logits on some rows, logged beside the built-in metrics.

    It does not change what is trained, and is no part of a trial's identity: models that are in the store get a metric
    that is asked for later without being trained again.

    Override :meth:`compute`; and :attr:`higher_is_better` where lower values are better, which `[select]` goes by.

    Args:
        on: the rows: of the "validation" or "test" split, of the whole training split ("train"), or of what of it is
            clean ("retain") or corrupted ("forget").
        when: at the "end" of training, or after every "epoch" that is evaluated (not on test rows). Of unlearned models
            and of estimators at the end; not of estimators that were fitted again to unlearn.
        name: of the metric, without the rows, which are put before it: "asr" on validation rows is logged as
            validation_asr. By default that of the class, BalancedAccuracy as balanced_accuracy.
    """

    kind: ClassVar[str] = "metric"

    higher_is_better: ClassVar[bool] = True
    """Whether the greater of two values is the better one."""

    of_probabilities: ClassVar[bool] = False
    """Whether sigmoid(logit) must be a probability: estimators that have none are then left out."""

    of_unseen: ClassVar[bool] = False
    """Whether validation rows are corrupted like those of training, see :meth:`Corruption.apply_to_unseen`."""

    stem: ClassVar[str] = ""
    """The name of the class in metrics' names, where it is not that of the class in lower case with underscores."""

    on: On = "validation"
    when: When = "end"
    name: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise ConfigError(
                f'name: got "{self.name}", accepts a letter, followed by letters, digits and underscores, such as '
                '"attack_success".'
            )
        if self.on == "test" and self.when == "epoch":
            raise ConfigError(
                'when: got "epoch" with on = "test", accepts "end": test rows are looked at once, after training. For '
                'a curve take on = "validation".'
            )

    @abstractmethod
    def compute(self, logits: Tensor, split: Rows) -> float:
        """The metric of one model.

        Args:
            logits: of the rows, ``[N]``, float64; class 1 is predicted where they are above 0. Not finite where a
                model has diverged.
            split: the rows, N of them, at least one. They must not be changed in place.

        Returns:
            A number. NaN where the metric has no value for such rows.
        """

    def refusal(self, corruption: Corruption) -> str:
        """Why the metric has no meaning for models that are trained under a corruption; empty if it has."""
        return ""

    @property
    def logged_as(self) -> str:
        """The metric's name in MLflow, tables and frames."""
        return f"{self.on}_{self.name or self.stem or _snake(type(self).__name__)}"


def _snake(name: str) -> str:
    """``AttackSuccess`` as ``attack_success``, ``ROCCurve`` as ``roc_curve``."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return parts.lower().strip("_")
