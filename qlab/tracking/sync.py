"""Sending what runs left on this machine because their tracking server was away."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from mlflow.exceptions import MlflowException

from qlab.errors import StoreAwayError, StoreError
from qlab.tracking import writes
from qlab.tracking.faults import explain
from qlab.tracking.redaction import HIDDEN, bare, shown
from qlab.tracking.spool import JOURNAL, Header, Spool
from qlab.tracking.spooling import send
from qlab.tracking.store import Store


@dataclasses.dataclass(frozen=True)
class Synced:
    """What was sent.

    Args:
        writes: how many.
        runs: how many runs were made in the store by them.
        store: where to.
        torn: whether the last line was not whole, and left out.
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
    spool = Spool(folder)
    try:
        store = _Named(uri or _address(spool.header.store, folder), spool.real)
        _check_same(spool.header, store, folder)
        created = []
        while (write := spool.next()) is not None:
            made = _send_next(store, spool, write)
            if isinstance(write, writes.CreateRun) and made is not None:
                spool.mark_sent((write.run, made))
                created.append((write, made))
            else:
                spool.mark_sent()
        for run, made in created:
            with explain(store.uri):
                run.remove_twins(store.client, made)
    except BaseException:
        spool.close()
        raise
    found = Synced(spool.sent, len(created), store.location, spool.torn)
    spool.remove()
    return found


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


class _Named(Store):
    """A store that knows runs by the ids their writer made, as far as they have been sent."""

    def __init__(self, uri: str, real: dict[str, str]) -> None:
        super().__init__(uri, create=False)
        self._real = real

    def known_as(self, run_id: str) -> str:
        return self._real.get(run_id, run_id)


def _send_next(store: Store, spool: Spool, write: writes.Write) -> str | None:
    try:
        return store._patiently(lambda again: send(store, write))
    except StoreAwayError as error:
        raise StoreError(
            f"{error} {spool.sent} writes were sent; {spool.left()} wait in {spool.folder}: give the command again."
        ) from None
    except StoreError as error:
        raise StoreError(
            f"{error} This is the line at byte {spool.position} of {spool.folder / JOURNAL}. It and the "
            f"{spool.left() - 1} after it wait there; {spool.sent} before it were sent."
        ) from None


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
