"""qlab: how classical and quantum models cope with corrupted training data, and how well they unlearn it.

Everything an experiment file can name is importable from here::

    from qlab import XXZ, PennyLaneQNN, LabelFlip, Trainer

Names are imported when first used, so that ``import qlab`` (and ``qlab --help``) stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from qlab.version import __version__

_HOME = {
    "Digits": "qlab.tasks",
    "FashionMNIST": "qlab.tasks",
    "KMNIST": "qlab.tasks",
    "MNIST": "qlab.tasks",
    "XXZ": "qlab.tasks",
    "Dataset": "qlab.tasks",
    "Preprocessing": "qlab.tasks",
    "Sklearn": "qlab.tasks",
    "Split": "qlab.tasks",
    "Table": "qlab.tasks",
    "Task": "qlab.tasks",
    "TransverseIsing": "qlab.tasks",
    "Backdoor": "qlab.corruptions",
    "BoundaryFlip": "qlab.corruptions",
    "ClassFlip": "qlab.corruptions",
    "Corrupted": "qlab.corruptions",
    "Corruption": "qlab.corruptions",
    "FeatureRandomization": "qlab.corruptions",
    "GaussianPoison": "qlab.corruptions",
    "InstanceFlip": "qlab.corruptions",
    "LabelFlip": "qlab.corruptions",
    "NoCorruption": "qlab.corruptions",
    "OutlierFlip": "qlab.corruptions",
    "PairDuplicate": "qlab.corruptions",
    "ROCAUC": "qlab.metrics",
    "AttackSuccess": "qlab.metrics",
    "Accuracy": "qlab.metrics",
    "BalancedAccuracy": "qlab.metrics",
    "CalibrationError": "qlab.metrics",
    "LogLoss": "qlab.metrics",
    "Metric": "qlab.metrics",
    "Rows": "qlab.metrics",
    "CNOTQNN": "qlab.models",
    "MLP": "qlab.models",
    "DensityKernelSVC": "qlab.models",
    "Estimator": "qlab.models",
    "Features": "qlab.models",
    "Model": "qlab.models",
    "PauliLinear": "qlab.models",
    "PennyLaneQNN": "qlab.models",
    "RandomQNN": "qlab.models",
    "AmplitudeDamping": "qlab.noise",
    "BitFlip": "qlab.noise",
    "Channel": "qlab.noise",
    "DepolarizingChannel": "qlab.noise",
    "DeviceNoise": "qlab.noise",
    "GeneralizedAmplitudeDamping": "qlab.noise",
    "PauliError": "qlab.noise",
    "PhaseDamping": "qlab.noise",
    "PhaseFlip": "qlab.noise",
    "QubitChannel": "qlab.noise",
    "ReadoutError": "qlab.noise",
    "ResetError": "qlab.noise",
    "ThermalRelaxationError": "qlab.noise",
    "TwoQubitDepolarizing": "qlab.noise",
    "Member": "qlab.training",
    "CrossEntropy": "qlab.losses",
    "ForwardCorrection": "qlab.losses",
    "GeneralizedCrossEntropy": "qlab.losses",
    "Loss": "qlab.losses",
    "MeanAbsoluteError": "qlab.losses",
    "SymmetricCrossEntropy": "qlab.losses",
    "AlternatingScrub": "qlab.unlearning",
    "RewindScrub": "qlab.unlearning",
    "SalUn": "qlab.unlearning",
    "NewtonStep": "qlab.unlearning",
    "EUk": "qlab.unlearning",
    "CFk": "qlab.unlearning",
    "Relabel": "qlab.unlearning",
    "RandomLabels": "qlab.unlearning",
    "FisherForgetting": "qlab.unlearning",
    "SSD": "qlab.unlearning",
    "NoisyFinetune": "qlab.unlearning",
    "L1Sparse": "qlab.unlearning",
    "BadTeacher": "qlab.unlearning",
    "Finetune": "qlab.unlearning",
    "GradientAscent": "qlab.unlearning",
    "NPO": "qlab.unlearning",
    "PureAscent": "qlab.unlearning",
    "Retrain": "qlab.unlearning",
    "Scrub": "qlab.unlearning",
    "Unlearner": "qlab.unlearning",
    "Learner": "qlab.unlearning",
    "UnlearningData": "qlab.unlearning",
    "ExpressivityProbe": "qlab.landscape",
    "GradientVarianceProbe": "qlab.landscape",
    "HessianProbe": "qlab.landscape",
    "InterpolationProbe": "qlab.landscape",
    "Landscape": "qlab.landscape",
    "LandscapeProbe": "qlab.landscape",
    "ProbeResult": "qlab.landscape",
    "RougheningProbe": "qlab.landscape",
    "SliceProbe": "qlab.landscape",
    "UnderNoise": "qlab.landscape",
    "TrainedEnsemble": "qlab.training",
    "Trainer": "qlab.training",
    "Results": "qlab.reading",
    "results": "qlab.reading",
    "run": "qlab.scripting",
}

__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])


if TYPE_CHECKING:
    from qlab.corruptions import (
        Backdoor,
        BoundaryFlip,
        ClassFlip,
        Corrupted,
        Corruption,
        FeatureRandomization,
        GaussianPoison,
        InstanceFlip,
        LabelFlip,
        NoCorruption,
        OutlierFlip,
        PairDuplicate,
    )
    from qlab.landscape import (
        ExpressivityProbe,
        GradientVarianceProbe,
        HessianProbe,
        InterpolationProbe,
        Landscape,
        LandscapeProbe,
        ProbeResult,
        RougheningProbe,
        SliceProbe,
        UnderNoise,
    )
    from qlab.losses import (
        CrossEntropy,
        ForwardCorrection,
        GeneralizedCrossEntropy,
        Loss,
        MeanAbsoluteError,
        SymmetricCrossEntropy,
    )
    from qlab.metrics import ROCAUC, Accuracy, AttackSuccess, BalancedAccuracy, CalibrationError, LogLoss, Metric, Rows
    from qlab.models import (
        CNOTQNN,
        MLP,
        DensityKernelSVC,
        Estimator,
        Features,
        Model,
        PauliLinear,
        PennyLaneQNN,
        RandomQNN,
    )
    from qlab.noise import (
        AmplitudeDamping,
        BitFlip,
        Channel,
        DepolarizingChannel,
        DeviceNoise,
        GeneralizedAmplitudeDamping,
        PauliError,
        PhaseDamping,
        PhaseFlip,
        QubitChannel,
        ReadoutError,
        ResetError,
        ThermalRelaxationError,
        TwoQubitDepolarizing,
    )
    from qlab.reading import Results, results
    from qlab.scripting import run
    from qlab.tasks import (
        KMNIST,
        MNIST,
        XXZ,
        Dataset,
        Digits,
        FashionMNIST,
        Preprocessing,
        Sklearn,
        Split,
        Table,
        Task,
        TransverseIsing,
    )
    from qlab.training import Member, TrainedEnsemble, Trainer
    from qlab.unlearning import (
        NPO,
        SSD,
        AlternatingScrub,
        BadTeacher,
        CFk,
        EUk,
        Finetune,
        FisherForgetting,
        GradientAscent,
        L1Sparse,
        Learner,
        NewtonStep,
        NoisyFinetune,
        PureAscent,
        RandomLabels,
        Relabel,
        Retrain,
        RewindScrub,
        SalUn,
        Scrub,
        Unlearner,
        UnlearningData,
    )
