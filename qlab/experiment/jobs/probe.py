"""Taking a probe of the landscape around a trained model."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping

from torch import Tensor

from qlab.errors import DataError
from qlab.experiment.asking.trial import INITIAL, ORACLE, ProbeRun
from qlab.experiment.jobs.base import Inputs, Job, Report, Result
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.jobs.passed import state_after
from qlab.landscape import Landscape, ProbeResult
from qlab.landscape.base import LAST
from qlab.landscape.landscape import flat_trajectory
from qlab.tasks import Task
from qlab.training import ensemble
from qlab.training.threads import suited_threads


@dataclasses.dataclass(frozen=True, eq=False)
class Probed(Result):
    """What a probe has found.

    Args:
        found: it; None only if the job failed.
    """

    found: ProbeResult | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class TakeProbe(Job):
    """Takes one probe.

    Args:
        probe_run: which, and of which model.
    """

    probe_run: ProbeRun

    @property
    def label(self) -> str:
        """See the base class."""
        return self.probe_run.label

    @property
    def task(self) -> Task:
        """See the base class."""
        return self.probe_run.trial.task

    def run(self, materials: Materials, inputs: Inputs, report: Report) -> Probed:
        """See the base class."""
        item, start = self.probe_run, time.perf_counter()
        for key, label in needed_models(item).items():
            inputs.state_of(key, label)
        landscape = landscape_of(materials, item, inputs)
        with suited_threads(landscape.model, landscape.n_parameters):
            found = item.probe.measure(landscape)
        return Probed(seconds=time.perf_counter() - start, found=found)


def needed_models(probe_run: ProbeRun) -> dict[str, str]:
    """The labels of all trained and unlearned models that a probe needs, by key."""
    needed = {probe_run.trial.key: probe_run.trial.label}
    needed |= {unlearning.key: unlearning.label for unlearning in probe_run.unlearnings.values()}
    if probe_run.needs_clean_twin:
        needed[probe_run.trial.clean_twin.key] = probe_run.trial.clean_twin.label
    return needed


def landscape_of(materials: Materials, item: ProbeRun, inputs: Inputs) -> Landscape:
    """The landscape around a trial's model, with the points that a probe of it needs, and no others."""
    trial = item.trial
    loss = trial.trainer.loss
    model = materials.build(trial)
    validation = materials.dataset(trial.task).validation
    points: dict[str, Mapping[str, Tensor]] = {}
    for name, key in item.points.items():
        if name == INITIAL:
            points[name] = ensemble.member(ensemble.initial_parameters(model, [trial.seed]), 0)
        elif name == item.probe.at and item.probe.step != LAST:
            points[name] = state_after(materials, item.unlearnings[name], item.probe.step, inputs)
        else:
            points[name] = inputs.states[key]
    reference = None
    if item.probe.needs().reference:
        twin = trial.clean_twin
        clean = materials.member(twin).corrupted
        reference = Landscape(
            model.with_state(inputs.states[twin.key]), clean, validation, seed=trial.seed, criterion=loss
        )
    path = inputs.trajectories.get(trial.key) if item.probe.needs().trajectory else None
    return Landscape(
        model.with_state(inputs.states[trial.key]),
        materials.member(trial).corrupted,
        validation,
        points=points,
        trajectory=None if path is None else flat_trajectory(model, path),
        reference=reference,
        seed=trial.seed,
        criterion=loss,
    )


def check_samples(materials: Materials, probe_run: ProbeRun) -> None:
    """Compares the samples a probe asks for with those there will be.

    Raises:
        DataError: there are not as many.
    """
    probe, trial = probe_run.probe, probe_run.trial
    corrupted = materials.member(trial).corrupted
    forget = int(corrupted.mask.sum())
    sizes = {
        "train": len(corrupted.split),
        "retain": len(corrupted.split) - forget,
        "forget_polluted": forget,
        "forget_clean": forget,
        "validation": len(materials.dataset(trial.task).validation),
    }
    if ORACLE in probe_run.points and not sizes["retain"]:
        raise DataError(f"probe {probe_run.name}: {trial.label} has no oracle: every row is corrupted.")
    if probe.n_samples > sizes[probe.samples] or not sizes[probe.samples]:
        raise DataError(
            f"probe {probe_run.name}: n_samples = {probe.n_samples} of {probe.samples}, but {trial.label} has "
            f"{sizes[probe.samples]}; 0 takes all there are."
        )
