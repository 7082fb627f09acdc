"""Whether own classes give the same for the same seed, looked at once before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from qlab.errors import ConfigError, DataError, QlabError
from qlab.experiment.session import Session
from qlab.experiment.trial import Trial, content_hash
from qlab.models import Model
from qlab.registry import is_own
from qlab.tasks import Dataset, Task
from qlab.tasks.base import digest
from qlab.training import Member
from qlab.training.ensemble import initial_parameters

_SEEDED = (
    "generator = torch.Generator().manual_seed(0) and torch.randn(..., generator=generator), or "
    "numpy.random.default_rng(0), or random.Random(0)"
)


def check_seeds(session: Session, trials: Iterable[Trial]) -> None:
    """Loads the data of own tasks twice, and corrupts once more what an own task or corruption has a part in.

    Raises:
        DataError: a task loads other data each time, or draws other features for the same generator.
        ConfigError: a corruption gives something else for the same generator.
    """
    tasks: dict[str, Task] = {}
    pairs: dict[str, Trial] = {}
    for trial in trials:
        if is_own(type(trial.task)):
            tasks.setdefault(content_hash(trial.config["task"]), trial.task)
        if is_own(type(trial.task)) or is_own(type(trial.corruption)):
            key = content_hash([trial.config["task"], trial.names["corruption"]])
            if key not in pairs or pairs[key].corruption.ratio < trial.corruption.ratio:
                pairs[key] = trial
    for task in tasks.values():
        check_load(session, task)
    for trial in pairs.values():
        _check_corruption(session, trial)


def check_load(session: Session, task: Task) -> None:
    """Loads the data of a task once more.

    Raises:
        DataError: they are others than before.
    """
    first, second = _digests(session.dataset(task)), _digests(session.load(task))
    for part, before in first.items():
        if second[part] != before:
            name = type(task).__name__
            raise DataError(
                f"{name}.load gives another {part} each time it is called, so no result could be had again. Seed "
                f"whatever it draws: {_SEEDED}."
            )


def check_initial(model: Model, seed: int) -> None:
    """Draws the initial parameters of an own model twice.

    Args:
        model: built; its parameters are overwritten.
        seed: of a trial.

    Raises:
        ConfigError: they are others for the same seed.
    """
    if is_own(type(model)):
        try:
            initial_parameters(model, [seed])
        except QlabError:
            raise
        except Exception:
            pass


def _check_corruption(session: Session, trial: Trial) -> None:
    try:
        first, second = _corrupted(session, trial), _corrupted(session, trial)
    except QlabError:
        raise
    except Exception:  # what a user's class raises is told where it is used
        return
    differing = [part for part, before in first.items() if second[part] != before]
    if not differing:
        return
    if is_own(type(trial.task)) and (not is_own(type(trial.corruption)) or _draws_others(trial.task)):
        raise DataError(
            f"{type(trial.task).__name__}.random_features gives others for the same generator; draw from the one it is "
            "given: torch.randn(n, d, generator=generator)."
        )
    raise ConfigError(
        f"{type(trial.corruption).__name__}.apply gives other {differing[0]} for the same generator; draw from the "
        "one it is given alone: torch.randperm(n, generator=generator)."
    )


def _corrupted(session: Session, trial: Trial) -> dict[str, str]:
    found = Member.of(trial.task, session.dataset(trial.task), trial.corruption, trial.seed).corrupted
    parts = {"mask": found.mask, "labels": found.split.y, "clean labels": found.clean_y}
    return {"features": digest(found.split.x)} | {part: digest(value) for part, value in parts.items()}


def _draws_others(task: Task) -> bool:
    first, second = (task.random_features(1, torch.Generator().manual_seed(0)) for _ in range(2))
    return not torch.equal(first, second)


def _digests(dataset: Dataset) -> dict[str, str]:
    splits = {"training split": dataset.train, "validation split": dataset.validation}
    return {name: f"{digest(split.x)} {digest(split.y)}" for name, split in splits.items()}
