"""How many steps of a method a budget of gradient evaluations pays for, without taking any."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from qlab.errors import ConfigError, QlabError
from qlab.losses import Loss
from qlab.models import Model
from qlab.own_code import described
from qlab.training.metrics import CROSS_ENTROPY
from qlab.unlearning.base import Unlearner, UnlearningData
from qlab.unlearning.changed import Changed
from qlab.unlearning.cost import PASSES, Cost
from qlab.unlearning.draws import Draws
from qlab.unlearning.learner import Learner, Setting
from qlab.unlearning.samples import Samples


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Rows of one trial.

    Args:
        retain: that a method is not told to forget.
        forget: that it is told to forget.
        unseen: validation rows that were corrupted in the same way, for methods that rewind.
    """

    retain: int
    forget: int
    unseen: int = 0


@dataclasses.dataclass(frozen=True)
class Afforded:
    """What a budget pays for.

    Args:
        steps: how many, as ``unlearner.steps`` counts them.
        evaluations: gradient evaluations that these are, with what is computed before the first one.
    """

    steps: int
    evaluations: float


class _Priced(Learner):
    """A learner that counts what it is asked for and computes next to nothing: its logits are all zero."""

    def hessian(self, rows: Samples, loss: object = None) -> Tensor:
        """Zeros, which take no memory."""
        setting, reached = self._setting, self._setting.model.reached_parameters()
        if reached is not None and setting.changed is not None:
            reached = reached[setting.changed]
        size = setting.n_parameters
        setting.cost.add(len(rows), 2 * (size if reached is None else int(reached.sum())))
        return torch.zeros((), dtype=setting.model.dtype).expand(size, size)

    def hessian_operator(self, rows: Samples, loss: object = None) -> Callable[[Tensor], Tensor]:
        """Multiplies with zero."""

        def product(v: Tensor) -> Tensor:
            self._setting.cost.add(len(rows), 2 * (len(v) if v.ndim == 2 else 1))
            return torch.zeros_like(v)

        return product

    def _moved(self, parameters: Mapping[str, Tensor]) -> Learner:
        return _Priced(self._setting, parameters, differentiated=self._differentiated)

    def _logits(self, parameters: Mapping[str, Tensor], x: Tensor, training: bool) -> Tensor:
        nothing = sum((0.0 * value.sum() for value in parameters.values()), torch.zeros(()))
        return (nothing * torch.ones(len(x))).to(self._setting.model.dtype)


def afforded(
    unlearner: Unlearner,
    model: Model,
    sizes: Sizes,
    row: Tensor,
    *,
    loss: Loss = CROSS_ENTROPY,
    weight_decay: float = 0.0,
) -> Afforded:
    """The steps that a method's budget pays for: as many whole ones as fit; of closed forms those that it has.

    What a step costs does not depend on values: it is counted with learners that compute nothing; once for all steps,
    if the method does not ask for their number.

    Args:
        unlearner: the method, with a budget.
        model: the built model.
        sizes: of the rows.
        row: one prepared row, ``[1, ...]``.
        loss: that the teacher was trained with.
        weight_decay: of its L2 penalty.

    Raises:
        ConfigError: it is not, or steps cost nothing.
    """
    pricing = _Pricing(unlearner, model, sizes, row, loss, weight_decay)
    fewest, most = 1 if unlearner.fills_budget else unlearner.steps, PASSES * unlearner.budget
    with torch.no_grad():
        taken, total = 0, pricing.begin()
        while taken < fewest or unlearner.fills_budget:
            cost, same = pricing.step(taken + 1)
            if taken >= fewest and total + cost > most:
                break
            further = max(0, (most - total) // cost - 1) if same and unlearner.fills_budget else 0
            taken, total = taken + 1 + further, total + (1 + further) * cost
    if total > most:
        raise ConfigError(
            f"budget: got {unlearner.budget:,} gradient evaluations, accepts at least {-(-total // PASSES):,}, which "
            f"is what {'one step costs' if taken == 1 else f'its {taken} steps cost'} with {sizes.retain} rows to "
            f"retain and {sizes.forget} to forget; raise the budget, or let the method do less in a step."
        )
    return Afforded(taken + int(unlearner.rewinds), total / PASSES)


@dataclasses.dataclass(frozen=True, eq=False)
class _Watched(UnlearningData):
    """Data that note whether the number of the step is asked for: without it a method does the same in all."""

    asked: set[str] = dataclasses.field(default_factory=set)

    def __getattribute__(self, name: str) -> Any:
        if name == "step":
            self.asked.add(name)
        return super().__getattribute__(name)


class _Pricing:
    """Counts what a method costs; arguments as of :func:`afforded`."""

    def __init__(
        self, unlearner: Unlearner, model: Model, sizes: Sizes, row: Tensor, loss: Loss, weight_decay: float
    ) -> None:
        self._unlearner = unlearner
        self._sizes = sizes
        self._row = row.cpu()
        self._decay = weight_decay
        self._cost = Cost(sizes.retain + sizes.forget)
        changed = Changed.of(unlearner, model, torch.device("cpu"))
        setting = Setting(model, loss, self._cost, changed.positions)
        values = {name: own.detach().cpu() for name, own in (*model.named_parameters(), *model.named_buffers())}
        self._student = _Priced(setting, values, differentiated=not unlearner.has_update())
        self._teacher = _Priced(setting, values)
        self._kept: Mapping[str, Tensor] = {}

    def begin(self) -> int:
        """Forward passes of what precedes the first step; and what follows the last one where the method rewinds."""
        data = self._data(self._sizes.retain, 0)
        spent = self._counted(lambda: self._begun(data))
        return spent + (self._sizes.forget + self._sizes.unseen if self._unlearner.rewinds else 0)

    def step(self, step: int) -> tuple[int, bool]:
        """Forward passes of a step, all its mini-batches, and whether all steps cost the same.

        Raises:
            ConfigError: nothing, though the method is to fill its budget.
        """
        size = self._unlearner.batch_size or self._sizes.retain
        rows = [min(size, self._sizes.retain - start) for start in range(0, self._sizes.retain, size)]
        call = self._unlearner.update if self._unlearner.has_update() else self._unlearner.loss
        spent, same = 0, True
        for n in rows:
            data = self._data(n, step)
            data.asked.clear()
            spent += self._counted(functools.partial(call, self._student, self._teacher, data))
            same = same and not data.asked
        if spent == 0 and self._unlearner.fills_budget:
            raise ConfigError(
                f"budget: step {step} of {type(self._unlearner).__name__} costs no gradient evaluations, so that a "
                "budget cannot say how many steps to take; write fills_budget = False into its class to have it take "
                "its steps, or leave the budget out."
            )
        return spent + (self._sizes.forget if self._unlearner.rewinds else 0), same

    def _begun(self, data: UnlearningData) -> None:
        self._kept = self._unlearner.begin(self._teacher, data)

    def _counted(self, call: Callable[[], object]) -> int:
        """Forward passes of a call."""
        before = self._cost.passes
        try:
            call()
        except QlabError:
            raise
        except Exception as error:  # a user's method may raise anything
            name = type(self._unlearner).__name__
            raise ConfigError(
                f"budget: what {name} costs could not be counted: {described(error)}. It is called with models "
                "whose logits are all zero before anything runs, to see how many steps a budget pays for."
            ) from error
        return self._cost.passes - before

    def _data(self, retain: int, step: int) -> _Watched:
        forget = self._rows(self._sizes.forget)
        return _Watched(
            self._rows(retain),
            forget,
            forget,
            step,
            self._decay,
            self._kept,
            Draws.of_seed(0),
            lambda: self._teacher,
        )

    def _rows(self, n: int) -> Samples:
        y = torch.zeros(n, dtype=self._student.model.dtype)
        return Samples(self._row.expand(n, *self._row.shape[1:]), y)
