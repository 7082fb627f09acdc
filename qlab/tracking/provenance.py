"""Where a run comes from: version, user and git commit."""

from __future__ import annotations

import contextlib
import functools
import getpass
import subprocess
from pathlib import Path

from qlab.tracking import names
from qlab.tracking.redaction import redact
from qlab.version import __version__


def tags(source: str) -> dict[str, str]:
    """Tags that every run carries.

    Args:
        source: the experiment file, as the user named it.
    """
    found = {names.VERSION: __version__, names.SOURCE: redact(source)}
    commit = _commit(Path.cwd())
    if commit:
        found[names.COMMIT] = commit
    with contextlib.suppress(OSError, KeyError):  # a container may run as a user without a name
        found[names.USER] = getpass.getuser()
    return found


@functools.cache
def _commit(folder: Path) -> str | None:
    """The commit checked out in a folder, with "-dirty" if files differ from it; None outside a repository."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None if result.returncode == 0 else None
