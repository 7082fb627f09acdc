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
SHADOW: Final = "shadow"
"""A model trained as another was, on the same rows, for audits."""

SELECTION: Final = "selection"
"""A trial that was trained to be compared, on validation rows, with others of which one is chosen; no result."""

SUPERSEDED: Final = "superseded"
"""A trial that was reported of a choice that is made otherwise now; no result."""

CHOICES: Final = "qlab.choices"
"""Tag of an experiment's parent run: JSON of what was chosen for each group of a selection."""

SELECTION_TABLE: Final = "summary/selection.csv"
"""Artifact of an experiment's run: what was compared in a selection, and what was chosen."""

CLAIMS: Final = "claims"
"""Who works at what; see :mod:`qlab.tracking.lease`. Not a result: found only if it is
asked for."""

CLAIM_FILE: Final = "claims/claims.json"
"""Artifact of an experiment's run: its claims as they were written, when, and the verdicts on them."""

CLAIM_RECORD: Final = "qlab.claims"
"""Tag of an experiment's run that has such a file: a digest of it."""

CLAIM: Final = "qlab.claim."
"""How the names of tags of an experiment's run begin that hold a verdict; the claim's name or number follows."""

TRIAL_KEY: Final = "qlab.trial"
"""Tag: the identity of a trial (or unlearning run, oracle, probe), a hash of its resolved configuration."""

TEACHER: Final = "qlab.teacher"
"""Tag of unlearning runs, oracles and probes: the identity of the trial they belong to."""

GROUP: Final = "qlab.group"
"""Tag: a hash of the configuration without the seed; see :mod:`qlab.tracking.groups`."""

CURVE: Final = "qlab.curve"
"""Tag: a hash of the configuration without seed and corruption ratio."""

CONTENT: Final = "qlab.content"
"""Tag: the identity of an experiment's parent run, a hash of its name and trials."""

FOLDER: Final = "qlab.folder"
"""Tag of an experiment's parent run: the folder of its file, where classes beside it are found."""

REFUSED: Final = "qlab.refused"
"""Tag of an experiment's parent run that failed before its first run: a hash of its name, file and values given."""

ASSIGNMENTS: Final = "qlab.assignments"
"""Tag of an experiment's parent run: JSON of the keys and values that were given beside its file."""

HEALTH: Final = "qlab.health"
"""Tag: health of the trained model."""

LEFT_OUT: Final = ("diverged", "unreached")
"""The health of models whose numbers are in no mean and no claim."""

SEED: Final = "qlab.seed"
ERROR: Final = "qlab.error"
"""Tag: why a run failed, in one line."""

ENGINE: Final = "qlab.engine"
"""Tag: how the model was evaluated."""

WORKER: Final = "qlab.worker"
"""Tag: the worker that a run was last run by."""

LOCK: Final = "qlab.lock"
"""Tag of a run of kind "claims" that is an experiment's lock; see :mod:`qlab.tracking.lease`."""

HOLDER: Final = "qlab.holder"
"""How the names of its tags begin that describe who holds the lock."""

RESUME: Final = "qlab.resume"
"""Tag of a trial that is not finished: JSON of the newest state that its training can be taken up from."""

CHECKPOINT_DIGEST: Final = "qlab.checkpoint"
"""Tag: the SHA-256 of the checkpoint among the run's artifacts."""

DATA: Final = "qlab.data"
"""Tag of a trial whose task is a user's or a plugin's: a digest of the task's data, before any corruption. Of qlab's
own image tasks: those of the training and the validation pictures as they are read, with a dash between."""

METRIC: Final = "qlab.metric."
"""How the names of tags begin that say of which version of a metric of one's own a run has a value ("DIGEST end",
"DIGEST epochs" with its curve, "DIGEST last" without the curve that was asked for), or that it failed; the name of the
metric follows."""

METRIC_FAILED: Final = "failed: "
"""How the value of such a tag begins if the metric failed."""

LEFT_OUT_OF_AUDITS: Final = "qlab.left_out_of_audits"
"""Tag: how many oracles and shadow models audits did not take, and why; "none" if they took all."""

AUDIT: Final = "qlab.audit."
"""How the names of tags of unlearning runs begin that say what an audit was measured with (a digest), or that it failed
(:data:`METRIC_FAILED`); the audit's metric follows."""

GROUPED: Final = "-group"
"""How the kind of a run ends that keeps runs together which differ in their seed only."""

MEMBERS: Final = "qlab.members"
"""Tag of such a run: the kind of the runs that it keeps."""

PART: Final = "qlab.part."
"""How the names of tags of such a run begin that say of a part among its artifacts that it is whole, and what is in it;
the part's name follows. See :mod:`qlab.tracking.grouped`."""

SUMMARY: Final = "qlab.summary"
"""Tag of an experiment's parent run: a hash of the runs that its summary was last drawn of."""

VERSION: Final = "qlab.version"

ARTIFACTS: Final = "qlab.artifacts"
"""Tag of an MLflow experiment: where its artifacts are."""

BESIDE: Final = "beside the store"
"""Value of that tag: in the folder beside an embedded store's database, also after that was moved."""

SHOWN: Final = "qlab.shown"
"""Tag of an MLflow experiment: JSON of digests of what was last written for the UI to show, by tag."""

CLIENT: Final = "qlab.client"
"""Tag of runs on a server: an id made before the run was sent, by which it is found if the reply was lost."""

COPIED: Final = "qlab.copied"
"""Tag of runs that `qlab copy` made: the run that it was first, or :data:`COPYING` and that while it is not whole."""

COPYING: Final = "copying "
"""How the value of that tag begins until the copy is whole."""

PARENT: Final = "mlflow.parentRunId"
NAME: Final = "mlflow.runName"
NOTE: Final = "mlflow.note.content"
COMMIT: Final = "mlflow.source.git.commit"
SOURCE: Final = "mlflow.source.name"
USER: Final = "mlflow.user"
EXPERIMENT_KIND: Final = "mlflow.experimentKind"
MODEL_DEVELOPMENT: Final = "custom_model_development"
"""Value of that tag: what MLflow's UI offers for models, and not for language models and agents."""

SHARED_VIEW: Final = "mlflow.sharedViewState."
"""Tags of an MLflow experiment: views that its UI can open, by key."""

DATASET_CONTEXT: Final = "mlflow.data.context"

TEXT_FILE: Final = "experiment.toml"
"""Artifact of an experiment's run: the experiment file as it was read."""

CONFIGS: Final = "trials.json"
"""Artifact of an experiment's run: the configuration of everything in it, by identity."""

CHECKPOINT: Final = "checkpoint/model.safetensors"
"""Artifact: trained parameters and buffers of a trial."""

RESUME_SLOTS: Final = ("resume/a.safetensors", "resume/b.safetensors")
"""Artifacts of a trial that is not finished: the last two states of its training."""

TRAJECTORY: Final = "checkpoint/trajectory.safetensors"
"""Artifact: parameters at some epochs of a trial's training, for probes that follow it."""

PROBE_RESULT: Final = "landscape/result.safetensors"
"""Artifact: what a probe found."""

AUDIT_FILE: Final = "audit/{}.npz"
"""Artifact of an unlearning run: arrays of an audit, by its metric; see :mod:`qlab.experiment.jobs.audit_metrics`."""

NOT_FINITE: Final = "qlab.not_finite"
"""Column: the names of the metrics whose last value is not a number or infinite, a tuple. Of those that are missing in
a run's row of a frame, these were measured."""

MEASURED: Final = "qlab.metrics"
"""Column: a tuple of pairs, the name of each metric of one's own and what its tag says, see :data:`METRIC`."""

AUDITED: Final = "qlab.audits"
"""Column: a tuple of pairs, the metric of each audit and what its tag says, see :data:`AUDIT`."""

END: Final = "qlab.end"
"""Column: when a run ended, milliseconds since 1970 as in "start"; missing while it is running."""

SEEN: Final = "qlab.seen"
"""Column: of a running run the last step of which it logged a metric, and when, milliseconds; a tuple."""

COLUMNS: Final = (
    "run_id",
    "experiment_id",
    "parent_id",
    "name",
    "kind",
    "trial",
    "status",
    "health",
    "start",
    END,
    SEEN,
    ERROR,
    WORKER,
    TEACHER,
    GROUP,
    CURVE,
    NOT_FINITE,
    MEASURED,
    AUDITED,
)
"""Columns every frame of runs has, before those of params (dotted names) and metrics (final values)."""

PLAIN_PARAMS: Final = ("seed", "oracles", "oracle", "shadow", "repeat")
"""Params without a dot in their name."""

UNSTATED: Final = {
    "training.optimizer": "Adam",
    "training.momentum": 0.0,
    "training.weight_decay": 0.0,
    "training.schedule": "constant",
    "training.step_epochs": 30,
    "training.step_factor": 0.1,
    "training.early_stopping": 0,
    "training.holdout": 0.1,
    "training.stop_at": 0.0,
    "training.stop_retain": 0.8,
    "training.loss.type": "CrossEntropy",
    "training.loss.label_smoothing": 0.0,
    "task.layout": "complex",
    "task.solver": "exact",
    "task.periodic": True,
    "task.block_sites": 4,
    "task.where": "last",
    "task.bond_dimension": "auto",
    "task.symmetry": "kept",
    "corruption.known": 1.0,
    "corruption.known_rows": "random",
    "corruption.false_alarms": 0.0,
    "unlearner.budget": 0,
    "model.encoding": "amplitude",
    "model.rotation": "RY",
    "model.encoding_scale": 1.0,
    "model.reupload": 0,
    "model.observable": "Z_last",
    "model.readout": "fixed",
    "model.noise": (),
    "model.shots": "exact",
    "model.evaluate_shots": "exact",
    "model.gradient": "exact",
    "model.activation": "relu",
    "model.dropout": 0.0,
    "model.inputs": "amplitudes",
    "model.sites": 4,
    "probe.step": -1,
}
"""What runs mean that do not have these params: they came when there were stored runs already.

See :class:`qlab.fields.AbsentMeans`; a run has them only if they have another value.
"""
