"""Who may see the explorer: users with passwords in a file, and the page where they say so."""

from __future__ import annotations

import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from jinja2 import Environment
from panel.auth import BasicAuthProvider
from panel.config import config
from tornado.web import RequestHandler

_FORM = Path(__file__).with_name("login.html")

_WRONG = "No user has this name and password."


class Users(BasicAuthProvider):  # type: ignore[misc]
    """Lets in who knows a name and its password.

    Args:
        file: a JSON object of passwords by user name; read at each login.
    """

    def __init__(self, file: Path) -> None:
        self._file = file  # first: Bokeh asks for the handler at once
        super().__init__()

    @property
    def login_handler(self) -> type[RequestHandler]:
        """The login page."""
        return type("Login", (_Login,), {"file": self._file})


class _Login(RequestHandler):
    """A form that needs no script and loads nothing."""

    file: Path

    def get(self) -> None:
        self._show(self.get_argument("next", ""))

    def post(self) -> None:
        name, there = self.get_argument("username", ""), self.get_argument("next", "")
        if not self._known(name, self.get_argument("password", "", strip=False)):
            self.set_status(403)
            self._show(there, _WRONG, name)
            return
        kept: dict[str, Any] = {"httponly": True, "samesite": "Lax", "secure": self.request.protocol == "https"}
        self.set_signed_cookie("user", name, expires_days=config.oauth_expiry, path=config.cookie_path, **kept)
        self.redirect(inside(there))

    def _show(self, there: str, message: str = "", name: str = "") -> None:
        form = Environment(autoescape=True).from_string(_FORM.read_text(encoding="utf-8"))
        self.set_header("Cache-Control", "no-store")
        self.write(form.render(message=message, name=name, next=inside(there)))

    def _known(self, name: str, password: str) -> bool:
        users: dict[str, str] = json.loads(self.file.read_text(encoding="utf-8-sig"))
        # An unknown name takes as long as a wrong password.
        same = hmac.compare_digest(users.get(name, "").encode(), password.encode())
        return same and name in users


def inside(address: str) -> str:
    """An address on this server: the one given, or the explorer's where that leads elsewhere."""
    parts = urlsplit(quote(address, safe="/?&=%+~:;,@!$'()*-._"))
    elsewhere = parts.scheme or parts.netloc or not address.startswith("/") or address.startswith(("//", "/\\"))
    return "/" if elsewhere else parts.geturl()
