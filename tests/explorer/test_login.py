"""Where a login leads, and what the headers allow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlab.explorer.login import inside
from qlab.explorer.server import policy


@pytest.mark.parametrize("address", ["/", "/explorer", "/explorer?page=Runs&where=a%20b", "/explorer?x=//other"])
def test_an_address_on_this_server_is_kept(address: str) -> None:
    assert inside(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "evil",
    ],
)
def test_an_address_elsewhere_is_not_followed(address: str) -> None:
    assert inside(address) == "/"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_no_address_leads_out(address: str) -> None:
    found = inside(address)
    assert found.startswith("/")
    assert not found.startswith(("//", "/\\"))
    assert found.isascii()
    assert found.isprintable()


def test_the_policy_lets_nothing_run_that_a_text_could_hold() -> None:
    rules = dict(rule.split(" ", 1) for rule in policy("once").split("; "))
    assert rules["script-src"] == "'self' blob: 'nonce-once'"
    assert rules["default-src"] == rules["base-uri"] == "'none'"
    assert "http" not in policy("once")
    assert "*" not in policy("once")
    assert "nonce" not in policy()
