"""Addresses that a server listens on, and those under which browsers may open it."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from qlab.errors import ConfigError

EVERY = ("0.0.0.0", "::", "")
"""Addresses that listen on all networks of this machine."""

_ORIGIN_FORM = "accepts name, name:port, http://name or https://name (with or without a port), IPv6 in [brackets]"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"(?!-)[a-z0-9_*-]+(\.[a-z0-9_*-]+)*\.?", re.ASCII)


def bare(host: str) -> str:
    """An address to listen on without brackets.

    Raises:
        ConfigError: it has a scheme, a port or a path, or is no name.
    """
    text = host.strip()
    found = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if found in EVERY or _version(found) or _NAME.fullmatch(_ascii(found)):
        return found
    raise ConfigError(
        f'--host {host}: accepts an address or a name alone, such as 127.0.0.1, ::1 or "myhost"; the port is --port\'s.'
    )


def free_port(host: str, port: int) -> int:
    """The port a server can listen on at an address: the one asked for, or any free one for 0.

    Raises:
        ConfigError: it is taken, or the address is none of this machine's.
    """
    places = _resolved(host)
    for family, address in places:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # as servers do, else it would take the port of IPv4 too
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((address, port))
            except PermissionError as error:
                raise ConfigError(f"{netloc(host, port)}: {error.strerror}; choose a --port from 1024 on.") from None
            except OSError as error:
                advice = "choose another with --port" if port and _bindable(family, address) else "see --host"
                raise ConfigError(f"{netloc(host, port)}: {error.strerror}; {advice}.") from None
            port = int(probe.getsockname()[1])
    return port


def is_local(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host in EVERY:
        return False
    return all(ipaddress.ip_address(address.split("%")[0]).is_loopback for _, address in _resolved(host))


def netloc(host: str, port: int) -> str:
    """Host and port as they stand in an address, IPv6 in brackets."""
    return f"[{host}]:{port}" if _version(host) == 6 else f"{host}:{port}"


def opened(host: str, port: int) -> str:
    """The address under which a browser on this machine opens a server."""
    here = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{netloc(here, port)}"


def own_origins(host: str, port: int) -> list[str]:
    """What a server's own pages have as their origin, see :func:`origins`."""
    hosts = dict.fromkeys(["localhost", "127.0.0.1", "::1", *([] if host in EVERY else [host.lower()])])
    return [_pattern(name, port) for name in hosts]


def origins(given: str, port: int) -> list[str]:
    """Origins that a user allows, in the form that Bokeh compares: no scheme, lower case, always with a port.

    Bokeh takes an origin without a port, of either scheme, for one at port 80. A name given alone is allowed at the
    usual ports and at the server's own.

    Args:
        given: as the user wrote it.
        port: the server's.

    Raises:
        ConfigError: it is none.
    """
    if given.strip() == "*":
        return ["*"]
    scheme, host, own = _split(given)
    if own is None:
        return [_pattern(host, 80), *([] if scheme else [_pattern(host, port)])]
    if own == _DEFAULT_PORTS.get(scheme):
        return [_pattern(host, 80)]  # a browser leaves the port of its scheme out
    # Without a scheme 443 can only mean https, where a browser leaves it out.
    return [_pattern(host, own), *([_pattern(host, 80)] if own == "443" or (own == 443 and not scheme) else [])]


def _split(given: str) -> tuple[str, str, int | str | None]:
    """Scheme (or nothing), host without brackets, and port (``*`` for any) of an origin."""
    text = given.strip().lower()
    refused = ConfigError(f"--allow-origin {given}: {_ORIGIN_FORM}.")
    if _version(text) == 6:
        return "", text, None
    scheme, found, rest = text.rpartition("://")
    if found and scheme not in _DEFAULT_PORTS:
        raise refused
    place, slash, path = rest.partition("/")
    if path or "@" in place or "?" in place or "#" in place:
        raise ConfigError(f"--allow-origin {given}: an origin has no path and no password; {_ORIGIN_FORM}.")
    if slash and not found:
        place = rest.rstrip("/")
    try:
        parts = urlsplit(f"//{place}")
        host = parts.hostname or ""
        wild = place.endswith(":*")
        port: int | str | None = "*" if wild else parts.port
    except ValueError:
        raise refused from None
    host = _ascii(host)
    if port == 0 or place.endswith(":") or not (_version(host) or _NAME.fullmatch(host)):
        raise refused
    if _version(host) == 6 and not place.startswith("["):
        raise refused
    return scheme, host, port


def _pattern(host: str, port: int | str) -> str:
    if _version(host) == 6:
        short = f"[{ipaddress.ip_address(host).compressed}]"
        return short if port == 80 else f"{short}:{port}"  # Bokeh adds no port where there is a colon
    return f"{host}:{port}"


def _version(host: str) -> int:
    """4 or 6 for an IP address, 0 for a name."""
    try:
        return ipaddress.ip_address(host.split("%")[0]).version
    except ValueError:
        return 0


def _ascii(host: str) -> str:
    """A name as browsers send it: lower case, other letters in their ASCII form."""
    try:
        return host.lower() if host.isascii() else host.lower().encode("idna").decode()
    except UnicodeError:
        return ""


def _resolved(host: str) -> Sequence[tuple[socket.AddressFamily, str]]:
    if host == "":
        host = "0.0.0.0"
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise ConfigError(f"--host {host}: no such address is known on this machine.") from None
    return list(dict.fromkeys((family, str(place[0])) for family, _, _, _, place in found))


def _bindable(family: socket.AddressFamily, address: str) -> bool:
    """Whether some port of an address can be listened on: whether it is this machine's."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
