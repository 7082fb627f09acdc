"""Trials, methods and probes are called as figures call them, in plans, progress and failures."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from support.experiments import TASK
from support.runs import runner

from qlab.experiment.asking import schema
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.jobs.fit import Fit
from qlab.experiment.jobs.train import Train
from qlab.experiment.jobs.unlearn import Unlearn
from qlab.experiment.planning.plan import Plan
from qlab.experiment.reporting import Silent
from qlab.tracking import frames
from qlab.tracking.store import Store
from qlab.views.labels import label_models, labelled

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

FILE = f"""
{TASK}
[corruption]
type = "ClassFlip"
balance = [0.5, 0.7]
ratio = [0.2, 0.4]
[[model]]
type = "MLP"
hidden = [[4], [2, 2]]
dropout = [0.0, 0.25]
training = {{ epochs = 1 }}
[[model]]
type = "PennyLaneQNN"
depth = 2
training = {{ epochs = 1, optimizer = "AdamW", learning_rate = [0.01, 0.03] }}
[[model]]
type = "sklearn.svm:SVC"
C = [0.5, 2.0]
"""


def parsed(text: str = FILE, name: str = "named") -> Experiment:
    return schema.parse(f'name = "{name}"\n{text}', source="named.toml")


def test_ensembles_are_called_by_the_fields_that_tell_them_apart() -> None:
    plan = Plan.of(parsed(), None)
    labels = [Train(group).label if group[0].has_gradients else Fit(group).label for group in plan.ensembles]
    assert list(dict.fromkeys(labels)) == [
        "MLP hidden=[4] on XXZ, ClassFlip",
        "MLP hidden=[4] dropout=0.25 on XXZ, ClassFlip",
        "MLP hidden=[2, 2] on XXZ, ClassFlip",
        "MLP hidden=[2, 2] dropout=0.25 on XXZ, ClassFlip",
        "PennyLaneQNN training.learning_rate=0.01 on XXZ, ClassFlip",
        "PennyLaneQNN training.learning_rate=0.03 on XXZ, ClassFlip",
        "SVC C=0.5 on XXZ, ClassFlip",
        "SVC C=2 on XXZ, ClassFlip",
    ]
    assert "MLP hidden=[4] ClassFlip balance=0.5 0.2 seed 0" in {trial.label for trial in plan.todo}


def test_names_are_no_part_of_an_identity() -> None:
    swept = {trial.key for trial in parsed().trials}
    alone = parsed(FILE.replace("[[4], [2, 2]]", "[4]").replace("[0.0, 0.25]", "0.0"))
    assert alone.trials[0].label == "MLP ClassFlip balance=0.5 0.2 seed 0"
    assert {trial.key for trial in alone.trials} < swept


def test_figures_use_the_same_names(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/mlflow.db")
    text = FILE.replace("[0.0, 0.25]", "0.25").replace("[0.2, 0.4]", "0.4").replace("[0.01, 0.03]", "0.01")
    experiment = parsed(text + "[run]\nseeds = 1\n")
    assert not runner(store, Silent()).run(experiment).failed
    frame = frames.trials(store, store.experiment_ids(["named"]))
    labels = labelled(frame).set_index(frame["trial"])
    for trial in experiment.trials:
        row = labels.loc[trial.key]
        assert trial.label == f"{row['model']} {row['corruption']} {row['ratio']:g} seed {trial.seed}"
        assert frame.set_index("trial").loc[trial.key, "name"] == trial.label


def test_methods_and_probes_are_told_apart_too() -> None:
    text = """
corruption = { type = "LabelFlip", ratio = 0.5 }
model = { type = "MLP" }
unlearner = { type = "Scrub", steps = [2, 3] }
probe = { type = "SliceProbe", span = [0.5, 1.0] }
"""
    experiment = parsed(text + TASK)
    labels = list(dict.fromkeys(Unlearn((item,), (item.teacher,)).label for item in experiment.unlearnings))
    assert labels == ["Scrub steps=2 of MLP", "Scrub steps=3 of MLP"]
    assert experiment.unlearnings[0].label == "Scrub steps=2 of MLP LabelFlip 0.5 seed 0"
    assert {item.label for item in experiment.probe_runs if item.trial.seed == 0} == {
        "SliceProbe 2-D filter span=0.5 of MLP LabelFlip 0.5 seed 0",
        "SliceProbe 2-D filter span=1 of MLP LabelFlip 0.5 seed 0",
    }


def test_tasks_are_told_apart_where_there_are_several() -> None:
    text = TASK.replace("[task]", "[[task]]") + '[[task]]\ntype = "Digits"\n[[model]]\ntype = "MLP"\n'
    experiment = parsed(text)
    assert [Train((trial,)).label for trial in experiment.trials if not trial.seed] == [
        "MLP on XXZ, NoCorruption",
        "MLP on Digits, NoCorruption",
    ]
    assert experiment.trials[0].label == "MLP on XXZ NoCorruption 0 seed 0"


def test_of_a_class_name_that_two_modules_of_scikit_learn_share_both_are_whole() -> None:
    frame = pd.DataFrame({"model.type": ["sklearn.svm:SVC", "parts:SVC", "sklearn.tree:DecisionTreeClassifier"]})
    assert list(label_models(frame)) == ["sklearn.svm:SVC", "parts:SVC", "DecisionTreeClassifier"]
