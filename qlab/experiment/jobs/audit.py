"""Auditing methods on one trained model: one job, since they share its oracles and shadow models."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping

from qlab import interrupts
from qlab.experiment.asking.audit import Audit
from qlab.experiment.asking.trial import Trial
from qlab.experiment.jobs.audit_case import Case, Found
from qlab.experiment.jobs.audit_metrics import MEASURES
from qlab.experiment.jobs.audited import Subject, group_of, shadow_keys, unlearned
from qlab.experiment.jobs.base import Inputs, Job, Report, Result
from qlab.experiment.jobs.materials import Materials
from qlab.own_code import described
from qlab.tasks import Task
from qlab.training import ensemble
from qlab.training.threads import suited_threads


@dataclasses.dataclass(frozen=True, eq=False)
class Audited(Result):
    """What audits have found.

    Args:
        found: by key of the audit.
        failed: why the others found nothing, by key.
        left_out: oracles and shadow models that are in none of them, in words.
    """

    found: Mapping[str, Found] = dataclasses.field(default_factory=dict)
    failed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    left_out: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class TakeAudits(Job):
    """Takes audits of all methods on one trained model, told the same of its corrupted rows.

    Args:
        audits: of what; those whose unlearning failed are left out.
        at_once: how many models are unlearned together at most.
    """

    audits: tuple[Audit, ...]
    at_once: int

    @property
    def label(self) -> str:
        """See the base class."""
        return ", ".join(filter(None, (f"audits of {self.trial.label}", self.audits[0].of.knowledge.label)))

    @property
    def trial(self) -> Trial:
        """Of the trained model."""
        return self.audits[0].of.teacher

    @property
    def task(self) -> Task:
        """See the base class."""
        return self.trial.task

    @property
    def methods(self) -> dict[str, list[Audit]]:
        """What is wanted of each unlearning run, by the run's key."""
        found: dict[str, list[Audit]] = {}
        for audit in self.audits:
            found.setdefault(audit.of.key, []).append(audit)
        return found

    @property
    def model_keys(self) -> list[str]:
        """Every model that it takes."""
        first = self.audits[0]
        return [self.trial.key, *self.methods, *first.oracle_keys, *shadow_keys(self.audits)]

    def is_needed(self, inputs: Inputs) -> bool:
        """Whether a method has unlearned the model."""
        return any(key in inputs.states for key in self.methods)

    def run(self, materials: Materials, inputs: Inputs, report: Report) -> Audited:
        """See the base class."""
        start = time.perf_counter()
        subject = Subject.of(materials, self.audits, inputs)
        found: dict[str, Found] = {}
        failed: dict[str, str] = {}
        for number, (key, wanted) in enumerate(self.methods.items(), start=1):
            if key in inputs.states:
                self._take(wanted, subject, materials, inputs, found, failed)
            report.epoch(number, {})
        seconds = time.perf_counter() - start
        return Audited(seconds=seconds, found=found, failed=failed, left_out=subject.left_out)

    def _take(
        self,
        wanted: list[Audit],
        subject: Subject,
        materials: Materials,
        inputs: Inputs,
        found: dict[str, Found],
        failed: dict[str, str],
    ) -> None:
        """The audits of one method; one that fails takes no other down."""
        item, nothing = wanted[0].of, subject.corrective_x
        try:
            stacked = ensemble.stack([dict(inputs.states[item.key])], subject.model)
            student = group_of(subject.model, subject.data, stacked, [item.seed], nothing, materials.device)
            if any(audit.needs_models for audit in wanted):
                models = unlearned(subject, item, self.at_once, materials)
            else:
                models = group_of(subject.model, subject.data, {}, [], nothing, materials.device)
        except Exception as error:
            interrupts.check()
            failed |= {audit.key: described(error) for audit in wanted}
            return
        case = Case(subject, student, models, materials)
        for audit in wanted:
            try:
                with suited_threads(subject.model, audit.table.oracles):
                    found[audit.key] = MEASURES[audit.metric](case)
            except Exception as error:
                interrupts.check()
                failed[audit.key] = described(error)
