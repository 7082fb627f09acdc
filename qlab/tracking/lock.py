"""One lock for each MLflow experiment, held by the command that runs it."""

from __future__ import annotations

import sys

from qlab.tracking.file_lock import FileLock
from qlab.tracking.holding import Lock
from qlab.tracking.lease import Lease
from qlab.tracking.store import Store
from qlab.tracking.uri import embedded_file


def experiment_lock(store: Store, experiment_id: str) -> Lock:
    """The lock of an experiment; nobody has taken it by making this object.

    In an embedded store it is a lock of the operating system on a file beside it, elsewhere (on a tracking server, in
    a database, and on Windows) a lease in the store. Use as a context manager, so that it is released whatever
    happens.
    """
    file = embedded_file(store.uri)
    if file is None or sys.platform == "win32":
        return Lease(store, experiment_id)
    return FileLock(store, experiment_id, file)
