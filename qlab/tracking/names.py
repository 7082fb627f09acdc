"""Names in the store. They are part of qlab's interface: dashboards and scripts rely on them."""

from __future__ import annotations

from typing import Final

KIND: Final = "qlab.kind"
"""Tag: what a run is, one of the kinds below."""

EXPERIMENT: Final = "experiment"
TRIAL: Final = "trial"
UNLEARNING: Final = "unlearning"
ORACLE: Final = "oracle"
PROBE: Final = "probe"

TRIAL_KEY: Final = "qlab.trial"
"""Tag: the identity of a trial (or unlearning run, oracle, probe), a hash of its resolved configuration."""

TEACHER: Final = "qlab.teacher"
"""Tag of unlearning runs, oracles and probes: the identity of the trial they belong to."""

CONTENT: Final = "qlab.content"
"""Tag: the identity of an experiment's parent run, a hash of its name and trials."""

HEALTH: Final = "qlab.health"
"""Tag: health of the trained model."""

SEED: Final = "qlab.seed"
ERROR: Final = "qlab.error"
"""Tag: why a run failed, in one line."""

ENGINE: Final = "qlab.engine"
"""Tag: how the model was evaluated."""

VERSION: Final = "qlab.version"

CLIENT: Final = "qlab.client"
"""Tag of runs on a server: an id made before the run was sent, by which it is found if the reply was lost."""

PARENT: Final = "mlflow.parentRunId"
NAME: Final = "mlflow.runName"
NOTE: Final = "mlflow.note.content"
COMMIT: Final = "mlflow.source.git.commit"
SOURCE: Final = "mlflow.source.name"
USER: Final = "mlflow.user"
DATASET_CONTEXT: Final = "mlflow.data.context"

CHECKPOINT: Final = "checkpoint/model.safetensors"
"""Artifact: trained parameters and buffers of a trial."""

TRAJECTORY: Final = "checkpoint/trajectory.safetensors"
"""Artifact: parameters at some epochs of a trial's training, for probes that follow it."""

PROBE_RESULT: Final = "landscape/result.safetensors"
"""Artifact: what a probe found."""
