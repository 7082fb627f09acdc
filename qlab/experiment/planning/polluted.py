"""Whether corruptions corrupt anything, looked at before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from qlab.corruptions import Corrupted
from qlab.errors import DataError, QlabError
from qlab.experiment.asking.trial import Trial, content_hash
from qlab.experiment.jobs.materials import Materials
from qlab.tasks import Split


def check_polluted(materials: Materials, trials: Iterable[Trial]) -> None:
    """Looks at the lowest ratio above 0 of each corruption, which takes the fewest rows.

    Raises:
        DataError: it leaves the training split as it is.
    """
    lowest: dict[str, Trial] = {}
    for trial in trials:
        but_ratio = {key: value for key, value in trial.config["corruption"].items() if key != "ratio"}
        key = content_hash({"task": trial.config["task"], "corruption": but_ratio})
        if trial.corruption.ratio and (key not in lowest or trial.corruption.ratio < lowest[key].corruption.ratio):
            lowest[key] = trial
    for trial in lowest.values():
        clean = materials.dataset(trial.task).train
        try:
            corrupted = materials.member(trial).corrupted
        except QlabError:  # whatever else is wrong with it is said of the trials that are trained on it
            continue
        if _is_clean(corrupted, clean):
            raise DataError(
                f"{trial.names['corruption']}: there is nothing to corrupt: at ratio {trial.corruption.ratio:g} none "
                f"of the {len(clean)} training rows is taken. Give a higher ratio."
            )


def _is_clean(corrupted: Corrupted, clean: Split) -> bool:
    """Whether nothing is marked and nothing is changed: of some corruptions only a part is known."""
    split = corrupted.split
    return not corrupted.mask.any() and split.x is clean.x and torch.equal(split.y, clean.y)
