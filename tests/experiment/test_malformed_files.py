"""A thousand experiment files with something wrong in them: each is refused in words, or accepted; none does harm."""

from __future__ import annotations

import contextlib
import datetime
import faulthandler
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from qlab.cli import main
from qlab.resources import experiment_files

FILES = [file.read_bytes() for file in experiment_files()]
TABLES = [tomllib.loads(text.decode()) for text in FILES]

SECONDS = 20
"""No file takes longer to be refused."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="time limits are kept by signals")


# Files: real ones with bytes, values, keys or tables changed


CUTS = st.integers(0, 10_000)
SNIPPETS = st.one_of(
    st.binary(max_size=6),
    st.sampled_from([b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"[", b"]]", b"{", b'"', b"'''", b"=", b"#", b"\n"]),
    st.sampled_from([b"\n[run]\n", b"\n[[model]]\n", b"[" * 2000, b"a." * 999 + b"a=1\n", "\u202e\U0001f9ea".encode()]),
    st.sampled_from([b"1e999", b"-0.0", b"nan", b"0x", b"9" * 5000]),
)


@st.composite
def changed_bytes(draw: st.DrawFn) -> bytes:
    """A file in which some bytes are cut out, doubled or replaced."""
    text = draw(st.sampled_from(FILES))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(CUTS) % (len(text) + 1)
        end = min(start + draw(st.integers(0, 40)), len(text))
        again = text[start:end] * draw(st.integers(0, 2))
        text = text[:start] + draw(SNIPPETS) + again + text[end:]
    return text


SCALARS = st.one_of(
    st.none().map(lambda _: {}),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, 1, -1, 2**31, 2**63 - 1, 10**18, 10**300, 10_000_000]),
    st.floats(),
    st.sampled_from([1e300, -1e-300, 5e-324]),
    st.text(max_size=12),
    st.sampled_from(
        ["", "MLP", "XXZ", "PennyLaneQNN", "os:system", "no_module:Nothing", ":", "a:b:c", "cuda:99", "\u0000"]
    ),
    st.sampled_from([datetime.date(2025, 1, 1), datetime.time(12), datetime.datetime(2025, 1, 1)]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value below this one."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def changed(value: Any, path: tuple[Any, ...], change: Any) -> Any:
    """The value with what is at a path replaced by ``change`` of it, or left out if that is None."""
    if not path:
        return change(value)
    copy = dict(value) if isinstance(value, dict) else list(value)
    new = changed(copy[path[0]], path[1:], change)
    if new is None:
        del copy[path[0]]
    else:
        copy[path[0]] = new
    return copy


@st.composite
def changed_values(draw: st.DrawFn) -> bytes:
    """A file in which values are replaced, left out, wrapped, renamed or added."""
    table: dict[str, Any] = draw(st.sampled_from(TABLES))
    for _ in range(draw(st.integers(1, 3))):
        paths = list(places(table))
        if not paths:
            break
        path = paths[draw(CUTS) % len(paths)]
        kind = draw(st.sampled_from(["replace", "leave out", "wrap", "rename", "add", "string", "nest"]))
        if kind == "replace":
            value = draw(VALUES)
            table = changed(table, path, lambda old, value=value: value)
        elif kind == "leave out":
            table = changed(table, path, lambda old: None)
        elif kind == "wrap":
            table = changed(table, path, lambda old: [old])
        elif kind == "string":
            table = changed(table, path, str)
        elif kind == "nest":
            depth = draw(st.sampled_from([3, 60, 400]))
            table = changed(table, path, lambda old, depth=depth: nested(old, depth))
        else:
            own = draw(st.text(max_size=8)) if kind == "add" else f"{path[-1]}s"
            parent = path[:-1]
            value = draw(VALUES)
            table = changed(
                table,
                parent,
                lambda old, own=own, value=value: {**old, own: value} if isinstance(old, dict) else [*old, value],
            )
    return written(table).encode("utf-8", "surrogatepass")


def added(old: Any, key: str, value: Any) -> Any:
    return {**old, key: value} if isinstance(old, dict) else [*old, value]


def nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def written(table: dict[str, Any]) -> str:
    """TOML, everything below the top level inline."""
    return "".join(f"{quoted(key)} = {inline(value)}\n" for key, value in table.items())


def inline(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(str(key))} = {inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, list):
        # Not recursive: lists are nested deeper than this program's stack.
        depth = 0
        while isinstance(value, list) and len(value) == 1:
            value, depth = value[0], depth + 1
        inner = ", ".join(map(inline, value)) if isinstance(value, list) else inline(value)
        return "[" * (depth + isinstance(value, list)) + inner + "]" * (depth + isinstance(value, list))
    return str(value)


def quoted(text: str) -> str:
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char >= " " and char != "\x7f" else f"\\u{ord(char):04x}" for char in plain) + '"'


# What must not happen


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raises if what is inside takes longer, even in a loop that never comes up for air in Python."""

    def late(number: int, frame: object) -> None:
        raise AssertionError(f"not refused within {seconds} s")

    previous = signal.signal(signal.SIGALRM, late)
    faulthandler.dump_traceback_later(3 * seconds, exit=True)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, previous)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("malformed")
        patch.chdir(path)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield path


def check(folder: Path, content: bytes) -> str:
    """Asserts that a file is refused as it should be, or taken; which, in words."""
    (folder / "file.toml").write_bytes(content)
    with limited(SECONDS):
        # What is not refused is not run: a change may be harmless. A plan is made of it, which is all before training.
        result = CliRunner().invoke(main, ["run", "file.toml", "--dry-run"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert [path.name for path in folder.iterdir()] == ["file.toml"]
    if result.exit_code != 0:
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: file.toml: ")
        assert len(result.stderr) > len("Error: file.toml: ") + 10
        assert "Traceback" not in result.stderr
    else:
        assert re.search(r"\d+ trials?\b", result.stdout)
    return f"exit {result.exit_code}"


many = settings(
    max_examples=500, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)


@many
@given(content=changed_bytes())
def test_files_with_bytes_changed(folder: Path, content: bytes) -> None:
    event(check(folder, content))


@many
@given(content=changed_values())
def test_files_with_values_changed(folder: Path, content: bytes) -> None:
    event(check(folder, content))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("[run]\nseeds = [1" + "0" * 30 + "]", "run.seeds: got [1000000000000", id="seed"),
        pytest.param("[training]\nepochs = 9223372036854775808", "training.epochs: got 9223372036854775808", id="2^63"),
        pytest.param("[run]\nseeds = 0x" + "f" * 5000, "run.seeds: got an integer of 20000 bits", id="long"),
        pytest.param('name = "' + "a" * 600 + '"', "name: got 600 characters, accepts at most 200", id="name"),
    ],
)
def test_what_no_store_or_machine_takes_is_refused_first(folder: Path, line: str, message: str) -> None:
    text = 'task = { type = "XXZ" }\nmodel = { type = "MLP" }\n'
    (folder / "file.toml").write_text(text + line)
    result = CliRunner().invoke(main, ["run", "file.toml"])
    assert result.exit_code == 2
    assert message in result.stderr
    assert [path.name for path in folder.iterdir()] == ["file.toml"]


REAL = {
    "empty": b"",
    "no text": bytes(range(256)),
    "no end": b"[" * 100_000,
    "deep": b"a = " + b"[" * 5000 + b"]" * 5000,
    "huge": FILES[0] + b"[run]\nseeds = " + b"9" * 4000,
    "cut short": FILES[0][: len(FILES[0]) // 2],
}


@pytest.mark.parametrize("content", REAL.values(), ids=REAL.keys())
def test_files_that_are_hardly_files(folder: Path, content: bytes) -> None:
    check(folder, content)


@pytest.mark.parametrize("given", [{"deep", "huge"}, pytest.param(REAL.keys(), marks=pytest.mark.slow)], ids=len)
def test_real_processes_refuse_files_in_one_line(given: Collection[str], tmp_path: Path) -> None:
    for name in given:
        (tmp_path / f"{name}.toml").write_bytes(REAL[name])
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    processes = {
        name: subprocess.Popen(
            [sys.executable, "-m", "qlab", "run", f"{name}.toml"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in given
    }
    for name, process in processes.items():
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 2, (name, errors)
        assert output == ""
        assert errors.startswith(f"Error: {name}.toml: "), errors
        assert len(errors.splitlines()) == 1
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(given)
