"""Training shadow models: models trained as a teacher was, on the same rows, that audits apply methods to."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from qlab.corruptions import Corrupted
from qlab.experiment.asking.trial import Trial
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.jobs.oracles import TrainOracles
from qlab.tracking import names
from qlab.training import Trainer
from qlab.unlearning import oracle


@dataclasses.dataclass(frozen=True, eq=False)
class TrainShadows(TrainOracles):
    """Trains models that differ from their teachers in initial parameters and batches only.

    They are trained on its rows as they were corrupted for it, whatever their own seeds would corrupt.
    """

    run_kind: ClassVar[str] = names.SHADOW

    @property
    def label(self) -> str:
        """See the base class."""
        return f"shadow models of {self.wanted[0][0].model_and_task}"

    def key_of(self, teacher: Trial, number: int) -> str:
        """See the base class."""
        return teacher.shadow_key(number)

    def seed_of(self, teacher: Trial, number: int) -> int:
        """See the base class."""
        return oracle.shadow_seed_of(teacher.seed, number)

    def rows_of(self, materials: Materials, teacher: Trial) -> Corrupted:
        """See the base class."""
        return materials.member(teacher).corrupted

    def trainer_of(self, teacher: Trial) -> Trainer:
        """See the base class: as their teachers were."""
        return teacher.trainer
