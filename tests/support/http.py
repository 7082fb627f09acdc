"""Small HTTP servers: one that always says the same, and a proxy with a password and a path before another server."""

from __future__ import annotations

import base64
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_OWN_HEADERS = ("host", "authorization", "content-length", "connection", "transfer-encoding", "content-encoding")


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            if key.lower() not in _OWN_HEADERS:
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes | None:
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(length) if length else None

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def saying(status: int, body: str, kind: str = "text/html", **headers: str) -> Iterator[str]:
    """A server that answers every request like this; its address."""

    class Handler(_Quiet):
        def do_GET(self) -> None:
            self.body()
            self.answer(status, body.encode(), {"Content-Type": kind, **headers})

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    with _serving(Handler) as port:
        yield f"http://127.0.0.1:{port}"


class Gate:
    """A proxy before a server that wants a password; the password can be changed, and the gate closed.

    Args:
        behind: the server's address.
        password: of the user ``admin``.
    """

    def __init__(self, behind: str, password: str) -> None:
        self.behind = behind
        self.password = password
        self.port = 0

    def uri(self, password: str) -> str:
        """Its address, with a password as it is written there."""
        return f"http://admin:{password}@127.0.0.1:{self.port}"

    @contextmanager
    def opened(self) -> Iterator[Gate]:
        """While it listens."""
        gate = self

        class Handler(_Quiet):
            def do_GET(self) -> None:
                body = self.body()
                expected = base64.b64encode(f"admin:{gate.password}".encode()).decode()
                if self.headers.get("Authorization") != f"Basic {expected}":
                    return self.answer(401, b"no entry", {"WWW-Authenticate": "Basic"})
                headers = {key: value for key, value in self.headers.items() if key.lower() not in _OWN_HEADERS}
                request = urllib.request.Request(gate.behind + self.path, body, headers, method=self.command)
                try:
                    with urllib.request.urlopen(request, timeout=60) as found:
                        self.answer(found.status, found.read(), dict(found.headers))
                except urllib.error.HTTPError as error:
                    self.answer(error.code, error.read(), dict(error.headers))

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

        with _serving(Handler) as self.port:
            yield self
