"""What an unlearning method is: a loss that is minimised step by step, or a rule for new parameters."""

from __future__ import annotations

import dataclasses
import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from torch import Tensor

from qlab import own_code
from qlab.component import Component
from qlab.errors import ConfigError
from qlab.fields import AbsentMeans, NonNegativeInt, PositiveFloat, PositiveInt
from qlab.losses import Loss
from qlab.models import Model
from qlab.unlearning.draws import Draws, Shape
from qlab.unlearning.learner import Learner
from qlab.unlearning.samples import Samples

LogitFunction = Callable[[Tensor], Tensor]
"""From prepared features ``[n, ...]`` to logits ``[n]``."""


@dataclasses.dataclass(frozen=True, eq=False)
class UnlearningData:
    """What a method may use; validation data are not among it.

    Args:
        retain: the rows that the method is not told to forget (or a mini-batch of them, if it asks for mini-batches):
            the clean ones, and hidden corrupted ones with their polluted labels.
        forget_polluted: the rows that it is told to forget, as the teacher was trained on them: the corrupted ones, or
            those of them that are known, and clean ones that were reported by mistake.
        forget_clean: the same rows with their labels before corruption (and the same features). Only an oracle knows
            these: the paper's methods do not use them.
        step: the number of the unlearning step, from 1; 0 in :meth:`Unlearner.begin`.
        weight_decay: the weight of the L2 penalty weight_decay / 2 |theta|^2 with which the teacher was trained.
        kept: what :meth:`Unlearner.begin` returned.
        draws: where random numbers come from; use :meth:`randn` and :meth:`rand`.
        fresh: makes an untrained model; use :attr:`untrained`.
    """

    retain: Samples
    forget_polluted: Samples
    forget_clean: Samples
    step: int
    weight_decay: float = 0.0
    kept: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    draws: Draws = dataclasses.field(default_factory=lambda: Draws.of_seed(0))
    fresh: Callable[[], Learner] | None = None

    @property
    def trained_on(self) -> Samples:
        """All rows as the teacher was trained on them, the retain set first, then the forget set."""
        return self.retain.joined(self.forget_polluted)

    @property
    def untrained(self) -> Learner:
        """The model with newly drawn parameters, which depend on the trial's seed and are the same in every step."""
        if self.fresh is None:
            raise ConfigError("There is no untrained model beside data that were put together by hand.")
        return self.fresh()

    def randn(self, shape: Shape) -> Tensor:
        """Random numbers from N(0, 1), others in each call, of the model's dtype.

        Each model gets those that its own trial's seed gives, alone and in an ensemble, on every device.
        """
        return self.draws.normal(shape, self.retain.y)

    def rand(self, shape: Shape) -> Tensor:
        """Random numbers from [0, 1), in the same way."""
        return self.draws.uniform(shape, self.retain.y)


class Unlearner(Component):
    """A way to remove the influence of the forget set from a trained model.

    Override :meth:`loss`, which an optimizer minimises, or :meth:`update`, which returns new parameters, and declare
    fields for settings. A method sees one model at a time. qlab runs it on all seeds together, under
    ``torch.func.vmap``, so it must not branch on the values of tensors, and must draw random numbers only with
    :meth:`UnlearningData.randn` and ``rand``. qlab takes the steps, evaluates after each of them and logs.

    Student and teacher are called with prepared features; they also provide parameters, gradients, per-row gradients,
    Fisher information and Hessians, see :class:`~qlab.unlearning.learner.Learner`. What needs to be computed only once
    is computed in :meth:`begin`. Models that draw random numbers in training, as for dropout, draw none while they are
    unlearned: the student is then in evaluation mode.

    Args:
        steps: unlearning steps. One step is one pass over the retain set.
        learning_rate: the optimizer's step size.
        optimizer: "Adam", or "SGD" without momentum.
        batch_size: rows of the retain set in a mini-batch; 0 uses the whole set at once, as the paper does. The forget
            set is always used as a whole.
        start_fresh: start from newly drawn parameters instead of the teacher's.
        budget: gradient evaluations that the method may spend, each a forward and a backward pass of one row, see
            :class:`qlab.unlearning.cost.Cost`. The method takes as many whole steps as this pays for, whatever
            ``steps`` is; methods that compute new parameters at once instead of descending take their ``steps``. 0
            means no budget. ``run.budget`` gives all methods the same budget.
    """

    kind: ClassVar[str] = "unlearner"

    rewinds: ClassVar[bool] = False
    """Whether the last step goes back to an earlier one, see :class:`qlab.unlearning.rewinding.Rewinder`."""

    fills_budget: ClassVar[bool] = True
    """Whether a budget decides how many steps are taken; else it only bounds what they may cost."""

    steps: PositiveInt = 50
    learning_rate: PositiveFloat = 0.01
    optimizer: Literal["Adam", "SGD"] = "Adam"
    batch_size: NonNegativeInt = 0
    start_fresh: bool = False
    budget: Annotated[NonNegativeInt, AbsentMeans(0)] = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.has_update():
            return
        if not getattr(cls.loss, "__isabstractmethod__", False) and cls.loss is not _no_loss:
            where = own_code.bracketed(cls, "loss", "update")
            raise ConfigError(
                f"{cls.__name__} defines both loss and update{where}; a method has one of "
                "them: loss is minimised by an optimizer, update returns new parameters."
            )
        cls.loss = _no_loss  # type: ignore[method-assign]

    def __new__(cls, *args: Any, **fields: Any) -> Self:
        """Refuses a class that is no method yet.

        Raises:
            ConfigError: it defines neither a loss nor an update.
        """
        if inspect.isabstract(cls):
            raise ConfigError(
                f"{cls.__name__} defines neither loss nor update; a method has one of them: loss(student, teacher, "
                "data) is minimised by an optimizer, update(student, teacher, data) returns new parameters."
            )
        return super().__new__(cls)

    @classmethod
    def has_update(cls) -> bool:
        """Whether the method has an update and no loss."""
        return cls.update is not Unlearner.update

    @abstractmethod
    def loss(self, student: Learner, teacher: Learner, data: UnlearningData) -> Tensor:
        """What a step minimises: a scalar, differentiable in the student's parameters.

        Args:
            student: the model that is being unlearned.
            teacher: the model trained on polluted data; no gradient flows into it.
            data: the rows to learn and to forget.
        """

    def update(self, student: Learner, teacher: Learner, data: UnlearningData) -> Tensor | Mapping[str, Tensor]:
        """New parameters of the student: a flat vector ``[P]`` as ``student.theta``, or some by name.

        Called in every step, for each mini-batch; instead of a loss, so that there is no optimizer and ``optimizer``
        and ``learning_rate`` mean what the method makes of them.

        Args:
            student: the model that is being unlearned; the teacher's parameters in the first step.
            teacher: the model trained on polluted data.
            data: the rows to learn and to forget.
        """
        raise NotImplementedError

    def begin(self, teacher: Learner, data: UnlearningData) -> Mapping[str, Tensor]:
        """What is computed once, before the first step, by name: every later step finds it in ``data.kept``.

        Nothing by default. The data are all retain and forget rows, also if steps take mini-batches.
        """
        return {}

    def measure(self, student: Learner, teacher: Learner, data: UnlearningData) -> Mapping[str, Tensor]:
        """What the method says of its result: numbers by name, logged at the end beside the metrics. None by default.

        Called once, after the last step, with all rows; its cost does not count.
        """
        return {}

    def changed_layers(self, layers: Sequence[str]) -> Sequence[str]:
        """Which layers (rows of a circuit) the method changes: all by default; the others stay as the teacher's.

        Args:
            layers: the model's, by name, from the input to the output.
        """
        return layers

    def check_model(self, model: Model) -> None:
        """Looks at a built model before anything runs.

        Raises:
            QlabError: the method cannot be applied to it.
        """

    def check_training(self, model: Model, loss: Loss, weight_decay: float) -> None:
        """Looks at what the model is trained with before anything runs.

        Args:
            model: the built model.
            loss: that it is trained with.
            weight_decay: of its L2 penalty.

        Raises:
            QlabError: the method cannot be applied to it.
        """


Unlearner.loss.alternative = "update"  # type: ignore[attr-defined]


def _no_loss(self: Unlearner, student: Learner, teacher: Learner, data: UnlearningData) -> Tensor:
    """Methods with an update have none."""
    raise ConfigError(f"{type(self).__name__} has no loss: its update returns new parameters.")
