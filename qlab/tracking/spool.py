"""A spool: writes that wait on this machine until their tracking server is back.

A folder with ``journal.jsonl`` (a header, then one write a line, see :mod:`qlab.tracking.writes`), ``files/`` (copies
of the files to be logged) and ``sent.jsonl`` (how far it has been sent, and which runs that made). A line is on the
disk before the write counts as kept. Losing ``sent.jsonl`` loses nothing: sending again does no harm.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Self

from qlab.errors import StoreError
from qlab.tracking import writes

JOURNAL = "journal.jsonl"
SENT = "sent.jsonl"
FILES = "files"

_FORMAT = 1


def default_root() -> Path:
    """Where spools are made: ``QLAB_SPOOL``, else ``mlruns/spool`` under the current folder.

    Results belong where the user works and finds them, not in a cache that may be emptied, nor in a home directory that
    a cluster keeps small.
    """
    return Path(os.environ.get("QLAB_SPOOL") or Path("mlruns") / "spool").absolute()


def spools(root: Path) -> list[Path]:
    """The spools in a folder, oldest first."""
    return sorted(path.parent for path in root.glob(f"*/{JOURNAL}"))


@dataclasses.dataclass(frozen=True)
class Header:
    """What a spool is of.

    Args:
        store: the tracking URI.
        experiments: the MLflow experiments written to, name and time of creation by id; together they tell one store
            from another at the same address.
    """

    store: str
    experiments: Mapping[str, tuple[str, int | None]]

    def to_json(self) -> str:
        """The header as one line."""
        return json.dumps({"spool": _FORMAT, **dataclasses.asdict(self)})

    @classmethod
    def from_json(cls, line: str) -> Self:
        """The header that a line says.

        Raises:
            ValueError: it says none.
        """
        found = json.loads(line)
        if not isinstance(found, dict) or found.get("spool") != _FORMAT:
            raise ValueError("it does not begin with a header that this version of qlab knows")
        try:
            experiments = {str(key): (str(name), made) for key, (name, made) in found["experiments"].items()}
            return cls(str(found["store"]), experiments)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"its header is not complete: {error}") from None


class Spool:
    """One spool, held by this process alone.

    Args:
        folder: of a spool, see :meth:`make` for a new one.

    Raises:
        StoreError: it is no spool, or another process holds it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            # Unbuffered: what cannot be written must not come out with the next line.
            self._journal: IO[bytes] = (folder / JOURNAL).open("r+b", buffering=0)
        except OSError as error:
            raise StoreError(f"{folder} is no spool: {error.strerror}: {folder / JOURNAL}.") from None
        _hold(self._journal, folder)
        self._reader = (folder / JOURNAL).open("rb")
        try:
            self.header = Header.from_json(self._reader.readline().decode())
        except ValueError as error:
            self.close()
            raise StoreError(f"{folder} is no spool that can be sent: {error}.") from None
        self._next = self._reader.tell()
        self._end, self.torn = self._last_newline()
        self.sent = 0
        self.real: dict[str, str] = {}
        self._go_on()
        self._marks = (folder / SENT).open("a", encoding="utf-8")

    @classmethod
    def make(cls, root: Path, header: Header) -> Self:
        """A new spool in a folder of its own.

        Raises:
            StoreError: it cannot be written.
        """
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        try:
            root.mkdir(parents=True, exist_ok=True)
            folder = next(path for path in _numbered(root / name) if not path.exists())
            (folder / FILES).mkdir(parents=True)
            with (folder / JOURNAL).open("xb") as journal:
                journal.write(header.to_json().encode() + b"\n")
                _to_disk(journal)
            return cls(folder)
        except OSError as error:
            raise _unwritable(root, error) from None

    @property
    def position(self) -> int:
        """How far it has been sent, in bytes."""
        return self._next

    def left(self) -> int:
        """How many writes are still to be sent."""
        with (self.folder / JOURNAL).open("rb") as journal:
            journal.seek(self._next)
            return journal.read(self._end - self._next).count(b"\n")

    def append(self, write: writes.Write) -> writes.Write:
        """Keeps a write, its file included; returns it as it will be sent.

        Raises:
            StoreError: it cannot be kept.
        """
        try:
            if isinstance(write, writes.LogFile):
                write = dataclasses.replace(write, file=self._kept(Path(write.file)))
            self._add(write.to_json().encode() + b"\n")
        except OSError as error:
            raise _unwritable(self.folder, error) from None
        return self._placed(write)

    def next(self) -> writes.Write | None:
        """The first write that has not been sent.

        Raises:
            StoreError: the line makes no sense.
        """
        if self._next >= self._end:
            return None
        self._reader.seek(self._next)
        try:
            return self._placed(writes.from_json(self._reader.readline().decode()))
        except ValueError as error:
            raise StoreError(
                f"{self.folder / JOURNAL}: the line at byte {self._next} cannot be sent: {error}. It can be deleted by "
                "hand; what follows it is whole."
            ) from None

    def mark_sent(self, made: tuple[str, str] | None = None) -> None:
        """Takes down that the first unsent write has been sent, and which run the store made of which."""
        self._reader.seek(self._next)
        self._reader.readline()
        self._next = self._reader.tell()
        self.sent += 1
        if made is not None:
            self.real[made[0]] = made[1]
        self._marks.write(json.dumps({"position": self._next, "run": made}) + "\n")
        self._marks.flush()

    def close(self) -> None:
        """Lets go of it."""
        for file in (self._journal, getattr(self, "_reader", None), getattr(self, "_marks", None)):
            if file is not None:
                file.close()

    def remove(self) -> None:
        """Deletes it, once all is sent; and the folder of spools if it was the last."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        for folder in (self.folder.parent, self.folder.parent.parent):
            try:
                folder.rmdir()
            except OSError:  # there is something else in it
                return

    def _add(self, line: bytes) -> None:
        """Adds a line to the journal, whole or not at all."""
        try:
            self._journal.seek(self._end)
            rest = memoryview(line)
            while rest:
                rest = rest[self._journal.write(rest) :]
            _to_disk(self._journal)
        except OSError:
            with contextlib.suppress(OSError):
                self._journal.truncate(self._end)
            raise
        self._end += len(line)

    def _kept(self, file: Path) -> str:
        """Copies a file into the spool; the name of the copy, relative to it."""
        folder = next(path for path in _numbered(self.folder / FILES / str(self._end)) if not path.exists())
        folder.mkdir()
        with file.open("rb") as source, (folder / file.name).open("xb") as copy:
            shutil.copyfileobj(source, copy)
            _to_disk(copy)
        return (folder / file.name).relative_to(self.folder).as_posix()

    def _placed(self, write: writes.Write) -> writes.Write:
        """A write with the place of its file on this machine."""
        if isinstance(write, writes.LogFile):
            return dataclasses.replace(write, file=str(self.folder / write.file))
        return write

    def _last_newline(self) -> tuple[int, bool]:
        """Where the last complete line ends, and whether something follows it: the power may have failed."""
        content = (self.folder / JOURNAL).read_bytes()
        end = content.rfind(b"\n") + 1
        return end, end < len(content)

    def _go_on(self) -> None:
        """Takes up where an earlier process stopped sending."""
        try:
            lines = (self.folder / SENT).read_text(encoding="utf-8").splitlines()
        except OSError:
            return
        for line in lines:
            try:
                mark: Any = json.loads(line)
                position, run = int(mark["position"]), mark["run"]
            except (ValueError, KeyError, TypeError):  # cut short: what it says is sent again
                return
            self._next = min(position, self._end)
            if run is not None:
                self.real[str(run[0])] = str(run[1])


def _numbered(path: Path) -> Any:
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.name}-{number}")
        number += 1


def _to_disk(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _hold(file: IO[bytes], folder: Path) -> None:
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            file.close()
            raise StoreError(f"The spool {folder} is held by a running qlab process, which sends it itself.") from None


def _unwritable(folder: Path, error: OSError) -> StoreError:
    return StoreError(
        f"The tracking server is away, and its writes cannot be kept in {folder}: {error.strerror}. Make room there, "
        "or set QLAB_SPOOL to another folder."
    )
