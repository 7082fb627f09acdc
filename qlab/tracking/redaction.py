"""Addresses of stores as people may see them: whatever is said, written or logged goes through here.

A password in an address is for the store alone. It is taken out of the address (:func:`shown`), and out of what
others say of it (:func:`redact`): libraries repeat an address percent-decoded, cut at the wrong sign, or as a header.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import html
import json
import os
import re
import sys
import threading
import traceback
from types import TracebackType
from typing import Final
from urllib.parse import quote, quote_plus, unquote, unquote_plus

HIDDEN: Final = "***"

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^\s'\"<>`]+")
_MISTYPED = re.compile(r"(?<![\w@.+%\-])([\w.+%\-]*):([^\s:@/'\"<>`][^\s@/'\"<>`]*)@(?=[\w\[])")
"""User, password and host without a scheme before them, or with less of one."""

_SCHEME = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.\-]*://")
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:\d*)?")
_SAYS_SECRET = (
    r"[\w.\-%]*(?:pass|pwd|token|secret|credential|auth|signature|odbc_connect|api_?key|access_?key)[\w.\-%]*"
)
_PAIR = re.compile(rf"(?i)([?&;#]|%3[bf]|%26)({_SAYS_SECRET}|sig|key)(=|%3d)([^&#;\s'\"<>`]*)")
_SECRET_AS_USER = ("", "x-oauth-basic")
"""Passwords beside which the user's name is what is secret: a token, as GitHub and others take it."""

_ENVIRONMENT = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")

_ANYWHERE = 8
_AS_WORD = 4
"""From these lengths on, a password is looked for anywhere in a text, and as a word of its own; a shorter one only
where an address or a quotation has it, as it would be found in any word."""

_known: list[str] = []


def shown(uri: str) -> str:
    """An address without what is secret in it: ``http://admin:***@host``; of queries the names are kept."""
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return _mended(uri)
    start, end, user, password = _userinfo(uri, scheme.end())
    if password is not None or (user and scheme[0].lower().strip().startswith("http")):
        hidden = HIDDEN if password is None or unquote(password) in _SECRET_AS_USER else f"{user}:{HIDDEN}"
        uri = f"{uri[:start]}{hidden}@{uri[end:]}"
    return _PAIR.sub(lambda found: f"{found[1]}{found[2]}{found[3]}{HIDDEN if found[4] else ''}", uri)


def bare(uri: str) -> str:
    """An address without user, password and secrets, for links."""
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return shown(uri)
    start, end, _, _ = _userinfo(uri, scheme.end())
    return shown(uri[:start] + uri[end:])


def has_secret(uri: str) -> bool:
    """Whether an address holds something that is not to be shown."""
    return shown(uri) != uri


def remember(uri: str) -> None:
    """Has :func:`redact` take the secrets of an address out of every text from now on."""
    if has_secret(uri) and uri not in _known:
        _known.append(uri)


def redact(text: str, uri: str = "") -> str:
    """A text without the secrets of addresses, however they are spelled in it.

    Args:
        text: what a library says, say.
        uri: an address whose secrets are looked for, beside those of :func:`remember` and the environment.
    """
    addresses = [*_known, uri] if uri and uri not in _known else _known
    for address in addresses:
        for spelling in sorted(_spelled(address), key=len, reverse=True):
            text = text.replace(spelling, shown(address))
    given = tuple(value for name in _ENVIRONMENT if (value := os.environ.get(name)))
    pattern = _pattern(tuple(addresses), given)
    pieces, end = [], 0
    for found in _ADDRESS.finditer(text):
        pieces.append(_without(_mended(text[end : found.start()]), pattern))
        address = shown(found[0])
        # The user's name and the scheme stay, also where one of them is the password too.
        kept = address.find(f"{HIDDEN}@") + 1 or address.find("://") + 3
        pieces += [address[:kept], _without(address[kept:], pattern)]
        end = found.end()
    return "".join([*pieces, _without(_mended(text[end:]), pattern)])


def _mended(text: str) -> str:
    """A text without passwords in what looks like the rest of an address."""
    return _MISTYPED.sub(rf"\1:{HIDDEN}@", text)


def hush_tracebacks() -> None:
    """Has Python print tracebacks of errors that nobody has caught without secrets, in threads too."""

    def report(kind: type[BaseException], error: BaseException | None, frames: TracebackType | None) -> None:
        found = traceback.format_exception(kind, error, frames)
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(redact("".join(found)))

    sys.excepthook = report
    threading.excepthook = lambda given: (
        None if issubclass(given.exc_type, SystemExit) else report(given.exc_type, given.exc_value, given.exc_traceback)
    )


def _userinfo(uri: str, start: int) -> tuple[int, int, str, str | None]:
    """Where user and password begin and where the host begins, and both; the password is None if there is none."""
    cut = _first(uri, "/?#", start)
    at = uri.rfind("@", start, cut)
    if at < 0 and (whole := _HOST.fullmatch(uri[start:cut])) is not None:
        # It reads as host and port; but so does a password that begins with digits and has a slash in it.
        if whole[2] and not whole[1].startswith("[") and uri[cut : cut + 1] == "/":
            at = uri.rfind("@", cut, _first(uri, "?#", cut))
    elif at < 0:
        at = uri.rfind("@", cut)  # the password holds a slash or the like, which should have been encoded
    elif _HOST.fullmatch(uri[at + 1 : cut]) is None:
        at = max(at, uri.rfind("@", cut))
    else:
        at = max(at, uri.rfind("@", cut, _first(uri, "?#", cut)) if ":" in uri[start:at] else at)
    if at < 0:
        return start, start, "", None
    user, colon, password = uri[start:at].partition(":")
    return start, at + 1, user, password if colon else None


def _first(text: str, signs: str, start: int) -> int:
    """Where the first of some signs is; the length of the text if there is none."""
    found = [place for sign in signs if (place := text.find(sign, start)) >= 0]
    return min(found, default=len(text))


def _secrets(uri: str) -> set[str]:
    """What is secret in an address, as it stands there."""
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return set()
    _, _, user, password = _userinfo(uri, scheme.end())
    found = {pair[4] for pair in _PAIR.finditer(uri)}
    if password is not None and unquote(password) not in _SECRET_AS_USER:
        found.add(password)
    elif user and (password is not None or scheme[0].lower().strip().startswith("http")):
        found.add(user)
    return found - {""}


@functools.lru_cache(maxsize=64)
def _pattern(addresses: tuple[str, ...], given: tuple[str, ...]) -> re.Pattern[str] | None:
    """Finds the secrets of some addresses, and some others, in every spelling."""
    spellings = {spelling for secret in given for spelling in _spellings(secret)}
    for address in addresses:
        for secret in _secrets(address):
            spellings |= _spellings(secret)
            # Whoever cuts an address at the wrong sign takes a part of the password for the host, or the path.
            parts = [part for part in re.split(r"[/?#@:]", secret) if len(part) > 1]
            spellings |= {spelling for part in parts for spelling in _spellings(part)}
            user = unquote(_userinfo(address, _SCHEME.match(address).end())[2])  # type: ignore[union-attr]
            for word in (secret, unquote(secret)):
                spellings.add(base64.b64encode(f"{user}:{word}".encode()).decode())
    alternatives = []
    for spelling in sorted(spellings, key=lambda item: (-len(item), item)):
        text = re.escape(spelling)
        if len(spelling) >= _ANYWHERE:
            alternatives.append(text)
        if len(spelling) >= _AS_WORD:
            alternatives.append(rf"(?<!\w)(?i:{text})(?!\w)")
        else:
            alternatives.append(rf"(?<=:){text}(?=@)|(?<=['\"=]){text}(?=['\"&@])")
    return re.compile("|".join(alternatives)) if alternatives else None


def _without(text: str, pattern: re.Pattern[str] | None) -> str:
    return text if pattern is None else pattern.sub(HIDDEN, text)


def _spellings(secret: str) -> set[str]:
    """A word as it stands, decoded, encoded, and as Python, JSON and HTML write it."""
    plain = {secret, unquote(secret), unquote_plus(secret)}
    found = set(plain)
    for word in plain:
        encoded = {quote(word, safe=""), quote(word), quote_plus(word)}
        found |= encoded | {re.sub("%..", lambda code: code[0].lower(), item) for item in encoded}
        found |= {repr(word)[1:-1], ascii(word)[1:-1], json.dumps(word)[1:-1], html.escape(word)}
    return found - {""}


def _spelled(uri: str) -> set[str]:
    """An address that holds a secret as it may be repeated."""
    if not has_secret(uri):
        return set()
    return {uri, unquote(uri), repr(uri)[1:-1], json.dumps(uri)[1:-1], html.escape(uri), uri.rstrip("/")}
