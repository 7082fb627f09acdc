"""Circuits of trained models, out of the store: as OpenQASM, as text, as pictures."""

from __future__ import annotations

from pathlib import Path

from qlab.errors import ConfigError, DataError
from qlab.models import PennyLaneQNN
from qlab.reading.rows import features_of, read_file
from qlab.reading.stored import find_run, load_model
from qlab.tracking.store import Store

PICTURES = (".png", ".svg", ".pdf")
"""Formats that a circuit is drawn in."""


def stored_circuit(store: Store, run: str, folder: Path | None = None) -> PennyLaneQNN:
    """The quantum model of a run.

    Args:
        store: where the run is.
        run: its id, or the beginning of it.
        folder: where the file of a class of one's own is, which is imported from there.

    Raises:
        ConfigError: there is no such run, or its class is not to be found.
        DataError: it has no model, or one that is no circuit.
    """
    model = load_model(store, find_run(store, run), folder)
    if not isinstance(model, PennyLaneQNN):
        raise DataError(f"run {run}: its model is of the class {type(model).__name__}, which has no circuit.")
    return model


def openqasm(model: PennyLaneQNN, *, cone: bool, rows: Path | None = None, row: int = 0) -> str:
    """A trained circuit as OpenQASM 2.0, see :meth:`qlab.circuits.trained.TrainedCircuit.openqasm`.

    Args:
        model: a trained model.
        cone: whether to leave out all that the readout does not depend on.
        rows: a file of rows of features, one of which the program then prepares, scaled as in training.
        row: which one, counted from 0.

    Raises:
        ConfigError: there is no such row, or one is needed.
        DataError: the rows do not fit the model.
    """
    circuit = model.circuit(cone=cone)
    if rows is None:
        return circuit.openqasm()
    assert model.features is not None
    x = features_of(model.features, read_file(rows), str(rows))
    if not 0 <= row < len(x):
        raise ConfigError(f"--row: got {row}, and {rows} has the rows 0 to {len(x) - 1}.")
    return circuit.openqasm(x[row].numpy())


def draw(model: PennyLaneQNN, path: Path, *, cone: bool) -> Path:
    """Writes a picture of a trained circuit; its suffix says the format.

    Raises:
        ConfigError: it is another one.
    """
    from qlab.views.circuit import draw_circuit

    if path.suffix.lower() not in PICTURES:
        raise ConfigError(f'--output: got "{path.name}", accepts images as {", ".join(PICTURES)}.')
    return draw_circuit(model, path, cone_only=cone)
