"""Words for axes and headings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

TITLES = {
    "validation_accuracy": "validation accuracy (clean data)",
    "forget_accuracy_polluted": "forget accuracy (polluted labels)",
    "forget_accuracy_clean": "forget accuracy (clean labels)",
    "retain_accuracy": "retain accuracy",
    "train_accuracy": "training accuracy",
    "validation_loss": "validation loss",
    "train_loss": "training loss",
}
"""Metrics logged at every step, and what to write beside an axis."""

APART = {
    "known_accuracy_polluted": "accuracy on known rows (polluted labels)",
    "known_accuracy_clean": "accuracy on known rows (clean labels)",
    "hidden_accuracy_polluted": "accuracy on hidden rows (polluted labels)",
    "hidden_accuracy_clean": "accuracy on hidden rows (clean labels)",
    "false_alarm_accuracy": "accuracy on clean rows named by mistake",
}
"""The same of methods that are not told all corrupted rows, or clean ones with them."""


NOISE: Final = re.compile(r"model\.noise\.\d+\.(\w+)")
"""A param of a channel of noise."""

STRENGTH: Final = "strength"
"""The axis of how strong noise is, whatever the channels call it."""

_STRENGTHS: Final = {
    "p": "error probability p",
    "gamma": "damping probability γ",
    "t1": "relaxation time T1 (unit of the gate time)",
    "t2": "dephasing time T2 (unit of the gate time)",
    "tg": "gate time (unit of T1 and T2)",
}

_SHORT: Final = {"gamma": "γ", "t1": "T1", "t2": "T2"}

_PARAMS: Final = {
    "corruption.ratio": "corruption ratio",
    "corruption.known": "fraction of corrupted rows known",
    "probe.step": "unlearning step",
}

_ENDS: Final = {
    "corrective_accuracy": "corrective accuracy (true labels)",
    "reachable_gap": "gap to what retraining can reach",
    "oracle_gap": "gap to the oracle",
    "oracle_accuracy": "oracle's validation accuracy",
    "oracle_accuracy_std": "noise floor of the gap",
    "oracle_kl": "divergence from the oracle (nats)",
    "oracle_kl_floor": "noise floor of the divergence (nats)",
    "membership_auc": "membership AUC",
    "membership_auc_oracle": "membership AUC of the oracle",
    "relearn_steps": "steps to relearn",
    "steps_to_oracle": "steps to the oracle's accuracy",
    "unlearning_seconds": "time (s)",
    "klom_forget_excess": "KLoM above oracles' (forget rows, nats)",
    "klom_hidden_excess": "KLoM above oracles' (hidden rows, nats)",
}
"""Metrics at the end of unlearning."""

_PROBED: Final = {
    "hessian_trace": "Hessian trace",
    "hessian_eigenvalue_max": "largest Hessian eigenvalue",
    "hessian_eigenvalue_min": "lowest Hessian eigenvalue",
}
"""Metrics of probes."""

_COLUMNS: Final = {
    "ratio": "corruption ratio",
    "left_out": "left out",
    "kept": "runs kept",
    "low": "95 % interval from",
    "high": "95 % interval to",
    "against": "control",
    "probe_type": "probe's class",
}
"""Columns of summaries that are no metrics."""

_COUNTS: Final = ("_steps", "_evaluations", "_models", "_oracles", "_epochs")

_UNITS: Final = {"model.depth": "layers", "training.epochs": "epochs", "training.batch_size": "rows"}

_PLACE: Final = re.compile(r"\bnoise\.\d+=")


def named(name: str) -> str:
    """A metric or param in words: ``training.learning_rate`` as "learning rate"."""
    if name in _PARAMS:
        return _PARAMS[name]
    return (TITLES | APART | _ENDS | _PROBED).get(name, name.rpartition(".")[2].replace("_", " "))


def heading(name: str) -> str:
    """A column of a table in words, with its unit; labels are called what they are."""
    return _COLUMNS.get(name) or _with_unit(name)


def is_count(metric: str) -> bool:
    """Whether a metric counts something: steps, evaluations."""
    return metric.endswith(_COUNTS) or metric.startswith("steps_")


def axis_words(axis: Sequence[str]) -> str:
    """An axis in words, of which the params are alternatives; strengths of noise with what they are."""
    noise = [found[1] for name in axis if (found := NOISE.fullmatch(name))]
    if len(noise) == len(axis):
        own = list(dict.fromkeys(noise))
        return (
            _STRENGTHS.get(own[0], f"noise: {own[0]}")
            if len(own) == 1
            else f"noise strength ({', '.join(_SHORT.get(name, name) for name in own)})"
        )
    return " or ".join(dict.fromkeys(_with_unit(name) for name in axis))


def _with_unit(name: str) -> str:
    text = named(name)
    return f"{text} ({unit})" if (unit := _UNITS.get(name)) and text != unit else text


def without_places(label: str) -> str:
    """A label without where in the list of noise a channel stands: "PennyLaneQNN BitFlip"."""
    return _PLACE.sub("", label)
