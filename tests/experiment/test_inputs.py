"""Experiments with models on other inputs: what they are called, refusals, the store, predictions, every estimator."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import torch
from support.commands import invoke
from support.experiments import TASK

import qlab
from qlab.experiment.asking.schema import parse
from qlab.registry import find
from qlab.tasks import XXZ
from qlab.views.labels import label_models

FILE = f"""
name = "inputs"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.25
[run]
seeds = 2
[training]
epochs = 2
"""

MODELS = """
[[model]]
type = "MLP"
hidden = [4]

[[model]]
type = "MLP"
hidden = [4]
inputs = "pauli"
sites = [[0, 1], [2, -1]]

[[model]]
type = "PauliLinear"
bound = ["none", "operator"]
sites = 2

[[model]]
type = "sklearn.svm:SVC"
inputs = ["amplitudes", "pauli", "modulus"]
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch, write_empty_store):
    write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    monkeypatch.chdir(tmp_path)


def models(*tables):
    return FILE + "".join(f"\n[[model]]\n{table}\n" for table in tables)


def test_a_field_that_is_not_given_is_no_part_of_an_identity():
    before = parse(models('type = "MLP"', 'type = "sklearn.svm:SVC"\nC = 2.0'), source="a.toml").trials
    given = parse(
        models(
            'type = "MLP"\ninputs = "amplitudes"\nsites = 4', 'type = "sklearn.svm:SVC"\nC = 2.0\ninputs = "amplitudes"'
        ),
        source="b.toml",
    ).trials
    assert [trial.key for trial in before] == [trial.key for trial in given]
    assert not [name for trial in before for name in trial.params if name in ("model.inputs", "model.sites")]
    [other, _] = parse(models('type = "MLP"\ninputs = "pauli"'), source="c.toml").trials
    assert other.params["model.inputs"] == "pauli"
    assert other.key not in [trial.key for trial in before]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('type = "MLP"\ninputs = "pauli"\nsites = [4]', r"model: MLP: sites: got \[4\], and the chain has 4 sites"),
        ('type = "PauliLinear"\nsites = 5', r"model: PauliLinear: sites: got 5, the last 5 sites, and the chain has 4"),
        ('type = "sklearn.svm:SVC"\ninputs = "density"\nsites = 6', r"model: SVC: sites: got 6.*The task is XXZ"),
        (
            'type = "DensityKernelSVC"\nsites = "ring-3"',
            'model: DensityKernelSVC: sites: got "ring-3", a light cone of 5 sites',
        ),
        ('type = "MLP"\nsites = 2', r"model: MLP: sites: got 2 for inputs = \"amplitudes\""),
        ('type = "sklearn.svm:SVC"\ninputs = "pauli"\nsites = 9', r"model: SVC: sites: got 9, .* 4\^9 = 262,144"),
        ('type = "MLP"\ninputs = "paulis"', 'model.inputs: got "paulis"'),
    ],
)
def test_bad_inputs_are_named_with_file_and_key_before_anything_runs(tmp_path, table, message):
    (tmp_path / "bad.toml").write_text(FILE.replace('"inputs"', '"bad"') + f"\n[model]\n{table}\n")
    result = invoke("run", "bad.toml", code=2)
    said = " ".join(result.output.split())
    assert re.search(rf"bad\.toml: {message}", said), result.output
    assert "trained" not in said


def test_tables_of_numbers_have_no_pauli_strings(tmp_path):
    (tmp_path / "t.toml").write_text(
        'name = "t"\n[task]\ntype = "Sklearn"\nname = "wine"\npositive = "class_0"\n'
        '[model]\ntype = "sklearn.svm:SVC"\ninputs = "pauli"\nsites = 2\n'
    )
    result = invoke("run", "t.toml", code=2)
    said = " ".join(result.output.split())
    assert 't.toml: model: SVC: inputs: got "pauli" for features of 13 numbers, accepts states of qubits' in said


def test_models_on_other_inputs_are_told_apart_stored_and_predict(tmp_path):
    (tmp_path / "inputs.toml").write_text(FILE + MODELS)
    invoke("run", "inputs.toml")
    found = qlab.results("inputs")
    assert set(found.frame["model"]) == {
        "MLP inputs=amplitudes",
        "MLP inputs=pauli sites=[0, 1]",
        "MLP inputs=pauli sites=[2, -1]",
        "PauliLinear bound=none",
        "PauliLinear bound=operator",
        "SVC inputs=amplitudes",
        "SVC inputs=modulus",
        "SVC inputs=pauli",
    }
    assert "0 trials trained, 16 from the store" in invoke("run", "inputs.toml").output
    x = XXZ(length=4, gapless=(-0.7, 0.7, 0.2), gapped=(1.3, 2.7, 0.2), validation=(-0.65, 2.65, 0.3)).load()
    np.savez(tmp_path / "rows.npz", x=x.validation.x.numpy())
    frame = found.frame
    for _, row in frame[frame["seed"] == 0].iterrows():
        invoke("predict", row["run_id"], "rows.npz", "-o", "out.csv")
        right = (pd.read_csv("out.csv")["predicted"].to_numpy() == x.validation.y.numpy()).mean()
        assert right == pytest.approx(row["validation_accuracy"])


def test_inputs_are_said_of_a_model_even_if_there_is_no_other_of_its_type():
    frame = pd.DataFrame(
        {
            "model.type": ["sklearn.svm:SVC", "MLP", "MLP"],
            "model.inputs": ["pauli", None, None],
            "model.C": [1.0, None, None],
        }
    )
    assert list(label_models(frame)) == ["SVC inputs=pauli", "MLP", "MLP"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("sklearn.linear_model:LogisticRegression", {}),
        ("sklearn.svm:SVC", {}),
        ("sklearn.neighbors:KNeighborsClassifier", {}),
        ("sklearn.ensemble:RandomForestClassifier", {"n_estimators": 5}),
        ("sklearn.ensemble:GradientBoostingClassifier", {"n_estimators": 5}),
    ],
)
def test_estimators_are_fitted_to_every_kind_of_inputs(name, arguments):
    from sklearn.utils import all_estimators

    from qlab import Features, LabelFlip, Member
    from qlab.training.fitting import fit, rows_for

    task = XXZ(length=4, gapless=(-0.7, 0.7, 0.2), gapped=(1.3, 2.7, 0.2), validation=(-0.65, 2.65, 0.3))
    data, plain = task.load(), dict(all_estimators(type_filter="classifier"))[name.partition(":")[2]]
    member = Member.of(task, data, LabelFlip(ratio=0.25), 0)
    for inputs, sites in (("amplitudes", 4), ("modulus", 4), ("pauli", 2), ("pauli", "pairs"), ("density", (0, 1))):
        estimator = find("model", name)(inputs=inputs, sites=sites, **arguments)
        found = fit(estimator, member, data.validation, Features.of(data))
        x = [rows_for(found.estimator, part) for part in (data.train.x, data.validation.x)]
        seed = int(qlab.seeding.numpy_generator(0, "fit").integers(2**32))
        seeded = {"random_state": seed} if "random_state" in plain().get_params() else {}
        expected = plain(**arguments, **seeded).fit(x[0], member.corrupted.split.y.numpy())
        assert found.metrics["validation_accuracy"] == expected.score(x[1], data.validation.y.numpy()), inputs


def test_features_that_a_corruption_changes_are_seen(tmp_path):
    text = FILE.replace("LabelFlip", "Backdoor").replace('"inputs"', '"door"') + MODELS
    (tmp_path / "door.toml").write_text(text + '\n[[metric]]\ntype = "AttackSuccess"\n')
    invoke("run", "door.toml")
    frame = qlab.results("door").frame
    assert bool(torch.tensor(frame["validation_attack_success"].to_numpy()).isfinite().all())
