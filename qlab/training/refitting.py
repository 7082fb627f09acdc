"""Estimators of stored trials, fitted again: nothing that was learned is stored.

What a fitted estimator is can only be written with pickle, which runs code when it is read, and which another version
of scikit-learn may not read at all. Its arguments, its seed and its data give it again, in the time that fitting takes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qlab.errors import DataError
from qlab.models import Estimator, Features
from qlab.registry import make
from qlab.tasks import Dataset, Task
from qlab.training.data import Member
from qlab.training.fitting import Fitted, fit
from qlab.training.threads import limited_threads

_SAME = 1e-9


def is_estimator(params: Mapping[str, Any]) -> bool:
    """Whether a trial's params, or a run's row of a frame, are of an estimator: it has a model and no training."""
    known = {name for name, value in params.items() if value is not None and value == value}
    return "model.type" in known and not any(name.startswith("training.") for name in known)


def refit(
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    what: str,
    data: tuple[Task, Dataset],
    *,
    folder: Path | None = None,
) -> Fitted:
    """Fits the estimator of a stored trial again.

    Args:
        config: of the trial, as its experiment's run keeps it.
        metrics: of its run, which must come out again.
        what: the run, for messages.
        data: its task and what that loads, see :func:`qlab.tasks.stored.load_stored`.
        folder: where classes beside the experiment file are; without it none are imported.

    Raises:
        DataError: it is another one now: the data or the version of a library have changed.
        ConfigError: a class of it is not to be found.
    """
    task, dataset = data
    corruption = make("corruption", config["corruption"], folder)
    estimator: Estimator = make("model", config["model"], folder)
    member = Member.of(task, dataset, corruption, int(config["seed"]))
    with limited_threads():
        found = fit(estimator, member, dataset.validation, Features.of(dataset, corruption), test=dataset.test)
    for name, value in found.metrics.items():
        before = metrics.get(name)
        if (
            isinstance(before, int | float)
            and math.isfinite(before)
            and abs(value - before) > _SAME * max(1, abs(before))
        ):
            raise DataError(
                f"{what}: fitted again, {type(estimator).__name__} is another one: its {name.replace('_', ' ')} was "
                f"{before:.6g} and is {value:.6g} now. The data, or the version of scikit-learn (the run's tag "
                "qlab.engine), have changed since; run the experiment again under another name."
            )
    return found
