"""Whether what is left of an experiment can be done, and in which parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from qlab.corruptions import Knowledge
from qlab.errors import DataError
from qlab.experiment.asking.audit import Audit
from qlab.experiment.asking.measurement import Measurement
from qlab.experiment.asking.trial import Trial, Unlearning
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.jobs.measured_rows import unseen_validation
from qlab.experiment.jobs.probe import check_samples
from qlab.experiment.planning import parts
from qlab.experiment.planning.inputs import check_inputs
from qlab.experiment.planning.methods import check_applicable, check_budget
from qlab.experiment.planning.plan import MOST_FITTED, Plan
from qlab.experiment.planning.polluted import check_polluted
from qlab.experiment.planning.seeds import check_initial
from qlab.models import Model
from qlab.models.rows import prepare_features
from qlab.own_code import is_out_of_memory
from qlab.unlearning.budget import Sizes
from qlab.unlearning.engine import Partition

T = TypeVar("T")

_MANY = 4
"""Groups for each worker from which on none of them is cut."""


class Work:
    """What an experiment has to do, after a check that it can be done.

    Args:
        materials: the experiment's data.
        plan: what is left to do.
        budget: bytes that models may take which train together.
        workers: how many processes there are to do it; an ensemble is cut into parts so that all have something to do.

    Raises:
        QlabError: something of it cannot be done at all.
    """

    def __init__(self, materials: Materials, plan: Plan, budget: int, workers: int = 1) -> None:
        self._materials = materials
        self._budget = budget
        self._workers = workers
        self._models: dict[str, Model] = {}
        self._forgotten: dict[tuple[str, Knowledge], tuple[int, int]] = {}
        self._steps: dict[tuple[str, str, Sizes], int] = {}
        check_inputs(materials, plan)
        check_polluted(materials, [trial for trials in plan.ensembles for trial in trials])
        for trials in plan.ensembles:
            if trials[0].has_gradients:
                self.training_parts(plan, trials)
        for group in plan.unlearnings:
            if group[0].teacher.has_gradients:
                self.unlearning_parts(group)
            for item in group:
                self._count_forgotten(item)
        for audits in plan.audits:
            self.audited_at_once(audits[0])
        for probe_run in plan.todo_probe_runs:
            check_samples(materials, probe_run)
        for wanted in plan.measurements:
            if wanted.metric.on == "test" and materials.dataset(wanted.trial.task).test is None:
                raise DataError(
                    f"metric {wanted.type_name}: {wanted.name} is of test rows, but {wanted.trial.names['task']} has "
                    'no test split; take on = "validation", or a task with a test split.'
                )

    def model(self, trial: Trial) -> Model:
        """A trial's model, built once for all trials that train together.

        Raises:
            DataError: it takes more memory than there is.
        """
        if trial.ensemble_key not in self._models:
            try:
                model = self._materials.build(trial)
                check_initial(model, trial.seed)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                config = trial.config["model"]
                raise DataError(f"There is not enough memory for {trial.label} with {config}.") from None
            self._models[trial.ensemble_key] = model
        return self._models[trial.ensemble_key]

    def training_parts(self, plan: Plan, trials: Sequence[Trial]) -> list[Sequence[Trial]]:
        """An ensemble cut into parts that fit into memory, and that keep all workers busy."""
        followed = any(trial.key in plan.followed for trial in trials)
        found = parts.training_parts(
            self._materials, self._budget, trials, self.model(trials[0]), trajectories=followed
        )
        return [cut for part in found for cut in self._spread(part, len(plan.ensembles))]

    def cost(self, trials: Sequence[Trial]) -> float:
        """See :func:`qlab.experiment.planning.parts.training_cost`."""
        return parts.training_cost(self._materials, trials, self.model(trials[0]))

    def fitting_parts(self, plan: Plan, trials: Sequence[Trial]) -> list[Sequence[Trial]]:
        """Trials of estimators cut so that all workers are busy."""
        return self._spread(trials, len(plan.ensembles))

    def retracing_parts(self, trials: Sequence[Trial]) -> list[Sequence[Trial]]:
        """Trials whose trajectories are missing, cut in the same way."""
        return parts.training_parts(self._materials, self._budget, trials, self.model(trials[0]), trajectories=True)

    def measuring_parts(self, items: Sequence[Measurement]) -> list[list[Measurement]]:
        """Further metrics of models of one ensemble, cut in the same way."""
        models = list(dict.fromkeys(item.of.key for item in items))
        if items[0].trial.has_gradients:
            trials = [items[0].trial] * len(models)
            size = len(parts.training_parts(self._materials, self._budget, trials, self.model(trials[0]))[0])
        else:
            size = MOST_FITTED
        cuts = [set(models[start : start + size]) for start in range(0, len(models), size)]
        return [[item for item in items if item.of.key in cut] for cut in cuts]

    def audited_at_once(self, audit: Audit) -> int:
        """How many models may be unlearned together in an audit."""
        item = audit.of
        return parts.audited_at_once(self._materials, self._budget, item, audit.table.models, self.model(item.teacher))

    def oracle_parts(self, wanted: Sequence[tuple[Trial, int]], groups: int) -> list[Sequence[tuple[Trial, int]]]:
        """Oracles cut in the same way, of so many groups."""
        found = parts.oracle_parts(self._materials, self._budget, self.model(wanted[0][0]), wanted)
        return [cut for part in found for cut in self._spread(part, groups)]

    def _spread(self, part: Sequence[T], groups: int) -> list[Sequence[T]]:
        """A part cut so that all workers share it, unless there are so many groups that they are busy anyway.

        Costs of groups differ much: with few of them, one that is kept whole would leave the other workers idle.
        """
        wanted = 1 if groups >= _MANY * self._workers else min(len(part), self._workers)
        size = -(-len(part) // wanted)
        return [part[start : start + size] for start in range(0, len(part), size)]

    def unlearning_parts(self, group: Sequence[Unlearning]) -> list[list[Unlearning]]:
        """A group cut into parts whose teachers have as many corrupted and known rows, and that fit into memory.

        Raises:
            DataError: a teacher has nothing to forget or nothing to retain, or a single one does not fit.
            QlabError: a method cannot be applied to the model, or its budget does not pay for one step.
        """
        alike: dict[tuple[int, int], list[Unlearning]] = {}
        for item in group:
            alike.setdefault(self._count_forgotten(item), []).append(item)
        model = self.model(group[0].teacher)
        for item in {item.method_key: item for item in group}.values():
            check_applicable(item, model)
        for part in alike.values():
            for item in {item.method_key: item for item in part}.values():
                self.steps(item)
        return [
            cut for part in alike.values() for cut in parts.unlearning_parts(self._materials, self._budget, part, model)
        ]

    def steps(self, item: Unlearning) -> int:
        """How many steps the method of an unlearning run takes of a model with gradients.

        Raises:
            ConfigError: its budget does not pay for one.
        """
        if not item.unlearner.budget:
            return item.unlearner.steps
        trial, (_, told) = item.teacher, self._count_forgotten(item)
        rows = self._materials.member(trial).corrupted
        unseen = int(unseen_validation(self._materials, trial).mask.sum()) if item.unlearner.rewinds else 0
        sizes = Sizes(len(rows.mask) - told, told, unseen)
        key = trial.ensemble_key, item.method_key, sizes
        if key not in self._steps:
            model = self.model(trial)
            self._steps[key] = check_budget(item, model, sizes, prepare_features(model, rows.split.x[:1]))
        return self._steps[key]

    def _count_forgotten(self, item: Unlearning) -> tuple[int, int]:
        """How many rows of a teacher are corrupted, and how many it is to forget.

        Raises:
            DataError: none, or all.
        """
        key = item.teacher.key, item.knowledge
        if key not in self._forgotten:
            mask = self._materials.member(item.teacher).corrupted.mask
            told = self._materials.told(item.teacher, item.knowledge)
            for rows in (mask, told):
                Partition.of(rows[None])
            self._forgotten[key] = int(mask.sum()), int(told.sum())
        return self._forgotten[key]
