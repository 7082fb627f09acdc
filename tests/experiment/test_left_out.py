"""Ratios at which there is nothing to forget or to retain are left out of unlearning by name; the others go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.experiments import TASK
from support.runs import runner

from qlab.errors import ConfigError
from qlab.experiment.asking import schema
from qlab.experiment.asking.experiment import Experiment
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

FILE = f"""
name = "left"
corruption = {{ type = "LabelFlip", ratio = [0.0, 0.5, 1.0] }}
run = {{ seeds = 1, oracles = 1 }}
{TASK}
[[model]]
type = "MLP"
hidden = [4]
training = {{ epochs = 1 }}
[[unlearner]]
type = "Scrub"
steps = 1
[[unlearner]]
type = "Retrain"
steps = 1
"""

THROUGH = '[[probe]]\ntype = "InterpolationProbe"\npath = ["trained", "Scrub"]\nresolution = 3\n'


def parsed(text: str = FILE) -> Experiment:
    return schema.parse(text, source="left.toml")


def test_ratios_without_a_forget_or_a_retain_set_are_left_out_by_name() -> None:
    experiment = parsed()
    assert {item.teacher.corruption.ratio for item in experiment.unlearnings} == {0.5}
    assert len(experiment.trials) == 3
    assert experiment.left_out == (
        "Scrub at ratio 0: nothing to forget",
        "Scrub at ratio 1: nothing to retain",
        "Retrain at ratio 0: nothing to forget",
        "Retrain at ratio 1: nothing to retain",
    )


def test_estimators_that_a_method_does_not_apply_to_are_not_named_for_their_ratio_too() -> None:
    text = FILE.replace('type = "MLP"\nhidden = [4]\ntraining = { epochs = 1 }', 'type = "sklearn.svm:SVC"')
    left_out = parsed(text).left_out
    assert left_out[0] == "Scrub of sklearn.svm:SVC: it has no gradients"
    assert [line.partition(" ")[0] for line in left_out[1:]] == ["Retrain", "Retrain"]


def test_a_probe_through_a_method_is_left_out_with_it(tmp_path: Path) -> None:
    experiment = parsed(FILE + THROUGH)
    assert {item.trial.corruption.ratio for item in experiment.probe_runs} == {0.5}
    assert "InterpolationProbe at ratio 1: nothing to retain" in experiment.left_out
    outcome = runner(Store(f"sqlite:///{tmp_path}/mlflow.db")).run(experiment)
    assert (outcome.trained, outcome.unlearned, outcome.measured, outcome.failed) == (3, 2, 1, {})


@pytest.mark.parametrize(("ratios", "said"), [("[0.0]", "nothing to forget"), ("[1.0, 0.0]", "nothing to retain")])
def test_a_file_with_no_other_ratio_is_refused(ratios: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"unlearner: there is {said} in MLP LabelFlip . seed 0, whose ratio is"):
        parsed(FILE.replace("[0.0, 0.5, 1.0]", ratios))
