"""Measuring the landscapes of trained models, a run below the model's for each probe."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from qlab import interrupts
from qlab.errors import DataError, StoreError
from qlab.experiment.landscapes import check_points, landscape_of, oracle_points, trajectories_of
from qlab.experiment.session import DamagedCheckpoint, Session
from qlab.experiment.trial import ORACLE, Measurement, Trial
from qlab.landscape import Landscape, ProbeResult
from qlab.landscape.landscape import TRAINED
from qlab.own_code import described
from qlab.tracking import frames, names
from qlab.tracking.claims import TakenOver
from qlab.tracking.store import now_ms
from qlab.training.threads import suited_threads

MODEL_FAILED = "its model failed to train"

_WORST_FIRST = ("diverged", "collapsed", "unconverged", "healthy")


def measure(session: Session, group: Sequence[Measurement], run_ids: Mapping[str, str]) -> None:
    """Measures the landscapes of one ensemble's models and writes a run for each probe.

    A failure is recorded in the run it happened to, and in the session.

    Args:
        session: what the experiment's parts share.
        group: measurements of models that were trained together.
        run_ids: the runs of all finished trials and unlearnings, by key.
    """
    able = [item for item in group if item.trial.key in run_ids]
    session.fail([item for item in group if item.trial.key not in run_ids], MODEL_FAILED)
    if not able:
        return
    by_trial: dict[str, list[Measurement]] = {}
    for item in able:
        by_trial.setdefault(item.trial.key, []).append(item)
    broken: dict[str, str] = {}
    paths: dict[str, dict[str, Tensor]] = {}
    oracles: dict[str, dict[str, Tensor]] = {}
    with _spoiling(session, followed := [item for item in able if item.probe.needs().trajectory], broken):
        paths = trajectories_of(session, _trials(followed), run_ids)
    with _spoiling(session, compared := [item for item in able if ORACLE in item.points], broken):
        oracles = oracle_points(session, _trials(compared), run_ids)
    health = _health(session)
    first = able[0].trial
    label = f"landscapes of {first.names['model']} on {first.names['task']}, {first.names['corruption']}"
    session.reporter.measuring_started(label, len(by_trial), len(able))
    start, tracked = time.perf_counter(), session.tracking_seconds
    for items in by_trial.values():
        trial = items[0].trial
        landscape: Landscape | None = None
        for item in items:
            if not session.mine([item]):
                continue
            run_id = _create_run(session, item, run_ids[trial.key], _worst(health, item))
            try:
                if item.key in broken:
                    raise DataError(broken[item.key])
                check_points(item, run_ids)
                if landscape is None:
                    landscape = landscape_of(
                        session,
                        trial,
                        items,
                        run_ids,
                        trajectory=paths.get(trial.key),
                        oracle=oracles.get(trial.key),
                    )
                with suited_threads(landscape.model, landscape.n_parameters):
                    # What other probes need is left out: a result does not depend on what else is measured.
                    own = landscape.only(item.points, trajectory=item.probe.needs().trajectory)
                    result = item.probe.measure(own)
                session.confirm([item])
                _finish_run(session, run_id, result)
                session.finished[item.key] = run_id
            except StoreError:
                session.abandon([run_id], "KILLED", "the store failed")
                raise
            except DamagedCheckpoint:
                session.abandon([run_id], "KILLED", "a checkpoint that it needs is damaged")
                raise
            except TakenOver as why:
                session.leave([item], [run_id], why)
            except (Exception, SystemExit) as error:  # a user's probe may raise anything
                interrupts.check()
                message = broken.get(item.key, described(error))
                with session.tracking():
                    session.end([run_id], "FAILED", message)
                session.fail([item], message)
            except BaseException:
                session.abandon([run_id], "KILLED", "interrupted")
                raise
            session.reporter.measured()
    seconds = time.perf_counter() - start - (session.tracking_seconds - tracked)
    session.reporter.measuring_finished(seconds, sum(item.key in session.failed for item in able))


@contextmanager
def _spoiling(session: Session, items: Sequence[Measurement], broken: dict[str, str]) -> Iterator[None]:
    """What fails inside spoils these measurements, by key, and no others."""
    try:
        yield
    except (StoreError, DamagedCheckpoint):
        raise
    except (Exception, SystemExit) as error:  # a user's model may raise anything while it is trained
        message = described(error)
        broken |= {item.key: message for item in items}
        session.reporter.ensemble_failed(message)


def _trials(items: Sequence[Measurement]) -> list[Trial]:
    return list({item.trial.key: item.trial for item in items}.values())


def _create_run(session: Session, item: Measurement, parent: str, health: str | None) -> str:
    trial: Trial = item.trial
    tags = session.tags(names.PROBE, item.key, parent, trial.seed, "") | {names.TEACHER: trial.key}
    tags |= item.group_tags
    if health is not None:
        tags[names.HEALTH] = health
    with session.tracking():
        return session.store.create_run(session.experiment_id, item.label, params=item.params, tags=tags)


def _finish_run(session: Session, run_id: str, result: ProbeResult) -> None:
    with session.tracking(), tempfile.TemporaryDirectory() as folder:
        now = now_ms()
        session.store.log(run_id, metrics=[(name, float(value), 0, now) for name, value in result.scalars.items()])
        path = result.save(Path(folder) / Path(names.PROBE_RESULT).name)
        session.store.log_file(run_id, path, str(Path(names.PROBE_RESULT).parent))
        session.store.finish(run_id)


def _health(session: Session) -> dict[str, str]:
    """The health of every model there is, by the key of its trial, unlearning or oracle."""
    with session.tracking():
        every = frames.runs(session.store, [session.experiment_id])
    every = every[(every["status"] == "FINISHED") & every["health"].notna()]
    return dict(zip(every["trial"], every["health"], strict=True))


def _worst(health: Mapping[str, str], item: Measurement) -> str | None:
    """The health of the model that is measured; of the worse one, if it is compared with its clean twin."""
    at = item.probe.at
    keys = [item.trial.key if at == TRAINED else item.points[at]]
    if item.probe.needs().reference:
        keys.append(item.trial.clean_twin.key)
    found = [health[key] for key in keys if key in health]
    return min(found, key=_WORST_FIRST.index) if found else None
