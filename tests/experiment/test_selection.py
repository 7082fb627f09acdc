"""Settings chosen on validation rows with some seeds, and reported on test rows with others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support.runs import refused_alone, runner

from qlab import seeding
from qlab.errors import ConfigError, DataError
from qlab.experiment.asking import schema
from qlab.experiment.runner import Outcome
from qlab.models import checkpoint
from qlab.reading import Results
from qlab.tasks.base import load_data
from qlab.tracking import frames, names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

PARTS = '''
import torch
from pathlib import Path

from qlab import MLP, Dataset, Metric, Split, Task


class Clouds(Task):
    """Two clouds.

    Args:
        tested: rows for testing.
    """

    tested: int = 40

    def load(self):
        generator = torch.Generator().manual_seed(3)
        y = torch.arange(100 + self.tested) % 2
        x = torch.randn(len(y), 4, dtype=torch.float64, generator=generator) + 0.9 * y[:, None]
        parts = [Split(x[rows], y[rows]) for rows in (slice(0, 60), slice(60, 100), slice(100, None))]
        return Dataset(*parts[: 3 if self.tested else 2])

    def random_features(self, n, generator):
        return torch.randn(n, 4, dtype=torch.float64, generator=generator)


class Fragile(MLP):
    """Fails to train if it has so many units, while a file lies beside it."""

    def forward(self, prepared):
        if (Path(__file__).parent / "broken").exists() and self.hidden[0] == 3 and prepared.shape[-2] > 4:
            raise RuntimeError("the kettle is dry")
        return super().forward(prepared)


class Leaning(Metric):
    """The mean logit, of which less is better."""

    higher_is_better = False

    def compute(self, logits, split):
        return logits.mean()
'''

FILE = """
name = "chosen"
[task]
type = "parts:Clouds"
[corruption]
type = "LabelFlip"
ratio = [0.0, 0.3]
[[model]]
type = "MLP"
hidden = [4]
[training]
epochs = 4
batch_size = 8
learning_rate = [0.0001, 0.03]
[select]
over = "training.learning_rate"
seeds = 2
[run]
seeds = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parts.py").write_text(PARTS)
    return tmp_path


def run(folder: Path, store: Store, text: str = FILE, *pairs: tuple[str, Any]) -> Outcome:
    (folder / "chosen.toml").write_text(text)
    return runner(store).run(schema.load(folder / "chosen.toml", pairs))


def kind(store: Store, name: str) -> pd.DataFrame:
    return frames.runs_of_kind(store, store.experiment_ids(["chosen"]), name)


def test_the_best_on_polluted_validation_rows_is_reported_with_fresh_seeds(folder: Path, store: Store) -> None:
    outcome = run(folder, store)
    compared, reported = kind(store, names.SELECTION), kind(store, names.TRIAL)
    assert (len(compared), len(reported)) == (2 * 2 * 2, 2 * 3)
    assert set(compared["seed"]) == {100_000, 100_001}
    assert set(reported["seed"]) == {0, 1, 2}
    for ratio, own in compared.groupby("corruption.ratio"):
        best = own.groupby("training.learning_rate")["selection_accuracy"].mean().idxmax()
        assert set(reported.loc[reported["corruption.ratio"] == ratio, "training.learning_rate"]) == {best}
    assert reported["test_accuracy"].notna().all()
    assert (outcome.compared, outcome.trained) == (8, 6)
    assert outcome.table["chosen"].tolist() == ["learning_rate 0.03"] * 2
    assert outcome.choices[0].startswith("MLP, ratio 0: learning_rate 0.03 of 0.0001, 0.03, by selection_accuracy 0.")


def test_polluted_validation_rows_are_corrupted_at_the_same_ratio_by_a_draw_of_their_own(
    folder: Path, store: Store
) -> None:
    run(folder, store)
    compared = kind(store, names.SELECTION)
    experiment = schema.load(folder / "chosen.toml")
    assert experiment.selection is not None
    task = experiment.trials[0].task
    validation = load_data(task).validation
    candidates = {
        trial.key: trial
        for group in experiment.selection.groups
        for option in group.options
        for trial in group.candidates(option, experiment.selection.seeds)
    }
    for row in compared.to_dict("records"):
        trial = candidates[row["trial"]]
        polluted = trial.corruption.apply(validation, task, seeding.generator(trial.seed, "selection"))
        assert int(polluted.mask.sum()) == round(trial.corruption.ratio * len(validation))
        (folder / row["run_id"]).mkdir()
        model = checkpoint.load(store.fetch_file(row["run_id"], names.CHECKPOINT, folder / row["run_id"]))
        predicted = (model(model.prepare(validation.x)) > 0).long()
        assert row["selection_accuracy"] == float((predicted == polluted.split.y).double().mean())


def test_corrupted_features_are_those_that_a_model_is_compared_on(folder: Path, store: Store) -> None:
    run(folder, store, FILE.replace("LabelFlip", "FeatureRandomization").replace("[0.0, 0.3]", "1.0"))
    compared = kind(store, names.SELECTION)
    experiment = schema.load(folder / "chosen.toml")
    task, validation = experiment.trials[0].task, load_data(experiment.trials[0].task).validation
    for row in compared.to_dict("records"):
        corruption = experiment.trials[0].corruption
        polluted = corruption.apply(validation, task, seeding.generator(row["seed"], "selection")).split
        (folder / row["run_id"]).mkdir()
        model = checkpoint.load(store.fetch_file(row["run_id"], names.CHECKPOINT, folder / row["run_id"]))
        x = polluted.x if isinstance(polluted.x, torch.Tensor) else polluted.x[:]
        assert row["selection_accuracy"] == float(((model(model.prepare(x)) > 0).long() == polluted.y).double().mean())


def test_clean_validation_if_asked_for(folder: Path, store: Store) -> None:
    outcome = run(folder, store, FILE.replace("seeds = 2", 'seeds = 2\nvalidation = "clean"'))
    compared = kind(store, names.SELECTION)
    assert "selection_accuracy" not in compared
    assert "by validation_accuracy" in outcome.choices[0]


def test_a_metric_of_ones_own_of_which_less_is_better(folder: Path, store: Store) -> None:
    text = FILE.replace("seeds = 2", 'metric = "validation_leaning"\nseeds = 2', 1)
    outcome = run(folder, store, text + '[[metric]]\ntype = "parts:Leaning"\n')
    compared = kind(store, names.SELECTION)
    parts = [part for _, part in compared.groupby("corruption.ratio")]
    for line, own in zip(outcome.choices, parts, strict=True):
        means = own.groupby("training.learning_rate")["selection_leaning"].mean()
        assert f"learning_rate {means.idxmin():g} of" in line


def test_running_again_does_nothing_and_chooses_the_same(folder: Path, store: Store) -> None:
    first = run(folder, store)
    before = frames.runs(store, store.experiment_ids(["chosen"]))
    again = run(folder, store)
    assert (again.compared, again.trained) == (0, 0)
    assert again.choices == first.choices
    assert again.parent_run == first.parent_run
    pd.testing.assert_frame_equal(again.table, first.table)
    assert len(frames.runs(store, store.experiment_ids(["chosen"]))) == len(before)


def test_interrupted_between_comparing_and_reporting_it_goes_on(folder: Path, store: Store) -> None:
    (folder / "chosen.toml").write_text(FILE)
    experiment = schema.load(folder / "chosen.toml")

    class Stops:
        plans = 0

        def __getattr__(self, name: str) -> Any:
            def told(*args: Any, **named: Any) -> Any:
                if name == "beside":
                    return self
                Stops.plans += name == "planned"
                if name == "ensemble_started" and Stops.plans == 2:
                    raise KeyboardInterrupt
                return None

            return told

    with pytest.raises(KeyboardInterrupt):
        runner(store, Stops()).run(experiment)
    assert (kind(store, names.SELECTION)["status"] == "FINISHED").sum() == 8
    outcome = run(folder, store)
    assert (outcome.compared, outcome.trained) == (0, 6)


def test_more_reported_seeds_leave_the_comparison_alone(folder: Path, store: Store) -> None:
    first = run(folder, store)
    outcome = run(folder, store, FILE, ("run.seeds", 4))
    assert (outcome.compared, outcome.trained) == (0, 2)
    assert outcome.choices == first.choices


def test_what_was_compared_is_in_no_table_frame_or_figure(folder: Path, store: Store) -> None:
    run(folder, store)
    results = Results.of(store, ["chosen"])
    assert len(results.frame) == 6
    assert set(results.frame["model"]) == {"MLP"}
    assert results.table()["chosen"].tolist() == ["learning_rate 0.03"] * 2


def test_chosen_settings_do_not_tell_curves_apart(folder: Path, store: Store) -> None:
    """Of each ratio another value may be chosen; it is one curve of one model."""
    outcome = run(folder, store, FILE.replace("0.0001, 0.03", "0.03, 0.01"))
    assert set(outcome.table["model"]) == {"MLP"}
    assert kind(store, names.TRIAL)[names.CURVE].nunique() == 1


def test_the_choice_and_its_grid_are_in_the_experiments_run(folder: Path, store: Store) -> None:
    outcome = run(folder, store)
    found = json.loads(store.get_run(outcome.parent_run).data.tags[names.CHOICES])
    assert [item["chosen"] for item in found] == [{"training.learning_rate": 0.03}] * 2
    table = pd.read_csv(store.fetch_file(outcome.parent_run, names.SELECTION_TABLE, folder))
    assert table["training.learning_rate"].tolist() == [0.0001, 0.03] * 2
    assert table["chosen"].tolist() == [False, True] * 2
    compared = kind(store, names.SELECTION)
    mean = compared.groupby(["corruption.ratio", "training.learning_rate"])["selection_accuracy"].mean()
    np.testing.assert_allclose(table["selection_accuracy_mean"], mean)


def test_ties_go_to_the_value_that_stands_first(folder: Path, store: Store) -> None:
    outcome = run(folder, store, FILE.replace("[0.0001, 0.03]", "[1e-12, 2e-12]"))
    assert outcome.table["chosen"].tolist() == ["learning_rate 1e-12"] * 2


def test_methods_and_probes_are_of_what_was_chosen(folder: Path, store: Store) -> None:
    text = FILE.replace("[0.0, 0.3]", "0.3") + '[[unlearner]]\ntype = "Finetune"\nsteps = 2\n'
    text += '[[probe]]\ntype = "RougheningProbe"\n'
    outcome = run(folder, store, text, ("run.oracles", 1), ("run.seeds", 2))
    assert not outcome.failed
    unlearned = kind(store, names.UNLEARNING)
    assert len(unlearned) == 2
    assert set(unlearned["training.learning_rate"]) == {0.03}
    assert outcome.measured == 2
    assert run(folder, store, text, ("run.oracles", 1), ("run.seeds", 2)).measured == 0


FRAGILE = FILE.replace('"MLP"\nhidden = [4]', '"parts:Fragile"\nhidden = [[3], [5]]').replace("[0.0001, 0.03]", "0.03")
FRAGILE = FRAGILE.replace('"training.learning_rate"', '"model.hidden"')


def test_a_candidate_that_fails_is_named_and_the_others_are_chosen_from(folder: Path, store: Store) -> None:
    (folder / "broken").touch()
    outcome = run(folder, store, FRAGILE)
    assert outcome.table["chosen"].tolist() == ["hidden [5]"] * 2
    assert "hidden [3]: 2 failed" in outcome.choices[0]
    assert "RuntimeError: the kettle is dry" in outcome.failures[0]
    assert outcome.failures[0].startswith(
        "4 of 8 trials to choose from (parts:Fragile hidden=[3] LabelFlip 0 seeds 100000, 100001"
    )


def test_a_candidate_that_is_there_later_may_change_the_choice_and_nothing_is_mixed(folder: Path, store: Store) -> None:
    (folder / "broken").touch()
    run(folder, store, FRAGILE)
    (folder / "broken").unlink()
    outcome = run(folder, store, FRAGILE)
    assert not outcome.failed
    assert (outcome.table["trials"] == 3).all()
    for ratio, own in kind(store, names.TRIAL).groupby("corruption.ratio"):
        assert own["model.hidden"].nunique() == 1, ratio
        assert len(own) == 3


def test_a_group_without_any_candidate_is_named_and_the_others_are_reported(folder: Path, store: Store) -> None:
    text = FILE.replace("[select]", '[[model]]\ntype = "parts:Fragile"\nhidden = [3]\n[select]')
    (folder / "broken").touch()
    outcome = run(folder, store, text)
    assert set(outcome.table["model"]) == {"MLP"}
    nothing = outcome.failures[-1]
    assert nothing.startswith("2 choices (parts:Fragile, ratio 0; parts:Fragile, ratio 0.3): no configuration has ")
    assert "learning_rate 0.0001: 2 failed" in nothing
    assert store.get_run(outcome.parent_run).info.status == "FAILED"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"training.learning_rate"', '"training.learning_rat"'), 'select.over: no trial has "training.learning_rat"'),
        (('"training.learning_rate"', '"training.epochs"'), "has one value, so there is nothing to choose"),
        (('"training.learning_rate"', '"corruption.ratio"'), "accepts keys of model, training and task"),
        (("seeds = 2", "seeds = [2, 7]"), "select.seeds: [2] are also seeds of [run]"),
        (("seeds = 2", "seeds = [7, 7]"), "accepts each seed only once"),
        (("seeds = 2", "seeds = 0"), "select.seeds: got 0, accepts an integer of at least 1"),
        (("seeds = 2", 'metric = "validation_acuracy"'), 'Did you mean "validation_accuracy"?'),
        (("seeds = 2", 'metric = "test_accuracy"'), 'unknown metric on validation rows "test_accuracy"'),
        (("seeds = 2", 'validation = "dirty"'), 'accepts one of "polluted", "clean"'),
        (("seeds = 2", 'per = ["modle"]'), 'select.per: unknown table "modle". Did you mean "model"?'),
        (("seeds = 2", "sead = 2"), 'unknown key "sead". Did you mean "seeds"?'),
        (('over = "training.learning_rate"', ""), "select.over: missing"),
    ],
)
def test_bad_tables_are_refused(folder: Path, change: tuple[str, str], said: str) -> None:
    (folder / "chosen.toml").write_text(FILE.replace(*change))
    with pytest.raises(ConfigError) as caught:
        schema.load(folder / "chosen.toml")
    assert said in str(caught.value)


def test_a_task_without_a_test_split_is_refused_unless_validation_is_asked_for(folder: Path, store: Store) -> None:
    with pytest.raises(DataError, match=r'select: parts:Clouds has no test split.*report = "validation"'):
        run(folder, store, FILE, ("task.tested", 0))
    refused_alone(store)
    outcome = run(folder, store, FILE.replace("seeds = 2", 'seeds = 2\nreport = "validation"'), ("task.tested", 0))
    assert outcome.trained == 6
    assert "test_accuracy_mean" not in outcome.table


def test_one_choice_for_all_ratios(folder: Path, store: Store) -> None:
    outcome = run(folder, store, FILE.replace("seeds = 2", 'seeds = 2\nper = "model"'))
    assert len(outcome.choices) == 1
    assert outcome.table["chosen"].nunique() == 1


def test_settings_can_be_given_on_the_command_line(folder: Path) -> None:
    (folder / "chosen.toml").write_text(FILE)
    experiment = schema.load(folder / "chosen.toml", [("select.seeds", [11, 12]), ("select.validation", "clean")])
    assert experiment.selection is not None
    assert experiment.selection.seeds == (11, 12)
    assert experiment.selection.score == "validation_accuracy"
    with pytest.raises(ConfigError, match=r"--set search.seeds: the file has no \[search\] table"):
        schema.load(folder / "chosen.toml", [("search.seeds", 3)])
