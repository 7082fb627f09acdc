"""Probes through the runner: what ends up in a real store, what is reused, and what happens when it goes wrong."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.experiments import TASK
from support.runs import refused_alone, runner

from qlab import seeding
from qlab.errors import ConfigError, DataError, QlabError
from qlab.experiment.asking import schema
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.asking.trial import Trial
from qlab.experiment.planning.plan import Plan
from qlab.experiment.reporting import Silent
from qlab.experiment.runner import Outcome, Runner
from qlab.landscape import HessianProbe, InterpolationProbe, Landscape, ProbeResult, SliceProbe
from qlab.models import Model, checkpoint
from qlab.tasks import Dataset, Task
from qlab.tracking import frames, names
from qlab.tracking.store import Store
from qlab.training import Member

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

PROBES = '''
from __future__ import annotations

from qlab import HessianProbe, InterpolationProbe, LandscapeProbe, ProbeResult, RougheningProbe, SliceProbe
from qlab.fields import NonNegativeInt
from qlab.landscape import Needs


class Points(LandscapeProbe):
    """Hands out the points of a landscape.

    Args:
        wanted: their names.
        follow: whether the trajectory is among them.
    """

    wanted: tuple[str, ...] = ("initial", "clean", "oracle")
    follow: bool = True

    def needs(self):
        return Needs(points=self.wanted, trajectory=self.follow)

    def compute(self, landscape):
        arrays = {name: landscape.points[name].numpy() for name in ("trained", *self.wanted)}
        if self.follow:
            arrays["trajectory"] = landscape.trajectory.numpy()
        return ProbeResult({"norm": float(landscape.theta.norm())}, arrays)


class Curvature(HessianProbe):
    """A Hessian."""


class Ratio(RougheningProbe):
    """A roughening ratio."""


class Cut(SliceProbe):
    """A slice."""


class Line(InterpolationProbe):
    """A path."""


class Raises(LandscapeProbe):
    """Raises for one seed, or for all.

    Args:
        only: the seed.
        always: whether for all.
    """

    only: NonNegativeInt = 0
    always: bool = False

    def compute(self, landscape):
        if self.always or landscape.seed == self.only:
            raise ValueError("the kettle is dry\\nand has been for a while")
        return ProbeResult({"height": 1.0})


class Interrupted(Raises):
    """Is interrupted at one seed."""

    def compute(self, landscape):
        if landscape.seed == self.only:
            raise KeyboardInterrupt
        return ProbeResult({"height": 1.0})


class Nothing(LandscapeProbe):
    """Returns nothing."""

    def compute(self, landscape):
        return None


class Brackets(LandscapeProbe):
    """Names a number in a way that MLflow does not take."""

    def compute(self, landscape):
        return ProbeResult({"trace (A)": 1.0})


class Status(LandscapeProbe):
    """Names a number as qlab names what it knows of a run."""

    def compute(self, landscape):
        return ProbeResult({"status": 1.0})
'''

UNLEARNERS = '''
from __future__ import annotations

import math

from qlab import Unlearner
from qlab.unlearning import cross_entropy


class Spoilt(Unlearner):
    """Not a number from the second step on."""

    def loss(self, student, teacher, data):
        return cross_entropy(student(data.retain.x), data.retain.y) * (math.nan if data.step >= 2 else 1.0)
'''

MODELS = '''
from __future__ import annotations

from pathlib import Path

import torch

from qlab import MLP


class Breaks(MLP):
    """Raises at the first evaluation, but not on the few rows that a model is tried on."""

    def forward(self, prepared):
        if prepared.shape[-2] > 4:
            raise RuntimeError("no such luck")
        return super().forward(prepared)


class Fragile(MLP):
    """Cannot be trained while there is a file "broken" beside this one; landscapes, in double precision, are fine."""

    def forward(self, prepared):
        if prepared.dtype == torch.float32 and prepared.shape[-2] > 4 and Path(__file__).with_name("broken").exists():
            raise RuntimeError("out of luck")
        return super().forward(prepared)


class Dead(MLP):
    """A network whose ReLUs are all off: its output is its last bias."""

    @torch.no_grad()
    def reset_parameters(self, generator):
        super().reset_parameters(generator)
        self.biases[0].fill_(-1e3)


class Mute(MLP):
    """A network that says nothing: the loss does not depend on its parameters."""

    def forward(self, prepared):
        return 0.0 * super().forward(prepared)
'''

XXZ = f"""
{TASK}
"""

FLIPS = '[corruption]\ntype = "LabelFlip"\nratio = 0.5\n'

MLP = '[[model]]\ntype = "MLP"\nhidden = [4]\ndtype = "float64"\n'
FLOAT32 = '[[model]]\ntype = "MLP"\nhidden = [4]\n'
QNN = '[[model]]\ntype = "PennyLaneQNN"\ndepth = 2\n'

TEN_EPOCHS = """
[training]
epochs = 10
batch_size = 8
learning_rate = 0.05
[run]
seeds = 2
oracles = 2
"""

SHORT = TEN_EPOCHS.replace("epochs = 10", "epochs = 2")
ONE = SHORT.replace("seeds = 2", "seeds = 1").replace("oracles = 2", "oracles = 1")

SCRUB = '[[unlearner]]\ntype = "Scrub"\nsteps = 2\n'


def own_model(name: str) -> str:
    return f'[[model]]\ntype = "own_models:{name}"\nhidden = [4]\n'


def probe(kind: str, *lines: str) -> str:
    return "\n".join(["[[probe]]", f'type = "{kind}"', *lines, ""])


HESSIAN = probe("HessianProbe")
LRR = probe("RougheningProbe")


class Recorder(Silent):
    """Writes down what is run, and what is measured."""

    def __init__(self) -> None:
        self.trained: list[str] = []
        self.measured_models: list[tuple[str, int, int]] = []
        self.measured_probes = 0
        self.failed: list[int] = []

    def ensemble_started(self, label: str, engine: str, trials: int, epochs: int) -> None:
        self.trained.append(f"{label}: {trials} for {epochs}")

    def measuring_started(self, label: str, models: int, probes: int) -> None:
        self.measured_models.append((label, models, probes))

    def measured(self) -> None:
        self.measured_probes += 1

    def measuring_finished(self, seconds: float, failed: int, remark: str = "") -> None:
        self.failed.append(failed)


@dataclasses.dataclass(frozen=True)
class Bench:
    """A folder with plugin files and an empty store, and what was run there."""

    folder: Path
    store: Store

    def experiment(self, *parts: str) -> Experiment:
        return schema.parse("".join(parts), source="given.toml", folder=self.folder, default_name="tiny")

    def plan(self, *parts: str) -> Plan:
        return Plan.of(self.experiment(*parts), self.store)

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

    def run_of(self, key: str) -> Any:
        """The one run of a trial, unlearning, oracle or probe."""
        [found] = self.store.search(self.store.experiment_ids(), f"tags.`{names.TRIAL_KEY}` = '{key}'")
        return found

    def counts(self) -> dict[str, int]:
        """How many runs of each kind there are."""
        found = self.store.search(self.store.experiment_ids())
        return dict(Counter(run.data.tags[names.KIND] for run in found))

    def fetch(self, run: Any, artifact: str) -> Path:
        place = self.folder / "fetched" / run.info.run_id
        place.mkdir(parents=True, exist_ok=True)
        return self.store.fetch_file(run.info.run_id, artifact, place)

    def model(self, key: str) -> Model:
        """The model in the checkpoint of a trial, unlearning or oracle."""
        return _model(self, key)

    def result(self, run: Any) -> ProbeResult:
        return ProbeResult.load(self.fetch(run, names.PROBE_RESULT))

    def summary(self, outcome: Outcome) -> set[str]:
        return {Path(file.path).name for file in self.store.client.list_artifacts(outcome.parent_run, "summary")}


@functools.cache
def _model(bench: Bench, key: str) -> Model:
    return checkpoint.load(bench.fetch(bench.run_of(key), names.CHECKPOINT), bench.folder)


@functools.cache
def data_of(task: Task) -> Dataset:
    return task.load()


def statuses(runs: Sequence[Any]) -> list[str]:
    return [run.info.status for run in runs]


def flat(model: Model) -> np.ndarray[Any, Any]:
    """All parameters in a row."""
    return torch.cat([parameter.detach().double().reshape(-1) for parameter in model.parameters()]).numpy()


def by_hand(bench: Bench, trial: Trial, at: Trial | None = None, **options: Any) -> Landscape:
    """The landscape of a trial's data around the parameters in its checkpoint, or in that of another trial."""
    dataset = data_of(trial.task)
    corrupted = Member.of(trial.task, dataset, trial.corruption, trial.seed).corrupted
    return Landscape(bench.model((at or trial).key), corrupted, dataset.validation, seed=trial.seed, **options)


@pytest.fixture(scope="module")
def make_bench(
    tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]
) -> Iterator[Callable[[], Bench]]:
    with pytest.MonkeyPatch.context() as patch:

        def make() -> Bench:
            folder = tmp_path_factory.mktemp("bench")
            for name, text in (("own_probes", PROBES), ("own_unlearners", UNLEARNERS), ("own_models", MODELS)):
                (folder / f"{name}.py").write_text(text)
            patch.chdir(folder)
            return Bench(folder, Store(write_empty_store(folder / "mlruns" / "mlflow.db")))

        yield make


@pytest.fixture
def bench(make_bench: Callable[[], Bench]) -> Bench:
    return make_bench()


@dataclasses.dataclass(frozen=True)
class Done:
    """Two models on two seeds with a dozen probes, run twice."""

    bench: Bench
    experiment: Experiment
    outcome: Outcome
    recorder: Recorder
    again: Outcome
    recorder_again: Recorder
    counts: dict[str, int]

    def runs_of(self, kind: str, **params: str) -> Iterator[tuple[Any, Trial]]:
        """Runs of a probe, with the trial that is measured."""
        trials = {trial.key: trial for trial in self.experiment.trials}
        for run in self.bench.runs("probe", probe__type=kind, **params):
            yield run, trials[run.data.tags[names.TEACHER]]


AT = ("initial", "clean", "oracle", "Scrub")

# Subclasses of qlab's probes are in no figure, and figures take most of the time.
PLANE = probe("own_probes:Cut", 'directions = "points"', 'points = ["Scrub", "clean"]', "resolution = 3")
ALONG = probe("own_probes:Cut", 'directions = "pca"', "dimensions = 1", "resolution = 3")
PATH = probe("own_probes:Line", 'path = ["initial", "trained", "Scrub", "oracle"]', "resolution = 3")
ELSEWHERE = probe("own_probes:Curvature", f"at = {list(AT)}".replace("'", '"'))
POINTS = probe("own_probes:Points", f"wanted = {list(AT)}".replace("'", '"'))

ALL = (
    XXZ,
    FLIPS,
    MLP,
    QNN,
    TEN_EPOCHS,
    SCRUB,
    probe("own_probes:Curvature", "n_samples = 10"),
    probe("own_probes:Ratio", "n_samples = 10"),
    probe("own_probes:Ratio", 'samples = "retain"'),
    PLANE,
    ALONG,
    PATH,
    ELSEWHERE,
    POINTS,
)


@pytest.fixture(scope="module")
def done(make_bench: Callable[[], Bench]) -> Done:
    bench = make_bench()
    outcome, recorder = bench.run(*ALL)
    counts = bench.counts()
    again, recorder_again = bench.run(*ALL)
    return Done(bench, bench.experiment(*ALL), outcome, recorder, again, recorder_again, counts)


# What is run, once


def test_every_probe_is_taken_of_every_trained_model_it_is_for(done: Done) -> None:
    # Two models, two seeds: as many twins as polluted models, two oracles and one unlearning of each of these.
    assert done.counts == {"experiment": 1, "trial": 8, "oracle": 8, "unlearning": 4, "probe": 44}
    assert (done.outcome.trained, done.outcome.reused) == (8, 0)
    assert (done.outcome.unlearned, done.outcome.measured) == (4, 44)
    assert done.outcome.failed == {}
    assert set(statuses(done.bench.runs("probe"))) == {"FINISHED"}
    assert done.bench.store.client.get_run(done.outcome.parent_run).info.status == "FINISHED"


def test_twins_train_with_the_others_and_trajectories_and_oracles_are_not_trained_again(done: Done) -> None:
    assert done.recorder.trained == [
        "MLP on XXZ, LabelFlip: 4 for 10",
        "PennyLaneQNN on XXZ, LabelFlip: 4 for 10",
        "oracles of MLP on XXZ: 4 for 10",
        "Scrub of MLP: 2 for 2",
        "oracles of PennyLaneQNN on XXZ: 4 for 10",
        "Scrub of PennyLaneQNN: 2 for 2",
    ]


def test_a_reporter_is_told_of_every_probe(done: Done) -> None:
    assert [counts for _, *counts in done.recorder.measured_models] == [[2, 22], [2, 22]]
    for (label, *_), model in zip(done.recorder.measured_models, ("MLP", "PennyLaneQNN"), strict=True):
        assert model in label
    assert done.recorder.measured_probes == 44
    assert done.recorder.failed == [0, 0]


def test_a_second_time_nothing_is_run(done: Done) -> None:
    assert (done.again.trained, done.again.reused) == (0, 8)
    assert (done.again.unlearned, done.again.measured) == (0, 0)
    assert (done.recorder_again.trained, done.recorder_again.measured_models) == ([], [])
    assert done.bench.counts() == done.counts
    assert done.again.parent_run == done.outcome.parent_run
    assert done.again.probes.equals(done.outcome.probes)


def test_runs_of_probes_are_children_of_their_models(done: Done) -> None:
    items = {item.key: item for item in done.experiment.probe_runs}
    for run in done.bench.runs("probe"):
        item = items.pop(run.data.tags[names.TRIAL_KEY])
        trial = done.bench.run_of(item.trial.key)
        assert run.data.tags["mlflow.parentRunId"] == trial.info.run_id
        assert run.data.tags["qlab.teacher"] == item.trial.key
        assert run.data.tags["qlab.seed"] == run.data.params["seed"] == str(item.trial.seed)
        assert trial.data.params.items() <= run.data.params.items()
        assert item.params == run.data.params
        assert run.info.run_name == item.label
        assert "qlab.error" not in run.data.tags
    assert not items


# Points


def test_points_are_the_parameters_in_the_checkpoints(done: Done) -> None:
    items = {item.key: item for item in done.experiment.probe_runs}
    found = list(done.runs_of("own_probes:Points"))
    assert len(found) == 4
    for run, trial in found:
        arrays = done.bench.result(run).arrays
        item = items[run.data.tags[names.TRIAL_KEY]]
        keys = {
            "trained": trial.key,
            "clean": trial.clean_twin.key,
            "oracle": trial.oracle_key(0),
            "Scrub": item.unlearnings["Scrub"].key,
        }
        for name, key in keys.items():
            np.testing.assert_array_equal(arrays[name], flat(done.bench.model(key)), err_msg=name)
        distances = [np.linalg.norm(arrays[name] - arrays[other]) for name in keys for other in keys if name < other]
        assert min(distances) > 1e-3


def test_the_clean_point_was_trained_on_clean_labels_from_the_same_start(done: Done) -> None:
    for _, trial in done.runs_of("own_probes:Points"):
        twin = done.bench.run_of(trial.clean_twin.key)
        assert twin.data.params["corruption.ratio"] == "0.0"
        assert twin.data.tags[names.SEED] == str(trial.seed)
        assert "forget_accuracy_clean" not in {
            name for name, value in twin.data.metrics.items() if math.isfinite(value)
        }


def test_the_initial_point_is_that_of_the_seed(done: Done) -> None:
    for run, trial in done.runs_of("own_probes:Points"):
        model = copy.deepcopy(done.bench.model(trial.key))
        model.reset_parameters(seeding.generator(trial.seed, "initialization"))
        np.testing.assert_array_equal(done.bench.result(run).arrays["initial"], flat(model))


def test_the_trajectory_leads_from_the_initial_to_the_trained_parameters(done: Done) -> None:
    for run, _ in done.runs_of("own_probes:Points"):
        arrays = done.bench.result(run).arrays
        assert arrays["trajectory"].shape == (11, len(arrays["trained"]))
        np.testing.assert_array_equal(arrays["trajectory"][0], arrays["initial"])
        np.testing.assert_array_equal(arrays["trajectory"][-1], arrays["trained"])
        assert np.linalg.norm(np.diff(arrays["trajectory"], axis=0), axis=1).min() > 0.0


@pytest.mark.parametrize("name", AT)
def test_a_probe_at_a_point_measures_there(done: Done, name: str) -> None:
    points = {
        run.data.tags[names.TEACHER]: done.bench.result(run).arrays for run, _ in done.runs_of("own_probes:Points")
    }
    found = list(done.runs_of("own_probes:Curvature", probe__at=name))
    assert len(found) == 4
    for run, trial in found:
        place = torch.from_numpy(points[trial.key][name])
        expected = HessianProbe(at="here").measure(by_hand(done.bench, trial, points={"here": place}))
        for metric, value in expected.scalars.items():
            assert run.data.metrics[metric] == pytest.approx(value, rel=1e-9, abs=1e-12), metric
        assert done.bench.result(run).about["centre"] == name


# Numbers


def test_logged_numbers_are_those_of_a_landscape_made_by_hand(done: Done) -> None:
    found = list(done.runs_of("own_probes:Curvature", probe__at="trained"))
    assert len(found) == 4
    for run, trial in found:
        expected = HessianProbe(n_samples=10).measure(by_hand(done.bench, trial))
        assert run.data.metrics.keys() == expected.scalars.keys()
        for metric, value in expected.scalars.items():
            assert run.data.metrics[metric] == pytest.approx(value, rel=1e-9, abs=1e-12), metric
        result = done.bench.result(run)
        np.testing.assert_allclose(result.arrays["eigenvalues"], expected.arrays["eigenvalues"], atol=1e-12)


def test_metrics_are_the_scalars_of_the_result(done: Done) -> None:
    for run in done.bench.runs("probe"):
        result = done.bench.result(run)
        assert dict(result.scalars) == pytest.approx(run.data.metrics, rel=1e-12)
        assert run.data.params["probe.type"].endswith(result.probe)
        assert (result.about["seed"], result.about["samples"]) == (
            int(run.data.params["seed"]),
            run.data.params["probe.samples"],
        )
        assert result.about["model"]["type"] == run.data.params["model.type"]


def test_the_roughening_ratio_compares_with_the_clean_twin_on_the_same_rows(done: Done) -> None:
    found = list(done.runs_of("own_probes:Ratio", probe__samples="train"))
    assert len(found) == 4
    for run, trial in found:
        polluted, clean = by_hand(done.bench, trial), by_hand(done.bench, trial.clean_twin)
        assert torch.equal(polluted.on("train", 10).x, clean.on("train", 10).x)
        assert not torch.equal(polluted.on("train").y, clean.on("train").y)
        above, below = (HessianProbe(n_samples=10).measure(landscape) for landscape in (polluted, clean))
        assert run.data.metrics["hessian_trace"] == pytest.approx(above.scalars["hessian_trace"], rel=1e-9)
        assert run.data.metrics["hessian_trace_clean"] == pytest.approx(below.scalars["hessian_trace"], rel=1e-9)
        ratio = above.scalars["hessian_trace"] / below.scalars["hessian_trace"]
        assert run.data.metrics["lrr"] == pytest.approx(ratio, rel=1e-9)


def test_the_roughening_ratio_on_the_retain_set_compares_the_same_rows(done: Done) -> None:
    """The two models share the rows of the samples: those that are clean in the polluted split."""
    found = list(done.runs_of("own_probes:Ratio", probe__samples="retain"))
    assert len(found) == 4
    for run, trial in found:
        # The retain set of the polluted trial is the same with either model's parameters.
        above, below = (
            HessianProbe(samples="retain").measure(by_hand(done.bench, trial, at=model))
            for model in (trial, trial.clean_twin)
        )
        assert above.about["rows"] == below.about["rows"] == 8
        assert run.data.metrics["hessian_trace"] == pytest.approx(above.scalars["hessian_trace"], rel=1e-9)
        assert run.data.metrics["hessian_trace_clean"] == pytest.approx(below.scalars["hessian_trace"], rel=1e-9)


def test_a_path_goes_through_its_points(done: Done) -> None:
    points = {
        run.data.tags[names.TEACHER]: done.bench.result(run).arrays for run, _ in done.runs_of("own_probes:Points")
    }
    for run, trial in done.runs_of("own_probes:Line"):
        known = {name: torch.from_numpy(points[trial.key][name]) for name in ("initial", "Scrub", "oracle")}
        expected = InterpolationProbe(path=("initial", "trained", "Scrub", "oracle"), resolution=3).measure(
            by_hand(done.bench, trial, points=known)
        )
        assert expected.scalars.keys() == run.data.metrics.keys()
        result = done.bench.result(run)
        for name, values in expected.arrays.items():
            np.testing.assert_allclose(result.arrays[name], values, rtol=1e-9, atol=1e-12, err_msg=name)
        ends = [float(by_hand(done.bench, trial).loss(known[name])) for name in ("initial", "Scrub")]
        assert result.arrays["loss"][0, 0] == pytest.approx(ends[0], rel=1e-9)
        assert result.arrays["loss"][2, 0] == result.arrays["loss"][1, -1] == pytest.approx(ends[1], rel=1e-9)


def test_a_plane_through_points_has_them_on_it(done: Done) -> None:
    for run, trial in done.runs_of("own_probes:Cut", probe__directions="points"):
        result = done.bench.result(run)
        places = dict(zip(result.about["marks"], result.arrays["marks"], strict=True))
        for name in ("trained", "Scrub", "clean"):
            assert places[name][-1] == pytest.approx(0.0, abs=1e-9)
        landscape = by_hand(done.bench, trial)
        assert result.arrays["loss"][1, 1] == pytest.approx(float(landscape.loss(landscape.theta)), rel=1e-9)


def test_a_slice_along_the_trajectory_is_that_of_the_trajectory(done: Done) -> None:
    points = {
        run.data.tags[names.TEACHER]: done.bench.result(run).arrays for run, _ in done.runs_of("own_probes:Points")
    }
    for run, trial in done.runs_of("own_probes:Cut", probe__directions="pca"):
        path = torch.from_numpy(points[trial.key]["trajectory"])
        expected = SliceProbe(directions="pca", dimensions=1, resolution=3).measure(
            by_hand(done.bench, trial, trajectory=path)
        )
        result = done.bench.result(run)
        for name in ("axis", "loss", "accuracy", "directions", "trajectory"):
            np.testing.assert_allclose(result.arrays[name], expected.arrays[name], rtol=1e-8, atol=1e-10, err_msg=name)


# Health

WORST_FIRST = ("diverged", "collapsed", "unconverged", "healthy")


def health_of(done: Done, key: str) -> str:
    found: str = done.bench.run_of(key).data.tags[names.HEALTH]
    return found


def test_a_probe_has_the_health_of_its_model(done: Done) -> None:
    for kind in ("own_probes:Cut", "own_probes:Line"):
        for run, trial in done.runs_of(kind):
            assert run.data.tags[names.HEALTH] == health_of(done, trial.key)


def test_a_roughening_ratio_has_the_worse_health_of_the_pair(done: Done) -> None:
    pairs = set()
    for run, trial in done.runs_of("own_probes:Ratio"):
        pair = [health_of(done, trial.key), health_of(done, trial.clean_twin.key)]
        pairs.add(tuple(pair))
        assert run.data.tags[names.HEALTH] == min(pair, key=WORST_FIRST.index)
    assert any(polluted != clean and clean != "healthy" for polluted, clean in pairs), pairs


@pytest.mark.parametrize("name", ["clean", "oracle", "Scrub"])
def test_a_probe_at_another_models_point_has_that_models_health(done: Done, name: str) -> None:
    items = {item.key: item for item in done.experiment.probe_runs}
    for run, trial in done.runs_of("own_probes:Curvature", probe__at=name):
        expected = health_of(done, items[run.data.tags[names.TRIAL_KEY]].points[name])
        assert run.data.tags[names.HEALTH] == expected, f"{trial.label} is {health_of(done, trial.key)}"


# The summary


def test_the_table_has_every_probe_by_model(done: Done) -> None:
    table = done.outcome.probes
    assert set(table["model"]) == {"MLP", "PennyLaneQNN"}
    assert {(row["n"], row["kept"], row["runs"], row["left_out"]) for row in table.to_dict("records")} == {
        (2, 2, 2, "")
    }
    names = ("Curvature", "Ratio", "Cut", "Line", "Points")
    assert set(table["probe_type"]) == {f"own_probes:{name}" for name in names}
    ratios = done.runs_of("own_probes:Ratio", probe__samples="train")
    values = [run.data.metrics["lrr"] for run, trial in ratios if trial.names["model"] == "MLP"]
    rows = table[(table["metric"] == "lrr") & (table["model"] == "MLP")]
    assert [row["mean"] for row in rows.to_dict("records") if "samples=train" in row["probe"]] == [
        pytest.approx(np.mean(values))
    ]


def test_the_summary_of_trials_has_the_twins(done: Done) -> None:
    rows = {(row["model"], row["ratio"]): row["kept"] for row in done.outcome.table.to_dict("records")}
    assert rows == {(model, ratio): 2 for model in ("MLP", "PennyLaneQNN") for ratio in (0.0, 0.5)}


def test_the_experiments_run_lists_the_probes(done: Done) -> None:
    text = done.bench.store.fetch_file(done.outcome.parent_run, "trials.json", done.bench.folder).read_text()
    listed = json.loads(text)
    for item in done.experiment.probe_runs:
        assert listed[item.key]["probe"]["type"] == item.name


# What is left to do

CHANGED: dict[str, tuple[tuple[str, str], dict[str, int]]] = {
    "a field": (("n_samples = 10", "n_samples = 9"), {"own_probes:Curvature": 4, "own_probes:Ratio": 4}),
    "a grid": (("resolution = 3", "resolution = 4"), {"own_probes:Cut": 8, "own_probes:Line": 4}),
    # The plane, the path, the Hessian at "Scrub", and the points.
    "a method that is a point": (
        ("steps = 2", "steps = 3"),
        {"own_probes:Cut": 4, "own_probes:Line": 4, "own_probes:Curvature": 4, "own_probes:Points": 4},
    ),
    "another seed": (
        ("seeds = 2", "seeds = [0, 1, 5]"),
        {
            "own_probes:Curvature": 10,
            "own_probes:Ratio": 4,
            "own_probes:Cut": 4,
            "own_probes:Line": 2,
            "own_probes:Points": 2,
        },
    ),
}


@pytest.mark.parametrize(("change", "left"), CHANGED.values(), ids=CHANGED.keys())
def test_only_what_a_change_touches_is_measured_again(
    done: Done, change: tuple[str, str], left: dict[str, int]
) -> None:
    plan = done.bench.plan("".join(ALL).replace(*change))
    assert Counter(item.name for item in plan.todo_probe_runs) == left
    assert {plan.state(item.key) for item in plan.todo_probe_runs} == {"new"}


def test_other_trials_are_measured_anew(done: Done) -> None:
    plan = done.bench.plan("".join(ALL).replace("ratio = 0.5", "ratio = [0.5, 0.25]"))
    assert {item.trial.corruption.ratio for item in plan.todo_probe_runs} == {0.25}
    assert len(plan.todo_probe_runs) == 44
    assert {trial.corruption.ratio for trial in plan.todo} == {0.25}


def test_what_a_change_does_not_touch_is_done(done: Done) -> None:
    text = (
        "".join(ALL).replace("[run]", '[run]\ndevice = "cpu"').replace(SCRUB, SCRUB + '[[unlearner]]\ntype = "NPO"\n')
    )
    plan = done.bench.plan('about = "something else"\n' + text, HESSIAN)
    assert [(item.name, item.probe.n_samples, item.probe.at) for item in plan.todo_probe_runs] == [
        ("HessianProbe", 0, "trained")
    ] * 4
    assert plan.todo == []


def test_listing_the_twins_finds_them_trained(done: Done) -> None:
    without = "".join(part for part in ALL if "[[unlearner]]" not in part and "Scrub" not in part)
    plan = done.bench.plan(without.replace("ratio = 0.5", "ratio = [0.0, 0.5]"))
    assert plan.todo == []
    # Probes of the model itself are for the twins as well, now that the file lists them.
    assert {(item.name, item.trial.corruption.ratio) for item in plan.todo_probe_runs} == {
        ("own_probes:Curvature", 0.0),
        ("own_probes:Cut", 0.0),
    }


def test_an_edited_plugin_is_measured_again_and_trained_again_is_nothing(done: Done) -> None:
    file = done.bench.folder / "own_probes.py"
    file.write_text(PROBES + "\nEDITED = 1\n")
    try:
        plan = done.bench.plan(*ALL)
    finally:
        file.write_text(PROBES)
    assert Counter(item.name for item in plan.todo_probe_runs) == {
        "own_probes:Curvature": 20,
        "own_probes:Ratio": 8,
        "own_probes:Cut": 8,
        "own_probes:Line": 4,
        "own_probes:Points": 4,
    }
    assert (plan.todo, plan.todo_unlearnings) == ([], [])
    assert done.bench.plan(*ALL).todo_probe_runs == []


# Probes on what is in the store


@dataclasses.dataclass(frozen=True)
class Grown:
    """Models that were trained without probes, then measured, then unlearned and measured again in part."""

    bench: Bench
    plain: Recorder
    probed: Recorder
    unlearned: Recorder
    outcomes: tuple[Outcome, Outcome, Outcome]
    slices: list[ProbeResult]
    slices_alone: list[ProbeResult]


FROM_STORE = probe("own_probes:Points")
FILTER = probe("SliceProbe", "dimensions = 1", "resolution = 3")


@pytest.fixture(scope="module")
def grown(make_bench: Callable[[], Bench]) -> Grown:
    bench = make_bench()
    base = (XXZ, FLIPS, MLP, TEN_EPOCHS)
    first, plain = bench.run(*base)
    second, probed = bench.run(*base, FROM_STORE, FILTER)
    runs = bench.runs("probe", probe__type="SliceProbe")
    slices = [bench.result(run) for run in runs]
    for run in runs:
        bench.store.client.delete_run(run.info.run_id)
    third, unlearned = bench.run(*base, SCRUB, FROM_STORE, FILTER)
    alone = [bench.result(run) for run in bench.runs("probe", probe__type="SliceProbe")]
    return Grown(bench, plain, probed, unlearned, (first, second, third), slices, alone)


def test_only_what_probes_need_is_trained_for_models_in_the_store(grown: Grown) -> None:
    assert grown.plain.trained == ["MLP on XXZ, LabelFlip: 2 for 10"]
    assert sorted(grown.probed.trained) == [
        "MLP on XXZ, LabelFlip: 2 for 10",  # the clean twins
        "oracles of MLP on XXZ: 2 for 10",
        "trajectories of MLP on XXZ: 2 for 10",
    ]
    first, second, third = grown.outcomes
    assert [(found.trained, found.reused, found.measured) for found in (first, second, third)] == [
        (2, 0, 0),
        (2, 2, 4),
        (0, 4, 2),
    ]


def test_oracles_are_shared_with_unlearning(grown: Grown) -> None:
    # One oracle of each teacher was there; the file asks for two.
    assert grown.unlearned.trained == ["oracles of MLP on XXZ: 2 for 10", "Scrub of MLP: 2 for 2"]
    numbers = [(run.data.params["oracle"], run.data.tags[names.TEACHER]) for run in grown.bench.runs("oracle")]
    assert len(set(numbers)) == len(numbers) == 4


def test_trajectories_of_trials_in_the_store_are_those_recorded_in_training(grown: Grown, done: Done) -> None:
    recorded = {trial.key: run for run, trial in done.runs_of("own_probes:Points")}
    runs = grown.bench.runs("probe", probe__type="own_probes:Points")
    assert len(runs) == 2
    for run in runs:
        arrays = grown.bench.result(run).arrays
        expected = done.bench.result(recorded[run.data.tags[names.TEACHER]]).arrays
        for name in ("trajectory", "initial", "trained", "clean", "oracle"):
            np.testing.assert_allclose(arrays[name], expected[name], atol=1e-6, err_msg=name)
        np.testing.assert_allclose(arrays["trajectory"][-1], arrays["trained"], atol=1e-6)


def test_trajectories_are_kept_with_the_models_that_are_followed(grown: Grown, done: Done) -> None:
    for bench in (grown.bench, done.bench):
        for run in bench.runs("trial", corruption__ratio="0.5"):
            assert bench.store.has_file(run.info.run_id, names.TRAJECTORY)


def test_a_probe_finds_the_same_whatever_else_is_measured(grown: Grown) -> None:
    """The first time with points and trajectory, which another probe needs; the second time alone."""
    assert len(grown.slices) == len(grown.slices_alone) == 2
    for first, alone in zip(grown.slices, grown.slices_alone, strict=True):
        assert dict(first.scalars) == dict(alone.scalars)
        assert dict(first.about) == dict(alone.about)
        assert first.arrays.keys() == alone.arrays.keys()
        for name, values in first.arrays.items():
            np.testing.assert_array_equal(values, alone.arrays[name], err_msg=name)


def test_without_a_probe_that_follows_it_no_trajectory_is_kept(broken: Broken) -> None:
    for run in broken.bench.runs("trial", model__type="MLP"):
        assert not broken.bench.store.has_file(run.info.run_id, names.TRAJECTORY)


# What goes wrong


@dataclasses.dataclass(frozen=True)
class Broken:
    """Probes, models and methods that fail beside some that do not."""

    bench: Bench
    experiment: Experiment
    outcome: Outcome
    recorder: Recorder

    def runs(self, kind: str, **params: str) -> list[Any]:
        return self.bench.runs("probe", probe__type=kind, **params)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """What the table says of probes of a type."""
        table = self.outcome.probes
        return table[table["probe_type"] == name].to_dict("records")


BROKEN = (
    XXZ,
    FLIPS,
    own_model("Breaks"),
    MLP,
    SHORT,
    '[[unlearner]]\ntype = "own_unlearners:Spoilt"\nsteps = 2\n',
    SCRUB,
    probe("own_probes:Raises"),
    probe("own_probes:Interrupted", "only = 99"),
    probe("own_probes:Nothing"),
    probe("InterpolationProbe", 'path = ["trained", "own_unlearners:Spoilt"]', "resolution = 3"),
    probe("InterpolationProbe", 'path = ["trained", "Scrub"]', "resolution = 3"),
    HESSIAN,
)


@pytest.fixture(scope="module")
def broken(make_bench: Callable[[], Bench]) -> Broken:
    bench = make_bench()
    outcome, recorder = bench.draw(*BROKEN)
    return Broken(bench, bench.experiment(*BROKEN), outcome, recorder)


def test_a_probe_that_raises_fails_alone_with_the_reason(broken: Broken) -> None:
    failed, finished = broken.runs("own_probes:Raises")
    assert statuses([failed, finished]) == ["FAILED", "FINISHED"]
    assert failed.data.tags["qlab.error"].startswith("ValueError: the kettle is dry [in own_probes.py, line ")
    assert failed.data.metrics == {}
    assert finished.data.metrics == {"height": 1.0}
    assert not broken.bench.store.has_file(failed.info.run_id, names.PROBE_RESULT)


def test_a_probe_that_returns_nothing_fails(broken: Broken) -> None:
    runs = broken.runs("own_probes:Nothing")
    assert statuses(runs) == ["FAILED"] * 2
    assert all(run.data.tags["qlab.error"] for run in runs)


def test_a_line_to_a_model_whose_unlearning_diverged_says_so(broken: Broken) -> None:
    runs = broken.runs("InterpolationProbe", probe__label="trained to own_unlearners:Spoilt")
    assert statuses(runs) == ["FAILED"] * 2
    for run in runs:
        for part in ("own_unlearners:Spoilt", f"seed {run.data.params['seed']}", "failed"):
            assert part in run.data.tags["qlab.error"]


def test_the_rest_is_measured(broken: Broken) -> None:
    assert statuses(broken.runs("HessianProbe")) == ["FINISHED"] * 2
    assert statuses(broken.runs("own_probes:Interrupted")) == ["FINISHED"] * 2
    assert statuses(broken.runs("InterpolationProbe", probe__label="trained to Scrub")) == ["FINISHED"] * 2


def test_probes_of_a_model_that_failed_are_said_to_have_failed(broken: Broken) -> None:
    assert not [run for run in broken.bench.runs("probe") if run.data.params["model.type"] != "MLP"]
    reported = [
        (label, why) for label, why in broken.outcome.failed.values() if "Probe" in label or "own_probes" in label
    ]
    of_breaks = [why for label, why in reported if "own_models:Breaks" in label]
    assert len(of_breaks) == 12
    assert set(of_breaks) == {"its model failed to train"}


def test_every_failure_is_counted(broken: Broken) -> None:
    # Of the MLP: one of two that raise, two that return nothing, two lines to a method that diverged.
    runs = broken.bench.runs("probe")
    assert Counter(statuses(runs)) == {"FINISHED": 7, "FAILED": 5}
    assert broken.outcome.measured == 7
    failed = Counter(label.split()[0] for label, _ in broken.outcome.failed.values())
    assert failed == {
        "own_models:Breaks": 2,
        "own_unlearners:Spoilt": 4,
        "Scrub": 2,
        "own_probes:Raises": 3,
        "own_probes:Interrupted": 2,
        "own_probes:Nothing": 4,
        "InterpolationProbe": 6,
        "HessianProbe": 2,
    }
    assert broken.recorder.failed == [5]
    assert broken.bench.store.client.get_run(broken.outcome.parent_run).info.status == "FAILED"


def test_only_what_failed_is_left_to_do(broken: Broken) -> None:
    plan = broken.bench.plan(*BROKEN)
    left = Counter((item.trial.names["model"], item.name) for item in plan.todo_probe_runs)
    assert {name: count for (model, name), count in left.items() if model == "MLP"} == {
        "own_probes:Raises": 1,
        "own_probes:Nothing": 2,
        "InterpolationProbe": 2,
    }
    states = {plan.state(item.key) for item in plan.todo_probe_runs if item.trial.names["model"] == "MLP"}
    assert states == {"failed"}


def test_tables_and_figures_are_artifacts_of_the_experiments_run(broken: Broken) -> None:
    figures = {f"{name}.{kind}" for name in ("hessian", "landscapes") for kind in ("png", "html")}
    assert {"probes.csv"} | figures <= broken.bench.summary(broken.outcome)


def test_the_table_says_how_many_are_left_out_and_why(broken: Broken) -> None:
    [row] = broken.rows("own_probes:Raises")
    assert (row["model"], row["metric"], row["mean"]) == ("MLP", "height", 1.0)
    assert (row["n"], row["kept"], row["runs"], row["left_out"]) == (1, 1, 2, "failed")


def test_probes_of_which_none_finished_are_in_the_table(broken: Broken) -> None:
    """No run is left out in silence."""
    for rows in (
        broken.rows("own_probes:Nothing"),
        [row for row in broken.rows("InterpolationProbe") if "Spoilt" in row["probe"]],
    ):
        assert rows
        for row in rows:
            assert (row["model"], row["kept"], row["runs"], row["left_out"]) == ("MLP", 0, 2, "failed")
            assert math.isnan(row["mean"])


@dataclasses.dataclass(frozen=True)
class Twins:
    """Models in the store whose clean twins cannot be trained any more."""

    bench: Bench
    outcome: Outcome


@pytest.fixture(scope="module")
def no_twins(make_bench: Callable[[], Bench]) -> Twins:
    bench = make_bench()
    parts = (XXZ, FLIPS, own_model("Fragile"), ONE)
    bench.run(*parts)
    (bench.folder / "broken").touch()
    outcome, _ = bench.run(*parts, LRR, probe("HessianProbe", 'at = "clean"'), HESSIAN)
    return Twins(bench, outcome)


def test_without_its_clean_twin_a_comparison_fails_and_says_so(no_twins: Twins) -> None:
    [polluted], [twin] = (no_twins.bench.runs("trial", corruption__ratio=ratio) for ratio in ("0.5", "0.0"))
    assert statuses([polluted, twin]) == ["FINISHED", "FAILED"]
    compared = [run for run in no_twins.bench.runs("probe") if run.info.status != "FINISHED"]
    assert len(compared) == 2
    for run in compared:
        assert run.info.status == "FAILED"
        for part in ("own_models:Fragile LabelFlip 0 seed 0", "failed"):
            assert part in run.data.tags["qlab.error"]
    [alone] = [run for run in no_twins.bench.runs("probe") if run.info.status == "FINISHED"]
    assert alone.data.params["probe.type"] == "HessianProbe"
    assert len(no_twins.outcome.failed) == 3
    assert no_twins.outcome.measured == 1


@pytest.mark.parametrize(
    "text",
    [
        probe("InterpolationProbe", 'path = ["trained", "oracle"]', "resolution = 3"),
        probe("SliceProbe", 'directions = "pca"', "dimensions = 1", "resolution = 3"),
    ],
    ids=["oracle", "trajectory"],
)
def test_where_a_point_cannot_be_trained_the_rest_goes_on(no_twins: Twins, text: str) -> None:
    """Oracles, and trajectories of trials in the store, are trained by the probes that need them."""
    parts = (XXZ, FLIPS, own_model("Fragile"), MLP, ONE)
    outcome, _ = no_twins.bench.run(*parts, text, probe("HessianProbe", "n_samples = 7"))
    [(label, why)] = [(label, why) for label, why in outcome.failed.values() if "Probe" in label]
    assert "own_models:Fragile" in label
    assert "out of luck" in why
    measured = no_twins.bench.plan(*parts, text, probe("HessianProbe", "n_samples = 7"))
    assert [item.label for item in measured.todo_probe_runs] == [label]


@pytest.fixture(scope="module")
def stopped(make_bench: Callable[[], Bench]) -> tuple[Bench, tuple[str, ...]]:
    bench = make_bench()
    parts = (XXZ, FLIPS, MLP, SHORT, HESSIAN, probe("own_probes:Interrupted", "only = 1"), LRR)
    with pytest.raises(KeyboardInterrupt):
        bench.run(*parts)
    return bench, parts


def test_an_interrupt_kills_the_probe_that_is_taken_and_keeps_what_is_finished(
    stopped: tuple[Bench, tuple[str, ...]],
) -> None:
    bench, _ = stopped
    found = frames.runs(bench.store, bench.store.experiment_ids(["tiny"]))
    kinds = Counter(zip(found["kind"], found["probe.type"].fillna(""), found["status"], strict=True))
    assert kinds == {
        ("experiment", "", "KILLED"): 1,
        ("trial", "", "FINISHED"): 4,
        ("probe", "HessianProbe", "FINISHED"): 2,
        ("probe", "own_probes:Interrupted", "FINISHED"): 1,
        ("probe", "own_probes:Interrupted", "KILLED"): 1,
        ("probe", "RougheningProbe", "FINISHED"): 1,
    }
    [killed] = [run for run in bench.runs("probe") if run.info.status == "KILLED"]
    assert killed.data.tags["qlab.error"] == "interrupted"


def test_what_was_killed_is_left_to_do(stopped: tuple[Bench, tuple[str, ...]]) -> None:
    bench, parts = stopped
    plan = bench.plan(*parts)
    assert {(item.name, item.trial.seed): plan.state(item.key) for item in plan.todo_probe_runs} == {
        ("own_probes:Interrupted", 1): "killed",
        ("RougheningProbe", 1): "new",
    }
    assert plan.todo == []


def test_methods_of_one_name_are_points_with_their_numbers(bench: Bench) -> None:
    swept = SCRUB.replace("steps = 2", "steps = [1, 2]")
    wanted = probe("own_probes:Points", 'wanted = ["Scrub[1]", "Scrub[2]"]', "follow = false")
    outcome, _ = bench.run(XXZ, FLIPS, MLP, ONE, swept, wanted)
    assert (outcome.failed, outcome.measured) == ({}, 1)
    [run] = bench.runs("probe")
    arrays = bench.result(run).arrays
    for unlearning in bench.experiment(XXZ, FLIPS, MLP, ONE, swept, wanted).unlearnings:
        name = f"Scrub[{unlearning.unlearner.steps}]"
        np.testing.assert_array_equal(arrays[name], flat(bench.model(unlearning.key)), err_msg=name)


@pytest.mark.parametrize("name", ["Brackets", "Status"])
def test_a_number_with_an_unlucky_name_concerns_its_own_probe_only(bench: Bench, name: str) -> None:
    """The store takes letters, digits and a few signs, and qlab keeps a few names for itself."""
    outcome, _ = bench.run(XXZ, FLIPS, MLP, ONE, probe(f"own_probes:{name}"), HESSIAN)
    assert {label.split()[0] for label, _ in outcome.failed.values()} <= {f"own_probes:{name}"}
    assert statuses(bench.runs("probe", probe__type="HessianProbe")) == ["FINISHED"]
    rows = outcome.probes[outcome.probes["probe_type"] == "HessianProbe"].to_dict("records")
    assert {(row["kept"], row["runs"]) for row in rows} == {(1, 1)}
    assert bench.plan(XXZ, FLIPS, MLP, ONE, HESSIAN).todo_probe_runs == []


# Models whose numbers mislead


@dataclasses.dataclass(frozen=True)
class Misleading(Broken):
    """Models whose traces mean little, and what was warned of while they were measured and drawn."""

    warned: list[str]


@pytest.fixture(scope="module")
def misleading(make_bench: Callable[[], Bench]) -> Misleading:
    bench = make_bench()
    ratios = probe("RougheningProbe", "keep_collapsed = [true, false]")
    parts = (XXZ, FLIPS, own_model("Dead"), own_model("Mute"), SHORT, ratios)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        outcome, recorder = bench.draw(*parts)
    messages = [str(warning.message) for warning in warned if "noload" not in str(warning.message)]
    return Misleading(bench, bench.experiment(*parts), outcome, recorder, messages)


def lrr_rows(found: Broken, model: str) -> dict[str, dict[str, Any]]:
    """By whether collapsed pairs are kept, what the table says of a model's roughening ratio."""
    rows = [row for row in found.rows("RougheningProbe") if row["model"] == model and row["metric"] == "lrr"]
    return {"false" if "keep_collapsed=false" in row["probe"] else "true": row for row in rows}


def test_collapsed_pairs_are_kept_unless_the_probe_says_otherwise(misleading: Broken) -> None:
    rows = lrr_rows(misleading, "own_models:Dead")
    assert (rows["true"]["n"], rows["true"]["kept"], rows["true"]["runs"]) == (2, 2, 2)
    assert (rows["false"]["n"], rows["false"]["kept"], rows["false"]["runs"]) == (0, 0, 2)
    assert (rows["true"]["left_out"], rows["false"]["left_out"]) == ("", "collapsed")
    assert math.isnan(rows["false"]["mean"])


def test_a_dead_network_has_the_trace_of_its_last_bias(misleading: Broken) -> None:
    for run in misleading.runs("RougheningProbe", model__type="own_models:Dead"):
        trial = next(trial for trial in misleading.experiment.trials if trial.key == run.data.tags[names.TEACHER])
        model = misleading.bench.model(trial.key)
        z = float(model(model.prepare(data_of(trial.task).train.x[:1])).detach())
        p = 1.0 / (1.0 + math.exp(-z))
        assert run.data.tags[names.HEALTH] == "collapsed"
        assert run.data.metrics["hessian_trace"] == pytest.approx(p * (1.0 - p), rel=1e-6)


def test_without_a_clean_trace_there_is_no_ratio_but_the_traces_are_there(misleading: Broken) -> None:
    runs = misleading.runs("RougheningProbe", model__type="own_models:Mute")
    assert statuses(runs) == ["FINISHED"] * 4
    for run in runs:
        assert (run.data.metrics["hessian_trace"], run.data.metrics["hessian_trace_clean"]) == (0.0, 0.0)
        assert "lrr" not in run.data.metrics
    metrics = {row["metric"] for row in misleading.rows("RougheningProbe") if row["model"] == "own_models:Mute"}
    assert {"hessian_trace", "hessian_trace_clean"} <= metrics


def test_figures_of_models_that_mislead_are_drawn_without_warnings(misleading: Misleading) -> None:
    assert misleading.warned == []
    assert {"roughening.png", "roughening.html"} <= misleading.bench.summary(misleading.outcome)


def test_probes_of_models_that_diverged_are_recorded_and_shown(bench: Bench) -> None:
    wild = (FLIPS, FLOAT32, ONE.replace("0.05", "1e30"))
    probes = (HESSIAN, LRR, probe("InterpolationProbe", "resolution = 3"))
    outcome, _ = bench.draw(XXZ, *wild, *probes)
    runs = bench.runs("probe")
    assert [run.data.tags[names.HEALTH] for run in runs] == ["diverged"] * 3
    for kind in ("HessianProbe", "RougheningProbe", "InterpolationProbe"):
        rows = outcome.probes[outcome.probes["probe_type"] == kind].to_dict("records")
        assert {(row["kept"], row["runs"], row["left_out"]) for row in rows} == {(0, 1, "diverged")}, kind


def test_a_slice_through_a_model_that_diverged_is_not_a_number_or_says_why(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    bench.draw(XXZ, FLIPS, FLOAT32, ONE.replace("0.05", "1e30"), FILTER, ALONG)
    [trial] = bench.runs("trial")
    assert trial.data.tags[names.HEALTH] == "diverged"
    for run in bench.runs("probe"):
        if run.info.status == "FINISHED":
            assert np.isnan(bench.result(run).arrays["loss"]).all()
        else:
            assert "INTERNAL ASSERT" not in run.data.tags["qlab.error"]
            assert re.search("finite|not a number|NaN", run.data.tags["qlab.error"])
    assert "oneMKL ERROR" not in "".join(capfd.readouterr())


# What is refused before there is any run

TOO_MANY = {
    "of the training split": (FLIPS, probe("HessianProbe", "n_samples = 17"), ["17", "train", "16"]),
    "of the retain set": (FLIPS, probe("HessianProbe", 'samples = "retain"', "n_samples = 9"), ["9", "retain", "8"]),
    "of the forget set": (
        FLIPS,
        probe("SliceProbe", 'samples = "forget_clean"', "n_samples = 9"),
        ["9", "forget_clean", "8"],
    ),
    "of the validation split": (
        FLIPS,
        probe("HessianProbe", 'samples = "validation"', "n_samples = 13"),
        ["13", "validation", "12"],
    ),
    "at one of two ratios": (
        FLIPS.replace("0.5", "[0.25, 0.5]"),
        probe("HessianProbe", 'samples = "forget_clean"', "n_samples = 8"),
        ["8", "forget_clean", "0.25", "4"],
    ),
    "where a ratio leaves no row": (
        FLIPS.replace("0.5", "1.0"),
        probe("HessianProbe", 'samples = "retain"'),
        ["retain", "0"],
    ),
}


def refused(bench: Bench, *parts: str) -> str:
    with pytest.raises(QlabError) as caught:
        bench.run(*parts)
    assert isinstance(caught.value, ConfigError | DataError)
    refused_alone(bench.store)
    return str(caught.value)


@pytest.mark.parametrize(("corruption", "text", "expected"), TOO_MANY.values(), ids=TOO_MANY.keys())
def test_more_samples_than_there_are_is_one_message_and_no_run(
    bench: Bench, corruption: str, text: str, expected: list[str]
) -> None:
    message = refused(bench, XXZ, corruption, MLP, ONE, text)
    assert "\n" not in message
    for part in ["Probe", *expected]:
        assert part in message


def test_on_the_forget_set_the_clean_twin_is_measured_or_refused(bench: Bench) -> None:
    """Either it is measured on the rows of the polluted trial, or it is refused before anything is trained."""
    parts = (XXZ, FLIPS, MLP, ONE, probe("RougheningProbe", 'samples = "forget_polluted"'))
    try:
        outcome, _ = bench.run(*parts)
    except QlabError:
        refused_alone(bench.store)
    else:
        assert (outcome.failed, outcome.measured) == ({}, 1)


def test_a_ratio_that_rounds_to_every_row_leaves_no_oracle(bench: Bench) -> None:
    path = probe("InterpolationProbe", 'path = ["trained", "oracle"]')
    refused(bench, XXZ, FLIPS.replace("0.5", "0.97"), MLP, ONE, path)


def test_an_eigenvector_that_the_model_does_not_have_is_explained(bench: Bench) -> None:
    text = probe("SliceProbe", 'directions = "hessian"', "dimensions = 1", "eigenvectors = [[100000]]")
    outcome, _ = bench.run(XXZ, FLIPS, MLP, ONE, text)
    [(_, message)] = outcome.failed.values()
    for part in ("eigenvectors: got [100000]", "parameters"):
        assert part in message
