"""Runs that nothing needs any more, and taking them away."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from qlab.tracking import frames, names
from qlab.tracking.configs import read_configs
from qlab.tracking.grouped.address import is_member
from qlab.tracking.lock import experiment_lock
from qlab.tracking.store import Store

FINISHED_LATER: Final = "did not finish, and was run again"
DUPLICATE: Final = "finished more than once"
UNLISTED: Final = "its experiment run no longer exists"

_BELONGING = (names.ORACLE, names.SHADOW)
"""What has an identity of its own, and belongs to its teacher."""

_KINDS = (names.TRIAL, names.SELECTION, names.UNLEARNING, names.PROBE, *_BELONGING)


@dataclasses.dataclass(frozen=True)
class Garbage:
    """A run that nothing needs.

    Args:
        run_id: the run.
        name: for people.
        kind: see :mod:`qlab.tracking.names`.
        reason: why it is not needed.
        size: of its artifacts, in bytes; None if they are not on this machine.
    """

    run_id: str
    name: str
    kind: str
    reason: str
    size: int | None


def find_garbage(store: Store, experiment_ids: Sequence[str]) -> list[Garbage]:
    """The runs of some MLflow experiments that can go.

    Runs without the tag ``qlab.kind``, experiments' own runs, and those that are being run always stay.
    """
    found: list[Garbage] = []
    for experiment_id in experiment_ids:
        frame = frames.runs(store, [experiment_id])
        own = frame[frame["kind"].isin(_KINDS) & frame["trial"].notna()]
        if own.empty:
            continue
        reasons = _unlisted(store, frame, own) | _superseded(own)
        idle = own if experiment_lock(store, experiment_id).holder() is None else own[own["status"] != "RUNNING"]
        for row in idle[idle["run_id"].isin(reasons)].to_dict("records"):
            run_id = str(row["run_id"])
            size = _size(store, run_id)
            found.append(Garbage(run_id, str(row["name"]), str(row["kind"]), reasons[run_id], size))
    return found


def delete(store: Store, garbage: Sequence[Garbage]) -> None:
    """Marks runs as deleted; MLflow keeps them until ``mlflow gc``."""
    for item in garbage:
        store.delete_run(item.run_id)
    store.flush()


def _superseded(own: pd.DataFrame) -> dict[str, str]:
    """Runs of what has (another) finished run: the last one of those is kept."""
    kept = frames.latest_per_trial(own)
    kept = kept[kept["status"] == "FINISHED"]
    others = own[own["trial"].isin(kept["trial"]) & ~own["run_id"].isin(kept["run_id"])]
    return {
        str(run_id): DUPLICATE if status == "FINISHED" else FINISHED_LATER
        for run_id, status in zip(others["run_id"], others["status"], strict=True)
    }


def _unlisted(store: Store, frame: pd.DataFrame, own: pd.DataFrame) -> dict[str, str]:
    """Runs that belong to the content of no parent run; none if it is not known what belongs to one of them."""
    listed: set[str] = set()
    for parent in frame[frame["kind"] == names.EXPERIMENT]["run_id"]:
        configs = read_configs(store, str(parent))
        if configs is None:
            return {}
        listed |= configs.keys()
    # Teachers that only a selection's methods had are in no list of their own.
    taught = own[own["trial"].isin(listed)][names.TEACHER]
    listed |= set(taught.dropna().astype(str))
    belonging = own["trial"].where(~own["kind"].isin(_BELONGING), own[names.TEACHER])
    return dict.fromkeys(own[~belonging.isin(listed)]["run_id"].astype(str), UNLISTED)


def _size(store: Store, run_id: str) -> int | None:
    if is_member(run_id):
        return sum(store.files(run_id).values())
    place = Path(store.artifact_place(run_id))
    if not place.is_absolute():
        return None
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
