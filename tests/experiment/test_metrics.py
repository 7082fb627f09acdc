"""Metrics of one's own, asked for before or after training: of trials, estimators and unlearned models."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score
from support.experiments import TASK
from support.runs import refused_alone, runner

from qlab.cli import main
from qlab.errors import ConfigError, DataError
from qlab.experiment.asking import schema
from qlab.experiment.runner import Outcome
from qlab.models import checkpoint
from qlab.reading import Results
from qlab.tasks.base import load_data
from qlab.tracking import frames, names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

OWN = '''
from qlab import Metric


class AttackSuccess(Metric):
    """Corrupted rows that are predicted as they were polluted."""

    def compute(self, logits, split):
        assert split.mask.all()
        return ((logits > 0).long() == split.y).double().mean()


class Odd(Metric):
    """Raises at odd seeds' data, or is NaN.

    Args:
        message: of the error; NaN if there is none.
    """

    message: str = ""

    def compute(self, logits, split):
        if self.message:
            raise RuntimeError(self.message)
        return float("nan")
'''

FILE = f"""
name = "own"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.0, 0.5]
[[model]]
type = "MLP"
hidden = [4]
[training]
epochs = 3
batch_size = 8
[run]
seeds = 2
"""

ATTACK = '[[metric]]\ntype = "metrics_beside:AttackSuccess"\non = "forget"\n'
AUC = '[[metric]]\ntype = "ROCAUC"\nwhen = "epoch"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "metrics_beside.py").write_text(OWN)
    return tmp_path


def run(folder: Path, store: Store, text: str, *pairs: tuple[str, Any]) -> Outcome:
    (folder / "own.toml").write_text(text)
    return runner(store).run(schema.load(folder / "own.toml", pairs))


def trials(store: Store) -> pd.DataFrame:
    return frames.trials(store, store.experiment_ids(["own"]))


def logits(folder: Path, store: Store, run_id: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Of a stored model on the clean training and validation rows."""
    data = load_data(schema.load(folder / "own.toml").trials[0].task)
    (folder / run_id).mkdir()
    model = checkpoint.load(store.fetch_file(run_id, names.CHECKPOINT, folder / run_id))
    z = [model(model.prepare(split.x)).detach().double() for split in (data.train, data.validation)]
    return z[0], z[1]


def test_metrics_at_the_end_and_over_epochs_are_logged_beside_the_built_in_ones(folder: Path, store: Store) -> None:
    outcome = run(folder, store, FILE + ATTACK + AUC)
    assert not outcome.failed
    found = trials(store)
    y = load_data(schema.load(folder / "own.toml").trials[0].task).validation.y
    for row in found.to_dict("records"):
        _, z = logits(folder, store, row["run_id"])
        assert row["validation_roc_auc"] == pytest.approx(roc_auc_score(y, z), abs=1e-12)
        assert [step for step, _ in store.metric_history(row["run_id"], "validation_roc_auc")] == [1, 2, 3]
        attacked = store.metric_history(row["run_id"], "forget_attack_success")
        if row["corruption.ratio"] == 0.0:
            assert attacked == []
        else:
            assert attacked == [(3, row["forget_accuracy_polluted"])]
    table = outcome.table.set_index("ratio")
    assert math.isnan(table.loc[0.0, "forget_attack_success_mean"])
    polluted = found[found["corruption.ratio"] == 0.5]
    assert table.loc[0.5, "forget_attack_success_mean"] == pytest.approx(polluted["forget_attack_success"].mean())
    assert (outcome.table["kept"] == 2).all()
    assert (outcome.table["left_out"] == "").all()


def test_metrics_do_not_change_what_a_trial_is(folder: Path) -> None:
    (folder / "own.toml").write_text(FILE)
    before = schema.load(folder / "own.toml")
    (folder / "own.toml").write_text(FILE + ATTACK + AUC)
    after = schema.load(folder / "own.toml")
    assert [trial.key for trial in before.trials] == [trial.key for trial in after.trials]
    assert before.content != after.content


def test_trials_in_the_store_get_a_metric_that_is_asked_for_later_without_training(folder: Path, store: Store) -> None:
    run(folder, store, FILE)
    before = trials(store)
    outcome = run(folder, store, FILE + ATTACK + '[[metric]]\ntype = "BalancedAccuracy"\non = "train"\n')
    assert (outcome.trained, outcome.reused) == (0, 4)
    after = trials(store)
    assert after["run_id"].tolist() == before["run_id"].tolist()
    assert (after["status"] == "FINISHED").all()
    y = load_data(schema.load(folder / "own.toml").trials[0].task).train.y
    clean = after[after["corruption.ratio"] == 0.0]
    for row in clean.to_dict("records"):
        z, _ = logits(folder, store, row["run_id"])
        assert row["train_balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, z > 0))
    polluted = after[after["corruption.ratio"] == 0.5]
    assert polluted["forget_attack_success"].tolist() == polluted["forget_accuracy_polluted"].tolist()


def test_what_is_measured_is_not_measured_again_unless_its_code_changes(folder: Path, store: Store) -> None:
    run(folder, store, FILE + ATTACK)
    first = trials(store)["forget_attack_success"].dropna()
    (folder / "metrics_beside.py").write_text(OWN + "\n# a comment changes nothing\n")
    assert run(folder, store, FILE + ATTACK).tracking_seconds >= 0.0
    assert trials(store)["forget_attack_success"].dropna().tolist() == first.tolist()
    (folder / "metrics_beside.py").write_text(OWN.replace(".mean()", ".mean() - 2"))
    outcome = run(folder, store, FILE + ATTACK)
    assert outcome.trained == 0
    assert trials(store)["forget_attack_success"].dropna().tolist() == [value - 2 for value in first]


def test_a_curve_of_trials_in_the_store_is_its_last_value_and_that_is_said(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder, store, FILE)
    (folder / "own.toml").write_text(FILE + AUC)
    monkeypatch.chdir(folder)
    again = ["run", "own.toml", "--no-figures", "--tracking-uri", store.uri]
    result = CliRunner().invoke(main, again)
    assert result.exit_code == 0
    assert "validation_roc_auc: 4 trials were trained before it was asked for" in result.output
    for row in trials(store).to_dict("records"):
        assert store.metric_history(row["run_id"], "validation_roc_auc") == [(3, row["validation_roc_auc"])]
    assert "before it was asked for" not in CliRunner().invoke(main, again).output


def test_a_curve_is_not_mixed_with_values_of_edited_code(folder: Path, store: Store) -> None:
    over = ATTACK + 'when = "epoch"\n'
    run(folder, store, FILE + over)
    (folder / "metrics_beside.py").write_text(OWN.replace(".mean()", ".mean() - 2"))
    outcome = run(folder, store, FILE + over)
    assert len(outcome.failed) == 2
    assert "has the curve of another version of metrics_beside:AttackSuccess" in outcome.failures[0]
    assert not run(folder, store, FILE + over + 'name = "second"\n').failed


def test_a_metric_that_raises_fails_alone_with_file_and_line(folder: Path, store: Store) -> None:
    odd = '[[metric]]\ntype = "metrics_beside:Odd"\nmessage = "no"\n'
    outcome = run(folder, store, FILE + odd + AUC)
    assert outcome.trained == 4
    assert (trials(store)["status"] == "FINISHED").all()
    (failure,) = outcome.failures
    assert failure.startswith("4 of 8 metrics (validation_odd of MLP LabelFlip 0 seeds 0, 1")
    assert "RuntimeError: no [in metrics_beside.py, line 24" in failure
    parent = store.get_run(outcome.parent_run)
    assert parent.info.status == "FAILED"
    again = run(folder, store, FILE + odd.replace('"no"', '""') + AUC)
    assert again.trained == 0
    assert not again.failed


def test_a_metric_that_raises_after_an_epoch_lets_training_go_on(folder: Path, store: Store) -> None:
    outcome = run(folder, store, FILE + '[[metric]]\ntype = "metrics_beside:Odd"\nmessage = "no"\nwhen = "epoch"\n')
    assert outcome.trained == 4
    assert (trials(store)["status"] == "FINISHED").all()
    assert len(outcome.failed) == 4


def test_nan_is_logged_and_named_in_the_summary_and_the_trial_is_kept(folder: Path, store: Store) -> None:
    outcome = run(folder, store, FILE + '[[metric]]\ntype = "metrics_beside:Odd"\n')
    assert not outcome.failed
    assert outcome.table["left_out"].tolist() == ["validation_odd not a number"] * 2
    assert (outcome.table["kept"] == 2).all()
    assert all(("validation_odd" in found) for found in trials(store)[names.NOT_FINITE])


def test_estimators_and_unlearned_models_have_them_too(folder: Path, store: Store) -> None:
    text = FILE.replace("[0.0, 0.5]", "0.5") + '[[model]]\ntype = "sklearn.linear_model:LogisticRegression"\n'
    text += '[[metric]]\ntype = "LogLoss"\n[[unlearner]]\ntype = "Finetune"\nsteps = 2\n' + ATTACK + AUC
    outcome = run(folder, store, text, ("run.oracles", 1))
    assert not outcome.failed
    found = trials(store)
    fitted = found[found["model.type"].str.startswith("sklearn")]
    assert fitted["validation_log_loss"].tolist() == pytest.approx(fitted["validation_loss"].tolist())
    assert fitted["forget_attack_success"].tolist() == fitted["forget_accuracy_polluted"].tolist()
    every = frames.runs_of_kind(store, store.experiment_ids(["own"]), names.UNLEARNING)
    y = load_data(schema.load(folder / "own.toml").trials[0].task).validation.y
    for row in every.to_dict("records"):
        _, z = logits(folder, store, row["run_id"])
        assert row["validation_log_loss"] == pytest.approx(log_loss(y, torch.sigmoid(z)), rel=1e-6)
        assert row["forget_attack_success"] == row["forget_accuracy_polluted"]
    assert outcome.unlearning["validation_log_loss_n"].tolist() == [2]


def test_an_estimator_is_fitted_once_with_its_metrics_and_again_for_those_that_come_later(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits, fit = [], LogisticRegression.fit

    def counted(self: LogisticRegression, x: Any, y: Any) -> LogisticRegression:
        fits.append(len(x))
        return fit(self, x, y)

    monkeypatch.setattr(LogisticRegression, "fit", counted)
    text = FILE.replace('type = "MLP"\nhidden = [4]', 'type = "sklearn.linear_model:LogisticRegression"')
    text += '[[metric]]\ntype = "LogLoss"\n'
    assert not run(folder, store, text).failed
    first = trials(store).set_index("trial")["validation_log_loss"]
    assert len(fits) == len(first) == 4
    assert not run(folder, store, text + '[[metric]]\ntype = "LogLoss"\nname = "again"\n').failed
    assert len(fits) == 8
    assert trials(store).set_index("trial")["validation_again"].to_dict() == first.to_dict()


def test_an_estimator_without_probabilities_has_no_metric_of_them(folder: Path, store: Store) -> None:
    text = (
        FILE.replace('type = "MLP"\nhidden = [4]', 'type = "sklearn.svm:LinearSVC"') + '[[metric]]\ntype = "LogLoss"\n'
    )
    outcome = run(folder, store, text)
    assert outcome.trained == 4
    assert "gives no probabilities, which LogLoss is computed from" in outcome.failures[0]


def test_frames_and_tables_of_results_have_them(folder: Path, store: Store) -> None:
    run(folder, store, FILE + ATTACK + AUC)
    results = Results.of(store, ["own"])
    assert results.frame["validation_roc_auc"].notna().all()
    assert "forget_attack_success_mean" in results.table()
    curves = results.curves("validation_roc_auc")
    assert sorted(curves["epoch"].unique()) == [1, 2, 3]


def test_the_experiment_in_the_ui_has_them(folder: Path, store: Store) -> None:
    outcome = run(folder, store, FILE + AUC)
    measured = store.get_run(outcome.parent_run).data.metrics
    assert any(name.startswith("validation_roc_auc_mean/") for name in measured)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('type = "ROCAUC"\non = "tset"', 'metric.on: got "tset", accepts one of "validation"'),
        ('type = "ROCAUC"\nwhen = 3', 'when: got 3, accepts one of "end", "epoch"'),
        ('type = "ROCUAC"', 'unknown metric "ROCUAC". Did you mean "ROCAUC"?'),
        (
            'type = "CalibrationError"\nbins = [5, 10]',
            "is logged as validation_calibration_error, with each of its swept",
        ),
        ('type = "LogLoss"\nname = "loss"', "is logged as validation_loss, which is a built-in metric"),
        ('type = "metrics_beside:Missing"', 'unknown metric in metrics_beside "Missing"'),
        ('type = "LogLoss"\nbins = 3', 'unknown LogLoss key "bins"'),
    ],
)
def test_bad_tables_are_refused(folder: Path, table: str, said: str) -> None:
    (folder / "own.toml").write_text(f"{FILE}[[metric]]\n{table}\n")
    with pytest.raises(ConfigError) as caught:
        schema.load(folder / "own.toml")
    assert said in str(caught.value)


@pytest.mark.parametrize(("ratio", "on", "word"), [(0.0, "forget", "above 0"), (1.0, "retain", "below 1")])
def test_rows_that_no_trial_has_are_refused(folder: Path, ratio: float, on: str, word: str) -> None:
    (folder / "own.toml").write_text(FILE + f'[[metric]]\ntype = "LogLoss"\non = "{on}"\n')
    with pytest.raises(ConfigError, match=rf'metric: on = "{on}", but no trial has .* give corruption a ratio {word}'):
        schema.load(folder / "own.toml", [("corruption.ratio", ratio)])


def test_test_rows_of_a_task_without_any_are_refused_before_there_are_runs(folder: Path, store: Store) -> None:
    with pytest.raises(
        DataError, match=r"validation_|test_log_loss is of test rows, but XXZ has no test split; take on"
    ):
        run(folder, store, FILE + '[[metric]]\ntype = "LogLoss"\non = "test"\n')
    refused_alone(store)
