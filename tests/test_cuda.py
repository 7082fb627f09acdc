"""A GPU gives the numbers of a CPU: training, resuming, unlearning, and a whole experiment."""

from __future__ import annotations

import dataclasses
import inspect

import pytest
import torch

from qlab import unlearning
from qlab.corruptions import FeatureRandomization, LabelFlip
from qlab.experiment.asking import schema
from qlab.experiment.runner import Runner
from qlab.losses import GeneralizedCrossEntropy
from qlab.models import CNOTQNN, MLP, Features, PauliLinear, PennyLaneQNN, RandomQNN
from qlab.noise import AmplitudeDamping
from qlab.tasks import TransverseIsing
from qlab.tracking import frames
from qlab.tracking.store import Store
from qlab.training import Member, Trainer
from qlab.training.data import prepare
from qlab.training.state import Checkpoints
from qlab.unlearning.engine import unlearn

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device here")

MODELS = [
    pytest.param(MLP(hidden=(6, 3), dtype="float64"), id="MLP"),
    pytest.param(PennyLaneQNN(depth=2), id="chain"),
    pytest.param(PennyLaneQNN(depth=2, entangler="ring"), id="ring"),
    pytest.param(CNOTQNN(depth=2), id="statevector"),
    pytest.param(MLP(hidden=(6, 3), dtype="float64", dropout=0.3, activation="gelu"), id="dropout"),
    # Not ReLU: of a dead network Adam makes steps of what rounding leaves, on every device others.
    pytest.param(
        MLP(hidden=(6, 3), dtype="float64", inputs="pauli", sites=2, activation="gelu"), id="MLP on Pauli strings"
    ),
    pytest.param(PennyLaneQNN(depth=2, observable="mean_Z", readout="affine"), id="mean of Z, affine"),
    pytest.param(PennyLaneQNN(depth=2, noise=(AmplitudeDamping(gamma=0.1),)), id="noise"),
    pytest.param(PauliLinear(sites=2, bound="operator"), id="bounded operator"),
    pytest.param(RandomQNN(depth=2), id="random circuit"),
]
TRAINER = Trainer(epochs=4, batch_size=5, learning_rate=0.05)
TRAINERS = [
    pytest.param({"optimizer": "SGD", "momentum": 0.9}, id="SGD"),
    pytest.param({"optimizer": "AdamW", "weight_decay": 0.1, "schedule": "cosine"}, id="AdamW"),
    pytest.param({"loss": GeneralizedCrossEntropy(), "early_stopping": 1, "holdout": 0.3}, id="early stopping"),
]


def fitted(model, task, data, corruption, device, trainer=TRAINER, **options):
    members = [Member.of(task, data, corruption, seed) for seed in range(3)]
    return trainer.fit(
        model.build(Features.of(data, corruption)), members, data.validation, device=device, snapshots=(0, 4), **options
    )


@pytest.mark.parametrize("corruption", [LabelFlip(ratio=0.25), FeatureRandomization(ratio=0.25)], ids=str)
@pytest.mark.parametrize("model", MODELS)
def test_training(small_task, small_data, model, corruption):
    here = fitted(model, small_task, small_data, corruption, "cpu")
    there = fitted(model, small_task, small_data, corruption, "cuda")
    torch.testing.assert_close(there.logits, here.logits, atol=1e-9, rtol=0)
    for name, value in here.parameters.items():
        torch.testing.assert_close(there.parameters[name], value, atol=1e-9, rtol=0)
        torch.testing.assert_close(there.trajectory[name], here.trajectory[name], atol=1e-9, rtol=0)
    for name, values in here.history.items():
        found = torch.tensor(there.history[name])
        torch.testing.assert_close(found, torch.tensor(values), atol=1e-9, rtol=0, equal_nan=True)
    assert there.health == here.health
    assert {parameter.device.type for parameter in there.model.parameters()} == {"cpu"}


@pytest.mark.parametrize("fields", TRAINERS)
def test_training_in_other_ways(small_task, small_data, fields):
    trainer = dataclasses.replace(TRAINER, **fields)
    model, corruption = MLP(hidden=(6, 3), dtype="float64"), LabelFlip(ratio=0.25)
    here, there = (fitted(model, small_task, small_data, corruption, device, trainer) for device in ("cpu", "cuda"))
    torch.testing.assert_close(there.logits, here.logits, atol=1e-9, rtol=0)


@pytest.mark.parametrize("model", MODELS)
def test_a_training_goes_on_from_its_state(small_task, small_data, model):
    states = []
    whole = fitted(
        model, small_task, small_data, LabelFlip(ratio=0.25), "cuda", checkpoint=Checkpoints(states.append, 0.0)
    )
    resumed = fitted(model, small_task, small_data, LabelFlip(ratio=0.25), "cuda", resume=states[1])
    assert states[1].epoch == 2
    torch.testing.assert_close(resumed.logits, whole.logits, atol=1e-9, rtol=0)


@pytest.mark.parametrize("model", [PauliLinear(sites=2), PennyLaneQNN(depth=2), PennyLaneQNN(depth=3)], ids=str)
def test_training_on_density_matrices(model):
    grids = {"ordered": (0.2, 0.8, 0.2), "disordered": (1.2, 1.8, 0.2), "validation": (0.3, 1.7, 0.3)}
    task = TransverseIsing(length=40, **grids)
    data, corruption = task.load(), FeatureRandomization(ratio=0.25)
    here, there = (fitted(model, task, data, corruption, device) for device in ("cpu", "cuda"))
    torch.testing.assert_close(there.logits, here.logits, atol=1e-9, rtol=0)


METHODS = [
    method
    for method in (getattr(unlearning, name) for name in unlearning.__all__)
    if inspect.isclass(method) and issubclass(method, unlearning.Unlearner)
]


@pytest.mark.parametrize("method", [method for method in METHODS if not inspect.isabstract(method)])
@pytest.mark.parametrize("model", MODELS)
def test_unlearning(small_task, small_data, model, method):
    if method is unlearning.RewindScrub:
        pytest.skip("takes rows beside the trials': see the experiment below")
    if issubclass(method, (unlearning.CFk, unlearning.EUk)) and isinstance(model, PauliLinear | RandomQNN):
        pytest.skip("a model without layers")
    unlearner = method(steps=3)
    corruption = LabelFlip(ratio=0.25)
    members = [Member.of(small_task, small_data, corruption, seed) for seed in range(3)]
    teachers = fitted(model, small_task, small_data, corruption, "cpu")
    found = []
    for device in map(torch.device, ("cpu", "cuda")):
        data = prepare(teachers.model, members, small_data.validation, device)
        parameters = {name: value.to(device) for name, value in teachers.parameters.items()}
        found.append(unlearn(unlearner, teachers.model, parameters, data, teachers.seeds))
        teachers.model.to("cpu")
    for name, values in found[0].history.items():
        there = torch.tensor(found[1].history[name])
        torch.testing.assert_close(there, torch.tensor(values), atol=1e-9, rtol=0, equal_nan=True)


def test_an_experiment(tmp_path, tiny):
    methods = "".join(
        f'[[unlearner]]\ntype = "{name}"\nsteps = 2\n' for name in ("Finetune", "RewindScrub", "NewtonStep")
    )
    text = f'{tiny}{methods}[[probe]]\ntype = "HessianProbe"\n'
    text = text.replace("ratio = [0.0, 0.5]", "ratio = [0.25, 0.5]").replace(
        "hidden = [4]", 'hidden = [4]\ndtype = "float64"'
    )
    rows = {}
    for device in ("cpu", "cuda"):
        store = Store(f"sqlite:///{tmp_path}/{device}.db")
        experiment = schema.parse(text, source="tiny.toml", assignments=[("run.device", device)])
        outcome = Runner(store).run(experiment)
        assert not outcome.failed
        frame = frames.runs(store, [store.experiment_id("tiny")])
        frame = frame[frame["trial"].notna() & (frame["status"] == "FINISHED")]
        rows[device] = frame.sort_values("trial").reset_index(drop=True)
    assert rows["cuda"]["trial"].tolist() == rows["cpu"]["trial"].tolist()
    for metric in ("validation_loss", "validation_accuracy", "hessian_trace", "retain_accuracy"):
        there, here = (torch.tensor(rows[name][metric].to_numpy(dtype=float)) for name in ("cuda", "cpu"))
        torch.testing.assert_close(there, here, atol=1e-8, rtol=1e-8, equal_nan=True)
