"""Whether own classes give the same for the same seed, looked at once before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable

from qlab.errors import DataError, QlabError
from qlab.experiment.asking.trial import Trial, content_hash
from qlab.experiment.jobs.materials import Materials
from qlab.models import Model
from qlab.own_code import is_own
from qlab.tasks import Dataset, Task
from qlab.tasks.base import digest
from qlab.training import Member
from qlab.training.ensemble import initial_parameters

_SEEDED = (
    "generator = torch.Generator().manual_seed(0) and torch.randn(..., generator=generator), or "
    "numpy.random.default_rng(0), or random.Random(0)"
)


def check_seeds(materials: Materials, trials: Iterable[Trial]) -> None:
    """Loads the data of own tasks twice, and has their features randomised twice where that is asked for.

    Own corruptions are compared wherever they are applied, see :class:`qlab.training.Member`.

    Raises:
        DataError: a task loads other data each time, or draws other features for the same generator.
    """
    tasks: dict[str, Task] = {}
    randomised: dict[str, Trial] = {}
    for trial in trials:
        if not is_own(type(trial.task)):
            continue
        key = content_hash(trial.config["task"])
        tasks.setdefault(key, trial.task)
        randomises = trial.corruption.changes_features and not is_own(type(trial.corruption))
        if randomises and (key not in randomised or randomised[key].corruption.ratio < trial.corruption.ratio):
            randomised[key] = trial
    for task in tasks.values():
        check_load(materials, task)
    for trial in randomised.values():
        _check_features(materials, trial)


def check_load(materials: Materials, task: Task) -> None:
    """Loads the data of a task once more.

    Raises:
        DataError: they are others than before.
    """
    first, second = _digests(materials.dataset(task)), _digests(materials.load(task))
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
        except Exception:  # whatever else is wrong with the model is said of the trials that train it
            pass


def _check_features(materials: Materials, trial: Trial) -> None:
    dataset = materials.dataset(trial.task)
    members = (Member.of(trial.task, dataset, trial.corruption, trial.seed) for _ in range(2))
    first, second = (digest(member.corrupted.split.x) for member in members)
    if first != second:
        raise DataError(
            f"{type(trial.task).__name__}.random_features gives others for the same generator; draw from the one it is "
            "given: torch.randn(n, d, generator=generator)."
        )


def _digests(dataset: Dataset) -> dict[str, str]:
    words = {"train": "training"}
    return {
        f"{words.get(name, name)} split": f"{digest(split.x)} {digest(split.y)}"
        for name, split in dataset.splits.items()
    }
