"""A circuit drawn by PennyLane's drawer, with the light cone of its observable marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qlab.circuits import Recording
from qlab.circuits.observables import PauliSum
from qlab.errors import DataError
from qlab.models import PennyLaneQNN
from qlab.views.backends import pyplot

_INSIDE = {"facecolor": "#FFE3CC", "edgecolor": "#D55E00"}
_OUTSIDE = {"facecolor": "#FFFFFF", "edgecolor": "#CCCCCC"}


def draw_circuit(model: PennyLaneQNN, path: Path, dpi: int = 80, *, cone_only: bool = False) -> Path:
    """Draws a built model's circuit: gates inside the light cone of the readout coloured, the others grey.

    Features that are angles come first, and again where they are uploaded, as RY(x3): the fourth feature.

    Args:
        model: a built quantum model.
        path: the file; its suffix says the format: .png, .svg or .pdf.
        dpi: dots per inch, of a PNG.
        cone_only: whether to leave the others out. Of long chains of which only reduced density matrices are known, the
            sites between the first and the last few are left out anyway.

    Raises:
        DataError: the model has not been built.
    """
    if model.features is None:
        raise DataError("The circuit has no wires yet; build the model first.")
    from pennylane.drawer import MPLDrawer
    from pennylane.drawer.drawable_layers import drawable_layers

    recording = Recording(model.ansatz, model.weight_shapes(), model.n_wires)
    cone, block = model.cone, model.features.block
    sites = tuple(range(model.n_wires)) if block is None else block.register
    measured = PauliSum(
        tuple((factor, tuple((sites[wire], letter) for wire, letter in word)) for factor, word in cone.observable.terms)
    )
    n_wires = model.n_wires if block is None else block.length
    wires = f"{len(cone.wires)} of {n_wires} wires, {len(cone.gates)} of {len(recording.gates)} gates"
    # The model's own recording has other objects for the same gates.
    inside = {gate.number for gate in cone.gates}
    number_of = {id(gate.operation): gate.number for gate in recording.gates}

    def kept(operation: Any) -> bool:
        number = number_of.get(id(operation))
        return operation.wires[0] in cone.wires if number is None else number in inside

    operations = [*model.encoding_places(), *(gate.operation for gate in recording.gates)]
    shown = cone.wires if cone_only else tuple(range(model.n_wires))
    if cone_only:
        operations = [operation for operation in operations if kept(operation)]
    line = {wire: number for number, wire in enumerate(shown)}
    layers = drawable_layers(operations, wire_map=line)
    with pyplot():
        drawer = MPLDrawer(n_layers=len(layers) + 1, wire_map=line)
        drawer.label([sites[wire] for wire in shown])
        for place, layer in enumerate(layers):
            for operation in layer:
                coloured = kept(operation)
                drawer.box_gate(
                    layer=place,
                    wires=[line[wire] for wire in operation.wires],
                    text=operation.label(),
                    box_options=_INSIDE if coloured else _OUTSIDE,
                    text_options={"color": "#000000" if coloured else "#AAAAAA"},
                    active_wire_notches=True,
                )
        for wire in cone.observable.wires:
            drawer.measure(len(layers), line[wire])
        drawer.ax.set_title(f"light cone of {measured}: {wires}", fontsize=18)
        drawer.fig.savefig(path, dpi=dpi, bbox_inches="tight")
    return path
