"""What qlab says when something given to it cannot be used."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class QlabError(Exception):
    """Base of every error that qlab explains in one message; the command line prints it and exits with 2."""


class ConfigError(QlabError, ValueError):
    """A name, key or value that qlab does not accept."""


class DataError(QlabError):
    """Data that is missing, or does not fit the model or the corruption asked for."""


class StoreError(QlabError):
    """A tracking store that cannot be opened, read or written."""


class StoreAwayError(StoreError):
    """A tracking store that does not answer now and may later: its server is away, or another process has it locked."""


class StoreShutError(StoreAwayError):
    """A tracking server that answers, and lets nobody in, or is none: waiting does not help, but somebody may.

    A run that has begun goes on as if the server were away, so that nothing of it is lost.
    """


class UnsentError(StoreAwayError):
    """Writes of a run wait on this machine, since the tracking server is away; the command line exits with 1."""


class JobStopped(QlabError):
    """What a job reports to takes nothing more of it: it was cancelled, or another command has the experiment now."""


class WorkersLostError(QlabError):
    """A cluster whose scheduler or workers went away; the command line exits with 1."""


class MissingExtraError(QlabError, ImportError):
    """A part of qlab whose optional dependency is not installed."""


def nearest(given: str, choices: Iterable[str]) -> str:
    """``' Did you mean "x"?'`` for the choice nearest in spelling to ``given``, or an empty string."""
    by_lower = {choice.lower(): choice for choice in choices}
    match = difflib.get_close_matches(given.lower(), by_lower, n=1, cutoff=0.5)
    return f' Did you mean "{by_lower[match[0]]}"?' if match else ""


def unknown(what: str, given: str, choices: Iterable[str]) -> str:
    """The message for a name that is not among ``choices``: what was given, the nearest match, all choices."""
    names = sorted(choices)
    return f'unknown {what} "{given}".{nearest(given, names)} Choices: {", ".join(names) or "none"}.'
