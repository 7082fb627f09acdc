"""`qlab explore` on the addresses of a machine, and who may open its pages from where."""

from __future__ import annotations

import asyncio
import concurrent.futures
import re
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")


def six() -> bool:
    """Whether this machine speaks IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def let_in(address: str, origin: str) -> bool:
    """Whether a page of an origin may talk to the server."""
    with urllib.request.urlopen(address, timeout=120) as answer:
        found = re.search(r'"token":"([^"]+)"', answer.read().decode())
    assert found is not None

    async def connect() -> bool:
        request = HTTPRequest(address.replace("http", "ws") + "/ws", headers={"Origin": origin})
        try:
            connection = await websocket_connect(request, subprotocols=["bokeh", found[1]])
        except HTTPClientError as error:
            return error.code != 403
        hello = await connection.read_message()
        connection.close()
        while await connection.read_message() is not None:
            pass  # until the server has closed too
        return hello is not None

    with concurrent.futures.ThreadPoolExecutor(1) as apart:  # Playwright's own loop runs in this thread
        return apart.submit(asyncio.run, connect()).result(timeout=120)


@pytest.mark.skipif(not six(), reason="this machine does not speak IPv6")
def test_pages_open_over_ipv6_and_under_the_names_allowed(
    visitor: Any, store: Store, tmp_path: Path, serve: Any
) -> None:
    allow = ["--allow-origin", "https://Lab.example.org/", "--allow-origin", "[2001:db8::1]:8443"]
    with serve(store.uri, tmp_path, "--host", "::1", *allow) as address:
        port = re.fullmatch(r"http://\[::1\]:(\d+)/explorer", address)[1]  # type: ignore[index]
        page = visitor.open(f"{address}?experiment=small&page=Runs")
        page.locator(".tabulator-row").first.wait_for()
        assert visitor.errors == []
        for origin in (f"http://[::1]:{port}", "https://lab.example.org", "https://[2001:db8::1]:8443"):
            assert let_in(address, origin), origin
        for origin in ("http://elsewhere.org", f"http://lab.example.org:{port}", "http://[::2]"):
            assert not let_in(address, origin), origin
