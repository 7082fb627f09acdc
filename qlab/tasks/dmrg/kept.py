"""Ground states that were found once, in the folder of the user's data: a file each, named by what was wanted."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from qlab.errors import DataError
from qlab.tasks.dmrg.states import Found, Wanted
from qlab.tasks.user_folder import data_folder


def folder() -> Path:
    """Where the files are."""
    return data_folder() / "dmrg"


def path_of(wanted: Wanted) -> Path:
    """The file of a state."""
    return folder() / f"{wanted.key}.npz"


def read(wanted: Wanted) -> Found | None:
    """A state that was found; None if there is no such file, or a damaged one: it is found again then."""
    try:
        with path_of(wanted).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            values = {field.name: file[field.name] for field in dataclasses.fields(Found)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    pauli = values.pop("pauli")
    if pauli.shape != (4**wanted.sites,) or any(value.shape for value in values.values()):
        return None
    return Found(pauli=pauli, **{name: value.item() for name, value in values.items()})


def write(wanted: Wanted, found: Found) -> None:
    """Keeps a state; a file is whole or not there.

    Raises:
        DataError: the folder cannot be written to.
    """
    path = path_of(wanted)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(descriptor, "wb") as file:
                np.savez(file, **found.as_arrays())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(
            f"XXZ: a ground state that DMRG found cannot be kept in {path.parent}: {reason}. QLAB_DATA names another "
            "folder."
        ) from error
