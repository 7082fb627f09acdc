"""Unlearning through the runner: what ends up in a real store, what is reused, and what happens when it goes wrong."""

from __future__ import annotations

import dataclasses
import math
import shutil
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from support.experiments import TASK
from support.runs import refused_alone, runner

from qlab.errors import ConfigError, DataError, QlabError
from qlab.experiment.asking import schema
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.asking.trial import Trial
from qlab.experiment.planning.plan import Plan
from qlab.experiment.reporting import Silent
from qlab.experiment.runner import Outcome, Runner
from qlab.models import Features, checkpoint
from qlab.tracking import frames, names
from qlab.tracking.store import Store
from qlab.training import Member

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

PLUGIN = '''
from __future__ import annotations

import math

import torch

from qlab import Finetune, Unlearner
from qlab.fields import PositiveFloat
from qlab.unlearning import cross_entropy


class Gentle(Unlearner):
    """Learns the retain set and the clean labels of the forget set.

    Args:
        weight: of the forget set.
    """

    weight: PositiveFloat = 0.5

    def loss(self, student, teacher, data):
        clean = cross_entropy(student(data.forget_clean.x), data.forget_clean.y)
        return cross_entropy(student(data.retain.x), data.retain.y) + self.weight * clean


class Spoilt(Unlearner):
    """Not a number from the second step on, where the features to forget sum up to more than a threshold.

    Args:
        threshold: the sum.
    """

    threshold: float = 0.0

    def loss(self, student, teacher, data):
        loss = cross_entropy(student(data.retain.x), data.retain.y)
        large = data.forget_polluted.x.sum() > self.threshold
        return loss * torch.where(large, math.nan, 1.0) if data.step >= 2 else loss


class Steep(Unlearner):
    """A finite loss with a gradient that is not."""

    def loss(self, student, teacher, data):
        return (0.0 * student(data.retain.x).sum()).abs().sqrt()


class Raises(Unlearner):
    """Raises at the second step.

    Args:
        weight: of the loss.
    """

    weight: PositiveFloat = 1.0

    def loss(self, student, teacher, data):
        if data.step == 2:
            raise ValueError("the kettle is dry\\nand has been for a while")
        return self.weight * cross_entropy(student(data.retain.x), data.retain.y)


class RaisesWhenHeavy(Raises):
    """Raises at the second step if its weight is above 1."""

    def loss(self, student, teacher, data):
        if self.weight > 1.0:
            return super().loss(student, teacher, data)
        return cross_entropy(student(data.retain.x), data.retain.y)


class Vector(Unlearner):
    """Returns a loss for each row."""

    def loss(self, student, teacher, data):
        return student(data.retain.x)


class Branches(Unlearner):
    """Chooses by a value, which a batch of models has not."""

    def loss(self, student, teacher, data):
        z = student(data.retain.x)
        return z.mean() if z.mean() > 0 else -z.mean()


class Interrupted(Unlearner):
    """Is interrupted at the second step."""

    def loss(self, student, teacher, data):
        if data.step == 2:
            raise KeyboardInterrupt
        return cross_entropy(student(data.retain.x), data.retain.y)
'''

MODELS = '''
from __future__ import annotations

from qlab import MLP, LabelFlip
from qlab.corruptions import Corrupted
from qlab.tasks import Split


class FlipOnes(LabelFlip):
    """Flips rows of class 1 alone."""

    def apply(self, split, task, generator):
        mask = self.choose_rows(split, generator) & (split.y == 1)
        flipped = split.y.clone()
        flipped[mask] = 0
        return Corrupted(Split(split.x, flipped, split.about), mask, split.y)


class Breaks(MLP):
    """Raises at the first evaluation, but not on the few rows that a model is tried on."""

    def forward(self, prepared):
        if prepared.shape[-2] > 4:
            raise RuntimeError("no such luck")
        return super().forward(prepared)


class Picky(MLP):
    """Raises when it is evaluated on a training split of eight rows and twelve for validation."""

    def forward(self, prepared):
        if prepared.shape[-2] == 20:
            raise RuntimeError("too few to learn from")
        return super().forward(prepared)
'''

XXZ = f"""
{TASK}
"""

FLIPS = """
[corruption]
type = "LabelFlip"
ratio = 0.5
"""

MLP = """
[[model]]
type = "MLP"
hidden = [4]
"""

SHORT = """
[training]
epochs = 3
batch_size = 8
learning_rate = 0.05
[run]
seeds = 2
oracles = 2
"""

GENTLE = '[[unlearner]]\ntype = "own_unlearners:Gentle"\nsteps = 4\n'
ASCENT = '[[unlearner]]\ntype = "GradientAscent"\nsteps = 4\n'
ONE = SHORT.replace("seeds = 2", "seeds = 1").replace("oracles = 2", "oracles = 1")

SCRUB = '[[unlearner]]\ntype = "Scrub"\nsteps = 2\n'

CURVES = {
    "validation_accuracy",
    "validation_loss",
    "retain_accuracy",
    "retain_loss",
    "train_accuracy",
    "train_loss",
    "forget_accuracy_polluted",
    "forget_accuracy_clean",
}

FINAL = {
    "oracle_accuracy",
    "oracle_accuracy_std",
    "oracle_gap",
    "oracle_kl",
    "oracle_kl_floor",
    "membership_auc",
    "membership_auc_oracle",
    "corrective_accuracy",
    "corrective_accuracy_teacher",
    "corrective_accuracy_oracle",
    "unlearning_seconds",
    "loss_evaluations",
    "gradient_evaluations",
    "given_accuracy_forget",
    "given_accuracy_retain",
}


class Recorder(Silent):
    """Writes down what is run, and what fails."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.failures: list[str] = []

    def ensemble_started(self, label: str, engine: str, trials: int, epochs: int) -> None:
        self.started.append(f"{label}: {trials} for {epochs}")

    def ensemble_failed(self, error: str) -> None:
        self.failures.append(error.splitlines()[0])


def read(folder: Path, *parts: str) -> Experiment:
    """The experiment whose file says ``parts``."""
    return schema.parse("".join(parts), source="given.toml", folder=folder, default_name="tiny")


@dataclasses.dataclass(frozen=True)
class Bench:
    """A folder with a plugin file and an empty store, and what was run there."""

    folder: Path
    store: Store

    def experiment(self, *parts: str) -> Experiment:
        return read(self.folder, *parts)

    def run(self, *parts: str) -> tuple[Outcome, Recorder]:
        recorder = Recorder()
        return runner(self.store, recorder).run(self.experiment(*parts)), recorder

    def draw(self, *parts: str) -> tuple[Outcome, Recorder]:
        """The same with figures."""
        recorder = Recorder()
        return Runner(self.store, recorder).run(self.experiment(*parts)), recorder

    def runs(self, kind: str, **params: str) -> list[Any]:
        """Runs of a kind, by seed."""
        found = self.store.search(self.store.experiment_ids(), f"tags.`{names.KIND}` = '{kind}'")
        wanted = {key.replace("__", "."): value for key, value in params.items()}
        matching = [run for run in found if wanted.items() <= run.data.params.items()]
        return sorted(matching, key=lambda run: int(run.data.tags.get(names.SEED, -1)))

    def counts(self) -> dict[str, int]:
        """How many runs of each kind there are."""
        found = self.store.search(self.store.experiment_ids())
        return dict(Counter(run.data.tags[names.KIND] for run in found))

    def history(self, run: Any, metric: str) -> list[tuple[int, float]]:
        return self.store.metric_history(run.info.run_id, metric)

    def load(self, run: Any, place: Path) -> Any:
        return checkpoint.load(self.store.fetch_file(run.info.run_id, names.CHECKPOINT, place), self.folder)


def statuses(runs: Sequence[Any]) -> list[str]:
    return [run.info.status for run in runs]


@pytest.fixture(scope="module")
def make_bench(
    tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]
) -> Iterator[Callable[[], Bench]]:
    with pytest.MonkeyPatch.context() as patch:

        def make() -> Bench:
            folder = tmp_path_factory.mktemp("bench")
            (folder / "own_unlearners.py").write_text(PLUGIN)
            (folder / "own_models.py").write_text(MODELS)
            patch.chdir(folder)
            return Bench(folder, Store(write_empty_store(folder / "mlruns" / "mlflow.db")))

        yield make


@pytest.fixture
def bench(make_bench: Callable[[], Bench]) -> Bench:
    return make_bench()


@dataclasses.dataclass(frozen=True)
class Done:
    """Two methods on two seeds, after they were run."""

    bench: Bench
    experiment: Experiment
    outcome: Outcome
    recorder: Recorder


BOTH = (XXZ, FLIPS, MLP, SHORT, ASCENT, GENTLE)


@pytest.fixture(scope="module")
def done(make_bench: Callable[[], Bench]) -> Done:
    bench = make_bench()
    outcome, recorder = bench.draw(*BOTH)
    return Done(bench, bench.experiment(*BOTH), outcome, recorder)


def test_every_method_is_applied_to_every_trained_model(done: Done) -> None:
    assert done.bench.counts() == {"experiment": 1, "trial": 2, "oracle": 4, "unlearning": 4}
    assert (done.outcome.trained, done.outcome.reused, done.outcome.unlearned) == (2, 0, 4)
    assert done.outcome.failed == {}
    assert done.recorder.started == [
        "MLP on XXZ, LabelFlip: 2 for 3",
        "oracles of MLP on XXZ: 4 for 3",
        "GradientAscent of MLP: 2 for 4",
        "own_unlearners:Gentle of MLP: 2 for 4",
    ]
    assert done.bench.store.client.get_run(done.outcome.parent_run).info.status == "FINISHED"


def test_unlearning_runs_are_children_of_their_teachers(done: Done) -> None:
    teachers = {run.info.run_id: run for run in done.bench.runs("trial")}
    keys = {item.key: item for item in done.experiment.unlearnings}
    for run in done.bench.runs("unlearning"):
        teacher = teachers[run.data.tags["mlflow.parentRunId"]]
        item = keys[run.data.tags["qlab.trial"]]
        assert run.info.status == "FINISHED"
        assert run.data.tags["qlab.teacher"] == teacher.data.tags["qlab.trial"] == item.teacher.key
        assert run.data.tags["qlab.seed"] == teacher.data.tags["qlab.seed"] == run.data.params["seed"]
        assert run.data.tags["qlab.health"] == "healthy"
        assert teacher.data.params.items() <= run.data.params.items()
        assert "qlab.error" not in run.data.tags


def test_params_say_which_method_with_which_settings(done: Done) -> None:
    [first, _] = done.bench.runs("unlearning", unlearner__type="GradientAscent")
    settings = {name: value for name, value in first.data.params.items() if name.startswith("unlearner.")}
    assert settings == {
        "unlearner.type": "GradientAscent",
        "unlearner.steps": "4",
        "unlearner.learning_rate": "0.01",
        "unlearner.optimizer": "Adam",
        "unlearner.batch_size": "0",
        "unlearner.start_fresh": "false",
        "unlearner.beta": "0.2",
    }
    assert first.data.params["oracles"] == "2"
    [own, _] = done.bench.runs("unlearning", unlearner__type="own_unlearners:Gentle")
    assert own.data.params["unlearner.weight"] == "0.5"
    assert len(own.data.params["unlearner.code"]) == 12


@pytest.mark.parametrize("method", ["GradientAscent", "own_unlearners:Gentle"])
def test_every_step_is_logged_from_zero(done: Done, method: str) -> None:
    for run in done.bench.runs("unlearning", unlearner__type=method):
        for metric in CURVES:
            history = done.bench.history(run, metric)
            assert [step for step, _ in history] == [0, 1, 2, 3, 4], metric
            assert all(math.isfinite(value) for _, value in history)


def test_the_first_value_is_the_teachers_last(done: Done) -> None:
    teachers = {run.info.run_id: run for run in done.bench.runs("trial")}
    for run in done.bench.runs("unlearning"):
        teacher = teachers[run.data.tags["mlflow.parentRunId"]]
        for metric in CURVES & teacher.data.metrics.keys():
            assert done.bench.history(run, metric)[0][1] == pytest.approx(teacher.data.metrics[metric], abs=1e-6)


def test_final_metrics_are_logged_once(done: Done) -> None:
    optional = {"steps_to_oracle", "relearn_steps"}
    for run in done.bench.runs("unlearning"):
        assert run.data.metrics.keys() - optional == CURVES | FINAL
        for metric in run.data.metrics.keys() - CURVES:
            assert [step for step, _ in done.bench.history(run, metric)] == [4]
        assert run.data.metrics["loss_evaluations"] == 4.0
        assert run.data.metrics["unlearning_seconds"] > 0.0
        assert 0.0 <= run.data.metrics["membership_auc"] <= 1.0


def test_the_distance_to_the_oracles_is_that_of_the_runs_in_the_store(done: Done) -> None:
    for run in done.bench.runs("unlearning"):
        others = [
            other.data.metrics["validation_accuracy"]
            for other in done.bench.runs("oracle")
            if other.data.tags["qlab.teacher"] == run.data.tags["qlab.teacher"]
        ]
        assert len(others) == 2
        found = run.data.metrics
        assert found["oracle_accuracy"] == pytest.approx(statistics.fmean(others))
        assert found["oracle_accuracy_std"] == pytest.approx(statistics.stdev(others))
        assert found["oracle_gap"] == pytest.approx(found["validation_accuracy"] - statistics.fmean(others))
        values = [value for _, value in done.bench.history(run, "validation_accuracy")]
        reached = [step for step, value in enumerate(values) if value >= 0.95 * statistics.fmean(others)]
        assert found.get("steps_to_oracle") == (reached[0] if reached else None)


def test_oracles_are_runs_of_their_own_below_the_teacher(done: Done) -> None:
    teachers = {run.info.run_id: run for run in done.bench.runs("trial")}
    numbers = Counter()
    for run in done.bench.runs("oracle"):
        teacher = teachers[run.data.tags["mlflow.parentRunId"]]
        assert run.info.status == "FINISHED"
        assert run.data.tags["qlab.teacher"] == teacher.data.tags["qlab.trial"]
        assert int(run.data.tags["qlab.seed"]) >= 1_000_000
        assert run.data.tags["qlab.health"] in {"healthy", "unconverged"}
        assert teacher.data.params.items() <= run.data.params.items()
        assert {"train_loss", "train_accuracy", "validation_loss", "validation_accuracy"} == run.data.metrics.keys()
        numbers[teacher.info.run_id, run.data.params["oracle"]] += 1
    assert sorted(numbers.values()) == [1, 1, 1, 1]


def corrupted_rows(trial: Trial) -> tuple[Any, Any]:
    """A trial's data, and its corrupted split."""
    dataset = trial.task.load()
    return dataset, Member.of(trial.task, dataset, trial.corruption, trial.seed).corrupted


def test_checkpoints_hold_the_unlearned_models(done: Done, tmp_path: Path) -> None:
    trials = {trial.key: trial for trial in done.experiment.trials}
    for number, run in enumerate(done.bench.runs("unlearning")):
        dataset, corrupted = corrupted_rows(trials[run.data.tags["qlab.teacher"]])
        (tmp_path / str(number)).mkdir()
        model = done.bench.load(run, tmp_path / str(number))
        z = model(model.prepare(dataset.validation.x)).detach()
        right = ((z > 0) == dataset.validation.y.bool()).double().mean()
        assert run.data.metrics["validation_accuracy"] == pytest.approx(float(right))
        z = model(model.prepare(corrupted.split.x[corrupted.mask])).detach()
        right = ((z > 0) == corrupted.clean_y[corrupted.mask].bool()).double().mean()
        assert run.data.metrics["forget_accuracy_clean"] == pytest.approx(float(right))
        assert run.data.metrics["forget_accuracy_polluted"] == pytest.approx(1.0 - float(right))


@pytest.mark.parametrize(("corruption", "only_ones"), [("LabelFlip", False), ("own_models:FlipOnes", True)])
def test_membership_is_inferred_among_rows_that_are_corrupted_in_the_same_way(
    bench: Bench, tmp_path: Path, corruption: str, only_ones: bool
) -> None:
    """Rows that a corruption never takes are easier or harder, and would look like non-members."""
    flips = FLIPS.replace("LabelFlip", corruption)
    experiment = bench.experiment(XXZ, flips, MLP, ONE, ASCENT)
    bench.run(XXZ, flips, MLP, ONE, ASCENT)
    dataset, corrupted = corrupted_rows(experiment.trials[0])
    (run,) = bench.runs("unlearning")
    model = bench.load(run, tmp_path)

    def losses(x: Any, y: Any) -> Any:
        z = model(model.prepare(x)).detach().double()
        return torch.nn.functional.binary_cross_entropy_with_logits(z, y.double(), reduction="none")

    held_out = dataset.validation
    taken = held_out.y == 1 if only_ones else torch.ones(len(held_out), dtype=torch.bool)
    inside = losses(corrupted.split.x[corrupted.mask], corrupted.split.y[corrupted.mask])
    outside = losses(held_out.x[taken], 1 - held_out.y[taken])
    member = [1] * len(inside) + [0] * len(outside)
    expected = roc_auc_score(member, -torch.cat([inside, outside]).numpy())
    assert run.data.metrics["membership_auc"] == pytest.approx(expected, abs=1e-12)


def test_oracles_were_trained_on_the_retain_set(done: Done, tmp_path: Path) -> None:
    trials = {trial.key: trial for trial in done.experiment.trials}
    for number, run in enumerate(done.bench.runs("oracle")):
        _, corrupted = corrupted_rows(trials[run.data.tags["qlab.teacher"]])
        (tmp_path / str(number)).mkdir()
        model = done.bench.load(run, tmp_path / str(number))
        keep = ~corrupted.mask
        z = model(model.prepare(corrupted.split.x[keep])).detach()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(z, corrupted.split.y[keep].to(z.dtype))
        assert run.data.metrics["train_loss"] == pytest.approx(float(loss), abs=1e-5)


def test_the_table_has_a_row_for_each_method(done: Done) -> None:
    table = done.outcome.unlearning
    assert list(table["method"]) == ["GradientAscent", "own_unlearners:Gentle"]
    assert list(table["kept"]) == list(table["runs"]) == [2, 2]
    assert list(table["left_out"]) == ["", ""]
    for row in table.to_dict("records"):
        runs = done.bench.runs("unlearning", unlearner__type=row["method"])
        values = [run.data.metrics["validation_accuracy"] for run in runs]
        assert row["validation_accuracy_mean"] == pytest.approx(statistics.fmean(values))
        assert row["validation_accuracy_std"] == pytest.approx(statistics.stdev(values))


def test_table_and_figures_are_with_the_parent_run(done: Done, tmp_path: Path) -> None:
    parent = done.outcome.parent_run
    saved = {file.path for file in done.bench.store.client.list_artifacts(parent, "summary")}
    assert {"summary/unlearning.csv", "summary/unlearning.png", "summary/unlearning.html"} <= saved
    assert {"summary/summary.csv", "summary/accuracy.png", "summary/accuracy.html"} <= saved
    written = pd.read_csv(done.bench.store.fetch_file(parent, "summary/unlearning.csv", tmp_path))
    assert list(written["method"]) == list(done.outcome.unlearning["method"])
    np.testing.assert_allclose(written["oracle_kl_mean"], done.outcome.unlearning["oracle_kl_mean"].astype(float))


@dataclasses.dataclass(frozen=True)
class Again:
    """What a run of a changed experiment on the same store added."""

    bench: Bench
    added: dict[str, int]
    outcome: Outcome
    started: list[str]


@pytest.fixture
def again(done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Again]:
    """Runs an experiment on a copy of the store with the two methods."""
    shutil.copytree(done.bench.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    bench = Bench(tmp_path, Store(f"sqlite:///{tmp_path}/mlruns/mlflow.db"))

    def run(*parts: str) -> Again:
        before = bench.counts()
        outcome, recorder = bench.run(*parts)
        after = bench.counts()
        added = {kind: count - before[kind] for kind, count in after.items() if count > before[kind]}
        return Again(bench, added, outcome, recorder.started)

    return run


def test_a_second_run_does_nothing(again: Callable[..., Again]) -> None:
    found = again(*BOTH)
    assert found.added == {}
    assert found.started == []
    assert (found.outcome.trained, found.outcome.reused, found.outcome.unlearned) == (0, 2, 0)
    assert list(found.outcome.unlearning["kept"]) == [2, 2]


def test_another_method_and_other_settings_reuse_teachers_and_oracles(again: Callable[..., Again]) -> None:
    found = again(*BOTH, SCRUB, ASCENT + "beta = 0.9\n")
    assert found.added == {"experiment": 1, "unlearning": 4}
    assert found.started == ["Scrub of MLP: 2 for 2", "GradientAscent beta=0.9 of MLP: 2 for 4"]
    methods = ["GradientAscent beta=0.2", "own_unlearners:Gentle", "Scrub", "GradientAscent beta=0.9"]
    assert sorted(found.outcome.unlearning["method"]) == sorted(methods)
    assert list(found.outcome.unlearning["kept"]) == [2, 2, 2, 2]


def test_another_seed_reuses_the_others(again: Callable[..., Again]) -> None:
    found = again(XXZ, FLIPS, MLP, SHORT.replace("seeds = 2", "seeds = 3"), ASCENT, GENTLE)
    assert found.added == {"experiment": 1, "trial": 1, "oracle": 2, "unlearning": 2}
    assert list(found.outcome.unlearning["kept"]) == [3, 3]


def test_more_oracles_reuse_those_there_are(again: Callable[..., Again]) -> None:
    found = again(XXZ, FLIPS, MLP, SHORT.replace("oracles = 2", "oracles = 3"), ASCENT, GENTLE)
    assert found.added == {"experiment": 1, "oracle": 2, "unlearning": 4}
    assert found.outcome.trained == 0


def test_a_method_for_models_that_were_trained_before_there_was_one(bench: Bench) -> None:
    outcome, _ = bench.run(XXZ, FLIPS, MLP, ONE)
    assert outcome.unlearning.empty
    assert bench.counts() == {"experiment": 1, "trial": 1}
    outcome, recorder = bench.run(XXZ, FLIPS, MLP, ONE, SCRUB)
    assert (outcome.trained, outcome.reused, outcome.unlearned) == (0, 1, 1)
    assert recorder.started == ["oracles of MLP on XXZ: 1 for 3", "Scrub of MLP: 1 for 2"]


def test_an_edited_method_runs_again_and_the_others_do_not(again: Callable[..., Again]) -> None:
    file = Path("own_unlearners.py")
    file.write_text(file.read_text().replace("+ self.weight * clean", "+ 0.0 * clean"))
    found = again(*BOTH, '[[unlearner]]\ntype = "Finetune"\nsteps = 4\n')
    assert found.added == {"experiment": 1, "unlearning": 4}
    assert found.started == ["own_unlearners:Gentle of MLP: 2 for 4", "Finetune of MLP: 2 for 4"]
    # What ran is the edited code, which does what fine-tuning does.
    rows = {row["method"]: row for row in found.outcome.unlearning.to_dict("records")}
    assert rows["own_unlearners:Gentle"]["oracle_kl_mean"] == pytest.approx(rows["Finetune"]["oracle_kl_mean"])


def test_models_of_both_kinds_random_features_and_two_ratios(bench: Bench) -> None:
    noise = '[corruption]\ntype = "FeatureRandomization"\nratio = [0.25, 0.5]\n'
    qnn = '[[model]]\ntype = "PennyLaneQNN"\ndepth = 2\n'
    outcome, _ = bench.run(XXZ, noise, MLP, qnn, ONE, SCRUB, '[[unlearner]]\ntype = "Retrain"\nsteps = 2\n')
    assert outcome.failed == {}
    assert bench.counts() == {"experiment": 1, "trial": 4, "oracle": 4, "unlearning": 8}
    rows = outcome.unlearning.to_dict("records")
    found = {(row["model"], row["ratio"], row["method"]): row["kept"] for row in rows}
    assert found == {
        (model, ratio, method): 1
        for model in ("MLP", "PennyLaneQNN")
        for ratio in (0.25, 0.5)
        for method in ("Scrub", "Retrain")
    }
    # Features were replaced and labels kept, so there is one forget accuracy.
    for row in rows:
        assert row["forget_accuracy_polluted_mean"] == row["forget_accuracy_clean_mean"]


def forget_sum(trial: Trial) -> float:
    """The sum of the features that a model is to forget, as the method of the plugin file sees it."""
    dataset, corrupted = corrupted_rows(trial)
    model = trial.model.build(Features.of(dataset, trial.corruption))
    return float(model.prepare(corrupted.split.x[corrupted.mask]).sum())


@dataclasses.dataclass(frozen=True)
class Spoilt:
    """Three methods, one of which fails for one seed."""

    bench: Bench
    outcome: Outcome
    recorder: Recorder
    seed: int
    experiment: Experiment


@pytest.fixture(scope="module")
def spoilt(make_bench: Callable[[], Bench]) -> Spoilt:
    bench = make_bench()
    sums = [forget_sum(trial) for trial in bench.experiment(XXZ, FLIPS, MLP, SHORT).trials]
    method = f'[[unlearner]]\ntype = "own_unlearners:Spoilt"\nsteps = 4\nthreshold = {statistics.fmean(sums)!r}\n'
    parts = (XXZ, FLIPS, MLP, SHORT, method, ASCENT)
    outcome, recorder = bench.run(*parts)
    return Spoilt(bench, outcome, recorder, sums.index(max(sums)), bench.experiment(*parts))


def test_a_loss_that_is_not_finite_ends_its_own_run_with_step_and_seed(spoilt: Spoilt) -> None:
    runs = spoilt.bench.runs("unlearning", unlearner__type="own_unlearners:Spoilt")
    assert {int(run.data.tags["qlab.seed"]): run.info.status for run in runs} == {
        spoilt.seed: "FAILED",
        1 - spoilt.seed: "FINISHED",
    }
    failed = runs[spoilt.seed]
    assert "step 2" in failed.data.tags["qlab.error"]
    assert f"seed {spoilt.seed}" in failed.data.tags["qlab.error"]
    assert failed.data.tags["qlab.health"] == "diverged"
    assert "qlab.error" not in runs[1 - spoilt.seed].data.tags


def test_the_curves_until_then_are_kept(spoilt: Spoilt) -> None:
    failed = spoilt.bench.runs("unlearning", unlearner__type="own_unlearners:Spoilt")[spoilt.seed]
    history = spoilt.bench.history(failed, "train_loss")
    assert [math.isfinite(value) for _, value in history[:2]] == [True, True]
    assert not FINAL & failed.data.metrics.keys()


def test_the_rest_goes_on(spoilt: Spoilt) -> None:
    assert statuses(spoilt.bench.runs("unlearning", unlearner__type="GradientAscent")) == ["FINISHED"] * 2
    assert statuses(spoilt.bench.runs("trial")) == ["FINISHED"] * 2
    [run] = [
        run
        for run in spoilt.bench.runs("unlearning", unlearner__type="own_unlearners:Spoilt")
        if run.info.status == "FINISHED"
    ]
    assert run.data.metrics.keys() >= CURVES | FINAL


def test_the_table_says_what_is_left_out(spoilt: Spoilt) -> None:
    rows = {row["method"]: row for row in spoilt.outcome.unlearning.to_dict("records")}
    row = rows["own_unlearners:Spoilt"]
    assert (row["kept"], row["runs"], row["left_out"]) == (1, 2, "failed")
    assert math.isfinite(row["validation_accuracy_mean"])
    row = rows["GradientAscent"]
    assert (row["kept"], row["runs"], row["left_out"]) == (2, 2, "")


def test_the_outcome_names_the_failure(spoilt: Spoilt) -> None:
    [(label, message)] = spoilt.outcome.failed.values()
    assert "own_unlearners:Spoilt" in label
    assert f"seed {spoilt.seed}" in label
    assert "step 2" in message
    assert (spoilt.outcome.trained, spoilt.outcome.unlearned) == (2, 3)
    assert spoilt.bench.store.client.get_run(spoilt.outcome.parent_run).info.status == "FAILED"


def test_only_what_failed_is_left_to_do(spoilt: Spoilt) -> None:
    plan = Plan.of(spoilt.experiment, spoilt.bench.store)
    [left] = plan.todo_unlearnings
    assert (left.name, left.teacher.seed) == ("own_unlearners:Spoilt", spoilt.seed)
    assert plan.state(left.key) == "failed"
    assert plan.todo == []


@dataclasses.dataclass(frozen=True)
class Broken:
    """Methods that cannot be run beside one that can."""

    bench: Bench
    outcome: Outcome
    recorder: Recorder


@pytest.fixture(scope="module")
def broken(make_bench: Callable[[], Bench]) -> Broken:
    bench = make_bench()
    methods = [
        f'[[unlearner]]\ntype = "own_unlearners:{name}"\nsteps = 3\n' for name in ("Raises", "Vector", "Branches")
    ]
    sweep = '[[unlearner]]\ntype = "own_unlearners:RaisesWhenHeavy"\nsteps = 3\nweight = [0.5, 2.0, 3.0]\n'
    steep = '[[unlearner]]\ntype = "own_unlearners:Steep"\nsteps = 1\n'
    outcome, recorder = bench.run(XXZ, FLIPS, MLP, SHORT, *methods, sweep, steep, SCRUB)
    return Broken(bench, outcome, recorder)


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("Raises", "ValueError: the kettle is dry"),
        ("Vector", r"step 1: the loss of Vector"),
        ("Branches", "weight with torch.where"),
    ],
)
def test_a_method_that_cannot_be_run_fails_with_the_reason(broken: Broken, method: str, reason: str) -> None:
    runs = broken.bench.runs("unlearning", unlearner__type=f"own_unlearners:{method}")
    assert statuses(runs) == ["FAILED"] * 2
    for run in runs:
        assert reason in run.data.tags["qlab.error"]
        assert "\n" not in run.data.tags["qlab.error"]
        assert "qlab.health" not in run.data.tags


def test_the_steps_before_a_method_raised_are_kept(broken: Broken) -> None:
    for run in broken.bench.runs("unlearning", unlearner__type="own_unlearners:Raises"):
        assert [step for step, _ in broken.bench.history(run, "train_loss")] == [0, 1]


def kept(found: Broken) -> dict[str, tuple[int, str]]:
    return {row["method"]: (row["kept"], row["left_out"]) for row in found.outcome.unlearning.to_dict("records")}


def test_the_method_after_them_is_run(broken: Broken) -> None:
    assert statuses(broken.bench.runs("unlearning", unlearner__type="Scrub")) == ["FINISHED"] * 2
    assert len(broken.recorder.failures) == 5
    assert kept(broken)["own_unlearners:Raises"] == kept(broken)["own_unlearners:Vector"] == (0, "failed")
    assert kept(broken)["Scrub"] == (2, "")


def test_settings_of_one_method_fail_apart(broken: Broken) -> None:
    expected = {"0.5": "FINISHED", "2.0": "FAILED", "3.0": "FAILED"}
    for weight, status in expected.items():
        runs = broken.bench.runs(
            "unlearning", unlearner__type="own_unlearners:RaisesWhenHeavy", unlearner__weight=weight
        )
        assert statuses(runs) == [status] * 2
    failed = [label for label, _ in broken.outcome.failed.values() if "RaisesWhenHeavy" in label]
    assert len(failed) == 4
    assert kept(broken)["own_unlearners:RaisesWhenHeavy weight=0.5"] == (2, "")
    assert kept(broken)["own_unlearners:RaisesWhenHeavy weight=2"] == (0, "failed")


def test_every_failure_is_counted(broken: Broken) -> None:
    runs = broken.bench.runs("unlearning")
    assert len(runs) == 16
    assert broken.outcome.unlearned == statuses(runs).count("FINISHED")
    assert len(broken.outcome.failed) == statuses(runs).count("FAILED")


def test_a_model_that_is_not_finite_at_the_end_is_not_in_the_mean(broken: Broken) -> None:
    runs = broken.bench.runs("unlearning", unlearner__type="own_unlearners:Steep")
    assert [run.data.tags["qlab.health"] for run in runs] == ["diverged"] * 2
    count, reason = kept(broken)["own_unlearners:Steep"]
    assert count == 0
    assert reason in {"failed", "diverged"}


def test_methods_that_all_fail_leave_a_table_and_no_figure(bench: Bench) -> None:
    outcome, _ = bench.draw(XXZ, FLIPS, MLP, ONE, '[[unlearner]]\ntype = "own_unlearners:Vector"\n')
    saved = {file.path for file in bench.store.client.list_artifacts(outcome.parent_run, "summary")}
    assert "summary/unlearning.csv" in saved
    assert "summary/unlearning.png" not in saved
    assert list(outcome.unlearning["kept"]) == [0]


def test_where_a_teacher_failed_its_unlearning_is_reported_and_the_rest_goes_on(bench: Bench) -> None:
    breaks = '[[model]]\ntype = "own_models:Breaks"\nhidden = [3]\n'
    outcome, _ = bench.run(XXZ, FLIPS, breaks, MLP, SHORT, SCRUB)
    assert statuses(bench.runs("trial", model__type="own_models:Breaks")) == ["FAILED"] * 2
    assert statuses(bench.runs("unlearning", model__type="MLP")) == ["FINISHED"] * 2
    assert bench.runs("unlearning", model__type="own_models:Breaks") == []
    reported = [(label, message) for label, message in outcome.failed.values() if label.startswith("Scrub")]
    assert len(reported) == 2
    assert all("own_models:Breaks" in label and "teacher" in message for label, message in reported)
    assert (outcome.trained, outcome.unlearned) == (2, 2)


def test_where_oracles_cannot_be_trained_the_rest_goes_on(bench: Bench) -> None:
    picky = '[[model]]\ntype = "own_models:Picky"\nhidden = [3]\n'
    outcome, _ = bench.run(XXZ, FLIPS, picky, MLP, ONE, SCRUB)
    assert statuses(bench.runs("trial")) == ["FINISHED"] * 2
    assert statuses(bench.runs("unlearning", model__type="MLP")) == ["FINISHED"]
    [(label, message)] = outcome.failed.values()
    assert label.startswith("Scrub of own_models:Picky")
    assert "too few to learn from" in message


def test_models_that_diverged_can_only_be_retrained(bench: Bench) -> None:
    wild = ONE.replace("0.05", "1e30")
    bench.draw(
        XXZ, FLIPS, MLP, wild, *(f'[[unlearner]]\ntype = "{name}"\nsteps = 2\n' for name in ("Finetune", "Retrain"))
    )
    [failed] = bench.runs("unlearning", unlearner__type="Finetune")
    assert failed.info.status == "FAILED"
    assert "step 1" in failed.data.tags["qlab.error"]
    [fresh] = bench.runs("unlearning", unlearner__type="Retrain")
    assert (fresh.info.status, fresh.data.tags["qlab.health"]) == ("FINISHED", "healthy")
    # The oracles, trained as the teacher was, diverged too: there is nothing to compare with.
    assert {run.data.tags["qlab.health"] for run in bench.runs("oracle")} == {"diverged"}
    assert not fresh.data.metrics.keys() & {"oracle_gap", "steps_to_oracle"}


UNUSABLE = {
    "no corruption": ("", ConfigError, "unlearner: there is nothing to forget"),
    "ratio 0": (FLIPS.replace("0.5", "0.0"), ConfigError, "unlearner: there is nothing to forget.*ratio is 0"),
    "ratio 1": (FLIPS.replace("0.5", "1.0"), ConfigError, "unlearner: there is nothing to retain.*ratio is 1"),
    "a ratio that rounds to no row": (
        FLIPS.replace("0.5", "0.05"),
        DataError,
        "nothing to corrupt: at ratio 0.05 none.*higher ratio",
    ),
    "a ratio that rounds to every row": (FLIPS.replace("0.5", "0.95"), DataError, "nothing to retain.*[Ll]ower the"),
    "a ratio that rounds to no row among others": (
        FLIPS.replace("0.5", "[0.05, 0.5]"),
        DataError,
        "nothing to corrupt",
    ),
}


@pytest.mark.parametrize(("corruption", "error", "message"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_ratio_that_leaves_nothing_to_do_is_one_message_and_no_run(
    bench: Bench, corruption: str, error: type[QlabError], message: str
) -> None:
    with pytest.raises(error, match=message):
        bench.run(XXZ, corruption, MLP, SHORT, SCRUB)
    refused_alone(bench.store)


NOT_METHODS = {
    "no such method": ("Scrubb", 'unlearner.type.*unknown unlearner "Scrubb".*Did you mean "Scrub"'),
    "no such file": ("elsewhere:Method", 'There is no module "elsewhere"'),
    "no such class": ("own_unlearners:Gently", 'Did you mean "Gentle"'),
    "a file that does not import": ("faulty:Method", 'The module "faulty" cannot be imported: ZeroDivisionError'),
    "a file without a method": ("empty:Method", "Choices: none"),
    "a method without a loss": ("half:Method", "does not define loss"),
    "a model": ("own_models:Breaks", "unknown unlearner"),
    "the base class": ("qlab:Unlearner", "does not define loss"),
}


@pytest.mark.parametrize(("name", "message"), NOT_METHODS.values(), ids=NOT_METHODS.keys())
def test_what_is_not_a_method_is_one_message(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "own_unlearners.py").write_text(PLUGIN)
    (tmp_path / "own_models.py").write_text(MODELS)
    (tmp_path / "faulty.py").write_text("1 / 0\n")
    (tmp_path / "empty.py").write_text("from __future__ import annotations\n")
    (tmp_path / "half.py").write_text('from qlab import Unlearner\nclass Method(Unlearner):\n    """Half."""\n')
    with pytest.raises(ConfigError, match=message) as caught:
        read(tmp_path, XXZ, FLIPS, MLP, SHORT, f'[[unlearner]]\ntype = "{name}"\n')
    assert str(caught.value).startswith("given.toml: unlearner.type: ")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("lamda_fo = 0.3", 'unlearner.*"lamda_fo".*Did you mean "lambda_fo"'),
        ("steps = 0", "unlearner.steps: got 0"),
        ("learning_rate = 0.0", "unlearner.learning_rate: got 0.0"),
        ('optimizer = "adam"', 'unlearner.optimizer: got "adam".*Did you mean "Adam"'),
        ("batch_size = -1", "unlearner.batch_size: got -1"),
        ("lambda_fo = -0.1", "unlearner.lambda_fo: got -0.1"),
        ("beta = 0.2", 'unlearner.*"beta"'),
    ],
)
def test_keys_of_a_method_are_checked(tmp_path: Path, key: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, XXZ, FLIPS, MLP, SHORT, f'[[unlearner]]\ntype = "Scrub"\n{key}\n')


@dataclasses.dataclass(frozen=True)
class Stopped:
    """An interrupt during a method's second step, with another method before and one after."""

    bench: Bench
    experiment: Experiment


@pytest.fixture(scope="module")
def stopped(make_bench: Callable[[], Bench]) -> Stopped:
    bench = make_bench()
    interrupted = '[[unlearner]]\ntype = "own_unlearners:Interrupted"\nsteps = 3\n'
    parts = (XXZ, FLIPS, MLP, SHORT, SCRUB, interrupted, ASCENT)
    with pytest.raises(KeyboardInterrupt):
        bench.run(*parts)
    return Stopped(bench, bench.experiment(*parts))


def test_an_interrupt_kills_what_is_running_and_keeps_what_is_finished(stopped: Stopped) -> None:
    found = frames.runs(stopped.bench.store, stopped.bench.store.experiment_ids(["tiny"]))
    kinds = Counter(zip(found["kind"], found["unlearner.type"].fillna(""), found["status"], strict=True))
    assert kinds == {
        ("experiment", "", "KILLED"): 1,
        ("trial", "", "FINISHED"): 2,
        ("oracle", "", "FINISHED"): 4,
        ("unlearning", "Scrub", "FINISHED"): 2,
        ("unlearning", "own_unlearners:Interrupted", "KILLED"): 2,
    }


def test_what_was_measured_before_the_interrupt_is_kept(stopped: Stopped) -> None:
    for run in stopped.bench.runs("unlearning", unlearner__type="own_unlearners:Interrupted"):
        assert run.data.tags["qlab.error"] == "interrupted"
        assert [step for step, _ in stopped.bench.history(run, "validation_accuracy")] == [0, 1]


def test_what_was_killed_is_left_to_do(stopped: Stopped) -> None:
    plan = Plan.of(stopped.experiment, stopped.bench.store)
    assert Counter(item.name for item in plan.todo_unlearnings) == {
        "own_unlearners:Interrupted": 2,
        "GradientAscent": 2,
    }
    assert {plan.state(item.key) for item in plan.todo_unlearnings} == {"killed", "new"}
    assert plan.todo == []


class Epochs(Silent):
    """Counts what a reporter is told of each ensemble."""

    def __init__(self) -> None:
        self.steps: list[list[int]] = []
        self.health: list[tuple[str, ...]] = []

    def ensemble_started(self, label: str, engine: str, trials: int, epochs: int) -> None:
        self.steps.append([])

    def epoch(self, epoch: int, metrics: dict[str, NDArray[np.float64]]) -> None:
        self.steps[-1].append(epoch)

    def ensemble_finished(self, seconds: float, health: Sequence[str]) -> None:
        self.health.append(tuple(health))


def test_a_reporter_follows_every_step(bench: Bench) -> None:
    reporter = Epochs()
    runner(bench.store, reporter).run(bench.experiment(XXZ, FLIPS, MLP, ONE, SCRUB))
    assert reporter.steps == [[1, 2, 3], [1, 2, 3], [0, 1, 2]]
    assert [len(health) for health in reporter.health] == [1, 1, 1]


RETRAIN = '[[unlearner]]\ntype = "Retrain"\nsteps = 3\n'
BATCHES = '[[unlearner]]\ntype = "Finetune"\nsteps = 3\nbatch_size = 3\n'


def run_table(epochs: int = 3, **fields: Any) -> str:
    """A short training, and how it is run."""
    lines = "".join(f"{name} = {value}\n" for name, value in ({"seeds": 2, "oracles": 1} | fields).items())
    return SHORT.partition("[run]")[0].replace("epochs = 3", f"epochs = {epochs}") + "[run]\n" + lines


@dataclasses.dataclass(frozen=True)
class Repeated:
    """Three methods on two seeds, twice each."""

    bench: Bench
    experiment: Experiment
    outcome: Outcome
    recorder: Recorder

    def states(self, method: str, place: Path) -> dict[tuple[int, int], dict[str, torch.Tensor]]:
        """The unlearned models by seed and repeat."""
        found = {}
        for run in self.bench.runs("unlearning", unlearner__type=method):
            folder = place / run.info.run_id
            folder.mkdir()
            params = run.data.params
            found[int(params["seed"]), int(params.get("repeat", "0"))] = self.bench.load(run, folder).state_dict()
        assert sorted(found) == [(0, 0), (0, 1), (1, 0), (1, 1)]
        return found


REPEATED = (XXZ, FLIPS, MLP, run_table(repeats=2), RETRAIN, ASCENT, BATCHES)


@pytest.fixture(scope="module")
def repeated(make_bench: Callable[[], Bench]) -> Repeated:
    bench = make_bench()
    outcome, recorder = bench.run(*REPEATED)
    return Repeated(bench, bench.experiment(*REPEATED), outcome, recorder)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], tolerance: float = 0.0) -> bool:
    return all(torch.allclose(first[name], second[name], atol=tolerance, rtol=0) for name in first)


def test_every_method_is_repeated_on_the_same_teachers_and_oracles(repeated: Repeated) -> None:
    assert repeated.bench.counts() == {"experiment": 1, "trial": 2, "oracle": 2, "unlearning": 12}
    assert (repeated.outcome.trained, repeated.outcome.unlearned) == (2, 12)
    assert repeated.outcome.failed == {}
    assert repeated.recorder.started == [
        "MLP on XXZ, LabelFlip: 2 for 3",
        "oracles of MLP on XXZ: 2 for 3",
        "Retrain of MLP: 4 for 3",
        "GradientAscent of MLP: 4 for 4",
        "Finetune of MLP: 4 for 3",
    ]
    teachers = {run.info.run_id: run for run in repeated.bench.runs("trial")}
    for method in ("Retrain", "GradientAscent", "Finetune"):
        runs = repeated.bench.runs("unlearning", unlearner__type=method)
        found = Counter((run.data.tags["qlab.seed"], run.data.params.get("repeat", "0")) for run in runs)
        assert found == {(seed, repeat): 1 for seed in "01" for repeat in "01"}
        for run in runs:
            teacher = teachers[run.data.tags["mlflow.parentRunId"]]
            assert run.data.tags["qlab.teacher"] == teacher.data.tags["qlab.trial"]
            assert run.data.tags["qlab.seed"] == teacher.data.tags["qlab.seed"] == run.data.params["seed"]
            assert run.data.metrics.keys() >= CURVES | FINAL - {"oracle_accuracy_std", "oracle_kl_floor"}
            # Every repeat starts from the same teacher, unless it starts afresh.
            if method != "Retrain":
                first = repeated.bench.history(run, "train_loss")[0][1]
                assert first == pytest.approx(teacher.data.metrics["train_loss"], abs=1e-6)


@pytest.mark.parametrize("method", ["Retrain", "Finetune"])
def test_repeats_draw_parameters_and_batches_anew(repeated: Repeated, tmp_path: Path, method: str) -> None:
    states = list(repeated.states(method, tmp_path).values())
    for number, state in enumerate(states):
        assert not any(same(state, other, 1e-4) for other in states[:number])


def test_repeats_of_a_method_without_randomness_are_equal(repeated: Repeated, tmp_path: Path) -> None:
    states = repeated.states("GradientAscent", tmp_path)
    for seed in (0, 1):
        assert same(states[seed, 0], states[seed, 1], 1e-6)
    assert not same(states[0, 0], states[1, 0], 1e-4)


def test_fresh_parameters_differ_before_the_first_step(repeated: Repeated) -> None:
    runs = repeated.bench.runs("unlearning", unlearner__type="Retrain")
    assert len({repeated.bench.history(run, "train_loss")[0][1] for run in runs}) == 4


def test_the_first_repeat_has_the_identity_of_the_run_without_repeats(repeated: Repeated) -> None:
    once = repeated.bench.experiment(XXZ, FLIPS, MLP, run_table(), RETRAIN, ASCENT, BATCHES)
    everything = repeated.experiment.unlearnings
    assert len({item.key for item in everything}) == 12
    assert {item.key for item in once.unlearnings} == {item.key for item in everything if item.repeat == 0}
    assert [trial.key for trial in once.trials] == [trial.key for trial in repeated.experiment.trials]
    assert not any("repeat" in item.config or "repeat" in item.label for item in once.unlearnings)
    for item in everything:
        assert (f"repeat {item.repeat}" in item.label) == (item.repeat > 0)
        assert item.params.get("repeat", "0") == str(item.repeat)


def test_the_table_counts_every_repeat(repeated: Repeated) -> None:
    rows = {row["method"]: row for row in repeated.outcome.unlearning.to_dict("records")}
    assert list(rows) == ["Retrain", "GradientAscent", "Finetune"]
    for method, row in rows.items():
        assert (row["kept"], row["runs"], row["left_out"]) == (4, 4, "")
        runs = repeated.bench.runs("unlearning", unlearner__type=method)
        values = [run.data.metrics["oracle_kl"] for run in runs]
        assert row["oracle_kl_mean"] == pytest.approx(statistics.fmean(values))
        assert row["oracle_kl_std"] == pytest.approx(statistics.stdev(values))


def test_more_repeats_leave_the_first_as_it_was(repeated: Repeated, bench: Bench, tmp_path: Path) -> None:
    bench.run(XXZ, FLIPS, MLP, run_table(seeds=1), RETRAIN)
    [first] = bench.runs("unlearning")
    assert same(bench.load(first, tmp_path).state_dict(), repeated.states("Retrain", tmp_path)[0, 0], 1e-5)
    plan = Plan.of(bench.experiment(XXZ, FLIPS, MLP, run_table(seeds=1, repeats=3), RETRAIN), bench.store)
    assert plan.todo == []
    assert list(plan.unlearned.values()) == [first.info.run_id]
    assert [item.repeat for item in plan.todo_unlearnings] == [1, 2]


@pytest.mark.parametrize("key", ["repeats", "evaluate_every"])
@pytest.mark.parametrize("value", ["0", "-1", "2.0", "true", '"3"', "[1, 2]"])
def test_keys_of_the_run_table_take_integers_of_at_least_one(tmp_path: Path, key: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, XXZ, FLIPS, MLP, run_table(**{key: value}), ASCENT)
    assert f"run.{key}: got {value}, accepts an integer of at least 1" in str(caught.value)


def test_repeats_without_a_method_change_nothing(tmp_path: Path) -> None:
    once, thrice = (read(tmp_path, XXZ, FLIPS, MLP, run_table(repeats=repeats)) for repeats in (1, 3))
    assert once.unlearnings == thrice.unlearnings == ()
    assert once.content == thrice.content


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """Seven epochs of training, of which some are evaluated."""

    bench: Bench
    steps: list[list[int]]


@pytest.fixture(scope="module")
def evaluated(make_bench: Callable[[], Bench]) -> dict[int, Evaluated]:
    """By how many epochs are from one evaluation to the next."""
    found = {}
    for every in (1, 3):
        bench, reporter = make_bench(), Epochs()
        table = run_table(epochs=7, seeds=1, evaluate_every=every)
        outcome = runner(bench.store, reporter).run(bench.experiment(XXZ, FLIPS, MLP, table, SCRUB))
        assert outcome.failed == {}
        found[every] = Evaluated(bench, reporter.steps)
    return found


def test_metrics_are_logged_after_the_epochs_that_were_evaluated(evaluated: dict[int, Evaluated]) -> None:
    bench = evaluated[3].bench
    [run] = bench.runs("trial")
    for metric in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"):
        assert [step for step, _ in bench.history(run, metric)] == [3, 6, 7]
    for metric in ("retain_accuracy", "forget_accuracy_polluted", "forget_accuracy_clean"):
        assert [step for step, _ in bench.history(run, metric)] == [7]
    assert not any("evaluate_every" in name for name in run.data.params)


def test_a_reporter_follows_the_epochs_that_are_evaluated(evaluated: dict[int, Evaluated]) -> None:
    assert evaluated[1].steps == [[1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7], [0, 1, 2]]
    assert evaluated[3].steps == [[3, 6, 7], [3, 6, 7], [0, 1, 2]]


@pytest.mark.parametrize("kind", ["trial", "oracle", "unlearning"])
def test_evaluating_less_often_is_the_same_run(evaluated: dict[int, Evaluated], kind: str, tmp_path: Path) -> None:
    """The same identity, the same parameters, the same values at the epochs that were evaluated."""
    often, seldom = evaluated[1].bench, evaluated[3].bench
    [first], [second] = often.runs(kind), seldom.runs(kind)
    states = []
    for name, bench, run in (("often", often, first), ("seldom", seldom, second)):
        (tmp_path / name).mkdir()
        states.append(bench.load(run, tmp_path / name).state_dict())
    assert same(*states)
    for tag in ("qlab.trial", "qlab.health", "qlab.seed"):
        assert first.data.tags[tag] == second.data.tags[tag]
    for metric in ("train_loss", "validation_accuracy"):
        values = dict(often.history(first, metric))
        assert {step: values[step] for step, _ in seldom.history(second, metric)} == dict(
            seldom.history(second, metric)
        )
    wanted = often.experiment(XXZ, FLIPS, MLP, run_table(epochs=7, seeds=1, evaluate_every=2), SCRUB)
    assert [*Plan.of(wanted, often.store).todo, *Plan.of(wanted, often.store).todo_unlearnings] == []
