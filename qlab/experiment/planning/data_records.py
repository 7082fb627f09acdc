"""What runs say of the data they used."""

from __future__ import annotations

from qlab.experiment.asking.trial import Trial
from qlab.experiment.jobs.materials import Materials
from qlab.tracking.writes import DatasetRecord


def dataset_records(materials: Materials, trial: Trial) -> list[DatasetRecord]:
    """What the runs of a trial say of its data."""
    held_out = {name: split for name, split in materials.dataset(trial.task).splits.items() if name != "train"}
    task, name = {"task": trial.config["task"]}, trial.names["task"]
    source = task | {"corruption": trial.config["corruption"], "seed": trial.seed}
    corrupted = materials.member(trial).corrupted
    profile = {"rows": len(corrupted.split), "corrupted_rows": int(corrupted.mask.sum())}
    return [
        DatasetRecord(name, materials.digest(corrupted.split), "training", source, profile),
        *(
            DatasetRecord(name, materials.digest(split), context, task, {"rows": len(split)})
            for context, split in held_out.items()
        ),
    ]
