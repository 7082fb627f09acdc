"""Building the landscapes of trained models: their data, and the points that probes need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from qlab.errors import DataError
from qlab.experiment.oracle_runs import oracles_of
from qlab.experiment.parts import training_parts
from qlab.experiment.session import Session
from qlab.experiment.trial import INITIAL, ORACLE, Measurement, Trial
from qlab.landscape import Landscape
from qlab.landscape.landscape import flat_trajectory
from qlab.models import Model
from qlab.tracking import names
from qlab.training import ensemble
from qlab.training.schedule import snapshot_epochs


def check_samples(session: Session, measurement: Measurement) -> None:
    """Compares the samples a probe asks for with those there will be.

    Raises:
        DataError: there are not as many.
    """
    probe, trial = measurement.probe, measurement.trial
    corrupted = session.member(trial).corrupted
    forget = int(corrupted.mask.sum())
    sizes = {
        "train": len(corrupted.split),
        "retain": len(corrupted.split) - forget,
        "forget_polluted": forget,
        "forget_clean": forget,
        "validation": len(session.dataset(trial.task).validation),
    }
    if ORACLE in measurement.points and not sizes["retain"]:
        raise DataError(f"probe {measurement.name}: {trial.label} has no oracle: every row is corrupted.")
    if probe.n_samples > sizes[probe.samples] or not sizes[probe.samples]:
        raise DataError(
            f"probe {measurement.name}: n_samples = {probe.n_samples} of {probe.samples}, but {trial.label} has "
            f"{sizes[probe.samples]}; 0 takes all there are."
        )


def check_points(measurement: Measurement, run_ids: Mapping[str, str]) -> None:
    """Makes sure that all models a measurement needs were trained.

    Raises:
        DataError: one failed.
    """
    needed = {measurement.trial.key: measurement.trial.label}
    needed |= {unlearning.key: unlearning.label for unlearning in measurement.unlearnings.values()}
    if measurement.needs_clean_twin:
        needed[measurement.trial.clean_twin.key] = measurement.trial.clean_twin.label
    for key, label in needed.items():
        if key not in run_ids:
            raise DataError(f"{label} failed: there are no parameters of it.")


def landscape_of(
    session: Session,
    trial: Trial,
    measurements: Sequence[Measurement],
    run_ids: Mapping[str, str],
    *,
    trajectory: Mapping[str, Tensor] | None = None,
    oracle: Mapping[str, Tensor] | None = None,
) -> Landscape:
    """The landscape around a trial's model, with every point there is of those that measurements of it need.

    Args:
        session: what the experiment's parts share.
        trial: a finished trial.
        measurements: of this trial.
        run_ids: the runs of all finished trials and unlearnings, by key.
        trajectory: parameters passed during training, by name, ``[T, ...]``.
        oracle: the parameters of its oracle, by name.
    """
    model = session.build(trial)
    member = session.member(trial)
    state = _state(session, run_ids[trial.key])
    points: dict[str, Mapping[str, Tensor]] = {}
    for name, key in {name: key for item in measurements for name, key in item.points.items()}.items():
        if name == INITIAL:
            points[name] = ensemble.member(ensemble.initial_parameters(model, [trial.seed]), 0)
        elif name == ORACLE and oracle is not None:
            points[name] = oracle
        elif key in run_ids:
            points[name] = _state(session, run_ids[key])
    reference = None
    twin = trial.clean_twin
    if twin.key in run_ids and any(item.probe.needs().reference for item in measurements):
        trained_clean = model.with_state(_state(session, run_ids[twin.key]))
        clean = session.member(twin).corrupted
        reference = Landscape(trained_clean, clean, session.dataset(trial.task).validation, seed=trial.seed)
    path = None if trajectory is None else flat_trajectory(model, trajectory)
    return Landscape(
        model.with_state(state),
        member.corrupted,
        session.dataset(trial.task).validation,
        points=points,
        trajectory=path,
        reference=reference,
        seed=trial.seed,
    )


def trajectories_of(
    session: Session, trials: Sequence[Trial], run_ids: Mapping[str, str]
) -> dict[str, dict[str, Tensor]]:
    """The training trajectory of every trial, by key: from the store, or by training again with the same seed.

    Args:
        session: what the experiment's parts share.
        trials: finished trials of one ensemble.
        run_ids: their runs, by key.
    """
    if not trials:
        return {}
    with session.tracking():
        stored = {trial.key: session.load_tensors(run_ids[trial.key], names.TRAJECTORY) for trial in trials}
    found = {key: tensors for key, tensors in stored.items() if tensors is not None}
    missing = [trial for trial in trials if trial.key not in found]
    if not missing:
        return found
    model = session.build(missing[0])
    for part in training_parts(session, missing, model, trajectories=True):
        found |= _train_again(session, part, model, run_ids)
    return found


def _train_again(
    session: Session, missing: Sequence[Trial], model: Model, run_ids: Mapping[str, str]
) -> dict[str, dict[str, Tensor]]:
    """The trajectories of trials that the store has without, written to their runs."""
    found: dict[str, dict[str, Tensor]] = {}
    first = missing[0]
    session.reporter.ensemble_started(
        f"trajectories of {first.names['model']} on {first.names['task']}", "", len(missing), first.trainer.epochs
    )
    trained = first.trainer.fit(
        model,
        [session.member(trial) for trial in missing],
        session.dataset(first.task).validation,
        observer=session.reporter.epoch,
        device=session.device,
        snapshots=snapshot_epochs(first.trainer.epochs),
    )
    with session.tracking():
        for index, trial in enumerate(missing):
            path = {name: points[index] for name, points in trained.trajectory.items()}
            session.save_tensors(run_ids[trial.key], path, names.TRAJECTORY)
            found[trial.key] = path
    session.reporter.ensemble_finished(trained.seconds, trained.health)
    return found


def oracle_points(
    session: Session, trials: Sequence[Trial], run_ids: Mapping[str, str]
) -> dict[str, dict[str, Tensor]]:
    """The parameters of one oracle of every trial, by the trial's key: from the store, or trained now."""
    alike: dict[str, list[Trial]] = {}
    for trial in trials:
        alike.setdefault(trial.seedless_key, []).append(trial)
    found: dict[str, dict[str, Tensor]] = {}
    for group in alike.values():
        members = [session.member(trial) for trial in group]
        runs = [run_ids[trial.key] for trial in group]
        stacked = oracles_of(session, group, runs, members, session.build(group[0]), 1)
        found |= {trial.key: ensemble.member(oracles, 0) for trial, oracles in zip(group, stacked, strict=True)}
    return found


def _state(session: Session, run_id: str) -> dict[str, Tensor]:
    with session.tracking():
        return session.load_state(run_id, session.experiment.folder)
