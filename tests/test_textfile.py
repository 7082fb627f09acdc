"""Files as editors write them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlab.errors import ConfigError
from qlab.textfile import LARGEST, decoded, read_text

TEXT = 'name = "base"\nabout = "α is ±0.1, 量子"\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["Unix", "Windows", "old Mac"])
def test_text_is_read_however_an_editor_saves_it(encoding: str, end: str, tmp_path: Path) -> None:
    file = tmp_path / "file.toml"
    file.write_bytes(TEXT.replace("\n", end).encode(encoding))
    assert read_text(file) == TEXT


@pytest.mark.parametrize(("encoding", "mark"), [("utf-16-be", b"\xfe\xff"), ("utf-32-be", b"\x00\x00\xfe\xff")])
def test_text_of_the_other_byte_order_is_read(encoding: str, mark: bytes) -> None:
    assert decoded(mark + TEXT.encode(encoding), "file.toml") == TEXT


def refused(content: bytes) -> str:
    with pytest.raises(ConfigError) as raised:
        decoded(content, "file.toml")
    return str(raised.value)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "marked"])
def test_a_byte_of_another_encoding_is_named_with_its_place(end: bytes, mark: bytes) -> None:
    content = mark + 'name = "é"'.encode() + end + b'about = "' + "é".encode() + "Zoë".encode("latin-1") + b'"' + end
    message = refused(content)
    assert "file.toml: cannot be read: it is not UTF-8 text: line 2, column 13 is the byte 0xeb" in message
    assert '("ë" in Latin-1)' in message
    assert "Save it as UTF-8" in message


def test_utf_16_without_a_mark_is_recognised() -> None:
    assert "If it is UTF-16" in refused(TEXT.encode("utf-16-le").replace(b"\x00\xb1", b"x\x00"))
    assert "If it is UTF-16" in refused('name = "base"'.encode("utf-16-be"))


def test_what_begins_like_utf_16_and_is_not_is_explained() -> None:
    assert "begins like UTF-16" in refused(b"\xff\xfe\x00")


@given(st.binary(max_size=80))
def test_any_bytes_are_text_or_refused(content: bytes) -> None:
    message = None
    try:
        text = decoded(content, "file.toml")
    except ConfigError as error:
        message = str(error)
    if message is None:
        assert "\r" not in text
    else:
        assert message.startswith("file.toml: ")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    for path, what in ((tmp_path, "folder"), (tmp_path / "missing", "no such file"), (Path(os.devnull), "device")):
        with pytest.raises(ConfigError, match=what):
            read_text(path)
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(ConfigError, match="pipe"):
            read_text(tmp_path / "fifo")


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.toml").open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(ConfigError, match=r"has 10,000,001 bytes, accepts at most 10,000,000"):
        read_text(tmp_path / "huge.toml")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="everything can be read here")
def test_a_file_without_permission_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "secret.toml"
    file.write_text(TEXT)
    file.chmod(0)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        read_text(file)
