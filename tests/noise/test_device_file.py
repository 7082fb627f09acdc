"""Files of devices: read, written, and refused with file, key, given and accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from qlab.errors import ConfigError
from qlab.noise.device_data import NativeGate
from qlab.noise.device_file import device_path, read_device, snapshots
from qlab.noise.device_writing import written

TEXT = """
name = "toy"
date = 2026-01-01T10:00:00Z
source = "made up"
chain = [1, 0]

[gates]
one_qubit = ["sx"]
two_qubit = ["cx"]
RZ = []

[qubits.0]
t1_us = 50.0
t2_us = 70
p1_given_0 = 0.01
p0_given_1 = 0.02
sx = { error = 0.001, time_ns = 40 }

[qubits.1]
t1_us = 60.0
t2_us = 120.0
p1_given_0 = 0.0
p0_given_1 = 1
sx = { error = 0, time_ns = 0 }

[pairs.1-0]
cx = { error = 0.01, time_ns = 300 }
"""


def file(folder: Path, text: str) -> Path:
    path = folder / "toy.toml"
    path.write_text(text)
    return path


def test_a_file_is_read_and_written_again(tmp_path: Path) -> None:
    data = read_device(file(tmp_path, TEXT))
    assert (data.name, data.date, data.licence, data.chain) == ("toy", "2026-01-01T10:00:00+00:00", "", (1, 0))
    assert data.gates == {"one_qubit": ("sx",), "two_qubit": ("cx",), "RZ": ()}
    assert (data.qubits[0].t2_us, data.qubits[1].p0_given_1) == (70.0, 1.0)
    assert data.pairs == {(0, 1): {"cx": NativeGate(0.01, 300.0)}}
    assert read_device(file(tmp_path, written(data, ["a note"]))) == data
    assert "\n# a note\n" in written(data, ["a note"])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("t2_us = 70", "t2_us = 101", "qubits.0.t2_us: got 101, accepts at most 2 t1_us = 100."),
        (
            "t2_us = 70",
            "t2_ns = 70",
            "qubits.0.t2_us: missing; every qubit has t1_us, t2_us, p1_given_0, p0_given_1. (It",
        ),
        ("t2_us = 70", "t2_us = 70\nt1_ns = 3", "qubits.0.t1_ns: got 3, accepts one of t1_us, t2_us, p1_given_0"),
        ("t1_us = 50.0", 't1_us = "50 us"', 'qubits.0.t1_us: got "50 us", accepts a number above 0.'),
        ("t1_us = 50.0", "t1_us = 0", "qubits.0.t1_us: got 0, accepts a number above 0."),
        ("t1_us = 50.0", "t1_us = inf", "qubits.0.t1_us: got inf, accepts a number above 0."),
        ("p1_given_0 = 0.01", "p1_given_0 = 1.01", "qubits.0.p1_given_0: got 1.01, accepts a number in [0, 1]."),
        ("error = 0.001", "error = -0.001", "qubits.0.sx.error: got -0.001, accepts a number in [0, 1]."),
        ("error = 0.01,", "error = 1.5,", "pairs.1-0.cx.error: got 1.5, accepts a number in [0, 1]."),
        ("time_ns = 300", "time_us = 0.3", 'pairs.1-0.cx: unknown key "time_us". Did you mean "time_ns"?'),
        ("time_ns = 300", "time_ns = -1", "pairs.1-0.cx.time_ns: got -1, accepts a number of at least 0."),
        (", time_ns = 300", "", "pairs.1-0.cx.time_ns: missing; accepts { error = 0.001, time_ns = 50 }."),
        ("[pairs.1-0]", "[pairs.1-2]", "pairs.1-2: there is no qubits.2; accepts pairs of 0, 1."),
        ("[pairs.1-0]", "[pairs.1]", "pairs.1: accepts the numbers of two qubits, such as pairs.0-1."),
        ("[qubits.1]", "[qubits.b]", "qubits.b: accepts the number of a qubit, such as qubits.0."),
        ("[pairs.1-0]", "[pears.1-0]", 'unknown key "pears". Did you mean "pairs"?'),
        ("[pairs.1-0]\ncx = { error = 0.01, time_ns = 300 }\n", "", "pairs: missing"),
        ('two_qubit = ["cx"]', "", "gates.two_qubit: missing; accepts the native gates that a gate on two wires takes"),
        (
            'two_qubit = ["cx"]',
            'two_qubit = ["cz"]',
            'gates.two_qubit: got "cz", accepts native gates of the file: cx, sx.',
        ),
        (
            'one_qubit = ["sx"]',
            'one_qubit = ["cx"]',
            'gates.one_qubit: got "cx", accepts native gates of the file: sx.',
        ),
        ("RZ = []", 'RZ = "sx"', 'gates.RZ: got "sx", accepts a list of native gates.'),
        ("chain = [1, 0]", "chain = [1, 2]", "chain: got 2, accepts qubits of the device: 0, 1."),
        ("chain = [1, 0]", "chain = 1", "chain: got 1, accepts a list of qubits."),
        ("cx = { e", "sx = { e", "pairs: got the gate sx, which qubits have too; accepts another name for one."),
        ("date = 2026-01-01T10:00:00Z", "", "date: got nothing, accepts the date of the calibration"),
        ("date = 2026-01-01T10:00:00Z", 'date = "May"', 'date: got "May", accepts the date of the calibration'),
        ('name = "toy"', "", "name: got nothing, accepts a string."),
        ('name = "toy"', "name = toy", "is not TOML: "),
        ('name = "toy"', r'name = "a\nb"', r'name: got "a\nb", accepts one line of printable characters.'),
        ('name = "toy"', r'name = "\u001b[31mred"', r'name: got "\x1b[31mred", accepts one line'),
    ],
)
def test_what_a_file_says_wrongly_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in TEXT
    path = file(tmp_path, TEXT.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        read_device(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


def test_neighbours_in_the_chain_are_coupled(tmp_path: Path) -> None:
    text = TEXT.replace("chain = [1, 0]", "chain = [0, 2]") + TEXT[
        TEXT.index("[qubits.1]") : TEXT.index("[pairs")
    ].replace("qubits.1", "qubits.2")
    with pytest.raises(ConfigError, match=r"chain: got 0 beside 2, and there is no pairs\.0-2"):
        read_device(file(tmp_path, text))


def test_files_are_found_by_path_and_by_name(tmp_path: Path) -> None:
    path = file(tmp_path, TEXT)
    assert device_path("toy.toml", tmp_path) == device_path("toy", tmp_path) == path
    assert device_path(str(path), Path("/elsewhere")) == path
    assert device_path("kingston", tmp_path) == snapshots()["kingston"]
    (tmp_path / "kingston.toml").write_text(TEXT)
    assert device_path("kingston", tmp_path) == tmp_path / "kingston.toml"  # one's own comes first
    with pytest.raises(ConfigError, match=r'got "kingstone", and there is no file .* Did you mean "kingston"\?'):
        device_path("kingstone", tmp_path)
    with pytest.raises(ConfigError, match="is a folder; accepts a file"):
        device_path(".", tmp_path)
