"""Training oracles: models that never saw a teacher's corrupted rows, or never those that are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from qlab.corruptions import Corrupted, Knowledge
from qlab.experiment.asking.trial import ALL_KNOWN, Trial
from qlab.experiment.jobs.base import Inputs, Job, Report, Result
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.jobs.train import EVERY_EPOCH
from qlab.tasks import Task
from qlab.tracking import names
from qlab.training import Member, Trainer
from qlab.training.health import Health
from qlab.unlearning import oracle


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedOracles(Result):
    """Oracles that were trained together.

    Args:
        last: their metrics after the last epoch, by key.
        health: of each, by key.
        seeds: of each, by key.
    """

    last: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    health: Mapping[str, Health] = dataclasses.field(default_factory=dict)
    seeds: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class TrainOracles(Job):
    """Trains oracles with their teachers' schedule.

    Args:
        wanted: of each the teacher and its number; the teachers differ in seed only.
        knowledge: what of the corrupted rows is known: those that are not they have in common with their teachers.
    """

    binding = True
    run_kind: ClassVar[str] = names.ORACLE
    """The kind of their runs, and the param with their number."""

    wanted: tuple[tuple[Trial, int], ...]
    knowledge: Knowledge = ALL_KNOWN

    @property
    def label(self) -> str:
        """See the base class."""
        return f"{'' if self.knowledge.is_complete else 'reachable '}oracles of {self.wanted[0][0].model_and_task}"

    @property
    def task(self) -> Task:
        """See the base class."""
        return self.wanted[0][0].task

    @property
    def keys(self) -> list[str]:
        """Of the oracles."""
        return [self.key_of(trial, number) for trial, number in self.wanted]

    def key_of(self, teacher: Trial, number: int) -> str:
        """The identity of one."""
        return teacher.oracle_key(number, self.knowledge)

    def seed_of(self, teacher: Trial, number: int) -> int:
        """The seed of one."""
        return oracle.seed_of(teacher.seed, number)

    def rows_of(self, materials: Materials, teacher: Trial) -> Corrupted:
        """What those of a teacher are trained on."""
        told = None if self.knowledge.is_complete else materials.told(teacher, self.knowledge)
        return oracle.retain_only(materials.member(teacher).corrupted, 0, told).corrupted

    def trainer_of(self, teacher: Trial) -> Trainer:
        """How those of a teacher are trained: to the end, as they have no corrupted rows to fit up to a fraction."""
        return teacher.trainer.to_the_end

    def is_needed(self, inputs: Inputs) -> bool:
        """Whether a teacher was trained."""
        return any(_is_trained(teacher, inputs) for teacher, _ in self.wanted)

    def run(self, materials: Materials, inputs: Inputs, report: Report) -> TrainedOracles:
        """See the base class."""
        first = self.wanted[0][0]
        wanted = [pair for pair in self.wanted if _is_trained(pair[0], inputs)]
        keys = [self.key_of(trial, number) for trial, number in wanted]
        # Those of one teacher share its rows, which are then prepared once.
        teachers = {trial.key: trial for trial, _ in wanted}
        shared = {key: self.rows_of(materials, trial) for key, trial in teachers.items()}
        members = [Member(self.seed_of(trial, number), shared[trial.key]) for trial, number in wanted]
        trained = self.trainer_of(first).fit(
            materials.build(first),
            members,
            materials.dataset(self.task).validation,
            test=materials.dataset(self.task).test,
            observer=report.epoch,
            device=materials.device,
            evaluate_every=materials.setting.evaluate_every,
        )
        return TrainedOracles(
            seconds=trained.seconds,
            states={key: trained.state_of(row) for row, key in enumerate(keys)},
            unsound={key: health for key, health in zip(keys, trained.health, strict=True) if health in names.LEFT_OUT},
            last={
                key: {name: float(trained.history[name][row, -1]) for name in EVERY_EPOCH}
                | {name: float(values[row]) for name, values in trained.final.items()}
                for row, key in enumerate(keys)
            },
            health=dict(zip(keys, trained.health, strict=True)),
            seeds={key: member.seed for key, member in zip(keys, members, strict=True)},
        )


def _is_trained(teacher: Trial, inputs: Inputs) -> bool:
    return teacher.key in inputs.states or teacher.key in inputs.known
