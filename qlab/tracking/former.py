"""Spools that an earlier version of qlab left: a header and then one write a line, and how far they have been sent."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import IO

from qlab.errors import StoreError
from qlab.tracking.spool import FORMER, JOURNAL, Header, held_elsewhere, make_journal

_SENT = "sent.jsonl"


def take_over(folder: Path) -> bool:
    """Makes a journal of what a spool in the former format has left to send; another folder stays as it is.

    Returns:
        Whether its last line was cut short, and is left out.

    Raises:
        StoreError: it makes no sense, or a running process of the earlier version holds it.
    """
    former = folder / FORMER
    if not former.exists():
        return False
    try:
        with former.open("r+b") as file:
            if not _lock(file):
                raise held_elsewhere(folder)
            content = file.read()
            first, position, real = content.find(b"\n") + 1, *_sent(folder / _SENT)
            header, end = json.loads(content[:first]), content.rfind(b"\n") + 1
            experiments = {id: (name, made) for id, (name, made) in header["experiments"].items()}
            waiting = content[max(position, first) : end].decode().splitlines()
            (folder / JOURNAL).unlink(missing_ok=True)  # of an attempt that was interrupted: nothing of it was sent
            make_journal(folder, Header(header["store"], experiments), real, waiting).close()
            former.unlink()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{folder} is no spool that can be sent: {former}: {error}.") from None
    return end < len(content)


def _sent(file: Path) -> tuple[int, dict[str, str]]:
    """How far, in bytes, and the ids of runs that the store has given; from a torn line on it is sent again."""
    position = 0
    real: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        for line in file.read_text(encoding="utf-8").splitlines():
            mark = json.loads(line)
            real |= dict([mark["run"]] if mark["run"] else [])
            position = int(mark["position"])
    return position, real


def _lock(file: IO[bytes]) -> bool:
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
