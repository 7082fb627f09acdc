"""Oracles of trained models, a run below each teacher's: from the store, or trained now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch

from qlab.experiment.parts import oracle_parts
from qlab.experiment.session import Session
from qlab.experiment.training_runs import EVERY_EPOCH
from qlab.experiment.trial import Trial
from qlab.models import Model
from qlab.tracking import frames, names
from qlab.tracking.store import now_ms
from qlab.training import Member, ensemble
from qlab.unlearning import oracle


def oracles_of(
    session: Session,
    trials: Sequence[Trial],
    run_ids: Sequence[str],
    members: Sequence[Member],
    model: Model,
    count: int,
) -> tuple[ensemble.Parameters, ...]:
    """For every teacher the parameters of its oracles, stacked: from the store, or trained now.

    Oracles are trained with the teacher's schedule.

    Args:
        session: what the experiment's parts share.
        trials: the teachers, which differ in seed only.
        run_ids: their runs.
        members: what they were trained on.
        model: their model, built.
        count: how many oracles each is to have.
    """
    wanted = {
        (index, number): trial.oracle_key(number) for index, trial in enumerate(trials) for number in range(count)
    }
    with session.tracking():
        known = pd.concat(
            [
                frames.runs_of_kind(
                    session.store, [session.experiment_id], names.ORACLE, f"tags.`{names.TEACHER}` = '{trial.key}'"
                )
                for trial in trials
            ]
        )
        finished = known[known["status"] == "FINISHED"]
        runs = dict(zip(finished["trial"], finished["run_id"], strict=True))
        states = {
            place: session.load_state(runs[key], session.experiment.folder)
            for place, key in wanted.items()
            if key in runs
        }
    missing = [place for place in wanted if place not in states]
    for places in oracle_parts(session, trials[0], model, missing) if missing else ():
        states |= _train_oracles(session, trials, run_ids, members, model, {place: wanted[place] for place in places})
    return tuple(
        ensemble.stack([states[index, number] for number in range(count)], model) for index in range(len(trials))
    )


def _train_oracles(
    session: Session,
    trials: Sequence[Trial],
    run_ids: Sequence[str],
    members: Sequence[Member],
    model: Model,
    wanted: Mapping[tuple[int, int], str],
) -> dict[tuple[int, int], dict[str, torch.Tensor]]:
    first = trials[0]
    session.reporter.ensemble_started(
        f"oracles of {first.names['model']} on {first.names['task']}", "", len(wanted), first.trainer.epochs
    )
    # The oracles of one teacher share its clean rows, which are then prepared once.
    kept = {index: oracle.retain_only(members[index].corrupted, 0).corrupted for index, _ in wanted}
    own = [Member(oracle.seed_of(trials[index].seed, number), kept[index]) for index, number in wanted]
    trained = first.trainer.fit(
        model,
        own,
        session.dataset(first.task).validation,
        observer=session.reporter.epoch,
        device=session.device,
        evaluate_every=session.experiment.evaluate_every,
    )
    states: dict[tuple[int, int], dict[str, torch.Tensor]] = {}
    with session.tracking():
        for row, ((index, number), key) in enumerate(wanted.items()):
            trial = trials[index]
            tags = session.tags(names.ORACLE, key, run_ids[index], own[row].seed, "")
            tags |= {names.TEACHER: trial.key, names.HEALTH: trained.health[row], **trial.group_tags}
            run_id = session.store.create_run(
                session.experiment_id,
                f"oracle {number} of {trial.label}",
                params=trial.params | {"oracle": str(number)},
                tags=tags,
            )
            now = now_ms()
            last = {name: float(values[row, -1]) for name, values in trained.history.items()}
            metrics = [(name, last[name], first.trainer.epochs, now) for name in EVERY_EPOCH]
            states[index, number] = trained.state_of(row)
            session.save_checkpoint(run_id, model, states[index, number], trial.names["model"], metrics=metrics)
            session.store.finish(run_id)
    session.reporter.ensemble_finished(trained.seconds, trained.health)
    return states
