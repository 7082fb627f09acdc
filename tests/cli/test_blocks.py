"""A task without amplitudes on the command line: run, predict, and what is refused before data are computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from qlab import TransverseIsing
from qlab.cli import main
from qlab.reading import results

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"),
]

FILE = """
name = "chain"
corruption = { type = "LabelFlip", ratio = 0.2 }
training = { epochs = 1 }
run = { seeds = 1 }

[task]
type = "TransverseIsing"
length = 300
ordered = [0.1, 0.9, 0.2]
disordered = [1.1, 2.9, 0.4]
validation = [0.2, 2.0, 0.3]

[[model]]
"""

CIRCUIT = 'type = "PennyLaneQNN"\ndepth = 3\n'


def invoke(folder: Path, text: str, *arguments: str) -> Result:
    (folder / "chain.toml").write_text(text)
    return CliRunner().invoke(main, ["run", "chain.toml", "--no-figures", *arguments])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_empty_store: Callable[[Path], str]) -> Path:
    monkeypatch.chdir(tmp_path)
    write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    return tmp_path


BAD = {
    "amplitudes": ('type = "MLP"', 'MLP: inputs: got "amplitudes", which needs the features of states'),
    "moduli": ('type = "MLP"\ninputs = "modulus"', 'MLP: inputs: got "modulus"'),
    "an estimator": ('type = "sklearn.svm:SVC"', 'SVC: inputs: got "amplitudes"'),
    "a device": (CIRCUIT + 'device = "default.qubit"', 'device = "default.qubit" simulates states'),
    "a cone": (CIRCUIT.replace("3", "6"), "The light cone of the readout has 6 sites"),
    "a ring": (CIRCUIT + 'entangler = "ring"', "A cone that goes around the end of the chain"),
    "sites": ('type = "PauliLinear"\nsites = 5', "PauliLinear: sites: got 5"),
}


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
@pytest.mark.parametrize("name", BAD)
def test_what_needs_amplitudes_is_refused_by_name_before_data_are_computed(folder, monkeypatch, name, options):
    lines, said = BAD[name]
    monkeypatch.setattr(TransverseIsing, "load", lambda self: pytest.fail("loaded"))
    result = invoke(folder, FILE + lines, *options)
    assert result.exit_code == 2, result.output
    assert result.output.startswith("Error: chain.toml: model: ")
    assert said in result.output
    assert "the last 4 of 300 sites" in result.output
    assert "The task is TransverseIsing" in result.output


def test_a_trained_circuit_predicts_rows_of_density_matrices(folder):
    result = invoke(folder, FILE + CIRCUIT)
    assert result.exit_code == 0, result.output
    assert "light cone of 3 of 300 qubits" in result.output
    x = TransverseIsing(length=300, validation=(0.2, 2.0, 0.3)).load().validation.x.numpy()
    np.savez("rows.npz", x=x)
    runs = results("chain").runs
    run = runs[runs["kind"] == "trial"]["run_id"].iloc[0]
    result = CliRunner().invoke(main, ["predict", run, "rows.npz"])
    assert result.exit_code == 0, result.output
    assert len(result.output.splitlines()) == 1 + len(x)
    np.savez("rows.npz", x=x[:, ::-1])
    result = CliRunner().invoke(main, ["predict", run, "rows.npz"])
    assert result.exit_code == 2
    assert "row 0 has the trace" in result.output
    assert CliRunner().invoke(main, ["circuit", run, "--cone"]).output.startswith(" 9:")  # of 12
    for picture in ("circuit.png", "circuit.qasm"):
        way = ["--qasm"] if picture.endswith("qasm") else []
        assert CliRunner().invoke(main, ["circuit", run, *way, "-o", picture]).exit_code == 0
        assert (folder / picture).stat().st_size > 0
