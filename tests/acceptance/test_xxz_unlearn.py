"""The unlearning experiment in full, into a real store: do the methods do what the paper says they do?

Takes about a minute on two cores; leave it out with ``-m "not slow"``.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from statistics import mean

import pytest
from support.runs import runner

from qlab.experiment.asking.schema import load
from qlab.resources import experiment_file
from qlab.tracking import frames
from qlab.tracking.store import Store

pytestmark = pytest.mark.slow

REFERENCE = Path(__file__).parents[3] / "shared/reference/fig3b_xxz.csv"

APPROXIMATE = ("Finetune", "GradientAscent", "Scrub")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(f"sqlite:///{tmp_path_factory.mktemp('xxz_unlearn') / 'mlflow.db'}")


@pytest.fixture(scope="module")
def table(store):
    """Final means by model and method; one oracle each, which no test here looks at."""
    outcome = runner(store).run(load(experiment_file("xxz_unlearn"), [("run.oracles", 1)]))
    assert not outcome.failed
    assert list(outcome.unlearning["kept"]) == [5] * 8
    return {(row["model"], row["method"]): row for row in outcome.unlearning.to_dict("records")}


def mean_at(store, model, method, metric, step):
    """The mean over seeds of a metric at a step."""
    frame = frames.runs(store, store.experiment_ids(["xxz_unlearn"]), "tags.`qlab.kind` = 'unlearning'")
    own = frame[(frame["model.type"] == model) & (frame["unlearner.type"] == method)]
    return mean(dict(store.metric_history(run, metric))[step] for run in own["run_id"])


@pytest.mark.parametrize("method", APPROXIMATE)
def test_the_qnn_recovers_and_forgets_with_any_method(table, method):
    assert table["PennyLaneQNN", method]["validation_accuracy_mean"] >= 0.95
    assert table["PennyLaneQNN", method]["forget_accuracy_polluted_mean"] < 0.05


@pytest.mark.parametrize("method", APPROXIMATE)
def test_the_mlp_stays_below_retraining_and_forgets_more_slowly(table, store, method):
    assert table["MLP", method]["validation_accuracy_mean"] < table["MLP", "Retrain"]["validation_accuracy_mean"]
    slow = mean_at(store, "MLP", method, "forget_accuracy_polluted", 10)
    assert slow > mean_at(store, "MLP", "Retrain", "forget_accuracy_polluted", 10) + 0.1


def test_close_to_the_published_points(table):
    if not REFERENCE.is_file():
        pytest.skip("the published points of Fig. 3b are not beside this checkout")
    published = defaultdict(list)
    with REFERENCE.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["step"] == "49":
                model = "PennyLaneQNN" if row["model"] == "QNN" else row["model"]
                published[model, row["unlearner"]].append(float(row["validation_accuracy"]))
    assert set(published) == set(table)
    for key, values in published.items():
        assert table[key]["validation_accuracy_mean"] == pytest.approx(mean(values), abs=0.06), key
