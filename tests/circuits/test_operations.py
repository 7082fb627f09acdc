"""Every operation of PennyLane runs on all engines with the same values and gradients, or is refused by name."""

from __future__ import annotations

import inspect
from typing import Any

import pennylane as qml
import pytest
import torch
from support.operations import N_WEIGHTS, N_WIRES, USES
from torch.func import hessian, vmap

from qlab import Features, PennyLaneQNN
from qlab.circuits import HeisenbergEngine, Recording, StatevectorEngine, light_cone
from qlab.circuits.exact import exact_engine
from qlab.circuits.qnode import MIXED
from qlab.errors import ConfigError

ABSTRACT = {"CVObservable", "CompositeOp", "Operation", "ScalarSymbolicOp", "SymbolicOp", "SubroutineOp"}
ELSEWHERE = {
    "BBQRAM": "takes more than 4 wires",
    "HybridQRAM": "takes more than 4 wires",
    "SelectOnlyQRAM": "takes more than 4 wires",
    "SumOfSlatersPrep": "takes more than 4 wires",
    "FromBloq": "needs another package",
}

MEASURES = "which measures; qlab measures the observable"
OBSERVABLE = "which is an observable; qml.evolve makes a gate of one"
STATE = "which prepares a state, but the features are the initial state"
LIGHT = "acts on modes of light"
QUTRITS = "acts on qutrits"
NOT_UNITARY = "which is not unitary"
LOST = "cannot be trained: PennyLane leaves PyTorch there"
VALUES = "cannot be used with weights here. PennyLane looks at the values of its parameters"

REFUSED = {
    name: reason
    for names, reason in {
        "MidMeasure PauliMeasure Conditional": MEASURES,
        "Hermitian Projector Hamiltonian": NOT_UNITARY,
        "SparseHamiltonian": OBSERVABLE,
        "AmplitudeEmbedding StatePrep BasisState BasisEmbedding QubitDensityMatrix CosineWindow": STATE,
        "Rotation QuadraticPhase Kerr CubicPhase ThermalState Squeezing Displacement CoherentState": LIGHT,
        "SqueezedState Beamsplitter TwoModeSqueezing ControlledAddition ControlledPhase CrossKerr CatState": LIGHT,
        "DisplacedSqueezedState FockState FockStateVector FockDensityMatrix": LIGHT,
        "GaussianState InterferometerUnitary Interferometer CVNeuralNetLayers": LIGHT,
        "DisplacementEmbedding SqueezingEmbedding": LIGHT,
        "TShift TClock THadamard TAdd TSWAP TRX TRY TRZ QutritUnitary THermitian QutritChannel": QUTRITS,
        "QutritDepolarizingChannel QutritAmplitudeDamping TritFlip QutritBasisState": QUTRITS,
        "QutritBasisStatePreparation ControlledQutritUnitary": QUTRITS,
        "BlockEncode": LOST,
        "IQP": VALUES,
        "HilbertSchmidt LocalHilbertSchmidt": "HilbertSchmidt: AttributeError: 'Tensor' object has no attribute",
    }.items()
    for name in names.split()
}
"""What is said of operations that cannot be used."""


def surrounded(use: Any) -> Any:
    """The operation between others, so that every element of its matrix matters."""

    def ansatz(w: torch.Tensor) -> None:
        for wire in range(N_WIRES):
            qml.RX(w[wire], wires=wire)
            qml.RY(w[wire + 4], wires=wire)
        use(w)
        for wire in range(N_WIRES):
            qml.RY(w[wire + 8], wires=wire)
        for wire in range(N_WIRES - 1):
            qml.CNOT(wires=[wire, wire + 1])
        qml.RX(w[12], wires=N_WIRES - 1)

    return ansatz


def model(use: Any, device: str) -> PennyLaneQNN:
    class Used(PennyLaneQNN):
        def weight_shapes(self) -> dict[str, Any]:
            return {"w": N_WEIGHTS}

        def ansatz(self, w: torch.Tensor) -> None:
            surrounded(use)(w)

    return Used(device=device).build(Features(2**N_WIRES, True, torch.ones(2**N_WIRES, dtype=torch.bool)))


def states(n: int) -> torch.Tensor:
    x = torch.randn(n, 2**N_WIRES, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    return x / torch.linalg.vector_norm(x, dim=1, keepdim=True)


def weights() -> torch.Tensor:
    return torch.rand(N_WEIGHTS, dtype=torch.float64, generator=torch.Generator().manual_seed(5)) * 1.4 - 0.3


def value_and_gradient(engine: Any) -> tuple[torch.Tensor, torch.Tensor]:
    w = weights().requires_grad_()
    found = engine(w, engine.prepare(states(2)))
    [gradient] = torch.autograd.grad(found @ torch.tensor([1.0, 0.7], dtype=torch.float64) + 0 * w.sum(), w)
    return found.detach(), gradient


def test_every_operation_is_tried() -> None:
    classes = {
        name
        for module in (qml, qml.ops, qml.templates)
        for name in dir(module)
        if inspect.isclass(getattr(module, name)) and issubclass(getattr(module, name), qml.operation.Operator)
    }
    assert classes == set(USES) | ABSTRACT | set(ELSEWHERE)


@pytest.mark.parametrize("name", list(USES))
@pytest.mark.filterwarnings("ignore:To copy construct from a tensor")  # in PennyLane
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
@pytest.mark.filterwarnings("ignore:Casting complex values to real")  # in PennyLane
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's forward mode
def test_an_operation_runs_on_all_engines_or_is_refused_by_name(name: str) -> None:
    use = USES[name]
    if name in REFUSED:
        with pytest.raises(ConfigError) as refusal:
            Recording(surrounded(use), {"w": N_WEIGHTS}, N_WIRES)
        assert REFUSED[name] in str(refusal.value)
        assert "operations.py, line " in str(refusal.value)
        return
    recording = Recording(surrounded(use), {"w": N_WEIGHTS}, N_WIRES)
    if recording.noisy:
        expected = value_and_gradient(exact_engine(recording))
        torch.testing.assert_close(value_and_gradient(model(use, MIXED).engine), expected, atol=1e-10, rtol=0)
        with pytest.raises(
            ConfigError, match=rf'"default.qubit" keeps pure states, and the circuit has noise \({name}'
        ):
            model(use, "default.qubit")
        return
    cone = light_cone(recording.gates, N_WIRES - 1)
    engines = [HeisenbergEngine(recording, cone), StatevectorEngine(recording, cone)]
    if name in INERT:
        assert len(recording.gates) == len(Recording(surrounded(lambda w: None), {"w": N_WEIGHTS}, N_WIRES).gates)
        return
    expected = value_and_gradient(engines[0])
    torch.testing.assert_close(value_and_gradient(engines[1]), expected, atol=1e-10, rtol=0)
    x = [engine.prepare(states(1)) for engine in engines]
    derive = hessian if recording.batches else lambda f: lambda w: torch.autograd.functional.hessian(f, w)
    curvatures = [derive(lambda w, n=n: engines[n](w, x[n])[0])(weights()) for n in range(2)]
    torch.testing.assert_close(curvatures[0], curvatures[1], atol=1e-9, rtol=0)
    many = torch.stack([weights(), weights().flip(0)])
    for engine, prepared in zip(engines, x, strict=True) if recording.batches else ():
        together = vmap(engine, in_dims=(0, None))(many, prepared)
        torch.testing.assert_close(together, torch.stack([engine(w, prepared) for w in many]), atol=1e-11, rtol=0)
    for device in ("default.qubit", "lightning.qubit"):
        fault = (LIGHTNING if device == "lightning.qubit" else DEFAULT).get(name)
        if fault is not None:
            with pytest.raises(ConfigError, match=rf'line \d+: device = "{device}" .*{fault}\b.*lightcone'):
                model(use, device)
            continue
        torch.testing.assert_close(value_and_gradient(model(use, device).engine), expected, atol=1e-10, rtol=0)


INERT = {"NumberOperator", "QuadX", "QuadP", "QuadOperator", "TensorN", "PolyXP", "FockStateProjector", "GellMann"}
"""Observables that PennyLane does not queue: a circuit does not have them."""

LIGHTNING = {
    "OrbitalRotation": "differentiates OrbitalRotation wrongly",
    "GateFabric": "differentiates GateFabric wrongly",
    "MultiplexerStatePreparation": "differentiates MultiplexerStatePreparation wrongly",
    **{
        name: f"cannot run {name}"
        for name in ("Snapshot", "PCPhase", "Sum", "LinearCombination", "Exp", "Evolution", "QSVT")
    },
    "QuantumMonteCarlo": "cannot run QuantumMonteCarlo",
}
"""What is said of operations that run anywhere but on lightning."""

DEFAULT = {"SelectPauliRot": r"gives \S+ for SelectPauliRot"}
"""The same of default.qubit: there it casts amplitudes to real numbers, with PyTorch."""
