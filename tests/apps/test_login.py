"""The explorer's login: loads nothing, needs no script, says what is wrong, and leads nowhere else."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from support.pages import Page

USERS = {"ada": "lovelace ", "<img src=x onerror=alert(1)>": "x"}


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str], serve: Any
) -> Iterator[str]:
    """Where an explorer with users is served."""
    folder = tmp_path_factory.mktemp("guarded")
    users = folder / "users.json"
    users.write_text(json.dumps(USERS))
    with serve(write_empty_store(folder / "runs.db"), folder, "--basic-auth", str(users)) as found:
        yield found


def ask(
    address: str, path: str, fields: dict[str, str] | None = None, cookie: str = ""
) -> tuple[int, dict[str, str], str, list[str]]:
    """Status, headers, body and cookies of one answer; no redirect is followed."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    headers = {"Cookie": cookie} if cookie else {}
    if fields is None:
        connection.request("GET", path, headers=headers)
    else:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request("POST", path, urlencode(fields), headers)
    answer = connection.getresponse()
    found = (answer.status, dict(answer.getheaders()), answer.read().decode(), answer.msg.get_all("Set-Cookie") or [])
    connection.close()
    return found


def test_a_visitor_is_led_to_a_page_that_loads_nothing(guarded: str) -> None:
    status, headers, _, _ = ask(guarded, "/explorer?page=Runs")
    assert status == 302
    assert urlsplit(headers["Location"]).path in ("./login", "/login")
    status, headers, body, _ = ask(guarded, "/login?next=%2Fexplorer%3Fpage%3DRuns")
    page = Page(body)
    assert status == 200
    assert (page.outside, page.handlers) == ([], [])
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert 'value="/explorer?page=Runs"' in body
    assert "nonce" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(("name", "password"), [("ada", "wrong"), ("nobody", ""), ("ada", ""), ("<b>", "x")])
def test_a_wrong_password_is_said_and_the_address_kept(guarded: str, name: str, password: str) -> None:
    fields = {"username": name, "password": password, "next": "/explorer?page=Runs"}
    status, _, body, cookies = ask(guarded, "/login", fields)
    assert status == 403
    assert "No user has this name and password." in body
    assert 'value="/explorer?page=Runs"' in body
    assert "<b>" not in body
    assert cookies == []


def test_what_an_address_says_is_not_said_by_the_page(guarded: str) -> None:
    _, _, body, _ = ask(guarded, "/login?error=Call+us&next=/%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert "Call us" not in body
    assert "<script" not in body


@pytest.mark.parametrize("name", list(USERS))
def test_the_right_password_lets_in(guarded: str, name: str) -> None:
    fields = {"username": name, "password": USERS[name], "next": "/explorer?page=Runs"}
    status, headers, _, (cookie,) = ask(guarded, "/login", fields)
    assert (status, headers["Location"]) == (302, "/explorer?page=Runs")
    assert {"HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
    assert ask(guarded, "/explorer", cookie=cookie.split(";")[0])[0] == 200
    assert ask(guarded, "/explorer", cookie=cookie.split(";")[0].replace("user=", "user=x"))[0] == 302


@pytest.mark.parametrize(
    "there", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_a_login_leads_to_no_other_host(guarded: str, there: str) -> None:
    _, headers, _, _ = ask(guarded, "/login", {"username": "ada", "password": USERS["ada"], "next": there})
    assert headers["Location"] == "/"


def test_what_panel_offers_beside_is_not_there(guarded: str) -> None:
    assert ask(guarded, "/components/this/s/_css/x")[0] == 404
    status, _, body, _ = ask(guarded, "/explorer/autoload.js?bokeh-autoload-element=x")
    assert (status in (302, 404), body) == (True, "")
