"""Whether two addresses are of one store: other spellings, links, a server and the database behind it."""

from __future__ import annotations

import contextlib
import uuid
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException

from qlab.errors import ConfigError
from qlab.tracking import names
from qlab.tracking.faults import explain
from qlab.tracking.redaction import bare, shown
from qlab.tracking.store import Store
from qlab.tracking.uri import embedded_file, is_server

_PORTS = {"http": 80, "https": 443}


def check_addresses(source: str, destination: str) -> None:
    """Compares two tracking URIs, and opens no store.

    Raises:
        ConfigError: they are of one store.
    """
    files = embedded_file(source), embedded_file(destination)
    same = _place(source) == _place(destination)
    if files[0] is not None and files[1] is not None:
        same = files[0].resolve() == files[1].resolve()
        with contextlib.suppress(OSError):  # one is missing
            same = same or files[0].samefile(files[1])
    if same:
        raise _refusal(source, destination)


def check_contents(source: Store, destination: Store) -> None:
    """Looks whether what is written to one store can be read in the other; asked only where both have an experiment
    that was made at one time, as a copy of a database has too. Nothing of it is left.

    Raises:
        ConfigError: they are one store.
    """
    if embedded_file(source.uri) is not None and embedded_file(destination.uri) is not None:
        return  # files are told apart by what they are
    for name in sorted(source.experiment_names() & destination.experiment_names()):
        with explain(destination.uri):
            theirs = destination.client.get_experiment_by_name(name)
        with explain(source.uri):
            ours = source.client.get_experiment_by_name(name)
        if (ours.experiment_id, ours.creation_time) == (theirs.experiment_id, theirs.creation_time):
            if _is_seen(source, destination, str(ours.experiment_id)):
                raise _refusal(source.uri, destination.uri)
            return


def _is_seen(source: Store, destination: Store, experiment_id: str) -> bool:
    mark = uuid.uuid4().hex
    with explain(destination.uri):
        destination.client.set_experiment_tag(experiment_id, names.COPIED, mark)
        try:
            with explain(source.uri):
                return bool(source.client.get_experiment(experiment_id).tags.get(names.COPIED) == mark)
        finally:
            with contextlib.suppress(MlflowException):
                destination.client.delete_experiment_tag(experiment_id, names.COPIED)


def _place(uri: str) -> tuple[object, ...]:
    """What of an address says which store it is: neither case nor user, and the port also where it is the usual one."""
    try:
        parts = urlsplit(bare(uri))
        port = parts.port or _PORTS.get(parts.scheme.lower())
    except ValueError:
        return (uri,)
    if not parts.hostname:
        return (uri,)
    scheme = "http" if is_server(uri) else parts.scheme.lower().partition("+")[0]
    return (scheme, parts.hostname.lower(), port, parts.path.rstrip("/"), parts.query)


def _refusal(source: str, destination: str) -> ConfigError:
    return ConfigError(
        f"{shown(source)} and {shown(destination)} are the same store: a copy needs two. Nothing was copied."
    )
