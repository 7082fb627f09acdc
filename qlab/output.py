"""What a command prints, wherever that goes: full disks, closed pipes and streams, encodings without Greek letters."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
import unicodedata
from typing import IO, Any

import click

from qlab.tracking.redaction import redact
from qlab.words import visible

_ERRORS = "qlab.plain"

_PLAIN = {"±": "+-", "×": "x", "−": "-", "–": "-", "…": "...", "²": "^2", "³": "^3", "√": "sqrt"}


def prepare() -> None:
    """Makes the streams of this process ones that can be written: closed ones lead nowhere, every character has a form.

    A file that is opened while a stream is closed would get its number, and be written to by whoever prints.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            _lead_nowhere(number)
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - until the end
    codecs.register_error(_ERRORS, _plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ERRORS)


def give_up() -> None:
    """Lets go of what could not be printed: Python would try once more when it ends, and complain in its own way."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError):
                _lead_nowhere(number)


def described(error: OSError) -> str:
    """What could not be read or written, and why."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}." if error.filename else f"The output cannot be written: {reason}."


def say(line: str) -> None:
    """Prints a line for people to stderr, without secrets and control characters, if that can be written."""
    with contextlib.suppress(OSError):
        click.echo(visible(redact(line), keep="\n\t"), err=True)


class Bar:
    """Says on stderr how far something is: a line that changes on a terminal, elsewhere a line at the beginning."""

    def __init__(self) -> None:
        self._open = False

    def show(self, name: str, done: int, total: int) -> None:
        """Shows it."""
        if sys.stderr.isatty():
            with contextlib.suppress(OSError):
                click.echo(f"\r{name}: {done} of {total} runs copied", nl=False, err=True)
            self._open = True
        elif done == 0 and total:
            say(f"{name}: {total} runs to copy")

    def end(self) -> None:
        """Ends the line."""
        if self._open:
            self._open = False
            say("")


class Tolerant:
    """A stream that drops what it cannot write, and keeps why: work goes on whose results are elsewhere.

    Args:
        stream: where to.

    Attributes:
        error: the first that there was.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Writes, if it can be done."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flushes, if it can be done."""
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, action: Any) -> None:
        if self.error is not None:
            return
        try:
            action()
        except OSError as error:
            self.error = error


def _lead_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)


def _plain(error: UnicodeError) -> tuple[str, int]:
    """An error handler of encodings: Greek letters by their names, signs by what is typed for them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    given = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character) or _spelt(character) for character in given), error.end


def _spelt(character: str) -> str:
    name = unicodedata.name(character, "")
    if name.startswith("GREEK SMALL LETTER ") and " " not in name[19:]:
        return name[19:].lower()
    if name.startswith("GREEK CAPITAL LETTER ") and " " not in name[21:]:
        return name[21:].capitalize()
    return character.encode("ascii", "backslashreplace").decode("ascii")
