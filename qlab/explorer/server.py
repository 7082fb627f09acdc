"""Serves the explorer: Panel's server, with headers that let a page run and load nothing but its own.

``python -m qlab.explorer.server APP --port 5006``; the store is ``MLFLOW_TRACKING_URI``. Started by ``qlab explore``.
"""

from __future__ import annotations

import logging
import secrets
import threading
import webbrowser
from pathlib import Path
from typing import Any, ClassVar

import click
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import OutputTransform, RequestHandler

PAGE = "explorer"
"""The app's path."""

SESSION_SECONDS = 30
"""So long a visitor's session outlives its page: for a connection that breaks for a moment."""

TOKEN_SECONDS = 7 * 24 * 3600
"""So long a page that a browser brings back (a tab asleep, a laptop opened again) can still be given a session."""

_POLICY = {
    "default-src": "'none'",
    # Panel's components are modules that it makes of text; a page cannot be made to hold such a text by markup.
    "script-src": "'self' blob:",
    # Bokeh, Tabulator and Material UI write style elements and attributes as they go.
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "connect-src": "'self' blob:",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'self'",
}


def policy(nonce: str = "") -> str:
    """The content security policy.

    Args:
        nonce: what scripts inside a page must carry; without one there are none.
    """
    found = dict(_POLICY)
    if nonce:
        found["script-src"] += f" 'nonce-{nonce}'"
    return "; ".join(f"{name} {values}" for name, values in found.items())


class Headers(OutputTransform):
    """Adds headers to every answer, and to the scripts that the app's page holds from the start their nonce."""

    prefix: ClassVar[str] = ""
    """What addresses begin with for visitors."""

    def __init__(self, request: HTTPServerRequest) -> None:
        self._is_page = request.path.rstrip("/") == f"/{PAGE}"
        # What embeds the app in pages of others: ours forbids that.
        self._is_embedding = request.path.endswith("/autoload.js")

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """See Tornado."""
        nonce = ""
        if self._is_embedding:
            status_code, chunk = 404, b""
            headers["Content-Length"] = "0"
        if self._is_page and finishing and status_code == 200:
            nonce = secrets.token_urlsafe(18)
            chunk = chunk.replace(b"<script", f'<script nonce="{nonce}"'.encode())
            headers["Content-Length"] = str(len(chunk))
        there = headers.get("Location", "")
        if there.startswith("/") and not f"{there}/".startswith(f"{self.prefix}/"):
            headers["Location"] = self.prefix + there
        headers["Content-Security-Policy"] = policy(nonce)
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        return status_code, headers, chunk


class _NotHere(RequestHandler):
    """Where Panel imports any module that an address names."""

    def prepare(self) -> None:
        """Says that there is nothing."""
        self.send_error(404)


def answer_below(application: Any, prefix: str) -> None:
    """Makes an application answer below a prefix as it does without: some proxies take it off, and others do not.

    Args:
        application: Tornado's.
        prefix: such as "/user/ada/proxy/5006".
    """
    find = application.find_handler

    def found(request: HTTPServerRequest, **options: Any) -> Any:
        if f"{request.path}/".startswith(f"{prefix}/"):
            request.path = request.path[len(prefix) :] or "/"
        return find(request, **options)

    application.find_handler = found


@click.command()
@click.argument("app", type=click.Path(path_type=Path))
@click.option("--address", default="127.0.0.1")
@click.option("--port", type=int, default=5006)
@click.option("--basic-auth", "users", type=click.Path(path_type=Path))
@click.option("--prefix", default="")
@click.option("--open", "opened", default="")
def main(app: Path, address: str, port: int, users: Path | None, prefix: str, opened: str) -> None:
    """Serves an app until it is interrupted; who may open it is in ``BOKEH_ALLOW_WS_ORIGIN``."""
    from panel.io.server import get_server

    from qlab.explorer import leaving

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    leaving.silence()
    options: dict[str, Any] = {}
    if users is not None:
        from qlab.explorer.login import Users

        options = {"auth_provider": Users(users), "cookie_secret": secrets.token_hex(32)}
    server = get_server(
        {PAGE: app},
        port=port,
        address=address,
        start=False,
        transforms=[type("Headers", (Headers,), {"prefix": prefix})],
        check_unused_sessions_milliseconds=SESSION_SECONDS * 500,
        unused_session_lifetime_milliseconds=SESSION_SECONDS * 1000,
        session_token_expiration=TOKEN_SECONDS,
        extra_patterns=[("/components/.*", _NotHere)],
        **options,
    )
    if prefix:
        answer_below(server._tornado, prefix)
    if opened:
        # A browser that is started takes its time.
        server.io_loop.add_callback(threading.Thread(target=webbrowser.open, args=(opened,), daemon=True).start)
    server.start()
    server.io_loop.start()


if __name__ == "__main__":
    main()
