"""The scoreboard of unlearning: methods beside the models before unlearning and the oracles, a row each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qlab.reading.axes import positions
from qlab.reading.known import KNOWN
from qlab.tracking import frames, names
from qlab.views.kept import ending, joined, measured, numbers_of, spread
from qlab.views.labels import in_order, labelled
from qlab.views.summary import TEST

METHOD, BEFORE, ORACLE, REACHABLE = "method", "before unlearning", "oracle", "reachable oracle"
"""What a row is of."""

COLUMNS: Final = (
    *("validation_accuracy", "retain_accuracy", "forget_accuracy_polluted", "forget_accuracy_clean"),
    *("corrective_accuracy", "hidden_accuracy_clean", "oracle_gap", "oracle_accuracy_std"),
    *("oracle_kl", "oracle_kl_floor", "klom_forget_excess", "klom_hidden_excess", "membership_auc"),
    *("steps_to_oracle", "relearn_steps", "gradient_evaluations", "loss_evaluations", "unlearning_seconds"),
)
"""The metrics of the scoreboard, in order; those that no row has are left out, metrics of one's own are added."""

_KEYS: Final = ("model", "corruption", "ratio")
_TRAINED: Final = (*COLUMNS[:4], TEST)
_GAP, _FLOOR = "oracle_gap", "oracle_accuracy_std"

_AUDITED: Final = ("klom_forget", "klom_hidden")
_REFERENCES: Final = (
    "corrective_accuracy_teacher",
    *(f"{audit}_{end}" for audit in _AUDITED for end in ("teacher", "floor")),
    *(f"{kind}_{what}" for kind in ("oracle", "reachable") for what in ("accuracy", "accuracy_std", "kl_floor")),
    *(f"{what}_{kind}" for kind in ("oracle", "reachable") for what in ("corrective_accuracy", "membership_auc")),
)
"""Metrics of unlearning runs that say something of the models to compare them with."""

Values = dict[str, NDArray[np.float64]]


@dataclasses.dataclass(frozen=True, eq=False)
class Scoreboard:
    """A scoreboard, and the runs behind it.

    Args:
        table: a row for each model, corruption, ratio and method, in this order, methods below the models before
            unlearning and the oracles that they are compared with: ``model``, ``corruption``, ``ratio``, ``method``,
            ``row`` (:data:`METHOD`, :data:`BEFORE`, :data:`ORACLE` or :data:`REACHABLE`), for each of :data:`COLUMNS`
            that some row has ``<metric>_mean``, ``<metric>_std`` (n - 1) and ``<metric>_n``, then ``kept``, ``runs``
            and ``left_out``.
        runs: the ids of the runs that each row is of.
    """

    table: pd.DataFrame
    runs: tuple[tuple[str, ...], ...]


def scoreboard(unlearned: pd.DataFrame, every: pd.DataFrame, labels: pd.DataFrame | None = None) -> Scoreboard:
    """The scoreboard of unlearning runs.

    A run counts if it finished and did not diverge, with those of its metrics that are finite. Numbers of models before
    unlearning are those of their trials, numbers of oracles what unlearning runs say of them, once for each trained
    model. The gap of an oracle is 0; its deviation is that of oracles among themselves (over models, where each has one
    oracle), below which a gap says nothing.

    Args:
        unlearned: one row for each unlearning run, see :func:`qlab.tracking.frames.latest_per_trial`.
        every: all runs of the experiment, trials and oracles among them.
        labels: of the unlearning runs, see :func:`qlab.views.labels.labelled`; by default what tells these apart.
    """
    own = (name for name in measured(unlearned) if name not in (*COLUMNS, TEST))
    metrics = [*COLUMNS[:1], TEST, *COLUMNS[1:], *own]
    work = (labelled(unlearned, "method") if labels is None else labels).assign(reason=ending(unlearned))
    runs = _numbers(unlearned, metrics)
    known = _Known(every)
    rows = []
    for key, members in work.groupby(list(_KEYS), sort=False, dropna=False):
        here = runs.loc[members.index]
        shared = _shared(here)
        references, floor = list(known.rows(here, shared)), _floor(shared)
        of_methods = [_of_method(name, here.loc[own.index], own["reason"]) for name, own in members.groupby("method")]
        for name, kind, values, counts, ids in [*references, *of_methods]:
            row = dict(zip(_KEYS, key, strict=True)) | {"method": name, "row": kind} | _summed(values, metrics) | counts
            if kind == ORACLE and row[f"{_GAP}_n"]:
                row[f"{_GAP}_std"] = floor[0]
            if kind in (ORACLE, METHOD):
                row |= dict(zip((f"{_FLOOR}_mean", f"{_FLOOR}_std", f"{_FLOOR}_n"), floor, strict=True))
            rows.append((row, ids))
    return _ordered(rows, metrics)


def _numbers(frame: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    """What is needed of unlearning runs, metrics as numbers."""
    told = [name for name in ("run_id", names.TEACHER, KNOWN) if name in frame]
    wanted = [name for name in dict.fromkeys((*metrics, *_REFERENCES)) if name in frame]
    found = frame[told].assign(**{name: numbers_of(frame, name) for name in wanted})
    return found.replace([np.inf, -np.inf], np.nan)


def _ordered(rows: list[tuple[dict[str, Any], tuple[str, ...]]], metrics: list[str]) -> Scoreboard:
    if not rows:
        return Scoreboard(pd.DataFrame(columns=[*_KEYS, "method", "row", "kept", "runs", "left_out"]), ())
    order = {BEFORE: 0, ORACLE: 1, REACHABLE: 2, METHOD: 3}
    table = pd.DataFrame([row for row, _ in rows])
    table = table.assign(_place=range(len(table)), _order=table["row"].map(order))
    table = in_order(table, [*_KEYS, "_order", "method"])
    shown = [metric for metric in metrics if (table[f"{metric}_n"] > 0).any()]
    numbers = [f"{metric}_{part}" for metric in shown for part in ("mean", "std", "n")]
    columns = [*_KEYS, "method", "row", *numbers, "kept", "runs", "left_out"]
    return Scoreboard(table[columns], tuple(rows[place][1] for place in table["_place"]))


_Row = tuple[str, str, Values, dict[str, Any], tuple[str, ...]]


def _of_method(name: Any, runs: pd.DataFrame, reasons: pd.Series[str]) -> _Row:
    kept = runs[(reasons == "").to_numpy()]
    own = [name for name in kept if name not in ("run_id", names.TEACHER, KNOWN)]
    values = dict(zip(map(str, own), kept[own].to_numpy(dtype=float).T, strict=True))
    counts = {"kept": len(kept), "runs": len(runs), "left_out": joined(reasons)}
    return str(name), METHOD, values, counts, tuple(map(str, runs["run_id"]))


def _summed(values: Mapping[str, NDArray[np.float64]], metrics: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for metric in metrics:
        own = values.get(metric, np.empty(0))
        own = own[np.isfinite(own)]
        found[f"{metric}_mean"], found[f"{metric}_std"] = spread(own)
        found[f"{metric}_n"] = len(own)
    return found


def _shared(here: pd.DataFrame) -> pd.DataFrame:
    """What all unlearning runs of a trained model say of it and of its oracles, by the model."""
    if names.TEACHER not in here:
        return pd.DataFrame(columns=list(_REFERENCES), dtype=float)
    known = [name for name in _REFERENCES if name in here]
    return here.groupby(names.TEACHER, sort=False)[known].first().reindex(columns=list(_REFERENCES)).astype(float)


def _floor(shared: pd.DataFrame) -> tuple[float, float, int]:
    """The noise floor of a gap to oracles: mean and deviation of the oracles' own deviations, and how many these are.

    With one oracle for each model it is the deviation of all of them.
    """
    among = shared[_FLOOR].dropna().to_numpy()
    if len(among):
        return (*spread(among), len(among))
    over = shared["oracle_accuracy"].dropna().to_numpy()
    return spread(over)[1], np.nan, len(over) if len(over) > 1 else 0


class _Known:
    """Trials and oracles of an experiment, to compare methods with."""

    def __init__(self, every: pd.DataFrame) -> None:
        about = ["run_id", "trial", "status", "health", "start"]
        told = [name for name in (*about, names.TEACHER, KNOWN, *_TRAINED) if name in every]
        trials = frames.latest_per_trial(every.loc[every["kind"] == names.TRIAL, told])
        trials = trials[np.array([not reason for reason in ending(trials)], dtype=bool)]
        self._trials = trials.drop_duplicates("trial").set_index("trial", drop=False)
        self._oracles = every.loc[every["kind"] == names.ORACLE, told]

    def rows(self, here: pd.DataFrame, shared: pd.DataFrame) -> Iterator[_Row]:
        """Those of one model, corruption and ratio.

        Args:
            here: the unlearning runs.
            shared: see :func:`_shared`.
        """
        teachers = list(shared.index)
        own = self._trials[self._trials.index.isin(teachers)]
        below = self._oracles[self._oracles[names.TEACHER].isin(teachers)]
        fractions = positions(below, KNOWN) if KNOWN in below else pd.Series(np.nan, index=below.index)
        told = set(positions(here, KNOWN).dropna()) if KNOWN in here else set()
        for kind, values, runs in (
            (BEFORE, _before(shared, own), own),
            (ORACLE, _of_oracles(shared, "oracle"), below[fractions.isna()]),
            (REACHABLE, _of_oracles(shared, "reachable"), below[fractions.isin(told)]),
        ):
            if any(np.isfinite(value).any() for value in values.values()):
                counts = {"kept": len(own), "runs": len(teachers), "left_out": ""}
                yield kind, kind, values, counts, tuple(map(str, runs["run_id"]))


def _before(shared: pd.DataFrame, own: pd.DataFrame) -> Values:
    """Models before unlearning.

    Args:
        shared: see :func:`_shared`.
        own: their trials.
    """
    accuracy = pd.Series(numbers_of(own, "validation_accuracy"), index=own.index)
    found = {name: numbers_of(own, name) for name in _TRAINED}
    found[_GAP] = (accuracy - shared["oracle_accuracy"]).to_numpy()
    found["corrective_accuracy"] = shared["corrective_accuracy_teacher"].to_numpy()
    for name in _AUDITED:
        found[f"{name}_excess"] = (shared[f"{name}_teacher"] - shared[f"{name}_floor"]).to_numpy()
    return found


def _of_oracles(shared: pd.DataFrame, kind: str) -> Values:
    """Oracles of all corrupted rows ("oracle"), or of the known ones only ("reachable")."""
    return {
        "validation_accuracy": shared[f"{kind}_accuracy"].to_numpy(),
        _GAP: (shared[f"{kind}_accuracy"] - shared["oracle_accuracy"]).to_numpy(),
        "oracle_kl_floor": shared[f"{kind}_kl_floor"].to_numpy(),
        "corrective_accuracy": shared[f"corrective_accuracy_{kind}"].to_numpy(),
        "membership_auc": shared[f"membership_auc_{kind}"].to_numpy(),
    }
