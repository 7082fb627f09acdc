"""The identity of a trial, and what trains together."""

from __future__ import annotations

import dataclasses
import itertools
import json
from typing import Any

import pytest

from qlab.corruptions import Knowledge, LabelFlip
from qlab.corruptions.knowledge import FIELDS
from qlab.experiment.asking import schema
from qlab.experiment.asking.trial import Trial, content_hash
from qlab.fields import fields_of
from qlab.losses import MeanAbsoluteError
from qlab.models import MLP, PennyLaneQNN
from qlab.noise import DepolarizingChannel
from qlab.tasks import XXZ
from qlab.training import Trainer

TASK = '[task]\ntype = "XXZ"\nlength = 4\n'
MODEL = '[model]\ntype = "MLP"\n'
FLIP = '[corruption]\ntype = "LabelFlip"\nratio = 0.0\n'
RUN = "[run]\nseeds = 1\n"


def trials(text: str) -> tuple[Trial, ...]:
    return schema.parse(text, source="given.toml", default_name="given").trials


def key(text: str) -> str:
    (trial,) = trials(text)
    return trial.key


def make(**changed: Any) -> Trial:
    parts: dict[str, Any] = {
        "task": XXZ(length=4),
        "corruption": LabelFlip(ratio=0.5),
        "model": PennyLaneQNN(),
        "trainer": Trainer(),
        "seed": 0,
    }
    names = {"task": "XXZ", "corruption": "LabelFlip", "model": "PennyLaneQNN"}
    names |= changed.pop("names", {})
    return Trial(**{**parts, **changed}, names=names)


def test_the_hash_of_a_content_is_the_same_in_every_process() -> None:
    # Finished trials are found by this hash: were it to change, every store would be trained again.
    content = {"seed": 0, "task": {"type": "XXZ", "gapless": [-0.96, 0.96, 0.02], "gauge": "random-phase"}}
    assert content_hash(content) == "a9bb11313a61d9ff"


def test_the_order_of_keys_does_not_count() -> None:
    other = "[run]\nseeds = 1\n" + '[model]\ntype = "MLP"\n' + FLIP + '[task]\nlength = 4\ntype = "XXZ"\n'
    assert key(TASK + FLIP + MODEL + RUN) == key(other)


@pytest.mark.parametrize("zero", ["0", "0.0", "-0.0", "0e5"])
def test_zero_is_zero_however_it_is_written(zero: str) -> None:
    assert key(TASK + FLIP.replace("0.0", zero) + MODEL + RUN) == key(TASK + FLIP + MODEL + RUN)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(TASK + 'gauge = "random-phase"\ngauge_seed = 0\n' + FLIP + MODEL, id="of a task"),
        pytest.param(TASK + "gapped = [1.02, 3, 0.02]\n" + FLIP + MODEL, id="of a grid, an integer for a number"),
        pytest.param(TASK + FLIP.replace("ratio = 0.0\n", "") + MODEL, id="of a corruption, left out"),
        pytest.param(TASK + FLIP + MODEL + 'hidden = [64, 16]\ndtype = "float32"\n', id="of a model"),
        pytest.param(TASK + FLIP + MODEL + "training = { epochs = 200 }\n", id="of a model's training"),
        pytest.param(TASK + FLIP + MODEL + "[training]\nlearning_rate = 1e-2\n", id="of training"),
        pytest.param(TASK + FLIP + MODEL.replace("model", "[model]"), id="in a list of one table"),
    ],
)
def test_defaults_count_the_same_written_out_or_not(written: str) -> None:
    assert key(written + RUN) == key(TASK + FLIP + MODEL + RUN)


def test_name_about_and_device_are_no_part_of_it() -> None:
    text = 'name = "other"\nabout = "words"\n' + TASK + FLIP + MODEL + RUN + 'device = "cuda"\n'
    assert key(text) == key(TASK + FLIP + MODEL + RUN)


OTHER_VALUES: dict[type, dict[str, Any]] = {
    XXZ: {
        "length": 6,
        "gapless": (-0.96, 0.94, 0.02),
        "gapped": (1.04, 3.0, 0.02),
        "validation": (-0.97, 2.97, 0.02),
        "gauge": "fixed",
        "gauge_seed": 1,
        "layout": "real-imaginary",
        "solver": "dmrg",
        "periodic": False,
        "block_sites": 3,
        "where": "around",
        "bond_dimension": 128,
        "symmetry": "broken",
    },
    LabelFlip: {"ratio": 0.25},
    MLP: {
        "hidden": (64, 17),
        "dtype": "float64",
        "activation": "tanh",
        "dropout": 0.1,
        "inputs": "modulus",
        "sites": (0, 1),
    },
    PennyLaneQNN: {
        "depth": 5,
        "entangler": "ring",
        "scale": 5.5,
        "initial_scale": 0.02,
        "device": "default.qubit",
        "dtype": "float32",
        "encoding": "angle",
        "rotation": "RX",
        "encoding_scale": 0.5,
        "reupload": 2,
        "observable": "mean_Z",
        "readout": "affine",
        "noise": (DepolarizingChannel(p=0.1),),
        "shots": 100,
        "evaluate_shots": 50,
        "gradient": "parameter-shift",
    },
    Trainer: {
        "epochs": 201,
        "batch_size": 31,
        "learning_rate": 0.011,
        "optimizer": "SGD",
        "momentum": 0.9,
        "weight_decay": 0.1,
        "schedule": "step",
        "step_epochs": 10,
        "step_factor": 0.5,
        "loss": MeanAbsoluteError(),
        "early_stopping": 5,
        "holdout": 0.3,
        "stop_at": 0.5,
        "stop_retain": 0.7,
    },
}
NEEDED: dict[str, dict[str, Any]] = {
    "momentum": {"optimizer": "SGD"},
    "step_epochs": {"schedule": "step"},
    "step_factor": {"schedule": "step"},
    "holdout": {"early_stopping": 3},
    "stop_retain": {"stop_at": 0.4},
    "rotation": {"encoding": "angle"},
    "gradient": {"shots": 10},
    "encoding_scale": {"encoding": "angle"},
    "reupload": {"encoding": "angle"},
    "sites": {"inputs": "pauli"},
    **{name: {"solver": "dmrg"} for name in ("periodic", "block_sites", "bond_dimension", "symmetry")},
    "where": {"solver": "dmrg", "block_sites": 1},
}
"""What other fields must be for a field to mean anything."""

PARTS = {XXZ: "task", LabelFlip: "corruption", MLP: "model", PennyLaneQNN: "model", Trainer: "trainer"}


@pytest.mark.parametrize("cls", OTHER_VALUES, ids=lambda cls: cls.__name__)
def test_every_field_is_part_of_it(cls: type) -> None:
    base = {"length": 4} if cls is XXZ else {}
    assert set(OTHER_VALUES[cls]) == set(fields_of(cls)) - set(FIELDS)  # what methods are told is no matter of training
    made = [
        cls(**base),
        *(cls(**{**base, **NEEDED.get(name, {}), name: value}) for name, value in OTHER_VALUES[cls].items()),
    ]
    keys = {make(**{PARTS[cls]: part}).key for part in made}
    assert len(keys) == 1 + len(OTHER_VALUES[cls])


def test_seed_and_class_names_are_part_of_it() -> None:
    changes = [{}, {"seed": 1}, *({"names": {kind: "Other"}} for kind in ("task", "corruption", "model"))]
    assert len({make(**change).key for change in changes}) == len(changes)


def test_the_configuration_is_complete_and_plain() -> None:
    config = make().config
    assert json.loads(json.dumps(config)) == config
    assert set(config) == {"task", "corruption", "model", "training", "seed"}
    # All but the fields that came when there were stored trials, which have defaults here.
    stated = {cls: {name for name, field in fields_of(cls).items() if field.absent is None} for cls in OTHER_VALUES}
    assert set(config["task"]) == {"type", *stated[XXZ]}
    assert set(config["model"]) == {"type", *stated[PennyLaneQNN]}
    assert set(config["training"]) == stated[Trainer]


def test_params_are_flat_with_dotted_names() -> None:
    params = make(seed=3).params
    assert params["task.type"] == "XXZ"
    assert params["corruption.ratio"] == "0.5"
    assert params["model.depth"] == "4"
    assert params["model.entangler"] == "chain"
    assert params["training.epochs"] == "200"
    assert params["seed"] == "3"
    assert json.loads(params["task.gapless"]) == [-0.96, 0.96, 0.02]
    assert all(isinstance(value, str) for value in params.values())


def test_trials_that_differ_in_seed_or_ratio_train_together() -> None:
    together = [make(seed=seed, corruption=LabelFlip(ratio=ratio)) for seed in (0, 1) for ratio in (0.0, 0.9)]
    assert len({trial.ensemble_key for trial in together}) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"task": XXZ(length=6)},
        {"model": PennyLaneQNN(depth=2)},
        {"trainer": Trainer(epochs=2)},
        {"names": {"corruption": "FeatureRandomization"}},
    ],
    ids=["task", "model", "training", "class of corruption"],
)
def test_trials_that_differ_otherwise_do_not_train_together(change: dict[str, Any]) -> None:
    assert make(**change).ensemble_key != make().ensemble_key


def test_a_label_says_what_a_person_asks_first() -> None:
    assert make(seed=3).label == "PennyLaneQNN LabelFlip 0.5 seed 3"


def test_trials_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().seed = 1  # type: ignore[misc]


def test_trials_of_a_file_come_in_a_fixed_order() -> None:
    text = TASK + FLIP.replace("0.0", "[0.5, 0.0]") + MODEL + "[run]\nseeds = [3, 1]\n"
    order = [(trial.corruption.ratio, trial.seed) for trial in trials(text)]
    assert order == list(itertools.product([0.5, 0.0], [3, 1]))


def test_oracles_are_the_same_wherever_their_teachers_stop() -> None:
    plain, low, high = (make(trainer=Trainer(stop_at=at)) for at in (0.0, 0.3, 0.7))
    assert len({trial.key for trial in (plain, low, high)}) == 3
    for knowledge in (Knowledge(), Knowledge(known=0.5)):
        assert len({trial.oracle_key(0, knowledge) for trial in (plain, low, high)}) == 1
    assert low.shadow_key(0) != plain.shadow_key(0)
