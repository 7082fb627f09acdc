"""What runs say of the data they used."""

from __future__ import annotations

from typing import Final

from qlab.experiment.asking.trial import Trial
from qlab.experiment.jobs.materials import Materials
from qlab.tasks import Split
from qlab.tracking.writes import DatasetRecord

_LARGEST: Final = ("truncation_error", "bond_dimension")
"""What is said of states that were found approximately: the largest of a split."""


def dataset_records(materials: Materials, trial: Trial) -> list[DatasetRecord]:
    """What the runs of a trial say of its data."""
    held_out = {name: split for name, split in materials.dataset(trial.task).splits.items() if name != "train"}
    task, name = {"task": trial.config["task"]}, trial.names["task"]
    source = task | {"corruption": trial.config["corruption"], "seed": trial.seed}
    corrupted = materials.member(trial).corrupted
    made = _made(materials.dataset(trial.task).train)
    profile = {"rows": len(corrupted.split), "corrupted_rows": int(corrupted.mask.sum()), **made}
    return [
        DatasetRecord(name, materials.digest(corrupted.split), "training", source, profile),
        *(
            DatasetRecord(name, materials.digest(split), context, task, {"rows": len(split), **_made(split)})
            for context, split in held_out.items()
        ),
    ]


def _made(split: Split) -> dict[str, float]:
    """How well the states of a split are known, if they are approximate."""
    return {name: float(split.about[name].max()) for name in _LARGEST if name in split.about}
