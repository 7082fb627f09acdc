"""Commands that tests give: in this process, as processes of their own, and as servers that answer."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from click.testing import CliRunner, Result

from qlab.cli import main


def invoke(*arguments: object, code: int = 0) -> Result:
    """What a command prints in this process; asserts its exit status."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def words(output: str) -> str:
    """What was printed, tables without their lines, with single spaces: wherever lines were broken."""
    return " ".join(output.replace("│", " ").split())


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """All there is below a folder: content, and when it was last changed."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }


@contextlib.contextmanager
def started(folder: Path, *arguments: str, session: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A command in a process of its own on a folder's own store, killed at the end if it is still there.

    Args:
        folder: where it runs.
        arguments: of `qlab`.
        session: whether it is in a process group of its own.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "qlab", *arguments],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=session,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@dataclasses.dataclass(frozen=True)
class Serving:
    """A server that answers.

    Args:
        process: it.
        address: that it printed.
        log: the file with all that it has printed.
    """

    process: subprocess.Popen[bytes]
    address: str
    log: Path

    @property
    def printed(self) -> str:
        """All that it has printed."""
        return self.log.read_text()


@contextlib.contextmanager
def serving(
    folder: Path,
    *arguments: str,
    settings: Mapping[str, str] | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Iterator[Serving]:
    """`qlab ui` or `qlab explore`, from when it answers at the address that it prints until the end.

    Args:
        folder: where it runs, and its log is.
        arguments: of `qlab`; the port is free unless they say one.
        settings: of its environment, beside this one's.
        meanwhile: is called again and again until it answers.
    """
    log = folder / "log"
    port = () if "--port" in arguments else ("--port", "0")
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "qlab", *arguments, *port],
            cwd=folder,
            env=os.environ | (settings or {}),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            meanwhile()
            found = re.search(r"http://\S+:\d+(?:/\w+)?(?= \(Ctrl-C ends it\))", log.read_text())
            with contextlib.suppress(OSError):
                if found is not None:
                    with urllib.request.urlopen(found[0], timeout=60):
                        break
            time.sleep(0.2)
        else:
            raise AssertionError(log.read_text())
        assert found[0] in log.read_text().splitlines()[0]
        yield Serving(process, found[0], log)
    finally:
        process.terminate()
        process.wait(timeout=60)
