"""What can go wrong with a store, in words: MLflow's errors turned into qlab's."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator

import requests
from mlflow.exceptions import InvalidUrlException, MlflowException, RestException
from sqlalchemy.exc import SQLAlchemyError

from qlab.errors import StoreAwayError, StoreError
from qlab.tracking.redaction import has_secret, redact, shown
from qlab.tracking.refusals import shut
from qlab.tracking.uri import embedded_file, is_server

_CLOUDS = ("botocore", "boto3", "google", "azure", "paramiko", "pysftp", "pyarrow", "urllib3", "s3transfer")

_FULL = ("database or disk is full", "No space left on device", "Disk quota exceeded")
_LOCKED = ("database is locked", "database table is locked", "database schema is locked")
_CUT_OFF = ("InterfaceError", "PendingRollbackError", "server closed the connection", "connection already closed")
"""How SQLAlchemy's complaints begin when a database server went away in the middle; MLflow calls them bad requests."""

_NO_ANSWER = re.compile(
    r"too many \d+ error responses|Connection refused|timed out|Connection reset|closed connection without response|"
    r"Name or service not known|Network is unreachable"
)
"""What matters of the long chain of errors that an HTTP request ends with."""


@contextlib.contextmanager
def explain(uri: str, filter_string: str = "") -> Iterator[None]:
    """Turns what MLflow raises into one message about the store (or about a filter that it does not understand).

    The message is without the address's password; so is a traceback, as the cause is left out where there is one.

    Raises:
        StoreAwayError: it may be different later.
        StoreShutError: a server's answer that is final, whatever is asked.
        StoreError: it will not be different later.
    """
    try:
        yield
    except StoreError:
        raise
    except MlflowException as error:
        if filter_string and error.error_code == "INVALID_PARAMETER_VALUE":
            said = redact(error.message, uri)
            raise StoreError(f"MLflow does not accept the filter {filter_string!r}: {said}") from None
        if is_server(uri):
            shut(uri, error)
        raise _translated(uri, error, _is_away(error)) from (None if has_secret(uri) else error)
    except requests.RequestException as error:
        shut(uri, error)
        status = 503 if error.response is None else error.response.status_code
        away = status in (408, 425, 429) or status >= 500
        raise _translated(uri, error, away) from (None if has_secret(uri) else error)
    except (SQLAlchemyError, OSError, ImportError) as error:
        away = any(words in str(error) for words in _LOCKED)
        raise _translated(uri, error, away) from (None if has_secret(uri) else error)
    except Exception as error:  # of the packages behind artifacts in a cloud, which are not known here
        if type(error).__module__.partition(".")[0] not in _CLOUDS:
            raise
        raise _translated(uri, error, False) from (None if has_secret(uri) else error)


def _translated(uri: str, error: Exception, away: bool) -> StoreError:
    lines = [line for line in str(error).strip().splitlines() if not line.startswith("(raised as a result of")]
    reason = redact(lines[0], uri) if lines else type(error).__name__
    place = shown(uri)
    here = embedded_file(uri) is not None
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT) or (here and any(words in reason for words in _FULL)):
        return StoreError(
            f"There is no space left for the store {place}: {reason}. Free some and give the same command again: "
            "what is finished is kept."
        )
    if away and (short := _NO_ANSWER.search(str(error))) is not None:
        return StoreAwayError(f"The tracking server {place} does not answer: {short[0]}.")
    kind = StoreAwayError if away else StoreError
    return kind(f"The tracking store {place} cannot be used: {reason}")


def _is_away(error: MlflowException) -> bool:
    """Whether the same call may succeed later."""
    text = str(error)
    if error.error_code == "TEMPORARILY_UNAVAILABLE":  # any operational error of a database, as MLflow says it
        return "(sqlite3." not in text or any(words in text for words in _LOCKED)
    if isinstance(error, RestException):
        return error.get_http_status_code() >= 500 or any(words in text for words in _CUT_OFF)
    return not isinstance(error, InvalidUrlException) and text.startswith("API request to ")
