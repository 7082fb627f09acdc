"""The main experiment in full, into a real store: does its figure say what the paper's says?

Takes about two minutes on two cores; leave it out with ``-m "not slow"``.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from statistics import mean

import pytest
from support.runs import runner

from qlab import MLP, XXZ, Dataset, LabelFlip, Trainer, seeding
from qlab.experiment.asking.schema import load
from qlab.resources import experiment_file
from qlab.tasks.xxz import grid
from qlab.tracking.store import Store

pytestmark = pytest.mark.slow

REFERENCE = Path(__file__).parents[3] / "shared/reference/fig2d_xxz.csv"


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xxz_flip")
    store = Store(f"sqlite:///{folder / 'mlflow.db'}")
    return runner(store).run(load(experiment_file("xxz_flip")))


@pytest.fixture(scope="module")
def accuracy(outcome):
    """Mean validation accuracy by model and ratio."""
    table = outcome.table
    return {
        (row.model, round(row.ratio, 1)): row.validation_accuracy_mean for row in table.itertuples() if row.kept == 5
    }


def test_every_trial_is_in_the_store_and_kept(outcome):
    assert outcome.trained == 100
    assert not outcome.failed
    assert list(outcome.table["kept"]) == [5] * 20


def test_qnn_has_a_plateau_and_falls(accuracy):
    for ratio in (0.0, 0.1, 0.2, 0.3, 0.4):
        assert accuracy["PennyLaneQNN", ratio] >= 0.9
    for ratio in (0.7, 0.8, 0.9):
        assert accuracy["PennyLaneQNN", ratio] < 0.2


def test_mlp_falls_from_the_start(accuracy):
    for ratio, expected in ((0.1, 0.9), (0.2, 0.8), (0.3, 0.7)):
        assert accuracy["MLP", ratio] == pytest.approx(expected, abs=0.06)


def test_close_to_the_published_points(accuracy):
    if not REFERENCE.is_file():
        pytest.skip("the published points of Fig. 2d are not beside this checkout")
    published = defaultdict(list)
    with REFERENCE.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["corruption"] == "LabelFlip":
                model = "PennyLaneQNN" if row["model"] == "QNN" else row["model"]
                published[model, round(float(row["ratio"]), 1)].append(float(row["validation_accuracy"]))
    # The published runs have fewer training states and a ring; where the curves are steep (0.5 and 0.6 for the
    # QNN) five seeds scatter by 0.2 to 0.4, and those two points are left to the tests above.
    for (model, ratio), values in published.items():
        if not (model == "PennyLaneQNN" and ratio in (0.5, 0.6)):
            assert accuracy[model, ratio] == pytest.approx(mean(values), abs=0.1), (model, ratio)


class ReleasedSettings(XXZ):
    """41 + 41 training and 42 + 42 validation states between them, as in the published runs."""

    def load(self):
        deltas = [*grid((-0.86, 0.78, 0.04)), *grid((1.04, 2.68, 0.04))]
        validation = self._split(deltas, seeding.generator(self.gauge_seed, "validation"))
        return Dataset(super().load().train, validation)


def test_the_gauge_decides_how_an_mlp_takes_flips():
    """Flips at 0.2: the published value is 0.77 with random phases; in the fixed gauge the MLP resists."""
    final = {}
    for gauge in ("fixed", "random-phase"):
        task = ReleasedSettings(gapless=(-0.84, 0.76, 0.04), gapped=(1.02, 2.62, 0.04), gauge=gauge)
        trained = Trainer(epochs=400, learning_rate=0.01).train(MLP(), task, LabelFlip(ratio=0.2), seeds=range(5))
        final[gauge] = trained.history["validation_accuracy"][:, -1].mean()
    assert final["fixed"] > 0.9
    assert final["random-phase"] == pytest.approx(0.77, abs=0.06)
