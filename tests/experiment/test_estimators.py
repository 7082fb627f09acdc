"""Estimators in experiment files: beside trained models, with what they cannot have left out by name."""

from __future__ import annotations

import re

import pytest
from sklearn.svm import SVC
from support.experiments import TASK

from qlab.errors import ConfigError
from qlab.experiment.asking import schema
from qlab.experiment.planning.plan import Plan
from qlab.experiment.runner import Runner
from qlab.models import Features
from qlab.models.estimator import inputs_of
from qlab.tasks.base import load_data
from qlab.tracking import frames, names
from qlab.tracking.store import Store
from qlab.training import Member

MODELS = """
[[model]]
type = "MLP"
hidden = [4]

[[model]]
type = "sklearn.svm:SVC"
C = [0.5, 2.0]
"""

REST = """
[corruption]
type = "LabelFlip"
ratio = [0.2, 0.4]

[training]
epochs = 2

[[unlearner]]
type = "Finetune"
steps = 1

[[probe]]
type = "HessianProbe"

[run]
seeds = 2
oracles = 1
"""

PROTOTYPE = '''
import numpy as np

from qlab import Estimator


class Prototype(Estimator):
    """The nearer of two class means.

    Args:
        sharpness: factor of the logit.
        worst: the seed of the draw that fails.
    """

    sharpness: float = 1.0
    worst: float = 2.0

    def fit(self, x, y, generator):
        if generator.random() > self.worst:
            raise RuntimeError("an unlucky draw")
        self.means = [x[y == label].mean(0) for label in (0, 1)]

    def decision(self, x):
        near, far = (((x - mean) ** 2).sum(1) for mean in self.means)
        return self.sharpness * (near - far)
'''


def parsed(text, **options):
    return schema.parse(f'name = "controls"\n{TASK}{text}', source="controls.toml", **options)


@pytest.fixture
def store(tmp_path):
    return Store(f"sqlite:///{tmp_path}/mlruns/mlflow.db")


def test_what_an_estimator_cannot_have_is_left_out_by_name():
    experiment = parsed(MODELS + REST)
    assert len(experiment.trials) == 3 * 2 * 2
    assert {item.teacher.names["model"] for item in experiment.unlearnings} == {"MLP"}
    assert {item.trial.names["model"] for item in experiment.probe_runs} == {"MLP"}
    assert experiment.left_out == (
        "Finetune of sklearn.svm:SVC: it has no gradients",
        "HessianProbe of sklearn.svm:SVC: it has no gradients",
    )


def test_a_file_of_estimators_alone_leaves_all_of_it_out():
    experiment = parsed(MODELS.partition('[[model]]\ntype = "sklearn')[1] + '.svm:SVC"\n' + REST)
    assert experiment.unlearnings == experiment.probe_runs == ()
    assert len(experiment.left_out) == 2


def test_a_clean_estimator_is_no_teacher_and_no_reason_to_refuse():
    text = MODELS.replace('type = "MLP"\nhidden = [4]', 'type = "sklearn.dummy:DummyClassifier"')
    assert parsed(text + REST.replace("[0.2, 0.4]", "[0.0, 1.0]")).unlearnings == ()


def test_the_identity_is_type_and_given_arguments_and_seed():
    trial = next(item for item in parsed(MODELS + REST).trials if item.config["model"].get("C") == 0.5)
    assert trial.config["model"] == {"type": "sklearn.svm:SVC", "C": 0.5}
    assert "training" not in trial.config
    other = parsed(MODELS + REST.replace("epochs = 2", "epochs = 7").replace("seeds = 2", "seeds = 1"))
    assert trial.key in {item.key for item in other.trials}
    assert trial.params["model.C"] == "0.5"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ('type = "sklearn.svm:SVC"\ntraining = { epochs = 3 }', r"model\.training: .*estimator.*Leave training out"),
        ('type = "sklearn.svm:SVC"\nc = 1.0', r'model: unknown SVC key "c"\. Did you mean "C"\?'),
        ('type = "sklearn.svm:SVC"\nC = [1.0, "x"]', r'model\.C: got "x", accepts a number'),
        ('type = "sklearn.svm:SVC"\nC = [1.0, -2.0]', r"model: SVC: The 'C' parameter of SVC must be.*Got -2\.0"),
        ('type = "sklearn.svm:SVC"\nrandom_state = 3', r"model: random_state comes from the seed.*leave it out"),
        ('type = "sklearn.ensemble:RandomForestClassifier"\nn_jobs = 2', r"n_jobs.*qlab run --jobs N"),
        ('type = "sklearn.svm:SVR"', r"model\.type: .*regressor"),
        ('type = "sklearn.pipeline:Pipeline"', r"model\.type: .*class of your own"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(model, message):
    with pytest.raises(ConfigError) as caught:
        parsed(f"[[model]]\n{model}\n{REST}")
    assert re.search(message, str(caught.value)), str(caught.value)


def test_values_from_the_command_line_reach_who_has_them():
    def models(*assignments):
        return {(t.names["model"], t.config["model"].get("C"), t.config.get("training", {}).get("epochs"))
                for t in parsed(MODELS + REST, assignments=assignments).trials}  # fmt: skip

    svc = {("sklearn.svm:SVC", 0.5, None), ("sklearn.svm:SVC", 2.0, None)}
    assert models(("training.epochs", 5)) == {("MLP", None, 5), *svc}
    assert models(("model.training.epochs", 5)) == {("MLP", None, 5), *svc}
    assert models(("model.C", 3.0)) == {("MLP", None, 2), ("sklearn.svm:SVC", 3.0, None)}
    assert models(("model.sklearn.svm:SVC.C", 3.0)) == {("MLP", None, 2), ("sklearn.svm:SVC", 3.0, None)}
    with pytest.raises(ConfigError, match="there is no training to set"):
        models(("model.sklearn.svm:SVC.training.epochs", 3))


def test_estimators_are_runs_like_any_other_and_are_found_again(store):
    experiment = parsed(MODELS + REST)
    outcome = Runner(store).run(experiment)
    assert not outcome.failed
    assert outcome.trained == 12
    assert set(outcome.table["model"]) == {"MLP", "SVC C=0.5", "SVC C=2"}
    assert (outcome.table["kept"] == 2).all()
    assert Runner(store).run(experiment).reused == 12
    runs = frames.runs_of_kind(store, store.experiment_ids(["controls"]), names.TRIAL)
    svc = runs[runs["model.type"] == "sklearn.svm:SVC"]
    assert set(svc["health"]) == {"healthy"}
    trial = next(item for item in experiment.trials if item.config["model"].get("C") == 2.0 and item.seed == 1)
    row = svc[svc["trial"] == trial.key].iloc[0]
    dataset = load_data(trial.task)
    split, features = Member.of(trial.task, dataset, trial.corruption, 1).corrupted.split, Features.of(dataset)
    plain = SVC(C=2.0).fit(inputs_of(split.x, features), split.y.numpy())
    assert row["validation_accuracy"] == plain.score(
        inputs_of(dataset.validation.x, features), dataset.validation.y.numpy()
    )
    assert row["train_accuracy"] == plain.score(inputs_of(split.x, features), split.y.numpy())
    assert row["forget_accuracy_polluted"] + row["forget_accuracy_clean"] == 1.0
    note = store.experiment_tags(store.experiment_id("controls"))[names.NOTE]
    assert "Left out: Finetune of sklearn.svm:SVC: it has no gradients; HessianProbe of" in note
    run = store.get_run(row["run_id"])
    assert run.data.tags[names.ENGINE].startswith("scikit-learn ")
    assert "train_loss" not in run.data.metrics
    assert [item.dataset.name for item in run.inputs.dataset_inputs] == ["XXZ", "XXZ"]
    assert store.metric_history(row["run_id"], "validation_accuracy")[0][0] == 0


def test_a_trial_that_fails_fails_alone(store, tmp_path):
    (tmp_path / "my.py").write_text(PROTOTYPE)
    text = f'[[model]]\ntype = "my:Prototype"\nworst = [0.5, 2.0]\n{REST}'.replace("seeds = 2", "seeds = 6")
    experiment = parsed(text.partition("[[unlearner]]")[0] + "[run]\nseeds = 6", folder=tmp_path)
    outcome = Runner(store).run(experiment)
    assert 0 < len(outcome.failed) < 12
    assert all("worst" in item.config["model"] and item.config["model"]["worst"] == 0.5
               for item in experiment.trials if item.key in outcome.failed)  # fmt: skip
    why = next(iter(outcome.failed.values()))[1]
    assert re.search(r"RuntimeError: an unlucky draw \[in my\.py, line \d+, in fit\]", why)
    assert outcome.trained == 24 - len(outcome.failed)
    left = Plan.of(experiment, store)
    assert {trial.key for trial in left.todo} == set(outcome.failed)


EXACT = REST.replace('type = "Finetune"\nsteps = 1', 'type = "Retrain"\nsteps = 2')


def test_retraining_is_exact_unlearning_of_estimators_too():
    experiment = parsed(MODELS + EXACT)
    assert len(experiment.unlearnings) == len(experiment.trials)
    assert experiment.left_out == ("HessianProbe of sklearn.svm:SVC: it has no gradients",)
    stale = parsed(MODELS + EXACT.replace("steps = 2", "start_fresh = false"))
    assert {item.teacher.names["model"] for item in stale.unlearnings} == {"MLP"}
    with pytest.raises(ConfigError, match="nothing to forget in SVC"):
        parsed(f'[[model]]\ntype = "sklearn.svm:SVC"\n{EXACT.replace("[0.2, 0.4]", "0.0")}')


def test_an_estimator_is_fitted_again_without_the_corrupted_rows(store):
    text = f'[[model]]\ntype = "sklearn.svm:SVC"\n{EXACT}'.replace("[0.2, 0.4]", "0.4").replace(
        "oracles = 1", "oracles = 2"
    )
    experiment = parsed(text)
    outcome = Runner(store).run(experiment)
    assert not outcome.failed
    assert outcome.unlearned == 2
    assert Runner(store).run(experiment).unlearned == 0
    runs = frames.runs_of_kind(store, store.experiment_ids(["controls"]), names.UNLEARNING)
    for item in experiment.unlearnings:
        row = runs[runs["trial"] == item.key].iloc[0]
        dataset = load_data(item.teacher.task)
        corrupted = Member.of(item.teacher.task, dataset, item.teacher.corruption, item.teacher.seed).corrupted
        keep, features = (~corrupted.mask).numpy(), Features.of(dataset)
        x, y = inputs_of(corrupted.split.x, features), corrupted.split.y.numpy()
        exact, teacher = SVC().fit(x[keep], y[keep]), SVC().fit(x, y)
        validation = inputs_of(dataset.validation.x, features), dataset.validation.y.numpy()
        assert row["validation_accuracy"] == exact.score(*validation)
        assert row["forget_accuracy_polluted"] == exact.score(x[~keep], y[~keep])
        assert row["retain_accuracy"] == exact.score(x[keep], y[keep])
        assert row["oracle_gap"] == 0.0  # it draws nothing
        history = [(point[0], point[1]) for point in store.metric_history(row["run_id"], "validation_accuracy")]
        assert history == [(0, teacher.score(*validation)), (1, exact.score(*validation))]


NOISY = '''
import torch

from qlab import Corrupted, Corruption, Split


class Noisy(Corruption):
    """Spoils the features of class 0 alone."""

    changes_features = True

    def apply(self, split, task, generator):
        mask = split.y == 0
        return Corrupted(Split(torch.where(mask[:, None], 2 * split.x, split.x), split.y), mask, split.y)
'''


def test_a_retain_set_of_one_class_fails_and_not_its_teacher(store, tmp_path):
    (tmp_path / "noise.py").write_text(NOISY)
    text = (EXACT + MODELS).replace('"LabelFlip"', '"noise:Noisy"').replace("[0.2, 0.4]", "0.5").partition("[[probe]]")
    svc = '[[model]]\ntype = "sklearn.svm:SVC"\n'
    outcome = Runner(store).run(parsed(f"{svc}{text[0]}[run]\nseeds = 2\noracles = 1", folder=tmp_path))
    assert outcome.trained == len(outcome.failed) == 2
    assert outcome.unlearned == 0
    assert all(re.search("SVC: all 8 labels it would be fitted to are 1", why) for _, why in outcome.failed.values())


def test_edits_of_an_own_estimator_make_new_trials(tmp_path):
    def keys():
        return [item.key for item in parsed(f'[[model]]\ntype = "my:Prototype"\n{REST}', folder=tmp_path).trials]

    (tmp_path / "my.py").write_text(PROTOTYPE)
    before = keys()
    assert keys() == before
    (tmp_path / "my.py").write_text(PROTOTYPE.replace("near - far", "2 * (near - far)"))
    assert set(keys()).isdisjoint(before)


def test_own_classes_in_scikit_learns_style_carry_the_digest_of_their_code(tmp_path):
    text = "from sklearn.svm import SVC\n\n\nclass Mine(SVC):\n    pass\n"
    (tmp_path / "own.py").write_text(text)
    trial = parsed(f'[[model]]\ntype = "own:Mine"\nC = 3\n{REST}', folder=tmp_path).trials[0]
    assert trial.config["model"]["C"] == 3.0
    first = trial.config["model"]["code"]
    (tmp_path / "own.py").write_text(text.replace("pass", "extra = 1"))
    trial = parsed(f'[[model]]\ntype = "own:Mine"\nC = 3\n{REST}', folder=tmp_path).trials[0]
    assert trial.config["model"]["code"] != first
