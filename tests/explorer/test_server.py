"""The explorer's server below a proxy's prefix, and the port it takes."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from qlab.errors import ConfigError
from qlab.explorer.server import Headers, answer_below
from qlab.tracking import servers


class Connection:
    """What a request says it came by."""

    context = None
    no_keep_alive = True

    def set_close_callback(self, _: Any) -> None: ...


def request(uri: str) -> HTTPServerRequest:
    start = RequestStartLine("GET", uri, "HTTP/1.1")
    headers = HTTPHeaders({"Host": "localhost"})
    return HTTPServerRequest(start_line=start, headers=headers, connection=Connection())  # type: ignore[arg-type]


class Application:
    """Finds the path that it is asked for."""

    def find_handler(self, request: Any) -> str:
        return str(request.path)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/user/ada/proxy/5006/explorer", "/explorer"),
        ("/user/ada/proxy/5006/explorer/ws", "/explorer/ws"),
        ("/user/ada/proxy/5006", "/"),
        ("/explorer", "/explorer"),  # the proxy has taken it off
        ("/user/ada/proxy/50067/explorer", "/user/ada/proxy/50067/explorer"),
    ],
)
def test_a_prefix_may_be_there_or_not(path: str, found: str) -> None:
    application = Application()
    answer_below(application, "/user/ada/proxy/5006")
    assert application.find_handler(request(path)) == found


@pytest.mark.parametrize(
    ("there", "sent"),
    [
        ("/login?next=%2Fexplorer", "/qlab/login?next=%2Fexplorer"),
        ("/qlab/explorer", "/qlab/explorer"),
        ("./explorer", "./explorer"),
    ],
)
def test_redirections_stay_below_the_prefix(there: str, sent: str) -> None:
    headers = HTTPHeaders({"Location": there})
    transform = type("Own", (Headers,), {"prefix": "/qlab"})(request("/login"))
    _, found, _ = transform.transform_first_chunk(302, headers, b"", True)
    assert found["Location"] == sent


@pytest.mark.parametrize(("given", "kept"), [("", ""), ("/", ""), ("/qlab/", "/qlab"), ("/a/b-c.d~", "/a/b-c.d~")])
def test_prefixes(given: str, kept: str) -> None:
    assert servers._checked_prefix(given) == kept


@pytest.mark.parametrize("given", ["qlab", "//evil.example", "/a?b", "/a b", "https://x", "/ä"])
def test_what_is_no_prefix(given: str) -> None:
    with pytest.raises(ConfigError, match="accepts the beginning of a path"):
        servers._checked_prefix(given)


def test_the_next_port_is_taken_where_one_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        monkeypatch.setattr(servers, "EXPLORER_PORT", port)
        assert port < servers._next_port("127.0.0.1") < port + 20
