"""Sending what runs left on this machine because their tracking server was away."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path

from mlflow.exceptions import MlflowException

from qlab.errors import StoreAwayError, StoreError
from qlab.tracking import former
from qlab.tracking.faults import explain
from qlab.tracking.redaction import HIDDEN, bare, shown
from qlab.tracking.spool import Header, Spool
from qlab.tracking.store import Store


@dataclasses.dataclass(frozen=True)
class Synced:
    """What was sent.

    Args:
        writes: how many.
        runs: how many runs were made in the store by them.
        store: where to.
        torn: whether the last line was not whole, and left out: of a spool that an earlier version of qlab made.
    """

    writes: int
    runs: int
    store: str
    torn: bool


def sync(folder: Path, uri: str | None = None) -> Synced:
    """Sends a spool to its store and deletes it; what an earlier, interrupted sync has sent is not sent again.

    Args:
        folder: the spool.
        uri: the store's address, if it is not the one the spool was made for.

    Raises:
        StoreError: it is no spool, or of another store, or the store is away, or refuses something. What has not been
            sent stays in the spool.
    """
    torn = former.take_over(folder)
    with contextlib.closing(Spool(folder)) as spool:
        store = Store(uri or _address(spool.header.store, folder), create=False)
        _check_same(spool.header, store, folder)
        known = len(spool.real)
        while _sent_next(store, spool):
            pass
        spool.remove()
    return Synced(spool.sent, len(spool.real) - known, store.location, torn)


def _sent_next(store: Store, spool: Spool) -> bool:
    try:
        return store._patiently(lambda again: spool.send_next(store.client))
    except StoreError as error:
        sent, left = spool.sent, spool.left()
        if not left:
            raise
        if isinstance(error, StoreAwayError):
            where = f"{sent} writes were sent; {left} wait in {spool.folder}: give the command again."
        else:
            where = (
                f"This is {spool.first_left()}. It and the {left - 1} after it wait there; {sent} before it were sent."
            )
        raise StoreError(f"{error} {where}") from None


def _address(kept: str, folder: Path) -> str:
    """The address of a spool's store, which is kept without its password.

    Raises:
        StoreError: it had one, and none is given now.
    """
    if HIDDEN not in kept:
        return kept
    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    if shown(given) == kept:
        return given
    if os.environ.get("MLFLOW_TRACKING_PASSWORD") or os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return bare(kept)
    raise StoreError(
        f"The spool {folder} is for {kept}, and keeps no password. Set MLFLOW_TRACKING_URI to the address with the "
        "password, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
    )


def _check_same(header: Header, store: Store, folder: Path) -> None:
    """Raises StoreError if a store lacks an experiment that a spool writes to: it is not the one it was made for."""
    for experiment_id, (name, made) in header.experiments.items():
        try:
            found = store.client.get_experiment(experiment_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                with explain(store.uri):
                    raise
            found = None
        if found is None or found.name != name or (made is not None and found.creation_time != made):
            raise StoreError(
                f"The spool {folder} is of another store: it was made for {shown(header.store)}, and {store.location} "
                f'has not its MLflow experiment {experiment_id}, "{name}". Give its store with --tracking-uri.'
            )
