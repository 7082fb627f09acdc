"""Reading text files that people wrote, with whatever editor."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Final

from qlab.errors import ConfigError

LARGEST: Final = 10_000_000
"""Bytes. A file of people's own words is a thousand times smaller; what is larger is something else."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks, which editors on Windows write in front of a file, and the encodings they mean."""


def read_text(path: Path) -> str:
    """A file's text, lines ending in ``\\n``: UTF-8 with or without a byte order mark, UTF-16 and UTF-32 with one.

    Raises:
        ConfigError: it is no file, cannot be read, is too large, or is not such text; the message names the line.
    """
    try:
        if not path.is_file():
            raise ConfigError(f"{path}: cannot be read: {_what(path)}")
        if path.stat().st_size > LARGEST:
            raise ConfigError(
                f"{path}: has {path.stat().st_size:,} bytes, accepts at most {LARGEST:,}; is it the right file?"
            )
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    return decoded(content, str(path))


def decoded(content: bytes, source: str) -> str:
    """The text of a file's bytes, see :func:`read_text`.

    Raises:
        ConfigError: it is not such text.
    """
    encoding = next((found for mark, found in _MARKS if content.startswith(mark)), None)
    body = content.removeprefix(codecs.BOM_UTF8) if encoding == "utf-8" else content
    try:
        text = body.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: {_undecodable(body, error, encoding)}") from None
    if encoding is None and "\0" in text:
        raise ConfigError(
            f"{source}: cannot be read: it is not UTF-8 text: it contains zero bytes. If it is UTF-16, save it as "
            f"UTF-8, "
            "or with a byte order mark."
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _what(path: Path) -> str:
    if not path.exists():
        return "there is no such file."
    if path.is_dir():
        return "it is a folder."
    return "it is a pipe or a device, not a file; save its content to a file."


def _undecodable(body: bytes, error: UnicodeDecodeError, encoding: str | None) -> str:
    if encoding not in (None, "utf-8"):
        return (
            f"cannot be read: it begins like {encoding.upper()} text, and is cut short or damaged ({error.reason}). "
            "Save it as UTF-8."
        )
    before = body[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    line = before.count(b"\n") + 1
    column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
    byte = body[error.start]
    guess = bytes([byte]).decode("latin-1")
    hint = f' ("{guess}" in Latin-1)' if guess.isprintable() else ""
    return (
        f"cannot be read: it is not UTF-8 text: line {line}, column {column} is the byte 0x{byte:02x}{hint}. "
        "Save it as UTF-8."
    )
