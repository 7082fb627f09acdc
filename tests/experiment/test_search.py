"""Settings that Optuna proposes from ranges: equal budgets, the same again, and nothing repeated."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.runs import refused_alone, runner

from qlab.errors import ConfigError, MissingExtraError
from qlab.experiment.asking import schema
from qlab.experiment.asking.space import Range, SearchTable
from qlab.experiment.planning.choosing import Scored
from qlab.experiment.planning.searching import proposals
from qlab.experiment.runner import Outcome
from qlab.tracking import frames, names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

FILE = """
name = "searched"
[task]
type = "Sklearn"
name = "breast_cancer"
[corruption]
type = "LabelFlip"
ratio = 0.3
[[model]]
type = "MLP"
hidden = [2]
[[model]]
type = "sklearn.linear_model:LogisticRegression"
C = 1.0
[training]
epochs = 2
[search]
configurations = 4
batch = 2
seeds = 1
"training.learning_rate" = { low = 1e-4, high = 0.3, log = true }
"model.C" = { low = 1e-3, high = 10, log = true }
[run]
seeds = 2
"""


def run(store: Store, *pairs: tuple[str, Any], text: str = FILE, reporter: Any = None) -> Outcome:
    return runner(store, reporter).run(schema.parse(text, source="searched.toml", assignments=pairs))


def compared(store: Store) -> pd.DataFrame:
    return frames.runs_of_kind(store, store.experiment_ids(["searched"]), names.SELECTION)


def test_all_models_have_the_same_budget_and_the_best_is_reported(store: Store) -> None:
    outcome = run(store)
    found = compared(store)
    assert found.groupby("model.type").size().tolist() == [4, 4]
    rates = found["training.learning_rate"].dropna().astype(float)
    assert rates.nunique() == 4
    assert rates.between(1e-4, 0.3).all()
    reported = frames.trials(store, store.experiment_ids(["searched"]))
    own = found[found["model.type"] == "MLP"].set_index("training.learning_rate")["selection_accuracy"]
    assert set(reported["training.learning_rate"].dropna()) == {own.astype(float).idxmax()}
    assert (outcome.compared, outcome.trained) == (8, 4)
    assert outcome.table["test_accuracy_mean"].notna().all()


def test_running_again_repeats_nothing(store: Store) -> None:
    first = run(store)
    again = run(store)
    assert (again.compared, again.trained) == (0, 0)
    assert again.choices == first.choices


class Stops:
    """Interrupts when the third ensemble begins."""

    begun = 0

    def __getattr__(self, name: str) -> Any:
        def told(*args: Any, **named: Any) -> Any:
            if name == "ensemble_started":
                type(self).begun += 1
                if type(self).begun == 3:
                    raise KeyboardInterrupt
            return self if name == "beside" else None

        return told


def test_an_interrupted_study_goes_on_as_if_it_had_not_been(
    store: Store, tmp_path: Path, write_empty_store: Any
) -> None:
    Stops.begun = 0
    with pytest.raises(KeyboardInterrupt):
        run(store, reporter=Stops())
    finished = int((compared(store)["status"] == "FINISHED").sum())
    assert 0 < finished < 8
    outcome = run(store)
    assert outcome.compared == 8 - finished
    whole = Store(write_empty_store(tmp_path / "whole" / "mlflow.db"))
    run(whole)
    done = compared(store)
    done = done[done["status"] == "FINISHED"]
    assert sorted(done["trial"]) == sorted(compared(whole)["trial"])


def test_a_larger_budget_goes_on_from_what_is_there(store: Store) -> None:
    run(store)
    before = set(compared(store)["trial"])
    outcome = run(store, text=FILE.replace("configurations = 4", "configurations = 6"))
    assert outcome.compared == 4
    assert before < set(compared(store)["trial"])


def scored(option: dict[str, Any], value: float) -> Scored:
    return Scored(option, (value,), 1, "")


FRAGILE = '''
from qlab import MLP


class Fragile(MLP):
    """Fails to train with three units."""

    def forward(self, prepared):
        if self.hidden[0] == 3 and prepared.shape[-2] > 4:
            raise RuntimeError("the kettle is dry")
        return super().forward(prepared)
'''


def test_a_configuration_that_fails_is_tried_once_and_the_study_goes_on(store: Store, tmp_path: Path) -> None:
    (tmp_path / "fragile.py").write_text(FRAGILE)
    text = "\n".join(line for line in FILE.splitlines() if not line.startswith(('"', "C = ")))
    text = text.replace('"MLP"', '"fragile:Fragile"').replace(
        '[[model]]\ntype = "sklearn.linear_model:LogisticRegression"', ""
    )
    text = text.replace("[run]", '"model.hidden" = { choices = [[3], [5]] }\n[run]')
    experiment = schema.parse(text, source="searched.toml", folder=tmp_path)
    outcome = runner(store).run(experiment)
    found = compared(store)
    assert found["status"].value_counts().to_dict() == {"FAILED": 1, "FINISHED": 1}
    assert outcome.table["chosen"].tolist() == ["hidden [5]"]
    assert len(outcome.failed) == 1


SPACE = {
    "a": Range(1e-4, 1.0, log=True),
    "b": Range(2, 6, whole=True),
    "c": Range(choices=(8, (1, 2), "x")),
}


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10), st.sampled_from(["tpe", "random"]), st.integers(1, 4))
def test_proposals_lie_in_the_space_and_are_the_same_again(seed: int, sampler: Any, batch: int) -> None:
    table = SearchTable(configurations=30, batch=batch, sampler=sampler, sampler_seed=seed)
    known: list[Scored] = []
    for number in range(4):
        found = proposals(table, SPACE, "MLP", known, higher_is_better=True)
        assert found == proposals(table, SPACE, "MLP", known, higher_is_better=True)
        assert len(found) == batch
        for option in found:
            assert 1e-4 <= option["a"] <= 1.0
            assert option["b"] in range(2, 7)
            assert option["c"] in (8, (1, 2), "x")
        known += [scored(option, float(number)) for option in found]
    assert proposals(table, SPACE, "QNN", known, higher_is_better=True) != found


def test_the_sampler_is_optunas_and_learns_from_what_is_known() -> None:
    table = SearchTable(configurations=200, batch=1)
    known: list[Scored] = []
    space = {"a": Range(0.0, 1.0)}
    for _ in range(40):
        (option,) = proposals(table, space, "MLP", known, higher_is_better=False)
        known.append(scored(option, (option["a"] - 0.3) ** 2))
    late = [abs(item.option["a"] - 0.3) for item in known[-15:]]
    assert np.median(late) < 0.15  # at random 0.25
    assert optuna.__version__


def test_a_configuration_without_a_score_counts_as_failed() -> None:
    lost = Scored({"a": 0.5}, (), 1, "1 failed")
    found = proposals(SearchTable(batch=2), {"a": Range(0.0, 1.0)}, "MLP", [lost], higher_is_better=True)
    assert len(found) == 2


def test_without_optuna_one_line_says_what_to_install(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r'pip install "qlab-unlearning\[search\]"'):
        run(store)
    refused_alone(store)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("low = 1e-4", "low = 1"), "accepts a low below the high"),
        (("low = 1e-4", "low = 0"), "accepts a low above 0 on a logarithmic scale"),
        (("low = 1e-4", 'low = "1"'), 'low: got "1", accepts a number'),
        (("low = 1e-4, high", "high"), "low: got None, accepts a number"),
        (("log = true", "logg = true"), 'unknown key "logg". Did you mean "log"?'),
        (("log = true", "log = 1"), "log: got 1, accepts true or false"),
        (("training.learning_rate", "training.learning_rat"), "no trial has this key"),
        (("{ low = 1e-4, high = 0.3, log = true }", "0.3"), "accepts { low = ..., high = ..., log = true }"),
        (("{ low = 1e-4, high = 0.3, log = true }", "{ choices = [0.1] }"), "accepts a list of at least two values"),
        (("{ low = 1e-4, high = 0.3, log = true }", "{ low = -1.0, high = 1.0 }"), "learning_rate: got -1.0"),
        (("configurations = 4", "configurations = 0"), "search.configurations: got 0"),
        (("configurations = 4", 'sampler = "tpee"'), 'Did you mean "tpe"?'),
        (("[search]", '[select]\nover = "model.C"\n[search]'), "the file has a [select] table, too"),
        (("epochs = 2", "epochs = 2\nlearning_rate = [0.1, 0.2]"), "it is swept with a list as well"),
    ],
)
def test_bad_ranges_are_refused(change: tuple[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        schema.parse(FILE.replace(*change), source="searched.toml")
    assert said in str(caught.value)


def test_a_search_without_a_range_is_refused() -> None:
    text = "\n".join(line for line in FILE.splitlines() if not line.startswith('"'))
    with pytest.raises(ConfigError, match="search: has no range; add one"):
        schema.parse(text, source="searched.toml")


def test_integers_stay_integers_where_the_field_takes_no_fractions() -> None:
    text = FILE.replace('"model.C"', '"training.batch_size" = { low = 8, high = 64 }\n"model.C"')
    experiment = schema.parse(text, source="searched.toml")
    assert experiment.selection is not None
    space = experiment.selection.groups[0].space
    assert (space["training.batch_size"].whole, space["training.learning_rate"].whole) == (True, False)
