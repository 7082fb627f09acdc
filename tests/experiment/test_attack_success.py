"""How often backdoors work, of trials, estimators and unlearned models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.experiments import TASK
from support.runs import runner

from qlab.corruptions import Backdoor
from qlab.errors import ConfigError, DataError
from qlab.experiment.asking import schema
from qlab.metrics import AttackSuccess, Rows
from qlab.models import checkpoint
from qlab.tasks.base import load_data
from qlab.tracking import frames, names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

FILE = f"""
name = "attacked"
{TASK}
[corruption]
type = "Backdoor"
ratio = 0.2
target = 0
angle = 1.0
[[model]]
type = "MLP"
hidden = [4]
[[model]]
type = "sklearn.linear_model:LogisticRegression"
[training]
epochs = 3
batch_size = 8
[[unlearner]]
type = "Finetune"
steps = 2
[[metric]]
type = "AttackSuccess"
[run]
seeds = 2
oracles = 1
"""


def test_it_is_that_of_the_model_on_triggered_rows_of_the_other_class(
    tmp_path: Path, write_empty_store: Callable[[Path], str]
) -> None:
    (tmp_path / "attacked.toml").write_text(FILE)
    store = Store(write_empty_store(tmp_path / "mlruns" / "mlflow.db"))
    experiment = schema.load(tmp_path / "attacked.toml")
    assert not runner(store).run(experiment).failed
    task, ids = experiment.trials[0].task, store.experiment_ids(["attacked"])
    validation = load_data(task).validation
    others = validation.y == 1
    x = Backdoor(angle=1.0).trigger(validation.x[others], task)
    assert isinstance(x, torch.Tensor)
    every = [frames.trials(store, ids), frames.runs_of_kind(store, ids, names.UNLEARNING)]
    seen = 0
    for row in (row for frame in every for row in frame.to_dict("records")):
        assert 0.0 <= row["validation_attack_success"] <= 1.0
        if row["model.type"] != "MLP":
            continue
        (tmp_path / row["run_id"]).mkdir()
        model = checkpoint.load(store.fetch_file(row["run_id"], names.CHECKPOINT, tmp_path / row["run_id"]))
        said = float((model(model.prepare(x)) <= 0).double().mean())
        assert row["validation_attack_success"] == pytest.approx(said)
        seen += 1
    assert seen == 4


def test_it_is_the_fraction_of_marked_rows_with_the_polluted_label() -> None:
    y = torch.tensor([1, 1, 1, 1, 0])
    rows = Rows(torch.zeros(5, 1), y, mask=torch.tensor([True, True, True, True, False]), clean_y=y)
    z = torch.tensor([2.0, -1.0, float("nan"), 0.5, 3.0], dtype=torch.float64)
    assert AttackSuccess().compute(z, rows) == 0.5
    assert AttackSuccess().compute(z, Rows.clean(rows)) != AttackSuccess().compute(z, Rows.clean(rows))  # NaN


@pytest.mark.parametrize("fields", [{"on": "forget"}, {"when": "epoch"}])
def test_other_rows_and_epochs_are_refused(fields: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="it is measured on triggered validation rows, after training"):
        AttackSuccess(**fields)  # type: ignore[arg-type]


def test_an_experiment_without_a_backdoor_is_refused(tmp_path: Path) -> None:
    text = FILE.replace('type = "Backdoor"', 'type = "LabelFlip"').replace("target = 0\nangle = 1.0\n", "")
    with pytest.raises(ConfigError, match="AttackSuccess cannot be measured with LabelFlip: only a Backdoor"):
        schema.parse(text, source="a.toml", default_name="a")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("angle = 1.0", "sites = [9]", r"corruption: Backdoor: sites: got \[9\], but the chain has \d spins"),
        (
            'type = "Backdoor"\nratio = 0.2\ntarget = 0\nangle = 1.0',
            'type = "ClassFlip"\nratio = [0.2, 0.9]',
            "corruption: ClassFlip: ratio: got 0.9, which with balance 0.5 makes 1.35 the rate of class 1",
        ),
    ],
)
def test_corruptions_that_cannot_be_are_refused_when_the_file_is_read(old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        schema.parse(FILE.replace(old, new), source="a.toml", default_name="a")


def test_a_ratio_at_which_nothing_is_corrupted_is_refused_before_there_are_runs(
    tmp_path: Path, write_empty_store: Callable[[Path], str]
) -> None:
    text = FILE.split("[[unlearner]]")[0].replace("ratio = 0.2", "ratio = [0.0, 0.001, 0.2]")
    store = Store(write_empty_store(tmp_path / "mlruns" / "mlflow.db"))
    with pytest.raises(
        DataError, match=r"Backdoor: there is nothing to corrupt: at ratio 0\.001 none of the \d+ training"
    ):
        runner(store).run(schema.parse(text, source="a.toml", default_name="a"))
    assert frames.trials(store, store.experiment_ids(["attacked"])).empty
