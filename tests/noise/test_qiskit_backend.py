"""Backends of Qiskit's: their properties as a device, and the real ones where the extra is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from qlab.cli import main
from qlab.errors import ConfigError
from qlab.noise import DeviceNoise
from qlab.noise.device_data import NativeGate
from qlab.noise.device_file import read_device
from qlab.noise.qiskit_backend import device_of

INSTALLED = importlib.util.find_spec("qiskit_ibm_runtime") is not None


def item(name: str, value: float, unit: str = "") -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "date": "2026-01-01"}


def qubit(t1: float, t2: float) -> list[dict[str, Any]]:
    read = [item("prob_meas1_prep0", 0.01), item("prob_meas0_prep1", 0.02)]
    return [item("T1", t1, "us"), item("T2", t2, "us"), item("frequency", 5.0, "GHz"), *read]


def gate(name: str, error: float, time: float, *qubits: int) -> dict[str, Any]:
    return {
        "gate": name,
        "qubits": list(qubits),
        "parameters": [item("gate_error", error), item("gate_length", time, "ns")],
    }


def properties() -> dict[str, Any]:
    singles = [gate(name, 0.001, 35.555555555, k) for name in ("id", "sx", "x") for k in range(5)]
    turns = [gate("rz", 0, 0, k) for k in range(5)]
    pairs = [
        *(
            gate("cx", 0.0123456789, 300.0 + 50 * swapped, *((b, a) if swapped else (a, b)))
            for a, b in ((0, 1), (1, 2))
            for swapped in (0, 1)
        ),
        gate("cx", 1, 300, 2, 3),
    ]
    reset = {"gate": "reset", "qubits": [0], "parameters": [item("gate_length", 5000, "ns")]}
    qubits = [qubit(100.0, 80.0), qubit(50.0, 120.0), qubit(70.0, 70.0), qubit(70.0, 70.0), []]
    return {
        "backend_name": "ibm_toy",
        "last_update_date": "2026-01-01T00:00:00+00:00",
        "qubits": qubits,
        "gates": [*singles, *turns, *pairs, reset],
    }


def test_properties_become_a_device() -> None:
    found = device_of(properties(), "a test")
    data = found.data
    assert (data.name, data.date, data.source) == ("ibm_toy", "2026-01-01T00:00:00+00:00", "a test")
    assert list(data.qubits) == [0, 1, 2, 3]
    assert data.qubits[1].t2_us == 100.0  # at most 2 T1
    assert (data.qubits[0].p1_given_0, data.qubits[0].p0_given_1) == (0.01, 0.02)
    assert data.qubits[0].gates == {"sx": NativeGate(0.001, 35.5556), "x": NativeGate(0.001, 35.5556)}
    assert data.pairs == {(0, 1): {"cx": NativeGate(0.0123457, 300.0)}, (1, 2): {"cx": NativeGate(0.0123457, 300.0)}}
    assert data.chain == (0, 1, 2)
    assert data.gates["IsingZZ"] == ("cx", "cx")
    assert data.gates["one_qubit"] == ("sx", "sx")
    assert found.notes == (
        "cx is not calibrated on 2-3, and left out there.",
        "qubit 1: T2 = 120 us is more than 2 T1 can be, and was set to it.",
        "qubit 4 has no T1 or T2, and is left out.",
    )
    DeviceNoise.of(data)


def test_some_qubits_alone_and_native_rotations() -> None:
    own = properties()
    own["gates"] += [gate("rx", 0.001, 30, k) for k in range(5)] + [gate("rzz", 0.002, 80, 1, 2)]
    data = device_of(own, "a test", qubits=[1, 2]).data
    assert (list(data.qubits), list(data.pairs), data.chain) == ([1, 2], [(1, 2)], (1, 2))
    assert (data.gates["IsingZZ"], data.gates["one_qubit"], data.gates["two_qubit"]) == (("rzz",), ("rx",), ("cx",) * 3)
    with pytest.raises(ConfigError, match="qubits: got 7, accepts 0 to 4"):
        device_of(own, "a test", qubits=[7])
    with pytest.raises(ConfigError, match="no calibration"):
        device_of(own, "a test", qubits=[4])


@pytest.mark.skipif(INSTALLED, reason="the extra qiskit is installed")
def test_without_the_extra_one_line_says_what_to_install() -> None:
    result = CliRunner().invoke(main, ["noise", "import", "FakeManilaV2"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "pip install qlab-unlearning[qiskit]" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.skipif(not INSTALLED, reason="the extra qiskit is not installed")
def test_a_fake_backend_is_imported(tmp_path: Path) -> None:
    file = tmp_path / "manila.toml"
    result = CliRunner().invoke(main, ["noise", "import", "FakeManilaV2", "-o", str(file), "--qubits", "0-2,4"])
    assert result.exit_code == 0, result.output
    data = read_device(file)
    assert (data.name, list(data.qubits), data.chain) == ("ibmq_manila", [0, 1, 2, 4], (0, 1, 2))
    wrong = CliRunner().invoke(main, ["noise", "import", "FakeManila"])
    assert wrong.exit_code == 2
    assert ' "FakeManila". Did you mean "FakeManilaV2"? Choices: ' in wrong.stderr


@pytest.mark.parametrize("arguments", [["--qubits", "0:3"], ["-o", "no/such/folder/a.toml"]])
def test_bad_options_are_refused_first(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, ["noise", "import", "FakeManilaV2", *arguments])
    assert result.exit_code == 2
    assert arguments[1].split("/a")[0] in result.stderr
