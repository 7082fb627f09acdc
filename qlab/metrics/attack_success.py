"""Attack success rate."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor

from qlab.corruptions.backdoor import Backdoor
from qlab.corruptions.base import Corruption
from qlab.errors import ConfigError
from qlab.metrics.base import Metric, Rows


class AttackSuccess(Metric):
    """How often a backdoor works: the fraction of triggered rows of the other class that are given the target.

    The rows are all validation rows that are not of the target class, with the trigger of the trial's `Backdoor`; at
    ratio 0, of models that never saw the trigger, they show what it does by itself. Lower values are better. Rows whose
    logit is NaN count as failures of the attack; without such rows the metric is NaN.
    """

    formula: ClassVar[str] = "|{n: y_n != target, f(trigger(x_n)) = target}| / |{n: y_n != target}|"
    source: ClassVar[str] = "BadNets, arXiv:1708.06733"
    higher_is_better: ClassVar[bool] = False
    of_unseen: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, accepted in (("on", "validation"), ("when", "end")):
            if (given := getattr(self, name)) != accepted:
                raise ConfigError(
                    f'AttackSuccess: {name}: got "{given}", accepts "{accepted}": it is measured on triggered '
                    "validation rows, after training."
                )

    def refusal(self, corruption: Corruption) -> str:
        """See the base class."""
        return "" if isinstance(corruption, Backdoor) else "only a Backdoor has a trigger"

    def compute(self, logits: Tensor, split: Rows) -> float:
        """See the base class."""
        if not split.mask.any():
            return math.nan
        z, target = logits[split.mask], split.y[split.mask]
        return float((((z > 0).long() == target) & ~z.isnan()).double().mean())
