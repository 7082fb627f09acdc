"""Estimators of stored trials: fitted again, checked against what their runs say, used in the explorer and for rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from support.experiments import TASK
from support.runs import runner

import qlab
from qlab import seeding
from qlab.errors import ConfigError, DataError
from qlab.experiment.asking import schema
from qlab.explorer.loaded import Loader, checkpoints, corrupted_of, data_of, fitted_runs
from qlab.explorer.reader import Reader
from qlab.models import Features
from qlab.models.estimator import inputs_of
from qlab.tracking.store import Store
from qlab.training.fitting import rows_for
from qlab.training.refitting import is_estimator, refit

FILE = f"""
name = "mixed"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.25
[[model]]
type = "MLP"
hidden = [3]
[[model]]
type = "sklearn.ensemble:RandomForestClassifier"
n_estimators = 5
[[model]]
type = "sklearn.svm:SVC"
[[model]]
type = "mine:Sign"
[training]
epochs = 1
[run]
seeds = 1
"""

OWN = '''
import numpy as np

from qlab import Estimator


class Sign(Estimator):
    """Decides by the first feature."""

    def fit(self, x, y, generator):
        pass

    def decision(self, x):
        return np.where(x[:, 0] > 0, 2.0, -2.0)
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "mine.py").write_text(OWN)
    experiment = schema.parse(FILE, source="mixed.toml", folder=folder)
    outcome = runner(Store(f"sqlite:///{folder}/mlruns/mlflow.db")).run(experiment)
    assert not outcome.failed
    return folder


@pytest.fixture(scope="module")
def reader(place):
    return Reader(f"sqlite:///{place}/mlruns/mlflow.db")


@pytest.fixture(scope="module")
def results(place):
    return qlab.results("mixed", tracking_uri=f"sqlite:///{place}/mlruns/mlflow.db")


def run_of(results, name):
    frame = results.frame
    return frame[frame["model.type"] == name].iloc[0]["run_id"]


def forest(reader, item):
    config = Loader(reader).config("mixed", item)
    split, features = corrupted_of(config).split, Features.of(data_of(config)[1])
    random_state = int(seeding.numpy_generator(0, "fit").integers(2**32))
    x = inputs_of(split.x, features)
    return x, RandomForestClassifier(n_estimators=5, random_state=random_state).fit(x, split.y)


def test_estimators_have_no_checkpoint_and_are_known_by_that_they_were_not_trained(reader):
    frame = reader.runs("mixed")
    assert len(checkpoints(frame)) == 1
    assert len(fitted_runs(frame)) == 3
    assert is_estimator({"model.type": "a:B", "training.epochs": float("nan")})
    assert not is_estimator({"model.type": "MLP", "training.epochs": 3})


def test_the_explorer_shows_what_an_estimator_that_is_fitted_again_decides(reader):
    by_label = {item.label: item for item in fitted_runs(reader.runs("mixed")).values()}
    item = next(item for label, item in by_label.items() if "Forest" in label)
    x, expected = forest(reader, item)
    [(label, p)] = Loader(reader).predictions("mixed", [item], 3)
    assert label == item.label
    assert p == pytest.approx(expected.predict_proba(x[3:4])[0, 1], abs=1e-12)
    svc = next(item for label, item in by_label.items() if "SVC" in label)
    [(label, decided)] = Loader(reader).predictions("mixed", [svc], 3)
    assert "no probability" in label
    assert decided in (0.0, 1.0)
    with pytest.raises(DataError, match="no training row 99"):
        Loader(reader).predictions("mixed", [item], 99)
    own = next(item for label, item in by_label.items() if "Sign" in label)
    with pytest.raises(ConfigError, match="not imported"):
        Loader(reader).predictions("mixed", [own], 3)


def test_results_hand_out_an_estimator_that_predicts_new_rows(results, place):
    model = results.model(run_of(results, "sklearn.ensemble:RandomForestClassifier"))
    assert isinstance(model, qlab.Estimator)
    task = schema.parse(FILE, source="mixed.toml", folder=place).trials[0].task
    rows = task.load().validation.x[:4].real.numpy()
    predicted = results.predict(run_of(results, "sklearn.ensemble:RandomForestClassifier"), rows)
    np.testing.assert_allclose(
        predicted["probability"], model.fitted.predict_proba(rows_for(model, torch.from_numpy(rows)))[:, 1]
    )
    margins = results.predict(run_of(results, "sklearn.svm:SVC"), rows)
    assert margins["probability"].isna().all()
    assert list(margins["predicted"]) == [int(z > 0) for z in margins["logit"]]
    with pytest.raises(ConfigError, match=r"class of yours, mine:Sign.*--folder DIR"):
        results.model(run_of(results, "mine:Sign"))
    own = results.predict(run_of(results, "mine:Sign"), rows, folder=place)
    first = rows_for(model, torch.from_numpy(rows))[:, 0]  # of those that are not zero in every sample
    np.testing.assert_array_equal(own["logit"], np.where(first > 0, 2.0, -2.0))


def test_one_that_comes_out_otherwise_is_refused(reader):
    item = next(item for item in fitted_runs(reader.runs("mixed")).values() if "Forest" in item.label)
    config = Loader(reader).config("mixed", item)
    metrics = dict(reader.store.get_run(item.run_id).data.metrics)
    assert refit(config, metrics, "run r", data_of(config)).metrics["train_accuracy"] == metrics["train_accuracy"]
    with pytest.raises(DataError, match=r"run r: fitted again.*train accuracy was 0.1 and is .*scikit-learn"):
        refit(config, metrics | {"train_accuracy": 0.1}, "run r", data_of(config))
