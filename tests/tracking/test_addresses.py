"""Addresses to listen on, and origins under which browsers may open a server."""

from __future__ import annotations

import contextlib
import socket
import string

import pytest
from bokeh.server.util import check_allowlist
from hypothesis import given
from hypothesis import strategies as st

from qlab.errors import ConfigError
from qlab.tracking import addresses

PORT = 5006


def allowed(origin: str, *given: str) -> bool:
    """Whether Bokeh lets an origin in that a browser names."""
    patterns = {pattern for text in given for pattern in addresses.origins(text, PORT)}
    return bool(check_allowlist(origin.split("://")[1].lower(), patterns))


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://name", "https://name"),
        ("https://Name.Lab.org/", "https://name.lab.org"),
        ("HTTPS://NAME", "https://name"),
        ("https://name:443", "https://name"),
        ("name:443", "https://name"),
        ("http://name:80", "http://name"),
        ("https://name:8443", "https://name:8443"),
        ("http://name:443", "http://name:443"),
        ("name", "http://name"),
        ("name", "https://name"),
        ("name", f"http://name:{PORT}"),
        ("name/", f"http://name:{PORT}"),
        ("name:8080", "http://name:8080"),
        (" name:8080 ", "http://name:8080"),
        ("192.168.1.5:5006", "http://192.168.1.5:5006"),
        ("my_host", f"http://my_host:{PORT}"),
        ("https://bücher.de", "https://xn--bcher-kva.de"),
        ("::1", f"http://[::1]:{PORT}"),
        ("[2001:DB8:0::1]", "https://[2001:db8::1]"),
        ("https://[2001:db8::1]:443", "https://[2001:db8::1]"),
        ("http://[::1]:5007", "http://[::1]:5007"),
        ("*", "http://anything:1"),
        ("name:*", "http://name:77"),
        ("192.168.*.*:5006", "http://192.168.3.4:5006"),
    ],
)
def test_an_origin_may_be_written_as_people_write_it(text: str, origin: str) -> None:
    assert allowed(origin, text)
    assert text == "*" or not allowed("http://elsewhere", text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://",
        "ftp://name",
        "https:/name",
        "https://name/explorer",
        "name/explorer",
        "https://name?x=1",
        "https://ada:secret@name",
        "name:port",
        "name:0",
        "name:",
        "name:99999",
        "a,b",
        "a b",
        "[::1",
        "2001:db8::1:zz",
        "//name",
    ],
)
def test_what_is_no_origin_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(ConfigError, match="https://name"):
        addresses.origins(text, PORT)


@given(
    host=st.one_of(
        st.text(string.ascii_lowercase + string.digits, min_size=1).map(lambda name: f"a{name}.org"),
        st.ip_addresses(v=4).map(str),
        st.ip_addresses(v=6).map(str),
    ),
    scheme=st.sampled_from(["http", "https"]),
    port=st.one_of(st.none(), st.integers(1, 65535)),
)
def test_every_address_that_is_allowed_gets_in(host: str, scheme: str, port: int | None) -> None:
    place = f"[{host}]" if ":" in host else host
    own = "" if port is None else f":{port}"
    default = port == {"http": 80, "https": 443}[scheme]
    assert allowed(f"{scheme}://{place}{'' if default else own}", f"{scheme}://{place}{own}")
    assert not allowed("http://other.net", f"{scheme}://{place}{own}")


@pytest.mark.parametrize("host", ["http://::1", "localhost:5006", "a b", "name/", "-x"])
def test_what_is_no_address_to_listen_on_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="--port"):
        addresses.bare(host)


def test_a_host_that_is_not_here_is_said() -> None:
    with pytest.raises(ConfigError, match=r"--host nowhere\.invalid: no such address"):
        addresses.is_local("nowhere.invalid")
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1:0: .*see --host"):
        addresses.free_port("192.0.2.1", 0)


@pytest.mark.parametrize(("host", "local"), [("::1", True), ("127.0.0.2", True), ("localhost", True), ("::", False)])
def test_who_is_only_reached_from_here(host: str, local: bool) -> None:
    assert addresses.is_local(host) == local


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "::", ""])
def test_a_port_that_is_free_or_taken(host: str) -> None:
    port = addresses.free_port(host, 0)
    assert 0 < port == addresses.free_port(host, port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family)) as taken:
        taken.bind((host, port))
        taken.listen()
        with pytest.raises(ConfigError, match=f":{port}: Address already in use; choose another with --port"):
            addresses.free_port(host, port)


@pytest.mark.parametrize(
    ("host", "address"),
    [("::1", "http://[::1]:80"), ("::", "http://[::1]:80"), ("0.0.0.0", "http://127.0.0.1:80"), ("x", "http://x:80")],
)
def test_the_address_to_open(host: str, address: str) -> None:
    assert addresses.opened(host, 80) == address
