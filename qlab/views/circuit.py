"""A circuit drawn by PennyLane's drawer, with the light cone of its readout marked."""

from __future__ import annotations

from pathlib import Path

from qlab.circuits import Recording, light_cone
from qlab.errors import DataError
from qlab.models import PennyLaneQNN
from qlab.views.backends import pyplot

_INSIDE = {"facecolor": "#FFE3CC", "edgecolor": "#D55E00"}
_OUTSIDE = {"facecolor": "#FFFFFF", "edgecolor": "#CCCCCC"}


def draw_circuit(model: PennyLaneQNN, path: Path, dpi: int = 80) -> Path:
    """Writes a PNG of a built model's circuit: gates inside the light cone of the readout coloured, the others grey.

    Args:
        model: a built quantum model.
        path: the PNG file.
        dpi: dots per inch.

    Raises:
        DataError: the model has not been built.
    """
    if model.features is None:
        raise DataError("The circuit has no wires yet; build the model first.")
    from pennylane.drawer import MPLDrawer
    from pennylane.drawer.drawable_layers import drawable_layers

    recording = Recording(model.ansatz, model.weight_shapes(), model.n_wires)
    readout = model.n_wires - 1
    cone = light_cone(recording.gates, readout)
    inside = {id(gate.operation) for gate in cone.gates}
    layers = drawable_layers([gate.operation for gate in recording.gates])
    with pyplot():
        drawer = MPLDrawer(n_layers=len(layers) + 1, wire_map={wire: wire for wire in range(model.n_wires)})
        drawer.label(list(range(model.n_wires)))
        for number, layer in enumerate(layers):
            for operation in layer:
                kept = id(operation) in inside
                drawer.box_gate(
                    layer=number,
                    wires=list(operation.wires),
                    text=operation.label(),
                    box_options=_INSIDE if kept else _OUTSIDE,
                    text_options={"color": "#000000" if kept else "#AAAAAA"},
                    active_wire_notches=True,
                )
        drawer.measure(len(layers), readout)
        wires = f"{len(cone.wires)} of {model.n_wires} wires, {len(cone.gates)} of {len(recording.gates)} gates"
        drawer.ax.set_title(f"light cone of the readout: {wires}", fontsize=18)
        drawer.fig.savefig(path, dpi=dpi, bbox_inches="tight")
    return path
