"""Models: one file per model."""

from qlab.models.base import Model
from qlab.models.cnot_qnn import CNOTQNN
from qlab.models.density_kernel import DensityKernelSVC
from qlab.models.estimator import Estimator
from qlab.models.features import Features
from qlab.models.mlp import MLP
from qlab.models.pauli_linear import PauliLinear
from qlab.models.qnn import PennyLaneQNN
from qlab.models.random_qnn import RandomQNN

__all__ = [
    "CNOTQNN",
    "MLP",
    "DensityKernelSVC",
    "Estimator",
    "Features",
    "Model",
    "PauliLinear",
    "PennyLaneQNN",
    "RandomQNN",
]
