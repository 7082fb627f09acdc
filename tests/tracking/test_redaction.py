"""Secrets in the addresses of stores: what is shown of them, and what is left of them in others' words."""

from __future__ import annotations

import base64
import html
import json
import subprocess
import sys
from urllib.parse import quote, quote_plus, urlsplit

import pytest
import sqlalchemy
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from qlab.tracking.redaction import bare, has_secret, redact, shown

SHOWN = {
    "http://admin:geheim@host:5000/lab": "http://admin:***@host:5000/lab",
    "HTTPS://admin:pw@[::1]:5000": "HTTPS://admin:***@[::1]:5000",
    "http://:pw@host": "http://:***@host",
    "http://token@host": "http://***@host",
    "http://token:@host": "http://***@host",
    "https://token:x-oauth-basic@host": "https://***@host",
    "http://u:p:q@host": "http://u:***@host",
    "http://u:p@ss@host/x": "http://u:***@host/x",
    "http://u:pa/ss@host": "http://u:***@host",
    "http://u:12/34@host": "http://u:***@host",
    "http://u:p?x#y@host": "http://u:***@host",
    "http://u:p@b/c@host:1/y": "http://u:***@host:1/y",
    "postgresql://u:p%40s@host/db": "postgresql://u:***@host/db",
    "postgresql+psycopg2://u:pw@/db?host=/run": "postgresql+psycopg2://u:***@/db?host=/run",
    "postgresql://host/db?user=u&password=abc&sslmode=require": (
        "postgresql://host/db?user=u&password=***&sslmode=require"
    ),
    "mysql+pymysql://u:pw@host:3306/db?ssl_ca=x": "mysql+pymysql://u:***@host:3306/db?ssl_ca=x",
    "mssql+pyodbc://?odbc_connect=Driver%3DX%3BPWD%3Dabc": "mssql+pyodbc://?odbc_connect=***",
    "http://host:5000?access_token=abc#top": "http://host:5000?access_token=***#top",
    "http://host/?API_KEY=abc": "http://host/?API_KEY=***",
}

OPEN = [
    "sqlite:////home/me@lab/mlruns/mlflow.db",
    "http://host:5000/me",
    "http://host/me@lab",
    "http://[::1]:5000/me@lab",
    "postgresql://host:5432/db?user=me@lab",
    "postgresql://me@/db?host=/run",
    "s3://bucket/a@b",
    "file:///a:b@c",
    "./mlruns",
    "mlruns@2",
]


@pytest.mark.parametrize("uri", SHOWN)
def test_what_is_secret_in_an_address_is_hidden_and_the_rest_is_kept(uri: str) -> None:
    assert shown(uri) == SHOWN[uri]
    assert shown(shown(uri)) == shown(uri)
    assert has_secret(uri)
    assert not has_secret(bare(uri).partition("?")[0])


@pytest.mark.parametrize("uri", OPEN)
def test_an_address_without_a_secret_is_shown_as_it_is(uri: str) -> None:
    assert shown(uri) == uri
    assert redact(f"The store {uri} is away.", uri) == f"The store {uri} is away."


def test_a_link_has_neither_user_nor_password() -> None:
    assert bare("http://admin:geheim@host:5000/lab") == "http://host:5000/lab"
    assert bare("http://token@[::1]") == "http://[::1]"


PASSWORDS = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=9, max_size=20
).filter(
    # Ones that are written as words of messages are would be found in the messages themselves.
    lambda text: any(not sign.isalnum() for sign in text) and text.strip() == text and "*" not in text
)
PASSWORDS = PASSWORDS.map(lambda text: f"q{text}7")


@given(PASSWORDS)
def test_no_spelling_of_a_password_is_left_in_a_text(password: str) -> None:
    uri = f"http://admin:{quote(password, safe='')}@host:5000"
    header = base64.b64encode(f"admin:{password}".encode()).decode()
    spellings = [
        *(password, quote(password), quote(password, safe=""), quote_plus(password), repr(password)[1:-1]),
        *(json.dumps(password)[1:-1], html.escape(password), header, quote(password, safe="").lower()),
    ]
    for text in spellings:
        assert text not in redact(f"API request to {text} at x failed: Basic {text}, user {text!r}.", uri)
    for written in (uri, f"http://admin:{password}@host:5000"):
        said = redact(f"Max retries exceeded with url {written}/api/2.0", uri)
        assert not any(text in said for text in spellings)
        assert "admin:***@host:5000" in said


@pytest.mark.parametrize("password", ["pa/ss/word9", "q#geheim12", "q?geheim12", "geheim[12"])
def test_parts_of_a_password_that_libraries_take_for_a_host_are_hidden(password: str) -> None:
    uri = f"http://admin:{password}@localhost:5000"
    for parse in (urllib3.util.parse_url, urlsplit, sqlalchemy.make_url):
        try:
            found = parse(uri)
            text = f"{found} host={getattr(found, 'host', None)!r} path={getattr(found, 'path', None)!r}"
        except Exception as error:
            text = str(error)
        said = redact(text, uri)
        assert not any(part in said for part in ("geheim", "ss/word", "word9"))


def test_a_password_that_is_the_users_name_leaves_the_name() -> None:
    assert shown("http://admin:admin@host") == "http://admin:***@host"
    assert redact("at http://admin:admin@host/x", "http://admin:admin@host") == "at http://admin:***@host/x"


def test_a_short_password_is_not_looked_for_in_words() -> None:
    uri = "http://u:a1@host"
    assert redact("a1b data1 u:a1@host, password='a1'", uri) == "a1b data1 u:***@host, password='***'"


def test_others_addresses_in_a_text_are_hidden_too() -> None:
    assert redact("from https://me:other@example.org/x?token=1 on") == "from https://me:***@example.org/x?token=*** on"


def test_a_traceback_of_what_nobody_has_caught_has_no_secret() -> None:
    program = (
        "from qlab.tracking.redaction import hush_tracebacks, remember\n"
        "import threading\n"
        "def fail():\n    raise KeyError('http://admin:ge/heim@host and ge/heim')\n"
        "remember('http://admin:ge%2Fheim@host'); hush_tracebacks()\n"
        "thread = threading.Thread(target=fail); thread.start(); thread.join()\n"
        "try:\n    fail()\n"
        "except KeyError as error:\n    raise RuntimeError('x') from error\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.count("KeyError: 'http://admin:***@host and ***'") == 2
    assert "RuntimeError: x" in result.stderr


def test_a_password_in_the_environment_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok-123456789")
    assert redact("Bearer tok-123456789") == "Bearer ***"


@pytest.mark.parametrize(
    "address", ["u:geheim@host:5000", "http:/u:geheim@host", "http//u:geheim@host/x", "//u:geheim@host", ":geheim@host"]
)
def test_a_mistyped_address_does_not_show_its_password(address):
    assert "geheim" not in shown(address)
    assert "geheim" not in redact(f'tracking URI: got "{address}", accepts an address.')
    assert "host" in redact(address)
