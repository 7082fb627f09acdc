"""Values given on the command line in place of a file's."""

from __future__ import annotations

from typing import Any

import pytest

from qlab.errors import ConfigError
from qlab.experiment.asking import overrides, schema
from qlab.experiment.asking.experiment import Experiment

FILE = """
[task]
type = "XXZ"
length = 4
[corruption]
type = "LabelFlip"
ratio = [0.0, 0.5]
[[model]]
type = "MLP"
training = { epochs = 10 }
[[model]]
type = "PennyLaneQNN"
[run]
seeds = 1
"""

ONE_MODEL = '[task]\ntype = "XXZ"\n[model]\ntype = "MLP"\n[run]\nseeds = 1\n'


def with_set(*assignments: str, text: str = FILE) -> Experiment:
    pairs = [overrides.parse(assignment) for assignment in assignments]
    return schema.parse(text, source="given.toml", default_name="given", assignments=pairs)


def by_model(experiment: Experiment, table: str, key: str) -> dict[str, Any]:
    return {trial.names["model"]: trial.config[table].get(key) for trial in experiment.trials}


@pytest.mark.parametrize(
    ("assignment", "key", "value"),
    [
        pytest.param("model.depth=2", "model.depth", 2, id="integer"),
        pytest.param("training.learning_rate=1e-3", "training.learning_rate", 1e-3, id="number"),
        pytest.param("corruption.ratio=[0.1, 0.2]", "corruption.ratio", [0.1, 0.2], id="list"),
        pytest.param('task.gauge="fixed"', "task.gauge", "fixed", id="quoted string"),
        pytest.param("task.gauge=random-sign", "task.gauge", "random-sign", id="bare string"),
        pytest.param(" name = x=y ", "name", "x=y", id="spaces and a second equals sign"),
        pytest.param("about=", "about", "", id="nothing"),
    ],
)
def test_assignments_are_read_as_toml_or_else_as_strings(assignment: str, key: str, value: Any) -> None:
    assert overrides.parse(assignment) == (key, value)


@pytest.mark.parametrize("assignment", ["model.depth", "=2", " = 2", ""])
def test_what_is_no_assignment_is_explained(assignment: str) -> None:
    with pytest.raises(ConfigError, match=r"--set .*: accepts KEY=VALUE"):
        overrides.parse(assignment)


@pytest.mark.parametrize(
    "value", [pytest.param("[" * 5000, id="lists without end"), pytest.param("9" * 5000, id="five thousand digits")]
)
def test_values_that_no_toml_reader_takes_are_explained(value: str) -> None:
    with pytest.raises(ConfigError):
        with_set(f"run.seeds={value}")


def test_two_lines_are_not_one_value() -> None:
    with pytest.raises(ConfigError):
        with_set("run.seeds=2\nother=3")


def test_a_task_field() -> None:
    assert by_model(with_set("task.length=6"), "task", "length") == {"MLP": 6, "PennyLaneQNN": 6}


def test_a_corruption_field_may_be_swept() -> None:
    experiment = with_set("corruption.ratio=[0.1, 0.2, 0.3]")
    assert sorted({trial.corruption.ratio for trial in experiment.trials}) == [0.1, 0.2, 0.3]


def test_a_model_field_goes_to_the_models_that_have_it() -> None:
    assert by_model(with_set("model.depth=2"), "model", "depth") == {"MLP": None, "PennyLaneQNN": 2}


def test_a_field_of_models_of_one_type() -> None:
    assert by_model(with_set("model.MLP.dtype=float64"), "model", "dtype") == {
        "MLP": "float64",
        "PennyLaneQNN": "float64",
    }
    assert by_model(with_set("model.PennyLaneQNN.dtype=float32"), "model", "dtype") == {
        "MLP": "float32",
        "PennyLaneQNN": "float32",
    }
    assert by_model(with_set("model.dtype=float64", "model.MLP.dtype=float32"), "model", "dtype") == {
        "MLP": "float32",
        "PennyLaneQNN": "float64",
    }


def test_training_for_all_models_whatever_their_own_tables_say() -> None:
    assert by_model(with_set("training.epochs=3"), "training", "epochs") == {"MLP": 3, "PennyLaneQNN": 3}


@pytest.mark.parametrize("key", ["model.MLP.training.epochs"])
def test_training_of_models_of_one_type(key: str) -> None:
    assert by_model(with_set(f"{key}=3"), "training", "epochs") == {"MLP": 3, "PennyLaneQNN": 200}


def test_a_models_training_for_all_models() -> None:
    assert by_model(with_set("model.training.batch_size=3"), "training", "batch_size") == {"MLP": 3, "PennyLaneQNN": 3}


def test_the_type_of_a_table_that_stands_alone_and_then_its_fields() -> None:
    experiment = with_set("model.type=PennyLaneQNN", "model.depth=3", text=ONE_MODEL)
    assert by_model(experiment, "model", "depth") == {"PennyLaneQNN": 3}


def test_run_name_and_about() -> None:
    experiment = with_set("run.seeds=[4, 5]", "name=other", "about=what else", text=ONE_MODEL)
    assert [trial.seed for trial in experiment.trials] == [4, 5]
    assert (experiment.name, experiment.about) == ("other", "what else")


def test_the_last_of_two_assignments_counts() -> None:
    assert by_model(with_set("task.length=6", "task.length=8"), "task", "length") == {"MLP": 8, "PennyLaneQNN": 8}


def test_a_value_set_is_the_same_as_one_written() -> None:
    written = schema.parse(FILE.replace("length = 4", "length = 6"), source="given.toml", default_name="given")
    assert with_set("task.length=6").content == written.content


REFUSED = {
    "unknown table": ("modle.depth=2", ['"modle.depth"', "model.FIELD", "training.FIELD"]),
    "unknown field": ("model.deepth=2", ["--set model.deepth", '"deepth"', 'Did you mean "depth"?', "hidden"]),
    "unknown field of one type": ("model.MLP.hiden=[2]", ["--set model.MLP.hiden", 'Did you mean "hidden"?']),
    "field of the other model": ("model.MLP.depth=2", ["--set model.MLP.depth", '"depth"', "dtype, hidden"]),
    "unknown training key": ("training.epoch=2", ["--set training.epoch", 'Did you mean "epochs"?']),
    "unknown training key of a model": ("model.training.epoch=2", ["--set model.training.epoch", '"epochs"']),
    "unknown run key": ("run.sedes=2", ['"sedes"', 'Did you mean "seeds"?']),
    "a table for a field": ("model=3", ["--set model", "model.FIELD"]),
    "too many parts": ("task.length.of=3", ["--set task.length.of", "task.FIELD"]),
    "value of the wrong type": ("task.length=many", ["task.length", 'got "many"', "an integer"]),
    "ratio out of range": ("corruption.ratio=1.5", ["corruption.ratio", "got 1.5", "in [0, 1]"]),
}


@pytest.mark.parametrize(("assignment", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_assignments_that_do_not_fit_are_explained(assignment: str, expected: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        with_set(assignment)
    for part in ["given.toml", *expected]:
        assert part in str(raised.value)


def test_the_type_of_one_of_two_models_is_not_called_an_unknown_field() -> None:
    with pytest.raises(ConfigError, match=r"--set model\.type") as raised:
        with_set("model.type=MLP")
    assert "unknown" not in str(raised.value)


def test_a_table_the_file_lacks_cannot_be_set() -> None:
    with pytest.raises(ConfigError, match=r"--set corruption.ratio: the file has no \[corruption\] table"):
        with_set("corruption.ratio=0.5", text=ONE_MODEL)


def test_a_file_that_is_wrong_already_is_not_blamed_on_a_class_named_none() -> None:
    with pytest.raises(ConfigError, match=r"task\.type: got nothing"):
        with_set("task.length=4", text="[task]\nlength = 6\n[model]\ntype = 'MLP'\n")
