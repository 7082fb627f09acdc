"""Tracking servers that answer and refuse: what that means, and what to set. Such an answer is not waited for."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from mlflow.exceptions import MlflowException, RestException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from qlab.errors import StoreShutError
from qlab.tracking.redaction import bare, redact, shown

_ANSWER_SECONDS = 10
"""How long the first question may take; a server that is slower than that is waited for, like one that is away."""

_QUESTION: Final = "/api/2.0/mlflow/experiments/search"

_LATER = (408, 425, 429)
"""Refusals that may pass, beside those of 500 and above."""

DISABLED: Final = "disabled due to the mlflow server running"
"""What a server says that was started to do only a part."""

_NEVER = (501, 505, 511)

_STATUS = re.compile(r"failed with error code (\d{3})\b")
_TLS = re.compile(r"CERTIFICATE_VERIFY_FAILED[^)\"']*|WRONG_VERSION_NUMBER|SSLError|\[SSL[^)]*|CertificateError[^)]*")

_LOGIN = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"


def check_access(uri: str) -> None:
    """Asks a tracking server a first question.

    Raises:
        StoreShutError: it answers something that is final: no entry, not here, no MLflow.
    """
    try:
        answer = ask(uri, _QUESTION, {"max_results": 1})
    except MlflowException as error:
        shut(uri, error)
        if _speaks_tls(uri):
            raise _refused(uri, "speaks https there: write https:// in its address.") from None
        return
    except requests.RequestException:
        return  # a wrong address or a network that fails: whoever asks next explains it
    shut_by(uri, answer.status_code, answer.text)
    if answer.status_code == 200 and not _is_mlflow(answer.text):
        raise _no_mlflow(uri, answer.text)


def ask(uri: str, question: str, params: Mapping[str, Any]) -> requests.Response:
    """A tracking server's answer to a question, whatever its status; asked once.

    Raises:
        MlflowException, requests.RequestException: there is none.
    """
    return http_request(
        get_default_host_creds(uri),
        question,
        "GET",
        max_retries=0,
        timeout=_ANSWER_SECONDS,
        raise_on_status=False,
        params=params,
    )


def shut(uri: str, error: Exception) -> None:
    """Raises StoreShutError for an error of MLflow's that stays as it is; what is about one run only is none."""
    text = str(error)
    if (found := _TLS.search(text)) is not None:
        if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
            raise _refused(uri, "does not speak https there: write http:// in its address.") from None
        raise _refused(
            uri,
            f"has a certificate that is not trusted here ({redact(found[0], uri).strip()}). Name the file of the "
            "authority that has signed it in MLFLOW_TRACKING_SERVER_CERT_PATH.",
        ) from None
    if isinstance(error, RestException):
        if "error_code" not in error.json:  # not MLflow's words but those of something before it
            check_access(uri)
        elif error.error_code in ("UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED"):
            shut_by(uri, error.get_http_status_code(), error.message)
        return
    if isinstance(error, requests.RequestException):
        if error.response is not None:
            shut_by(uri, error.response.status_code, error.response.text)
    elif (found := _STATUS.search(text)) is not None:
        shut_by(uri, int(found[1]), _body(text))
    elif "not in a valid JSON format" in text:
        raise _no_mlflow(uri, _body(text)) from None


def shut_by(uri: str, status: int, body: str) -> None:
    """Raises StoreShutError for an answer's status and text unless it is a good one, or may be different later."""
    said = _excerpt(body, uri)
    if DISABLED in body:
        raise _refused(uri, f"does not track runs: {said}.")
    if status in _LATER or (status >= 500 and status not in _NEVER) or status < 300:
        return
    if status == 401:
        found = (
            "does not take the user and password, or the token, that it is given"
            if _has_login(uri)
            else ("lets nobody in without a password or token")
        )
        message = f"{found} (401). Set {_LOGIN}."
    elif status == 403 and "host header" in body.lower():
        host = urlsplit(bare(uri)).netloc
        message = (
            f"answers only to the names that it was started with (403: {said}). Start it with `mlflow server "
            f"--allowed-hosts {host}`, or give it one of its own names."
        )
    elif status == 403 and "cross-origin" in body.lower():
        message = f"refuses this address (403: {said}). Start it with `mlflow server --cors-allowed-origins`."
    elif status == 403:
        message = (
            f"denies permission (403: {said}). Ask whoever runs it for permission to read and write experiments, or "
            f"be another user with {_LOGIN}."
        )
    elif status == 407:
        message = "is behind a proxy that asks for a password (407). Set it in HTTPS_PROXY or HTTP_PROXY, or NO_PROXY."
    elif status in (404, 405, 410):
        message = f"has no MLflow at this address ({status}: {said}). {_where(uri)}"
    else:
        message = f"refuses the request ({status}: {said}). {_where(uri)}"
    raise _refused(uri, message)


def _refused(uri: str, message: str) -> StoreShutError:
    return StoreShutError(f"The tracking server {shown(uri)} {message}")


def _no_mlflow(uri: str, body: str) -> StoreShutError:
    return _refused(uri, f"does not answer as MLflow does: {_excerpt(body, uri)}. {_where(uri)}")


def _body(text: str) -> str:
    """What a server said, of an error of MLflow's that cites it."""
    return text.partition("Response body: ")[2].strip("'")


def _where(uri: str) -> str:
    path = urlsplit(bare(uri)).path.strip("/")
    prefix = f"Is the path /{path} right" if path else "Does its address have a path, as in http://host/mlflow"
    return f"{prefix}, and is it an MLflow tracking server?"


def _has_login(uri: str) -> bool:
    creds = get_default_host_creds(uri)
    return shown(uri) != uri or bool((creds.username and creds.password) or creds.token or creds.auth)


def _is_mlflow(body: str) -> bool:
    """Whether a text is MLflow's answer to the question; it is empty where there are no experiments to be seen."""
    if body.strip() in ("", "200 OK"):
        return True
    try:
        found = json.loads(body)
    except ValueError:
        return False
    return isinstance(found, dict) and set(found) <= {"experiments", "next_page_token"}


def _excerpt(body: str, uri: str) -> str:
    """What an answer says in short, of a page its title."""
    title = re.search(r"(?is)<title[^>]*>(.*?)</title>", body)
    found = title[1] if title else re.sub(r"(?is)<(script|style).*?</\1>|<[^>]*>", " ", body)
    line = " ".join(redact(found, uri).split())
    line = line if len(line) <= 160 else f"{line[:157]}..."
    return f'"{line}"' if line else "no reason given"


def _speaks_tls(uri: str) -> bool:
    """Whether what listens at an http address speaks https."""
    address = urlsplit(bare(uri))
    if address.scheme != "http":
        return False
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent to it
    try:
        with (
            socket.create_connection((address.hostname or "", address.port or 80), timeout=2) as plain,
            context.wrap_socket(plain, server_hostname=address.hostname),
        ):
            return True
    except (OSError, ValueError):
        return False
