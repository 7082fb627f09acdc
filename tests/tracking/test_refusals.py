"""Tracking servers that answer and refuse: said at once, with what to set."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.http import saying

from qlab.errors import StoreError, StoreShutError
from qlab.tracking.spooling import open_store
from qlab.tracking.store import Store

QUICK_SECONDS = 3.0

LOGIN = ["MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"]

REFUSALS: dict[str, tuple[int, str, str, list[str]]] = {
    "no password": (401, "no entry", "text/plain", ["401", *LOGIN]),
    "no password, in JSON": (401, '{"message": "Unauthorized"}', "application/json", ["401", *LOGIN]),
    "no password, in MLflow's words": (
        401,
        '{"error_code": "UNAUTHENTICATED", "message": "who are you?"}',
        "application/json",
        ["401", *LOGIN],
    ),
    "no permission": (403, "Permission denied", "text/html", ["403", "permission", "Permission denied"]),
    "no permission, in JSON": (403, '{"detail": "forbidden"}', "application/json", ["403", "permission", "forbidden"]),
    "another host": (403, "Invalid Host header - possible DNS rebinding attack", "text/plain", ["--allowed-hosts"]),
    "another origin": (403, "Cross-origin request blocked", "text/plain", ["--cors-allowed-origins"]),
    "no path": (404, "<html><title>404 Not Found</title>", "text/html", ["404 Not Found", "http://host/mlflow"]),
    "no path, in JSON": (404, '{"detail": "Not Found"}', "application/json", ["404", "http://host/mlflow"]),
    "no method": (405, "", "text/plain", ["405", "MLflow"]),
    "a bad request": (400, "The plain HTTP request was sent to HTTPS port", "text/html", ["400", "HTTPS port"]),
    "a proxy": (407, "", "text/plain", ["407", "HTTPS_PROXY"]),
    "gone": (410, "moved away", "text/plain", ["410", "moved away"]),
    "not implemented": (501, "", "text/plain", ["501"]),
    "a page": (200, "<html><head><title>Jupyter Server</title></head></html>", "text/html", ["Jupyter Server"]),
    "another service": (200, '{"status": "green"}', "application/json", ["MLflow", "green"]),
    "a list": (200, "[]", "application/json", ["MLflow"]),
}


@pytest.mark.parametrize("case", REFUSALS)
@pytest.mark.parametrize("opened", [Store, open_store])
def test_a_refusal_is_said_at_once_with_what_to_set(case: str, opened: Callable[[str], Store]) -> None:
    status, body, kind, said = REFUSALS[case]
    with saying(status, body, kind) as uri:
        start = time.monotonic()
        with pytest.raises(StoreShutError) as raised:
            opened(uri.replace("//", "//admin:geheim12@"))
    assert time.monotonic() - start < QUICK_SECONDS
    for words in ("http://admin:***@127.0.0.1:", *said):
        assert words in str(raised.value)
    assert "geheim12" not in str(raised.value)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_be_different_later_is_waited_for(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qlab.tracking.connection._PATIENCE_SECONDS", {"file": 0.5, "server": 0.5})
    with saying(status, "busy", "text/plain") as uri:
        start = time.monotonic()
        with pytest.raises(StoreError) as raised:
            Store(uri)
    assert not isinstance(raised.value, StoreShutError)
    assert time.monotonic() - start > 0.24


def test_a_login_page_that_is_redirected_to_is_no_server() -> None:
    with (
        saying(200, "<title>Sign in</title>") as page,
        saying(302, "", Location=page) as uri,
        pytest.raises(StoreShutError, match="Sign in"),
    ):
        Store(uri)


def test_https_at_a_server_that_speaks_http() -> None:
    with saying(200, "{}", "application/json") as uri, pytest.raises(StoreShutError, match="write http://"):
        Store(uri.replace("http:", "https:"))


@pytest.fixture(scope="module")
def https(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server with a certificate that nobody trusts."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    folder: Path = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                plain: Any = None
                try:
                    plain, _ = listening.accept()
                    context.wrap_socket(plain, server_side=True).close()
                except OSError:
                    if plain is not None:
                        plain.close()

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        ended.set()


def test_a_certificate_that_is_not_trusted(https: int) -> None:
    with pytest.raises(StoreShutError, match="MLFLOW_TRACKING_SERVER_CERT_PATH"):
        Store(f"https://127.0.0.1:{https}")


def test_http_at_a_server_that_speaks_https(https: int) -> None:
    with pytest.raises(StoreShutError, match="write https://"):
        Store(f"http://127.0.0.1:{https}")


def test_a_password_that_should_have_been_encoded_is_said_to_be() -> None:
    with pytest.raises(StoreError, match="write / as %2F") as raised:
        Store("http://admin:ge/heim12@127.0.0.1:5000")
    assert "heim12" not in str(raised.value)


def test_a_database_that_does_not_answer_is_said_at_once_without_its_password() -> None:
    start = time.monotonic()
    with pytest.raises(StoreError) as raised:
        Store("postgresql+psycopg2://qlab:geheim12@127.0.0.1:1/nothing")
    assert time.monotonic() - start < QUICK_SECONDS
    assert "postgresql+psycopg2://qlab:***@127.0.0.1:1/nothing" in str(raised.value)
    assert "geheim12" not in str(raised.value)
