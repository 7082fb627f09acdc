"""What every class that a file can name keeps to, and every trainer: qlab's own, and those a user defines."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import json
import math
import pkgutil
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pennylane as qml
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

import qlab
from qlab.component import Component, stated
from qlab.corruptions import Backdoor, Corrupted, Corruption, GaussianPoison, LabelFlip, NoCorruption
from qlab.errors import ConfigError, DataError
from qlab.fields import REQUIRED, PositiveFloat, PositiveInt, Ratio, check_fields, fields_of
from qlab.landscape import Landscape, LandscapeProbe, ProbeResult
from qlab.losses import CrossEntropy, Loss, MeanAbsoluteError
from qlab.losses.checks import check_loss
from qlab.metrics import Metric, Rows
from qlab.metrics.evaluation import value_of
from qlab.models import Estimator, Features, Model, PauliLinear, PennyLaneQNN
from qlab.models.base import Precision
from qlab.noise import Channel, DepolarizingChannel, DeviceNoise, ReadoutError
from qlab.registry import base_classes, restored
from qlab.tasks import XXZ, Dataset, Digits, Split, Task, TransverseIsing
from qlab.training import Member, Trainer
from qlab.training.fitting import fit, rows_for
from qlab.unlearning import Learner, Samples, Unlearner, UnlearningData, cross_entropy
from qlab.unlearning.cost import Cost
from qlab.unlearning.draws import Draws
from qlab.unlearning.learner import Setting


class Blobs(Task):
    """Two Gaussian clouds.

    Args:
        samples: rows of each split, half in each cloud.
        dimension: number of features.
        seed: of the draw.
    """

    formula: ClassVar[str] = "x = 2 y - 1 + g, g ~ N(0, 1)"
    source: ClassVar[str] = "an example"

    samples: PositiveInt = 20
    dimension: PositiveInt = 4
    seed: int = 0

    def load(self) -> Dataset:
        generator = torch.Generator().manual_seed(self.seed)
        return Dataset(self._split(generator), self._split(generator))

    def boundary_distance(self, split: Split) -> Tensor:
        return split.x.sum(1).abs() / math.sqrt(self.dimension)

    def random_features(self, n: int, generator: torch.Generator) -> Tensor:
        x = torch.randn(n, self.dimension, generator=generator, dtype=torch.float64)
        return x / torch.linalg.vector_norm(x, dim=1, keepdim=True)

    def _split(self, generator: torch.Generator) -> Split:
        y = torch.arange(self.samples) % 2
        x = torch.randn(self.samples, self.dimension, generator=generator, dtype=torch.float64)
        return Split(x + (2.0 * y[:, None] - 1.0), y)


class AllOnes(Corruption):
    """Relabels rows as class 1.

    Args:
        ratio: the fraction of rows that is relabelled.
        strength: how much of it is done.
    """

    formula: ClassVar[str] = "y' = 1"
    source: ClassVar[str] = "an example"

    strength: Ratio = 1.0

    def apply(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        mask = self.choose_rows(split, generator)
        return Corrupted(Split(split.x, torch.where(mask, 1, split.y), split.about), mask, split.y)


class Linear(Model):
    """Logistic regression on the moduli of the features.

    Args:
        gain: factor of the logit.
        dtype: precision of parameters and training.
    """

    formula: ClassVar[str] = "z = gain * (w . |x| + b)"
    source: ClassVar[str] = "an example"

    def __init__(self, *, gain: float = 1.0, dtype: Precision = "float32") -> None:
        super().__init__(gain=gain, dtype=dtype)
        self.gain = gain

    def setup(self, features: Features) -> None:
        self.weight = nn.Parameter(torch.empty(features.dimension, dtype=self.dtype))
        self.bias = nn.Parameter(torch.empty((), dtype=self.dtype))

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator) -> None:
        self.weight.copy_(torch.randn(self.weight.shape, generator=generator, dtype=torch.float64))
        self.bias.zero_()

    def prepare(self, x: Tensor) -> Tensor:
        return x.abs().to(self.dtype)

    def forward(self, prepared: Tensor) -> Tensor:
        return self.gain * (prepared @ self.weight + self.bias)


class Prototype(Estimator):
    """The nearer of two class means.

    Args:
        sharpness: factor of the logit.
    """

    formula: ClassVar[str] = "z = sharpness (|x - m_0|^2 - |x - m_1|^2)"
    source: ClassVar[str] = "an example"

    sharpness: PositiveFloat = 1.0

    def fit(self, x: Any, y: Any, generator: np.random.Generator) -> None:
        self.means = [x[y == label].mean(0) for label in (0, 1)]

    def decision(self, x: Any) -> Any:
        near, far = (((x - mean) ** 2).sum(1) for mean in self.means)
        return self.sharpness * (near - far)


class Twirl(Channel):
    """X and Y alike shrink.

    Args:
        strength: by how much.
    """

    formula: ClassVar[str] = "X, Y -> (1 - strength) X, Y"
    source: ClassVar[str] = "an example"

    strength: Ratio = 0.1

    def on(self, wires: tuple[int, ...]) -> Any:
        return qml.PhaseDamping(1.0 - (1.0 - self.strength) ** 2, wires=wires)


class Focal(Loss):
    """Cross-entropy that counts rows less the surer the model is of their label.

    Args:
        gamma: how much less.
    """

    formula: ClassVar[str] = "l = -(1 - p_y)^gamma log p_y"
    source: ClassVar[str] = "arXiv:1708.02002"

    gamma: PositiveFloat = 2.0

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        z = torch.where(y > 0.5, logits, -logits)
        return -(torch.sigmoid(-z) ** self.gamma) * nn.functional.logsigmoid(z)


class Confusion(Unlearner):
    """Makes the student undecided on the forget set.

    Args:
        weight: of the forget set.
    """

    formula: ClassVar[str] = "L = CE(retain) + weight CE(forget, 1/2)"
    source: ClassVar[str] = "an example"

    weight: PositiveFloat = 1.0

    def loss(self, student: Any, teacher: Any, data: UnlearningData) -> Tensor:
        z = student(data.forget_polluted.x)
        undecided = cross_entropy(z, torch.full_like(z, 0.5))
        return cross_entropy(student(data.retain.x), data.retain.y) + self.weight * undecided


class Nudge(Unlearner):
    """Moves the student against the gradient of the forget set.

    Args:
        distance: how far.
    """

    formula: ClassVar[str] = "theta + distance g / |g|, g the gradient on the forget set"
    source: ClassVar[str] = "an example"

    distance: PositiveFloat = 0.1

    def update(self, student: Any, teacher: Any, data: UnlearningData) -> Tensor:
        slope = student.gradient(data.forget_polluted)
        return student.theta + self.distance * slope / (slope.norm() + 1e-12)


class Sharpness(LandscapeProbe):
    """How much higher the loss is on a sphere around the centre.

    Args:
        radius: of the sphere.
        directions: so many points of it are taken.
    """

    formula: ClassVar[str] = "mean_d L(theta + radius d) - L(theta), |d| = 1"
    source: ClassVar[str] = "an example"

    radius: PositiveFloat = 0.1
    directions: PositiveInt = 4

    def compute(self, landscape: Landscape) -> ProbeResult:
        drawn = torch.randn(self.directions, landscape.n_parameters, dtype=torch.float64, generator=generator(0))
        drawn *= self.radius / drawn.norm(dim=1, keepdim=True)
        losses, _ = landscape.evaluate_points(landscape.theta + drawn)
        centre, _ = landscape.evaluate_points(landscape.theta[None])
        return ProbeResult({"sharpness": float((losses - centre).mean())}, {"losses": losses.numpy()})


class Confidence(Metric):
    """How sure the model is on average.

    Args:
        power: of the distance from one half.
    """

    formula: ClassVar[str] = "mean |2 p - 1|^power"
    source: ClassVar[str] = "an example"

    power: PositiveFloat = 1.0

    def compute(self, logits: Tensor, split: Rows) -> Tensor:
        return (2.0 * torch.sigmoid(logits) - 1.0).abs().pow(self.power).mean()


FEW_PICTURES = {"per_class": 6, "validation": 10}

SMALL: dict[str, dict[str, Any]] = {
    "Digits": FEW_PICTURES,
    "MNIST": FEW_PICTURES,
    "FashionMNIST": FEW_PICTURES,
    "KMNIST": FEW_PICTURES,
    "Sklearn": {"name": "moons", "n": 20},
    "Table": {"path": str(Path(__file__).parents[1] / "support" / "cells.csv"), "label": "kind", "positive": "M"},
    "XXZ": {"length": 4, "gapless": (-0.7, 0.7, 0.2), "gapped": (1.3, 2.7, 0.2), "validation": (-0.65, 2.65, 0.3)},
    "TransverseIsing": {
        "length": 8,
        "ordered": (0.2, 0.9, 0.1),
        "disordered": (1.1, 2.5, 0.2),
        "validation": (0.25, 2.0, 0.2),
        "block_sites": 3,
    },
    "Trainer": {"epochs": 2},
    "ForwardCorrection": {"flip_rates": (0.2, 0.1)},
    "PauliLinear": {"sites": 2},
    "DensityKernelSVC": {"sites": 2},
    **{
        key: {"p": 0.1}
        for key in ["BitFlip", "PhaseFlip", "DepolarizingChannel", "TwoQubitDepolarizing", "ReadoutError"]
    },
    **{key: {"gamma": 0.1} for key in ["AmplitudeDamping", "PhaseDamping"]},
    "GeneralizedAmplitudeDamping": {"gamma": 0.1, "p": 0.2},
    "DeviceNoise": {
        "device": "toy",
        "qubits": (5, 3),
        "t1_us": (50.0, 60.0),
        "t2_us": (70.0, 120.0),
        "p1_given_0": (0.01, 0.0),
        "p0_given_1": (0.02, 0.1),
    },
    "PauliError": {"operators": "ZX", "p": 0.1},
    "QubitChannel": {"real": (((0.6, 0.0), (0.0, 0.6)), ((0.0, 0.8), (0.8, 0.0)))},
    "ThermalRelaxationError": {"t1": 50.0, "t2": 70.0, "tg": 0.3},
    "SliceProbe": {"resolution": 5},
    "InterpolationProbe": {"resolution": 5},
    "GradientVarianceProbe": {"draws": 20},
    "ExpressivityProbe": {"draws": 3},
}
"""Fields that make a class cheap, and its data small, in a test."""

OTHER: dict[str, dict[str, Any]] = {
    "Digits": {"classes": (3, 8), "per_class": 20, "validation": 30},
    "MNIST": {"normalization": "column", "subset_seed": 3},
    "FashionMNIST": {"classes": (9, 2), "validation": 200},
    "KMNIST": {"classes": (4, 7), "per_class": 100},
    "Sklearn": {"name": "iris", "positive": "setosa", "columns": ("petal width (cm)",), "seed": 3},
    "Table": {"path": "~/a.parquet", "scale": "minmax", "reduce": 3, "split": (0.5, 0.5, 0.0), "positive": True},
    "XXZ": {"length": 6, "gauge": "fixed", "gapless": (-0.5, 0.5, 0.25)},
    "TransverseIsing": {"length": 12, "gamma": 0.5, "periodic": True, "block_sites": 3, "where": "around"},
    "Trainer": {"epochs": 3, "batch_size": 7, "learning_rate": 0.5, "loss": MeanAbsoluteError()},
    "CrossEntropy": {"label_smoothing": 0.1},
    "ForwardCorrection": {"flip_rates": (0.0, 0.3)},
    "GeneralizedCrossEntropy": {"q": 1.0},
    "SymmetricCrossEntropy": {"alpha": 0.0, "log_zero": -2.0},
    "Focal": {"gamma": 1.0},
    "LabelFlip": {"ratio": 0.4},
    "Backdoor": {"ratio": 0.4, "target": 0, "sites": (0, 2), "angle": 1.0, "axis": "Y"},
    "BoundaryFlip": {"ratio": 0.4, "distance": "margin"},
    "ClassFlip": {"ratio": 0.4, "balance": -0.25},
    "InstanceFlip": {"ratio": 0.4, "strength": 1.0, "direction_seed": 3},
    "OutlierFlip": {"ratio": 0.4},
    "PairDuplicate": {"ratio": 0.4},
    "FeatureRandomization": {"ratio": 0.4},
    "GaussianPoison": {"ratio": 0.4, "strength": 0.1},
    "MLP": {"hidden": (5,), "dtype": "float64", "activation": "gelu", "dropout": 0.25, "inputs": "pauli", "sites": 2},
    "PauliLinear": {"sites": (0, -1), "bound": "operator", "scale": 2.0, "offset": 0.5},
    "DensityKernelSVC": {"sites": (0, 2), "C": 0.5, "kernel": "rbf", "gamma": 2.0},
    **{key: {"p": 0.3, "after": "IsingZZ"} for key in ["BitFlip", "DepolarizingChannel", "TwoQubitDepolarizing"]},
    "PhaseFlip": {"p": 0.3, "after": 2, "wires": (0, 2)},
    "ReadoutError": {"p": 0.3, "p1": 0.1},
    "AmplitudeDamping": {"gamma": 1.0, "after": "start"},
    "PhaseDamping": {"gamma": 0.0, "after": "readout"},
    "GeneralizedAmplitudeDamping": {"gamma": 0.3, "p": 0.7},
    "DeviceNoise": {
        "device": "toy",
        "date": "2026-01-01",
        "qubits": (0, 1),
        "t1_us": (50.0, 60.0),
        "t2_us": (70.0, 120.0),
        "p1_given_0": (0.01, 0.0),
        "p0_given_1": (0.02, 0.1),
        "pairs": ((0, 1),),
        "one_qubit": (("sx", (0.001, None), (35.0, None)),),
        "two_qubit": (("cx", (0.01,), (300.0,)),),
        "gates": (("one_qubit", ("sx", "sx")), ("two_qubit", ("cx",))),
        "wires": (1,),
    },
    "PauliError": {"operators": "Y", "p": 0.3},
    "QubitChannel": {"real": (((1, 0), (0, 0.6)), ((0, 0.8), (0, 0))), "imaginary": (((0, 0), (0, 0)),) * 2},
    "ResetError": {"p0": 0.3, "p1": 0.1},
    "ThermalRelaxationError": {"pe": 0.1, "t1": 1.0, "t2": 2.0, "tg": 0.5},
    "Twirl": {"strength": 0.5},
    "PennyLaneQNN": {"depth": 2, "entangler": "ring", "scale": 1.5, "observable": "mean_Z", "readout": "affine"},
    "CNOTQNN": {"depth": 2, "entangler": "ring", "initial_scale": 0.5},
    "RandomQNN": {"depth": 2, "entangler": "ring", "initial_scale": 0.5},
    "Blobs": {"samples": 6, "seed": 3},
    "AllOnes": {"ratio": 0.4, "strength": 0.5},
    "Prototype": {"sharpness": 2.0, "inputs": "pauli", "sites": "pairs"},
    "Linear": {"gain": 2.5, "dtype": "float64"},
    "Retrain": {"steps": 3, "optimizer": "SGD"},
    "Finetune": {"steps": 3, "batch_size": 4},
    "GradientAscent": {"beta": 0.5, "learning_rate": 0.1},
    "PureAscent": {"steps": 3, "start_fresh": True},
    "NPO": {"beta": 0.1, "retain_weight": 0.5},
    "Scrub": {"lambda_ce": 0.5, "lambda_kl": 0.25, "lambda_fo": 0.75},
    "AlternatingScrub": {"alpha": 0.25, "gamma": 0.5, "max_steps": 3},
    "NoisyFinetune": {"noise": 0.1},
    "RewindScrub": {"alpha": 0.25, "gamma": 0.5, "max_steps": 3},
    "L1Sparse": {"gamma": 0.01, "steps": 5},
    "CFk": {"k": 2},
    "EUk": {"k": 2, "optimizer": "SGD"},
    "RandomLabels": {"labels": "complement", "weight": 0.5},
    "Relabel": {"weight": 0.5},
    "SalUn": {"share": 0.25, "labels": "complement", "weight": 0.5},
    "SSD": {"alpha": 1.5, "dampening": 0.5, "against": "retain"},
    "FisherForgetting": {"noise": 0.1, "floor": 1e-4},
    "BadTeacher": {"temperature": 2.0},
    "NewtonStep": {"steps": 2, "damping": 0.5, "solver": "cg", "iterations": 7, "noise": 0.1, "delta": 1e-3},
    "Confusion": {"weight": 0.25},
    "Nudge": {"distance": 0.5, "steps": 2},
    "HessianProbe": {"samples": "retain", "n_samples": 3, "full_below": 0, "eigenvalues": 1},
    "GradientVarianceProbe": {"draw": "near", "draws": 30, "spread": 0.2, "samples": "retain", "at": "oracle"},
    "ExpressivityProbe": {"draws": 7},
    "InterpolationProbe": {"path": ("trained", "oracle", "initial"), "resolution": 3},
    "RougheningProbe": {"samples": "forget_polluted", "keep_collapsed": False},
    "UnderNoise": {"noise": (DepolarizingChannel(p=0.1), ReadoutError(p=0.05)), "shots": 20, "samples": "retain"},
    "SliceProbe": {"directions": "points", "points": ("initial", "oracle"), "marks": ("clean",), "resolution": 3},
    "Sharpness": {"radius": 0.5, "at": "oracle"},
    "AttackSuccess": {"name": "asr"},
    "BalancedAccuracy": {"on": "train", "when": "epoch"},
    "ROCAUC": {"on": "test"},
    "Accuracy": {"name": "hits"},
    "LogLoss": {"on": "retain", "name": "nats"},
    "CalibrationError": {"bins": 3, "on": "forget"},
    "Confidence": {"power": 2.0},
}
"""Values other than the defaults."""

REQUIRED_FIELDS = {
    "ForwardCorrection": ["flip_rates"],
    **{key: ["p"] for key in ["BitFlip", "PhaseFlip", "DepolarizingChannel", "TwoQubitDepolarizing", "ReadoutError"]},
    **{key: ["gamma"] for key in ["AmplitudeDamping", "PhaseDamping"]},
    "GeneralizedAmplitudeDamping": ["gamma", "p"],
    "DeviceNoise": ["device", "qubits", "t1_us", "t2_us", "p1_given_0", "p0_given_1"],
    "PauliError": ["operators", "p"],
    "QubitChannel": ["real"],
    "ThermalRelaxationError": ["t1", "t2", "tg"],
}
"""Fields that nobody but the user can know."""

WITHOUT_FIELDS = ("NoCorruption", "MeanAbsoluteError")
"""Classes that are what they are."""


def concrete_subclasses(base: type) -> list[type]:
    """Public concrete subclasses of ``base`` anywhere in qlab's packages of components."""
    package = importlib.import_module(base.__module__.rpartition(".")[0])
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
    found, pending = [], [base]
    while pending:
        cls = pending.pop()
        pending.extend(cls.__subclasses__())
        public = cls.__module__.startswith("qlab.") and not cls.__name__.startswith("_")
        if public and cls is not base and not inspect.isabstract(cls):
            found.append(cls)
    return sorted(found, key=lambda cls: cls.__name__)


TASKS = [*concrete_subclasses(Task), Blobs]
CORRUPTIONS = [*concrete_subclasses(Corruption), AllOnes]
MODELS = [*concrete_subclasses(Model), Linear]
UNLEARNERS = [*concrete_subclasses(Unlearner), Confusion, Nudge]
LOSSES = [*concrete_subclasses(Loss), Focal]
PROBES = [*concrete_subclasses(LandscapeProbe), Sharpness]
ESTIMATORS = [*concrete_subclasses(Estimator), Prototype]
METRICS = [*concrete_subclasses(Metric), Confidence]
CHANNELS = [*concrete_subclasses(Channel), Twirl]
COMPONENTS = [*TASKS, *CORRUPTIONS, Trainer, *LOSSES, *CHANNELS, *UNLEARNERS, *PROBES, *ESTIMATORS, *METRICS]
EVERYTHING = [*COMPONENTS, *MODELS]


def name_of(value: Any) -> str | None:
    return value.__name__ if isinstance(value, type) else None


every_task = pytest.mark.parametrize("task", TASKS, ids=name_of)
every_corruption = pytest.mark.parametrize("corruption", CORRUPTIONS, ids=name_of)
every_corruption_of_a_task = pytest.mark.parametrize(
    ("corruption", "task"),
    [
        # A backdoor puts its trigger into states and pictures.
        pytest.param(cls, task, id=f"{cls.__name__}-{task.__name__}")
        for cls in CORRUPTIONS
        for task in (Digits if cls is Backdoor else Blobs, XXZ, TransverseIsing)
        if not (cls is GaussianPoison and task is TransverseIsing)  # there is no state with noise on its numbers
    ],
)
every_model = pytest.mark.parametrize("model", MODELS, ids=name_of)
every_unlearner = pytest.mark.parametrize("unlearner", UNLEARNERS, ids=name_of)
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=name_of)
every_probe = pytest.mark.parametrize("probe", PROBES, ids=name_of)
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=name_of)
every_channel = pytest.mark.parametrize(
    "channel", [cls for cls in CHANNELS if cls not in (DeviceNoise, ReadoutError)], ids=name_of
)
every_metric = pytest.mark.parametrize("metric", METRICS, ids=name_of)
every_component = pytest.mark.parametrize("cls", COMPONENTS, ids=name_of)
every_class = pytest.mark.parametrize("cls", EVERYTHING, ids=name_of)


@pytest.fixture(scope="module", autouse=True)
def _pictures(tmp_path_factory):
    """Files in MNIST's format, 20 random pictures of each class, instead of a download."""
    folder = tmp_path_factory.mktemp("data")
    drawn = np.random.default_rng(0)
    for name in ("MNIST", "FashionMNIST", "KMNIST"):
        raw = folder / name / "raw"
        raw.mkdir(parents=True)
        for part in ("train", "t10k"):
            pictures = drawn.integers(0, 256, (200, 28, 28), dtype=np.uint8).tobytes()
            (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, 200, 28, 28) + pictures)
            (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, 200) + bytes(range(10)) * 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QLAB_DATA", str(folder))
        yield


def make(cls, **fields):
    return cls(**(SMALL.get(cls.__name__, {}) | fields))


def required(cls):
    return {name: SMALL[cls.__name__][name] for name in REQUIRED_FIELDS.get(cls.__name__, ())}


def generator(seed):
    return torch.Generator().manual_seed(seed)


def some_ratio(corruption):
    return 0.0 if corruption is NoCorruption else 0.5


def inputs(dimension=8, n=5):
    return torch.randn(n, dimension, dtype=torch.complex128, generator=generator(0))


def built(model, seed=0, **fields):
    module = make(model, **fields).build(Features(8, True, torch.ones(8, dtype=torch.bool)))
    module.reset_parameters(generator(seed))
    return module


def test_qlabs_own_classes_are_found():
    assert {"XXZ", "TransverseIsing", "Digits", "MNIST", "FashionMNIST", "KMNIST", "Table", "Sklearn"} <= {
        cls.__name__ for cls in TASKS
    }
    assert {"LabelFlip", "FeatureRandomization", "NoCorruption", "Backdoor"} <= {cls.__name__ for cls in CORRUPTIONS}
    assert {"MLP", "PauliLinear", "PennyLaneQNN", "CNOTQNN", "RandomQNN"} <= {cls.__name__ for cls in MODELS}
    assert {"Retrain", "Finetune", "GradientAscent", "Scrub"} <= {cls.__name__ for cls in UNLEARNERS}
    assert {"HessianProbe", "InterpolationProbe", "RougheningProbe", "SliceProbe"} <= {cls.__name__ for cls in PROBES}


@every_class
def test_qlabs_own_classes_are_importable_from_the_top(cls):
    if cls.__module__.startswith("qlab."):
        assert getattr(qlab, cls.__name__) is cls
        assert cls.__name__ in dir(qlab)
        assert cls.__name__ in qlab.__all__


@every_class
def test_class_and_fields_are_documented(cls):
    assert inspect.getdoc(cls)
    for name, field in fields_of(cls).items():
        assert field.doc, f"{cls.__name__}.{name} has no description"
        assert field.accepts, f"{cls.__name__}.{name} does not say what it accepts"


@every_class
def test_documented_fields_exist(cls):
    """Names under "Args:" are fields, so a renamed field does not leave its description behind."""
    import docstring_parser

    documented = {parameter.arg_name for parameter in docstring_parser.parse(cls.__doc__ or "").params}
    assert documented <= set(fields_of(cls))


@every_class
def test_every_field_has_a_default_that_it_accepts(cls):
    fields = fields_of(cls)
    given = required(cls)
    assert [name for name, field in fields.items() if field.default is REQUIRED] == list(given)
    defaults = {name: field.check(field.default) for name, field in fields.items() if name not in given}
    assert check_fields(cls, given) == given | defaults
    assert cls(**given).config().keys() == fields.keys()


@every_class
def test_formula_and_source_say_where_it_comes_from(cls):
    assert cls.formula.strip()
    assert cls.source.strip()


@every_class
def test_kind_is_that_of_the_hierarchy(cls):
    [base] = [
        base
        for base in (Task, Corruption, Model, Estimator, Trainer, Loss, Channel, Unlearner, LandscapeProbe, Metric)
        if issubclass(cls, base)
    ]
    assert cls.kind == base.kind
    assert base is Trainer or base in base_classes(cls.kind)


@every_class
@pytest.mark.parametrize("values", [{}, OTHER], ids=["defaults", "other values"])
def test_config_round_trips_through_json_and_the_constructor(cls, values):
    fields = values.get(cls.__name__, {})
    made = cls(**{**required(cls), **fields})
    config = json.loads(json.dumps(made.config()))
    again = cls(**restored(cls, config))
    assert again.config() == made.config() == config
    for name, value in fields.items():
        if isinstance(value, Component):
            assert made.config()[name] == {"type": type(value).__name__, **value.config()}
            continue
        assert made.config()[name] == json.loads(json.dumps(stated(value)))
    if isinstance(made, Component):
        assert again == made


@every_class
def test_other_values_are_given_for_every_class_that_takes_them(cls):
    assert cls.__name__ in WITHOUT_FIELDS or cls(**required(cls)).config() != cls(**OTHER[cls.__name__]).config()


@every_class
def test_unknown_field_is_an_error_that_lists_the_choices(cls):
    name = next(iter(fields_of(cls)), None)
    if name is None:
        return
    with pytest.raises(ConfigError) as caught:
        check_fields(cls, {name + "x": 1})
    message = str(caught.value)
    assert message.startswith(f'{cls.__name__}: unknown field "{name}x". Did you mean "{name}"?')
    assert all(field in message for field in fields_of(cls))
    with pytest.raises((ConfigError, TypeError), match=f"{name}x"):
        cls(**{name + "x": 1})


@every_class
def test_fields_are_keyword_only(cls):
    with pytest.raises(TypeError):
        cls(*[field.default for field in fields_of(cls).values()][:1] or [1])


@every_class
def test_every_field_refuses_a_value_of_no_type_at_all(cls):
    for name, field in fields_of(cls).items():
        with pytest.raises(ConfigError) as caught:
            cls(**{**required(cls), name: object})
        assert str(caught.value).startswith(f"{cls.__name__}: {name}: got ")
        assert f"accepts {field.accepts}" in str(caught.value)


@every_component
def test_components_are_frozen_and_hashable(cls):
    component = make(cls)
    for name in fields_of(cls):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(component, name, getattr(component, name))
    assert hash(component) == hash(make(cls))


@every_component
def test_repr_rebuilds_the_component(cls):
    component = make(cls)
    assert eval(repr(component), {cls.__name__: cls, "CrossEntropy": CrossEntropy}) == component


@every_channel
@pytest.mark.filterwarnings("ignore:Casting complex values to real")  # in PennyLane's PauliError
@pytest.mark.parametrize("values", [SMALL, OTHER], ids=["usual", "other values"])
def test_channels_preserve_traces_on_the_wires_they_are_given(channel, values):
    made = channel(**values.get(channel.__name__, {}))
    wires = (2, 0, 1)[: made.n_qubits]
    with qml.QueuingManager.stop_recording():
        operation = made.on(wires)
    assert tuple(operation.wires) == wires
    kraus = np.array(operation.kraus_matrices())
    total = np.einsum("iab,iac->bc", kraus.conj(), kraus)
    np.testing.assert_allclose(total, np.eye(2 ** len(wires)), atol=1e-12)


@every_task
def test_data_have_the_documented_shapes_and_types(task):
    data = make(task).load()
    assert len(data.train) > 0
    for split in (data.train, data.validation):
        n, d = split.x.shape
        assert split.x.dtype in (torch.float64, torch.complex128)
        assert split.y.dtype == torch.int64
        assert d == data.train.x.shape[1]
        assert sorted(set(split.y.tolist())) == [0, 1]
        assert bool(torch.isfinite(torch.view_as_real(split.x) if split.x.is_complex() else split.x).all())
        assert all(values.shape == (n,) for values in split.about.values())
    assert data.train.x.dtype == data.validation.x.dtype
    assert set(data.train.about) == set(data.validation.about)
    expected = make(task).expected_labels
    assert expected is None or torch.equal(expected, data.train.y)


@every_task
def test_the_fields_alone_decide_the_data(task):
    torch.manual_seed(0)
    first = make(task).load()
    torch.manual_seed(1)
    again = make(task).load()
    for split in ("train", "validation"):
        assert torch.equal(getattr(first, split).x, getattr(again, split).x)
        assert torch.equal(getattr(first, split).y, getattr(again, split).y)


@every_task
def test_random_features_fit_the_data_and_have_unit_norm_if_those_have(task):
    made = make(task)
    x = made.load().train.x
    drawn = made.random_features(7, generator(0))
    assert (drawn.shape, drawn.dtype) == ((7, x.shape[1]), x.dtype)
    if task is not Blobs and bool((torch.linalg.vector_norm(x, dim=1) - 1.0).abs().max() < 1e-9):
        norms = torch.linalg.vector_norm(drawn, dim=1)
        torch.testing.assert_close(norms, torch.ones(7, dtype=torch.float64), atol=1e-12, rtol=0)
    assert torch.equal(drawn, made.random_features(7, generator(0)))
    assert not torch.equal(drawn, made.random_features(7, generator(1)))
    assert made.random_features(0, generator(0)).shape == (0, x.shape[1])


@every_corruption_of_a_task
def test_corrupted_splits_keep_shape_order_and_clean_labels(corruption, task):
    made = make(task)
    split = made.load().train
    x, y = split.x.clone(), split.y.clone()
    found = corruption(ratio=some_ratio(corruption)).apply(split, made, generator(0))
    assert torch.equal(split.x, x)
    assert torch.equal(split.y, y)
    assert (found.mask.shape, found.mask.dtype) == (y.shape, torch.bool)
    assert (found.split.x.shape, found.split.x.dtype) == (x.shape, x.dtype)
    assert found.split.y.dtype == torch.int64
    assert torch.equal(found.clean_y, y)
    assert torch.equal(found.split.x[~found.mask], x[~found.mask])
    assert torch.equal(found.split.y[~found.mask], y[~found.mask])
    assert found.split.about.keys() == split.about.keys()


@every_corruption_of_a_task
def test_some_of_the_corrupted_rows_can_be_known(corruption, task):
    made, ratio = make(task), some_ratio(corruption)
    split, known_rows = made.load().train, "near" if task.knows_boundary() else "random"
    item = corruption(ratio=ratio, known=0.5, known_rows=known_rows, false_alarms=0.1)
    item.knowledge.check_task(made)
    found, complete = (own.apply(split, made, generator(0)) for own in (item, corruption(ratio=ratio)))
    assert torch.equal(found.mask, complete.mask)
    assert torch.equal(found.split.y, complete.split.y)
    told = item.knowledge.rows(found.mask, found.split, made, seed=0)
    known = int(found.mask.sum() * 0.5 + 0.5)
    assert int((told & found.mask).sum()) == known
    assert int((told & ~found.mask).sum()) == int(0.1 * known + 0.5)


@every_corruption_of_a_task
def test_how_many_rows_are_corrupted_is_known_from_their_labels(corruption, task):
    made = make(task)
    split = made.load().train
    for ratio in {some_ratio(corruption), some_ratio(corruption) / 7.0}:
        item = corruption(ratio=ratio)
        mask = item.apply(split, made, generator(0)).mask
        assert item.counts_of(split.y) == tuple(int((mask & (split.y == label)).sum()) for label in (0, 1))


@every_corruption
def test_the_generator_alone_decides_the_corruption(corruption):
    made = make(XXZ)
    split = made.load().train
    item = corruption(ratio=some_ratio(corruption))
    torch.manual_seed(0)
    first = item.apply(split, made, generator(3))
    torch.manual_seed(1)
    again = item.apply(split, made, generator(3))
    assert torch.equal(first.mask, again.mask)
    assert torch.equal(first.split.x, again.split.x)
    assert torch.equal(first.split.y, again.split.y)


@every_corruption
def test_ratio_zero_corrupts_nothing(corruption):
    made = make(XXZ)
    split = made.load().train
    found = corruption(ratio=0.0).apply(split, made, generator(0))
    assert not bool(found.mask.any())
    assert torch.equal(found.split.x, split.x)
    assert torch.equal(found.split.y, split.y)


@every_corruption
def test_a_corruption_says_whether_it_changes_features(corruption):
    made = make(XXZ)
    split = made.load().train
    found = corruption(ratio=some_ratio(corruption)).apply(split, made, generator(0))
    assert corruption.changes_features == (not torch.equal(found.split.x, split.x))


@every_model
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_prepared_features_and_logits_have_the_dtype_of_the_model(model, dtype):
    module = built(model, dtype=dtype)
    prepared = module.prepare(inputs())
    logits = module(prepared)
    assert len(prepared) == 5
    assert prepared.dtype == getattr(torch, dtype)
    assert (logits.shape, logits.dtype) == ((5,), getattr(torch, dtype))
    assert {parameter.dtype for parameter in module.parameters()} == {getattr(torch, dtype)}


@every_model
def test_every_parameter_that_is_not_frozen_gets_a_gradient(model):
    module = built(model)
    module(module.prepare(inputs())).sum().backward()
    trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert not [name for name, parameter in trained.items() if parameter.grad is None]
    assert module.n_parameters() == sum(parameter.numel() for parameter in trained.values()) > 0


@every_model
def test_the_generator_alone_decides_initial_parameters(model):
    torch.manual_seed(0)
    first = built(model, 1).state_dict()
    torch.manual_seed(1)
    again, other = built(model, 1).state_dict(), built(model, 2).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@every_model
def test_logits_are_computed_row_by_row(model):
    module = built(model, dtype="float64")
    with torch.no_grad():
        together = module(module.prepare(inputs()))
        alone = torch.cat([module(module.prepare(row[None])) for row in inputs()])
    torch.testing.assert_close(together, alone, atol=1e-12, rtol=0)


@every_model
def test_forward_runs_under_vmap_where_the_model_says_so(model):
    module = built(model, dtype="float64")
    assert module.supports_vmap
    prepared = module.prepare(inputs())
    states = [dict(built(model, seed, dtype="float64").named_parameters()) for seed in range(3)]
    stacked = {name: torch.stack([state[name] for state in states]) for name in states[0]}
    found = vmap(lambda parameters: functional_call(module, parameters, (prepared,)))(stacked)
    expected = torch.stack([functional_call(module, state, (prepared,)) for state in states])
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


@every_model
def test_state_dict_round_trips(model):
    trained, fresh = built(model, 1), built(model, 2)
    fresh.load_state_dict(trained.state_dict())
    x = inputs()
    assert torch.equal(fresh(fresh.prepare(x)), trained(trained.prepare(x)))


@every_estimator
@pytest.mark.parametrize("task", [Blobs, XXZ, TransverseIsing], ids=name_of)
def test_estimators_are_fitted_to_copies_row_by_row_and_by_their_generator(task, estimator):
    data = make(task).load()
    plain = make(estimator, **({} if data.block is None else {"inputs": "density", "sites": 2}))
    member = Member.of(make(task), data, LabelFlip(ratio=0.2), 0)
    first, again = (fit(plain, member, data.validation, Features.of(data)) for _ in range(2))
    assert torch.equal(first.logits, again.logits)
    assert vars(plain) == plain.config()
    assert first.estimator.config() == plain.config()
    x = rows_for(first.estimator, data.validation.x)
    alone = np.concatenate([first.estimator.decision(row[None]) for row in x])
    np.testing.assert_allclose(alone, first.logits[len(data.train) :].numpy(), rtol=1e-9, atol=1e-12)


@every_model
def test_building_copies(model):
    features = Features(8, True, torch.ones(8, dtype=torch.bool))
    plain = make(model)
    first = plain.build(features)
    assert plain.features is None
    assert not list(plain.parameters())
    assert first is not plain
    assert first.features is features
    assert first.config() == plain.config()


def reading_a_block(model):
    """Fields with which a model takes reduced density matrices of three sites; None if it needs more of a state."""
    if "inputs" in fields_of(model):
        return {"inputs": "pauli", "sites": 2}
    if issubclass(model, PennyLaneQNN):
        return {"depth": 2} if model is PennyLaneQNN else None  # the others see whole chains
    return {"sites": 2} if model is PauliLinear else {}


@every_model
@every_corruption_of_a_task
def test_every_combination_trains(task, corruption, model):
    made, fields = make(task), {}
    if made.block is not None:
        fields = reading_a_block(model)
        if fields is None:
            with pytest.raises((ConfigError, DataError), match=r"density matrices|TransverseIsing"):
                make(Trainer).train(make(model), made, corruption(ratio=some_ratio(corruption)), seeds=(0, 1))
            return
    trained = make(Trainer).train(make(model, **fields), made, corruption(ratio=some_ratio(corruption)), seeds=(0, 1))
    assert len(trained) == 2
    assert bool(torch.isfinite(trained.logits).all())
    assert trained.history["train_loss"].shape == (2, 2)


@functools.cache
def rows_to_unlearn(step, seed=0):
    """Six rows to retain and four to forget, of a model of eight features."""
    draw = generator(seed)
    x = torch.randn(10, 8, dtype=torch.float64, generator=draw)
    y = torch.tensor([0.0, 1.0] * 5, dtype=torch.float64)
    retain, forget = Samples(x[:6], y[:6]), Samples(x[6:], y[6:])
    return UnlearningData(retain, forget, Samples(x[6:], 1.0 - y[6:]), step)


@functools.cache
def linear_model():
    """A built model of the eight features."""
    return Linear(dtype="float64").build(Features(8, False, torch.ones(8, dtype=torch.bool)))


def linear(weights):
    """A linear model as methods see it."""
    bias = torch.zeros((), dtype=torch.float64)
    return Learner(Setting(linear_model(), CrossEntropy(), Cost(10)), {"weight": weights, "bias": bias})


def given(method, teacher, step, draws=None):
    """What a method is given in a step."""
    draws = draws or Draws.of_seed(0)
    data = dataclasses.replace(
        rows_to_unlearn(step), draws=draws, fresh=lambda: linear(0.1 * torch.arange(8.0, dtype=torch.float64))
    )
    return dataclasses.replace(data, kept=method.begin(teacher, dataclasses.replace(data, step=0)))


def outcome(method, student, teacher, data):
    """A method's loss, or its new parameters as a flat vector."""
    if not method.has_update():
        return method.loss(student, teacher, data)
    found = method.update(student, teacher, data)
    return found if isinstance(found, Tensor) else student.flat(found)


@every_unlearner
@pytest.mark.parametrize("step", [1, 2, 50])
def test_a_method_returns_a_loss_that_moves_the_student_or_parameters(unlearner, step):
    draw = generator(1)
    student, teacher = torch.randn(2, 8, dtype=torch.float64, generator=draw)
    student.requires_grad_()
    method = make(unlearner)
    found = outcome(method, linear(student), linear(teacher), given(method, linear(teacher), step))
    assert bool(found.isfinite().all())
    if method.has_update():
        assert found.shape == (9,)
        return
    assert found.shape == ()
    found.backward()
    assert bool(student.grad.isfinite().all())
    assert float(student.grad.abs().max()) > 0.0


@every_unlearner
@pytest.mark.parametrize("step", [1, 2])
def test_a_method_runs_under_vmap(unlearner, step):
    draw = generator(2)
    students, teachers = torch.randn(2, 3, 8, dtype=torch.float64, generator=draw)
    method = make(unlearner)
    rows_to_unlearn(step)  # drawn outside of vmap

    def found(student, teacher, draws):
        teacher = linear(teacher)
        return outcome(method, linear(student), teacher, given(method, teacher, step, draws))

    streams = [generator(seed) for seed in range(3)]
    together = vmap(lambda index, *models: found(*models, Draws(streams, index)))(torch.arange(3), students, teachers)
    alone = [
        found(student, teacher, Draws([generator(seed)], torch.tensor(0)))
        for seed, (student, teacher) in enumerate(zip(students, teachers, strict=True))
    ]
    torch.testing.assert_close(together, torch.stack(alone), atol=1e-10, rtol=0)


@every_unlearner
def test_a_method_is_finite_where_models_are_certain(unlearner):
    student = torch.full((8,), 1e4, dtype=torch.float64).requires_grad_()
    method, teacher = make(unlearner), linear(-student.detach())
    found = outcome(method, linear(student), teacher, given(method, teacher, 1))
    assert bool(found.isfinite().all())
    if not method.has_update():
        found.backward()
        assert bool(student.grad.isfinite().all())


def landscape_of(model, seed=0):
    """A small landscape of a model, with every point a probe can ask for, a trajectory and a clean twin."""
    task = make(XXZ)
    data = task.load()
    polluted, clean = (Member.of(task, data, LabelFlip(ratio=ratio), seed).corrupted for ratio in (0.5, 0.0))

    small = {name: value for name, value in (("hidden", (4,)), ("depth", 1)) if name in fields_of(model)}

    def at(start):
        module = make(model, dtype="float64", **small).build(Features.of(data))
        module.reset_parameters(generator(seed))
        frozen = {name: part.clone() for name, part in module.named_parameters() if not part.requires_grad}
        module.reset_parameters(generator(start))
        module.load_state_dict(frozen, strict=False)  # what is not trained is the same at all points of a landscape
        return module

    def flat(module):
        return torch.cat([part.detach().reshape(-1) for part in module.parameters() if part.requires_grad])

    names = ("initial", "clean", "oracle")
    points = {name: at(start) for start, name in enumerate(names, start=10)}
    path = torch.stack([flat(at(k)) for k in (10, 13, seed)])
    return Landscape(
        at(seed),
        polluted,
        data.validation,
        points=points,
        trajectory=path,
        reference=Landscape(points["clean"], clean, data.validation, seed=seed),
        seed=seed,
    )


def suited_to(probe):
    """A model that a probe can be taken of."""
    return PennyLaneQNN if make(probe).unsuited(make(Linear)) else Linear


@every_model
@every_probe
@pytest.mark.parametrize("values", [SMALL, OTHER], ids=["defaults", "other values"])
def test_a_probe_finds_finite_numbers_in_the_landscape_of_every_model(probe, model, values):
    landscape = landscape_of(model)
    made = probe(**values.get(probe.__name__, {}))
    if made.unsuited(make(model)):
        with pytest.raises(ConfigError, match=model.__name__):
            made.measure(landscape)
        return
    result = made.measure(landscape)
    assert result.scalars
    for name, value in result.scalars.items():
        assert isinstance(value, float)
        assert math.isfinite(value), name
    for name, array in result.arrays.items():
        assert isinstance(array, np.ndarray)
        assert array.dtype == np.float64, name
    assert (result.probe, result.config) == (probe.__name__, made.config())
    assert (result.about["centre"], result.about["samples"]) == (made.at, made.samples)
    assert result.about["parameters"] == landscape.n_parameters
    again = made.measure(landscape_of(model))
    assert again.scalars == pytest.approx(result.scalars, rel=1e-9, abs=1e-12)


@every_probe
@pytest.mark.parametrize("values", [SMALL, OTHER], ids=["defaults", "other values"])
def test_what_a_probe_found_is_saved_loaded_and_drawn_with_both_backends(probe, values, tmp_path):
    import holoviews as hv

    from qlab.views.saving import save_png

    result = probe(**values.get(probe.__name__, {})).measure(landscape_of(suited_to(probe)))
    loaded = ProbeResult.load(result.save(tmp_path / "result.safetensors"))
    assert (loaded.scalars, loaded.about, loaded.config) == (result.scalars, result.about, result.config)
    assert (loaded.probe, loaded.view) == (result.probe, result.view)
    assert loaded.arrays.keys() == result.arrays.keys()
    for name, array in result.arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array)
    assert save_png(loaded.plot(), tmp_path / "a.png", dpi=40).read_bytes().startswith(b"\x89PNG")
    assert hv.render(loaded.plot(), backend="bokeh") is not None


@every_probe
def test_a_probe_leaves_landscape_and_randomness_as_they_were(probe):
    landscape = landscape_of(suited_to(probe))
    points = {name: point.clone() for name, point in landscape.points.items()}
    torch.manual_seed(0)
    before = torch.get_rng_state()
    make(probe).measure(landscape)
    assert torch.equal(torch.get_rng_state(), before)
    assert (landscape.centre, landscape.samples) == ("trained", "train")
    assert landscape.points.keys() == points.keys()
    assert all(torch.equal(point, points[name]) for name, point in landscape.points.items())


@every_probe
def test_a_probe_says_what_it_needs(probe):
    """With what it says it needs, and nothing else, it measures the same numbers."""
    for values in (SMALL, OTHER):
        made = probe(**values.get(probe.__name__, {}))
        assert set(made.needed_points) <= {"initial", "clean", "oracle"}
        assert "trained" not in made.needed_points
        full = landscape_of(suited_to(probe))
        bare = Landscape(
            full.model,
            Member.of(make(XXZ), make(XXZ).load(), LabelFlip(ratio=0.5), 0).corrupted,
            make(XXZ).load().validation,
            points={name: full.points[name] for name in made.needed_points},
            trajectory=full.trajectory if made.needs().trajectory else None,
            reference=full.reference if made.needs().reference else None,
        )
        assert made.measure(bare).scalars.keys() == made.measure(full).scalars.keys()


def test_unknown_values_of_the_wrong_case_still_find_their_name():
    with pytest.raises(ConfigError, match='Did you mean "ratio"'):
        check_fields(LabelFlip, {"Ratio": 0.5})


def rows(dtype=torch.float64):
    """Logits and labels, both labels with each logit."""
    z = torch.linspace(-8.0, 8.0, 33, dtype=dtype)
    return torch.cat([z, z]), torch.cat([torch.zeros(33), torch.ones(33)]).to(dtype)


@every_loss
@pytest.mark.parametrize("values", [{}, OTHER], ids=["defaults", "other values"])
def test_losses_are_numbers_of_each_row_that_fall_with_the_logit_of_the_label(loss, values):
    made = make(loss, **values.get(loss.__name__, {}))
    check_loss(made, torch.float32)
    for dtype in (torch.float32, torch.float64):
        z, y = rows(dtype)
        found = made(z, y)
        assert (found.shape, found.dtype) == (z.shape, dtype)
        torch.testing.assert_close(made(z.reshape(2, 3, 11), y.reshape(2, 3, 11)).reshape(-1), found)
        assert bool(torch.isfinite(made(torch.tensor([-1e4, 1e4], dtype=dtype), torch.ones(2, dtype=dtype))).all())
    assert float(made(*(part[[10, 43]] for part in rows())).diff()) > 0.0  # the logit -3 costs more with label 1
    assert float(made(*(part[[22, 55]] for part in rows())).diff()) < 0.0


@every_loss
@pytest.mark.parametrize("values", [{}, OTHER], ids=["defaults", "other values"])
def test_losses_have_the_derivatives_they_say(loss, values):
    """Against differences, central and of the first derivatives."""
    made = make(loss, **values.get(loss.__name__, {}))
    z, y = rows()
    first, second = made.derivatives(z, y)
    step = 1e-4
    torch.testing.assert_close(first, (made(z + step, y) - made(z - step, y)) / (2 * step), atol=1e-7, rtol=0)
    slopes = [made.derivatives(z + shift, y)[0] for shift in (-step, step)]
    torch.testing.assert_close(second, (slopes[1] - slopes[0]) / (2 * step), atol=1e-7, rtol=0)


@every_loss
def test_an_ensemble_trains_with_any_loss_as_its_members_alone(loss):
    task, trainer = Blobs(), Trainer(epochs=4, batch_size=7, learning_rate=0.1, loss=make(loss))
    together = trainer.train(Linear(dtype="float64"), task, LabelFlip(ratio=0.2), seeds=(0, 1))
    alone = trainer.train(Linear(dtype="float64"), task, LabelFlip(ratio=0.2), seeds=(1,))
    for name, values in alone.history.items():
        np.testing.assert_allclose(together.history[name][1], values[0], atol=1e-12, rtol=0, err_msg=name)
    assert together.history["train_loss"][0, -1] < together.history["train_loss"][0, 0]


def some_rows(n=40, seed=0):
    y = torch.randint(2, (n,), generator=generator(seed))
    x = torch.randn(n, 3, dtype=torch.float64, generator=generator(seed + 1))
    rows = Rows(x, y, mask=torch.arange(n) % 3 == 0, clean_y=y)
    return rows, torch.randn(n, dtype=torch.float64, generator=generator(seed + 2))


@every_metric
def test_a_metric_is_a_number_that_does_not_depend_on_the_order_of_the_rows(metric):
    rows, logits = some_rows()
    value = value_of(make(metric), logits, rows)
    order = torch.randperm(len(logits), generator=generator(7))
    assert math.isfinite(value)
    assert value_of(make(metric), logits[order], rows.where(order)) == pytest.approx(value, rel=1e-12)


@every_metric
def test_a_metric_changes_neither_logits_nor_rows(metric):
    rows, logits = some_rows()
    parts = (logits, rows.x, rows.y, rows.mask, rows.clean_y)
    before = [part.clone() for part in parts]
    made = make(metric)
    first = made.compute(logits, rows)
    assert all(torch.equal(a, b) for a, b in zip(before, parts, strict=True))
    assert float(made.compute(logits, rows)) == float(first)


@every_metric
def test_a_metric_takes_one_row_logits_that_are_not_finite_and_one_class(metric):
    rows, logits = some_rows()
    one = rows.where(torch.arange(len(rows)) == 3)
    broken = logits.clone()
    broken[:3] = torch.tensor([float("nan"), float("inf"), float("-inf")])
    for given, chosen in ((logits[3:4], one), (broken, rows), (logits[rows.y == 1], rows.where(rows.y == 1))):
        assert isinstance(value_of(make(metric), given, chosen), float)


@every_metric
def test_the_name_of_a_metric_says_the_rows_and_is_one_that_the_store_takes(metric):
    made = make(metric)
    assert made.logged_as.startswith("validation_")
    assert made.logged_as.replace("_", "").isalnum()
    on = "validation" if metric.of_unseen else "retain"
    assert make(metric, name="mine", on=on).logged_as == f"{on}_mine"
