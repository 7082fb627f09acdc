"""A circuit drawn by PennyLane's drawer, with the light cone of its observable marked."""

from __future__ import annotations

from pathlib import Path

from qlab.circuits import Recording
from qlab.errors import DataError
from qlab.models import PennyLaneQNN
from qlab.views.backends import pyplot

_INSIDE = {"facecolor": "#FFE3CC", "edgecolor": "#D55E00"}
_OUTSIDE = {"facecolor": "#FFFFFF", "edgecolor": "#CCCCCC"}


def draw_circuit(model: PennyLaneQNN, path: Path, dpi: int = 80) -> Path:
    """Draws a built model's circuit: gates inside the light cone of the readout coloured, the others grey.

    Features that are angles come first, and again where they are uploaded, as RY(x3): the fourth feature.

    Args:
        model: a built quantum model.
        path: the file; its suffix says the format: .png, .svg or .pdf.
        dpi: dots per inch, of a PNG.

    Raises:
        DataError: the model has not been built.
    """
    if model.features is None:
        raise DataError("The circuit has no wires yet; build the model first.")
    from pennylane.drawer import MPLDrawer
    from pennylane.drawer.drawable_layers import drawable_layers

    recording = Recording(model.ansatz, model.weight_shapes(), model.n_wires)
    cone = model.cone
    # The model's own recording has other objects for the same gates.
    inside = {gate.number for gate in cone.gates}
    operations = [*model.encoding_places(), *(gate.operation for gate in recording.gates)]
    number_of = {id(gate.operation): gate.number for gate in recording.gates}
    layers = drawable_layers(operations)
    with pyplot():
        drawer = MPLDrawer(n_layers=len(layers) + 1, wire_map={wire: wire for wire in range(model.n_wires)})
        drawer.label(list(range(model.n_wires)))
        for place, layer in enumerate(layers):
            for operation in layer:
                number = number_of.get(id(operation))
                kept = operation.wires[0] in cone.wires if number is None else number in inside
                drawer.box_gate(
                    layer=place,
                    wires=list(operation.wires),
                    text=operation.label(),
                    box_options=_INSIDE if kept else _OUTSIDE,
                    text_options={"color": "#000000" if kept else "#AAAAAA"},
                    active_wire_notches=True,
                )
        for wire in cone.observable.wires:
            drawer.measure(len(layers), wire)
        wires = f"{len(cone.wires)} of {model.n_wires} wires, {len(cone.gates)} of {len(recording.gates)} gates"
        drawer.ax.set_title(f"light cone of {cone.observable}: {wires}", fontsize=18)
        drawer.fig.savefig(path, dpi=dpi, bbox_inches="tight")
    return path
