"""Many safetensors files of one form as one: tensors of the same name are stacked, equal ones are kept once.

A file taken out again is the one that was put in, to the last bit. Any reader of safetensors opens the stacked file;
tensors are called ``STEM.VARIANT/NAME`` there, for ``checkpoint/model.safetensors`` ``model.0/NAME``.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

SUFFIX = ".safetensors"
_LENGTH = struct.Struct("<Q")
_FORMS = "qlab.forms"


class NotStackable(Exception):
    """A file is none of safetensors."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a file is in a stack.

    Args:
        form: the number of files' form.
        row: which of these.
    """

    form: int
    row: int


class Stack:
    """Files that are being stacked."""

    def __init__(self) -> None:
        self._forms: dict[tuple[str, bytes], int] = {}
        self._buffers: list[list[bytes]] = []

    def __bool__(self) -> bool:
        return bool(self._buffers)

    def add(self, path: str, content: bytes) -> Place:
        """Takes a file.

        Raises:
            NotStackable: it is none of safetensors.
        """
        header, buffer = _split(content)
        if (path, header) not in self._forms:
            _check(header)
        form = self._forms.setdefault((path, header), len(self._forms))
        if form == len(self._buffers):
            self._buffers.append([])
        self._buffers[form].append(buffer)
        return Place(form, len(self._buffers[form]) - 1)

    def save(self, file: Path) -> None:
        """Writes all of them."""
        entries: dict[str, Any] = {}
        forms = []
        pieces: list[bytes] = []
        end = 0
        for (path, header), form in self._forms.items():
            prefix, buffers, shared = f"{PurePosixPath(path).stem}.{form}", self._buffers[form], []
            for name, entry in _tensors(header).items():
                first, last = entry["data_offsets"]
                own = [buffer[first:last] for buffer in buffers]
                shape = list(entry["shape"])
                if len(own) > 1 and all(part == own[0] for part in own[1:]):
                    shared.append(name)
                    own = own[:1]
                else:
                    shape = [len(own), *shape]
                pieces += own
                size = sum(map(len, own))
                entries[f"{prefix}/{name}"] = {
                    "dtype": entry["dtype"],
                    "shape": shape,
                    "data_offsets": [end, end + size],
                }
                end += size
            forms.append({"path": path, "prefix": prefix, "header": header.decode(), "shared": shared})
        described = json.dumps({"__metadata__": {_FORMS: json.dumps(forms)}, **entries}).encode()
        described += b" " * (-len(described) % 8)
        with file.open("wb") as opened:
            opened.write(_LENGTH.pack(len(described)))
            opened.write(described)
            opened.writelines(pieces)


class Stacked:
    """A file of stacked files.

    Args:
        file: that :meth:`Stack.save` wrote.

    Raises:
        ValueError: it is none.
        OSError: it cannot be read.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        with file.open("rb") as opened:
            (length,) = _LENGTH.unpack(opened.read(_LENGTH.size))
            self._entries: dict[str, Any] = json.loads(opened.read(length))
        self._start = _LENGTH.size + length
        self._forms: list[dict[str, Any]] = json.loads(self._entries.pop("__metadata__")[_FORMS])

    def content(self, place: Place) -> bytes:
        """One of the files."""
        form = self._forms[place.form]
        header = form["header"].encode()
        tensors = _tensors(header)
        buffer = bytearray(max((entry["data_offsets"][1] for entry in tensors.values()), default=0))
        with self._file.open("rb") as opened:
            for name, entry in tensors.items():
                first, last = entry["data_offsets"]
                offset = self._entries[f"{form['prefix']}/{name}"]["data_offsets"][0]
                skipped = 0 if name in form["shared"] else place.row * (last - first)
                opened.seek(self._start + offset + skipped)
                buffer[first:last] = opened.read(last - first)
        return _LENGTH.pack(len(header)) + header + bytes(buffer)


def _split(content: bytes) -> tuple[bytes, bytes]:
    try:
        (length,) = _LENGTH.unpack_from(content)
    except struct.error as error:
        raise NotStackable(str(error)) from None
    return content[_LENGTH.size : _LENGTH.size + length], content[_LENGTH.size + length :]


def _check(header: bytes) -> None:
    try:
        header.decode()
        for entry in _tensors(header).values():
            first, last = entry["data_offsets"]
            if not 0 <= first <= last or not isinstance(entry["shape"], list):
                raise ValueError("an offset is wrong")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotStackable(str(error)) from None


def _tensors(header: bytes) -> Mapping[str, Any]:
    found = json.loads(header)
    return {name: entry for name, entry in found.items() if name != "__metadata__"}
