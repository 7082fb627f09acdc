"""The lock of an experiment in an embedded store: a file beside the store that the operating system locks.

The system lets go of the lock when its process ends, however that comes about, so that a holder that died holds
nothing. The file stays: it is the lock on it that counts, and what it says is for people. Deleting it is harmless
while nobody runs the experiment.

On a disk that several machines share the lock is as good as the disk's own locks, which SQLite stands on as well.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from pathlib import Path
from typing import Final
from urllib.parse import quote

from qlab.errors import StoreError
from qlab.tracking.holding import Holder, Lock, TakenOver
from qlab.tracking.store import Store
from qlab.tracking.workers import Worker

if sys.platform != "win32":
    import fcntl

_FOLDER: Final = "locks"

_READS = 30
_PAUSE_SECONDS = 0.01
"""A holder has the lock a moment before the file says so: it is read so often, with such pauses."""

_LENGTH = 4096
"""No description of a holder has more bytes."""


class FileLock(Lock):
    """A lock on a file beside an embedded store.

    Args:
        store: where the experiment is.
        experiment_id: the MLflow experiment.
        file: the store's database.
        poll: seconds between two looks of who waits.
    """

    def __init__(self, store: Store, experiment_id: str, file: Path, *, poll: float = 0.5) -> None:
        self._descriptor: int | None = None
        file = file.resolve()
        self._database = file
        self.path = file.parent / _FOLDER / f"{file.name}-{quote(experiment_id, safe='')}.lock"
        super().__init__(store, experiment_id, poll)

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def holder(self) -> Holder | None:
        """Who holds the lock now; None if nobody does, as far as may be read here."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:  # of another user; then what the runs say of themselves is all there is to know
            return Holder()
        try:
            return self._holder_of(descriptor)
        finally:
            os.close(descriptor)

    def confirm(self) -> None:
        """Makes sure that nobody has deleted the file and locked another in its place.

        Raises:
            TakenOver: that has happened.
        """
        if self._descriptor is None or self._is_in_place(self._descriptor):
            return
        holder = self.holder()
        if holder is not None:
            raise TakenOver(self._name(), f"The lock {self.path} was deleted while this command held it", holder)

    def release(self) -> None:
        """Gives the lock back."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
            # Said as well as done by closing: a process that was forked without Python's knowledge may have it open.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def _try(self) -> Holder | None:
        while True:
            self._descriptor = descriptor = self._open()
            try:
                taken = self._flock(descriptor, fcntl.LOCK_EX) and self._is_in_place(descriptor)
            except BaseException:
                self._forget()
                raise
            if taken:
                self._describe(descriptor)
                return None
            self._forget()
            if (holder := self.holder()) is not None:
                return holder
            time.sleep(_PAUSE_SECONDS)  # a reader was looking, the file was deleted, or the holder has just ended

    def _forget(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        """The file, made if there is none, for those that may write the database."""
        try:
            mode = stat.S_IMODE(self._database.stat().st_mode) & 0o666
            if not self.path.parent.exists():
                with contextlib.suppress(FileExistsError):
                    self.path.parent.mkdir()
                    self.path.parent.chmod(stat.S_IMODE(self._database.parent.stat().st_mode))
            with contextlib.suppress(FileExistsError):
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
                with contextlib.suppress(OSError):
                    os.fchmod(descriptor, mode)
                return descriptor
            return os.open(self.path, os.O_RDWR | os.O_CREAT, mode)
        except OSError as error:
            raise StoreError(
                f"The store {self._store.location} cannot be locked: {error.strerror}: {self.path}. It has to be "
                "writable for who runs experiments."
            ) from None

    def _flock(self, descriptor: int, kind: int) -> bool:
        """Locks an open file; False if another has it."""
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # some disks of networks say the latter
            return False
        except OSError as error:
            raise StoreError(
                f"The store {self._store.location} cannot be locked: {error.strerror}. Its disk has no locks; put it "
                "on another, or use a tracking server."
            ) from None
        return True

    def _is_in_place(self, descriptor: int) -> bool:
        """Whether an open file is the one at the path."""
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except OSError:
            return False

    def _describe(self, descriptor: int) -> None:
        with contextlib.suppress(OSError):  # a full disk; then others wait for "another process"
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, Worker.here().show().encode(), 0)

    def _holder_of(self, descriptor: int) -> Holder | None:
        for _ in range(_READS):
            try:
                # Shared with other readers; who wants the lock at the same moment tries again.
                if self._flock(descriptor, fcntl.LOCK_SH):
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
                    return None
            except StoreError:  # where there are no locks nobody holds one
                return None
            worker = Worker.parse(os.pread(descriptor, _LENGTH, 0).decode(errors="replace"))
            if worker is not None and worker.process_exists() is not False:
                return Holder(worker)
            time.sleep(_PAUSE_SECONDS)
        return Holder()
