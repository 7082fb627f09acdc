"""The trainer: one loop for one model or fifty."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, ClassVar, Self

import annotated_types as at
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab.component import Component
from qlab.corruptions import Corruption, NoCorruption
from qlab.errors import ConfigError, DataError
from qlab.fields import AbsentMeans, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Ratio, fields_of
from qlab.losses import CrossEntropy, Loss
from qlab.losses.checks import check_loss
from qlab.models.base import Model
from qlab.models.features import Features
from qlab.models.probe import check_model
from qlab.tasks.base import Split, Task, load_data
from qlab.training import ensemble
from qlab.training.data import Member
from qlab.training.goal import Goal
from qlab.training.health import Health, health_beside_goal, health_of
from qlab.training.loop import EpochObserver as EpochObserver
from qlab.training.loop import MoreMetrics, Training
from qlab.training.optimizers import OptimizerName, Rule
from qlab.training.rates import Rate, RateName
from qlab.training.schedule import Schedule
from qlab.training.state import Checkpoints, TrainingState
from qlab.training.stopping import Patience
from qlab.training.threads import side_by_side, suited_threads

Momentum = Annotated[float, at.Interval(ge=0.0, lt=1.0)]

Share = Annotated[float, at.Interval(gt=0.0, lt=1.0)]

Factor = Annotated[float, at.Interval(gt=0.0, le=1.0)]


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedEnsemble:
    """Models that were trained together.

    Args:
        model: the built model; its own parameters are not meaningful, use :meth:`model_of`.
        parameters: trained parameters by name, first axis: member.
        seeds: the seed of each member.
        history: metrics after each evaluated epoch, shape ``[members, evaluations]``, float64; see
            :func:`qlab.training.metrics.evaluate`.
        epochs: the epochs that were evaluated.
        health: the health of each member.
        logits: final logits on training rows, then validation rows, ``[members, N + M]``, float64.
        seconds: wall time of the training.
        trajectory: if asked for, parameters by name at the snapshots, ``[members, snapshots, ...]``, on the CPU.
        final: metrics that are evaluated after the last epoch only, shape ``[members]``, float64: ``test_loss`` and
            ``test_accuracy`` if there is a test split.
    """

    model: Model
    parameters: dict[str, Tensor]
    seeds: tuple[int, ...]
    history: dict[str, NDArray[np.float64]]
    epochs: tuple[int, ...]
    health: tuple[Health, ...]
    logits: Tensor
    seconds: float
    trajectory: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    final: dict[str, NDArray[np.float64]] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.seeds)

    def state_of(self, index: int) -> dict[str, Tensor]:
        """Parameters and buffers of one member, on the CPU: what a checkpoint holds."""
        state = {name: tensor.cpu() for name, tensor in self.model.state_dict().items()}
        return state | ensemble.member(self.parameters, index)

    def model_of(self, index: int) -> Model:
        """One member as a model of its own, on the CPU."""
        return self.model.with_state(self.state_of(index))


class Trainer(Component):
    """By default Adam on cross-entropy, in mini-batches reshuffled each epoch; the last one may be smaller.

    All models of an ensemble take their steps together. Initialisation, corruption and batch order come from
    generators seeded by each trial's seed, and optimizers work element by element, so a trial gives the same result, to
    rounding, in an ensemble of any size. Metrics are evaluated on all rows after every epoch.

    Args:
        epochs: passes over the training split.
        batch_size: rows in a step; the whole split if it has fewer.
        learning_rate: the optimizer's step size, in the first epoch.
        optimizer: "Adam", "AdamW" or "SGD", as in torch.optim.
        momentum: of SGD: what is kept of earlier gradients from step to step.
        weight_decay: for AdamW decoupled: a step takes away this share of the parameters, times the learning rate; for
            Adam and SGD an L2 penalty weight_decay / 2 |theta|^2, as in torch.optim.
        schedule: of the learning rate from epoch to epoch: "constant"; "cosine", from its first value towards 0 over
            all epochs; or "step", with a drop every ``step_epochs`` epochs.
        step_epochs: for schedule = "step": epochs from one drop to the next.
        step_factor: for schedule = "step": what a drop multiplies the learning rate by.
        loss: what is minimised, averaged over the rows of a batch; ``train_loss``, ``validation_loss`` and landscapes
            are of this loss, too. Unlearners have losses of their own.
        early_stopping: stop after so many epochs in a row without a new lowest ``holdout_loss``; 0 trains all epochs. A
            part of the polluted training data is held out and not trained on, drawn with the trial's seed, so that
            clean labels play no part. Each member stops by itself and keeps its parameters of the best epoch
            (``best_epoch``), also one that never stops; from then on its metrics stay as they are.
        holdout: for early_stopping: the fraction of the training rows that is held out.
        stop_at: stop after the first epoch at which at least this fraction of the corrupted rows has been fitted, its
            polluted labels given (``forget_accuracy_polluted``), so that models can be compared that start unlearning
            from equally many; 0 trains all epochs. Each member stops by itself and keeps its parameters
            (``trained_epochs``); from then on its metrics stay as they are. One that does not get there within
            ``epochs`` is ``unreached``, and is left out of means and claims, as those are that diverged. Oracles, and
            members without corrupted rows, are trained to the end.
        stop_retain: for stop_at: the least accuracy on clean rows at the same epoch. A model that has learned nothing
            yet gives half of the polluted labels by chance.
    """

    kind: ClassVar[str] = "trainer"
    formula: ClassVar[str] = "Adam (beta_1 = 0.9, beta_2 = 0.999, eps = 1e-8) on -mean[y log p + (1 - y) log(1 - p)]"
    source: ClassVar[str] = "arXiv:2508.02422, supplement IV.B and Table I"

    epochs: PositiveInt = 200
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 0.01
    optimizer: Annotated[OptimizerName, AbsentMeans("Adam")] = "Adam"
    momentum: Annotated[Momentum, AbsentMeans(0.0)] = 0.0
    weight_decay: Annotated[NonNegativeFloat, AbsentMeans(0.0)] = 0.0
    schedule: Annotated[RateName, AbsentMeans("constant")] = "constant"
    step_epochs: Annotated[PositiveInt, AbsentMeans(30)] = 30
    step_factor: Annotated[Factor, AbsentMeans(0.1)] = 0.1
    early_stopping: Annotated[NonNegativeInt, AbsentMeans(0)] = 0
    holdout: Annotated[Share, AbsentMeans(0.1)] = 0.1
    stop_at: Annotated[Ratio, AbsentMeans(0.0)] = 0.0
    stop_retain: Annotated[Ratio, AbsentMeans(0.8)] = 0.8
    loss: Annotated[Loss, AbsentMeans({"type": "CrossEntropy", "label_smoothing": 0.0})] = CrossEntropy()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.momentum and self.optimizer != "SGD":
            raise ConfigError(
                f'momentum: got {self.momentum:g} for optimizer = "{self.optimizer}", which keeps running means of its '
                'own; leave it out, or use optimizer = "SGD". To compare optimizers in a file, give each a [[model]] '
                "table with its training."
            )
        for name in ("step_epochs", "step_factor"):
            if self.schedule != "step" and getattr(self, name) != fields_of(Trainer)[name].default:
                raise ConfigError(
                    f'{name}: only for schedule = "step", not "{self.schedule}"; leave it out, or set the schedule. To '
                    "compare schedules in a file, give each a [[model]] table with its training."
                )
        if not self.early_stopping and self.holdout != fields_of(Trainer)["holdout"].default:
            raise ConfigError(
                f"holdout: got {self.holdout:g} for early_stopping = 0, which holds nothing out; leave it out, or set "
                "early_stopping to the epochs without a new lowest loss after which training ends. To compare with "
                "training to the end in a file, give each a [[model]] table with its training."
            )

        if not self.stop_at and self.stop_retain != fields_of(Trainer)["stop_retain"].default:
            raise ConfigError(
                f"stop_retain: got {self.stop_retain:g} for stop_at = 0, which trains all epochs; leave it out, or set "
                "stop_at to the fraction of the corrupted rows at which training ends."
            )
        if self.stop_at and self.early_stopping:
            raise ConfigError(
                f"stop_at: got {self.stop_at:g} beside early_stopping = {self.early_stopping}, which may end a "
                "training before it gets there; leave one of the two out. To compare them in a file, give each a "
                "[[model]] table with its training."
            )

    @property
    def stops(self) -> str:
        """What may end a member's training before the last epoch, in words."""
        return "early stopping" if self.early_stopping else "a fraction to stop at" if self.stop_at else "no stopping"

    @property
    def to_the_end(self) -> Self:
        """The same without ``stop_at``: how models are trained that have no corrupted rows to fit, such as oracles."""
        return dataclasses.replace(self, stop_at=0.0, stop_retain=0.8) if self.stop_at else self

    @property
    def l2_penalty(self) -> float:
        """w of an L2 penalty (w / 2) |theta|^2 that is minimised with the loss: AdamW's weight decay is none."""
        return 0.0 if self.optimizer == "AdamW" else self.weight_decay

    @property
    def rule(self) -> Rule:
        """The optimizer."""
        return Rule(self.optimizer, self.momentum, self.weight_decay)

    @property
    def rate(self) -> Rate:
        """The learning rate of every epoch."""
        return Rate(self.learning_rate, self.epochs, self.schedule, self.step_epochs, self.step_factor)

    def train(
        self,
        model: Model,
        task: Task,
        corruption: Corruption | Iterable[Corruption] | None = None,
        *,
        seeds: Iterable[int] = (0,),
        observer: EpochObserver | None = None,
    ) -> TrainedEnsemble:
        """Trains a model on a task once for every corruption and seed, all together.

        Members are ordered by corruption, then by seed.

        Args:
            model: fields of the model; it need not be built.
            task: loads the data.
            corruption: one or several of one class, by default none.
            seeds: the seeds of the trials.
            observer: called after each epoch.
        """
        corruptions = [corruption or NoCorruption()] if not isinstance(corruption, Iterable) else list(corruption)
        if len({type(item) for item in corruptions}) != 1:
            names = sorted({type(item).__name__ for item in corruptions})
            raise ConfigError(f"corruption: got {names or 'none'}, accepts corruptions of one class in an ensemble.")
        dataset = load_data(task)
        seeds = [int(seed) for seed in seeds]
        members = [Member.of(task, dataset, item, seed) for item in corruptions for seed in seeds]
        built = model.build(Features.of(dataset, corruptions[0]))
        return self.fit(built, members, dataset.validation, test=dataset.test, observer=observer)

    def fit(
        self,
        model: Model,
        members: Sequence[Member],
        validation: Split,
        *,
        test: Split | None = None,
        observer: EpochObserver | None = None,
        device: torch.device | str = "cpu",
        snapshots: Collection[int] = (),
        evaluate_every: int = 1,
        resume: TrainingState | None = None,
        checkpoint: Checkpoints | None = None,
        more: MoreMetrics | None = None,
    ) -> TrainedEnsemble:
        """Trains a built model once for every member, all together.

        Args:
            model: a built model.
            members: training splits of one size, and the seeds.
            validation: evaluated after every epoch, never trained on.
            test: evaluated after the last epoch only.
            observer: called after each evaluated epoch.
            device: where to train.
            snapshots: epochs after which the parameters are kept for the trajectory; 0 for the initial ones.
            evaluate_every: epochs from one evaluation to the next; the last fifth is always evaluated. Does not
                change what is trained.
            resume: go on from there instead of from the beginning. The result is that of a training that was never
                interrupted; a trajectory whose beginning the state does not have is left out.
            checkpoint: is offered the state after each epoch but the last.
            more: metrics beside the built-in ones, from the logits of every evaluation. Those that the state to go on
                from does not have are NaN before it.

        Raises:
            DataError: the state to go on from is not one of these members' training.
        """
        start = time.perf_counter()
        patience = Patience(self.early_stopping, self.holdout)
        schedule = Schedule(
            self.epochs,
            self.batch_size,
            self.rate,
            self.rule,
            self.loss,
            patience,
            evaluate_every,
            tuple(snapshots),
            Goal(self.stop_at, self.stop_retain),
        )
        if model.features is None:
            raise ConfigError(
                f"{type(model).__name__} has no weights yet; build it first: model.build(Features.of(dataset))."
            )
        if resume is not None and not (
            len(resume) == len(members) and resume.fits(model) and resume.epoch <= self.epochs
        ):
            raise DataError(
                f"resume: got the state of {len(resume)} members after {resume.epoch} epochs, accepts one of "
                f"{len(members)} members of {type(model).__name__} after at most {self.epochs} epochs."
            )
        if resume is not None and (found := _stops(resume)) != self.stops:
            raise DataError(
                f"resume: got a state with {found}, accepts one of this training, with {self.stops}, "
                f"early_stopping = {self.early_stopping} and stop_at = {self.stop_at:g}."
            )
        if members:
            check_model(model, members[0].corrupted.split.x)
        check_loss(self.loss, model.dtype)
        with suited_threads(model, len(members)):
            training = Training(schedule, model, members, validation, torch.device(device), resume, more)
            with side_by_side(model, len(training.tiles), torch.device(device)) as each:
                training.run(each, observer, checkpoint)
            final = training.final_logits()
            tested = {} if test is None else training.evaluated_on(test, "test")
            parameters = training.parameters()
            model.to("cpu")
            tested |= {name: value.numpy() for name, value in model.parameter_metrics(parameters).items()}
        history = training.curves()
        health = tuple(health_of(history["train_loss"][row], final[row], self.epochs) for row in range(len(members)))
        if self.stop_at:
            reached = training.stopped()
            health = tuple(
                health_beside_goal(one, reached=stopped) if item.corrupted.mask.any() else one
                for one, stopped, item in zip(health, reached, members, strict=True)
            )
        return TrainedEnsemble(
            model=model,
            parameters=parameters,
            seeds=tuple(item.seed for item in members),
            history=history,
            epochs=tuple(training.evaluated),
            health=health,
            logits=final,
            seconds=time.perf_counter() - start,
            trajectory=training.trajectory(),
            final=tested,
        )


def _stops(state: TrainingState) -> str:
    """What may end the training that a state is of before the last epoch, as :attr:`Trainer.stops` says it."""
    if not state.stopping:
        return "no stopping"
    return "early stopping" if "waited" in state.stopping else "a fraction to stop at"
