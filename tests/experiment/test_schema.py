"""Experiment files: what they expand to, and what is said of those that cannot be used."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qlab import resources
from qlab.errors import ConfigError
from qlab.experiment.asking import schema
from qlab.experiment.asking.experiment import Experiment

MODELS = "Choices: CNOTQNN, DensityKernelSVC, MLP, PauliLinear, PennyLaneQNN, RandomQNN"

TASK = '[task]\ntype = "XXZ"\nlength = 4\n'
MLP = '[model]\ntype = "MLP"\nhidden = [4]\n'
ONE_SEED = "[run]\nseeds = 1\n"
MINIMAL = TASK + MLP + ONE_SEED


def parse(text: str, **options: Any) -> Experiment:
    return schema.parse(text, source="given.toml", default_name="given", **options)


def values(experiment: Experiment, table: str, key: str) -> list[Any]:
    return [trial.config[table][key] for trial in experiment.trials]


# What a file expands to


def test_a_minimal_file_is_one_clean_trial_with_the_default_trainer() -> None:
    experiment = parse(MINIMAL)
    assert (experiment.name, experiment.about, experiment.device) == ("given", "", "cpu")
    (trial,) = experiment.trials
    assert trial.config["corruption"] == {"type": "NoCorruption", "ratio": 0.0}
    assert trial.config["training"] == {"epochs": 200, "batch_size": 32, "learning_rate": 0.01}
    assert trial.seed == 0


def test_five_seeds_are_the_default() -> None:
    assert [trial.seed for trial in parse(TASK + MLP).trials] == [0, 1, 2, 3, 4]


def test_seeds_may_be_listed() -> None:
    assert [trial.seed for trial in parse(TASK + MLP + "[run]\nseeds = [7, 0]").trials] == [7, 0]


def test_name_and_about_are_read() -> None:
    experiment = parse('name = "flip-2_b.1"\nabout = "what for"\n' + MINIMAL)
    assert (experiment.name, experiment.about) == ("flip-2_b.1", "what for")


def test_the_file_gives_the_default_name(tmp_path: Path) -> None:
    file = tmp_path / "by_file.toml"
    file.write_text(MINIMAL)
    experiment = schema.load(file)
    assert (experiment.name, experiment.source, experiment.text) == ("by_file", str(file), MINIMAL)


def test_a_list_where_a_value_is_expected_is_swept() -> None:
    experiment = parse(MINIMAL + '[corruption]\ntype = "LabelFlip"\nratio = [0.0, 0.25, 1]\n')
    assert values(experiment, "corruption", "ratio") == [0.0, 0.25, 1.0]


def test_a_list_field_takes_one_list_or_sweeps_a_list_of_lists() -> None:
    assert values(parse(TASK + '[model]\ntype = "MLP"\nhidden = [8, 4]\n' + ONE_SEED), "model", "hidden") == [[8, 4]]
    swept = parse(TASK + '[model]\ntype = "MLP"\nhidden = [[8, 4], [2]]\n' + ONE_SEED)
    assert values(swept, "model", "hidden") == [[8, 4], [2]]


def test_a_grid_is_swept_with_a_list_of_grids() -> None:
    text = TASK + "gapped = [[1.5, 2.0, 0.25], [2.5, 3.0, 0.25]]\n" + MLP + ONE_SEED
    assert values(parse(text), "task", "gapped") == [[1.5, 2.0, 0.25], [2.5, 3.0, 0.25]]


def test_sweeps_combine_as_a_product() -> None:
    experiment = parse(
        '[task]\ntype = "XXZ"\nlength = [4, 6]\ngauge = ["fixed", "random-sign", "random-phase"]\n'
        '[corruption]\ntype = "LabelFlip"\nratio = [0.0, 0.5]\n'
        '[model]\ntype = "PennyLaneQNN"\ndepth = [1, 2]\n[training]\nepochs = [1, 2, 3]\n[run]\nseeds = 2\n'
    )
    settings = {json.dumps(trial.config, sort_keys=True) for trial in experiment.trials}
    assert len(experiment.trials) == len(settings) == 2 * 3 * 2 * 2 * 3 * 2


def test_several_tables_of_a_kind_combine_with_all_others() -> None:
    experiment = parse(
        '[[task]]\ntype = "XXZ"\nlength = 4\n[[task]]\ntype = "XXZ"\nlength = 6\n'
        '[[corruption]]\ntype = "NoCorruption"\n'
        '[[corruption]]\ntype = "LabelFlip"\nratio = 0.5\n'
        '[[corruption]]\ntype = "FeatureRandomization"\nratio = [0.1, 0.2]\n'
        '[[model]]\ntype = "MLP"\n[[model]]\ntype = "PennyLaneQNN"\n' + ONE_SEED
    )
    counted = Counter(
        (trial.config["task"]["length"], trial.names["corruption"], trial.names["model"]) for trial in experiment.trials
    )
    assert len(counted) == 2 * 3 * 2
    assert counted[(6, "FeatureRandomization", "MLP")] == 2
    assert len(experiment.trials) == 2 * 4 * 2


def test_training_is_common_and_a_model_may_have_its_own() -> None:
    experiment = parse(
        TASK + '[training]\nepochs = 7\nbatch_size = 16\n[[model]]\ntype = "MLP"\n'
        '[[model]]\ntype = "PennyLaneQNN"\ntraining = { epochs = 3 }\n' + ONE_SEED
    )
    of_model = {trial.names["model"]: trial.config["training"] for trial in experiment.trials}
    assert of_model["MLP"] == {"epochs": 7, "batch_size": 16, "learning_rate": 0.01}
    assert of_model["PennyLaneQNN"] == {"epochs": 3, "batch_size": 16, "learning_rate": 0.01}


@pytest.mark.parametrize(
    "ratio",
    [pytest.param("[0.5, 0.5]", id="twice the same"), pytest.param("[0, 0.0, -0.0]", id="zero in three spellings")],
)
def test_a_trial_that_a_file_asks_for_twice_is_one_trial(ratio: str) -> None:
    assert len(parse(MINIMAL + f'[corruption]\ntype = "LabelFlip"\nratio = {ratio}\n').trials) == 1


def test_content_is_that_of_the_trials_whatever_their_order_and_the_words_around_them() -> None:
    one = '[corruption]\ntype = "LabelFlip"\nratio = [0.0, 0.5]\n' + MINIMAL
    other = 'about = "reordered"\n# a comment\n[corruption]\nratio = [0.5, 0.0]\ntype = "LabelFlip"\n' + MINIMAL
    assert parse(one).content == parse(other).content
    assert parse(one).content != parse('name = "another"\n' + one).content
    assert parse(one).content != parse(one.replace("seeds = 1", "seeds = 2")).content
    assert parse(one).content != parse(one.replace("hidden = [4]", "hidden = [5]")).content


@pytest.mark.parametrize("file", resources.experiment_files(), ids=lambda file: file.stem)
def test_experiments_that_ship_load(file: Path) -> None:
    experiment = schema.load(file)
    folder = resources.folder("experiments")
    assert experiment.name == "-".join(file.relative_to(folder).with_suffix("").parts)
    assert experiment.about
    assert len(experiment.items) > 1


# What cannot be used

MALFORMED = {
    "not TOML": ("[task\n", ["not valid TOML", "line 1"]),
    "unknown key at the top": (
        'nmae = "x"\n' + MINIMAL,
        ['"nmae"', 'Did you mean "name"?', "about, audit, claim, corruption"],
    ),
    "name of another type": ("name = 3\n" + MINIMAL, ["name", "got 3", "accepts letters, digits"]),
    "empty name": ('name = ""\n' + MINIMAL, ["name", 'got ""', "accepts letters, digits"]),
    "name with a space": ('name = "my run"\n' + MINIMAL, ["name", 'got "my run"', "accepts letters, digits"]),
    "name with a slash": ('name = "../x"\n' + MINIMAL, ["name", 'got "../x"', "accepts letters, digits"]),
    "about of another type": ("about = [1]\n" + MINIMAL, ["about", "got [1]", "accepts a string"]),
    "no task": (MLP, ["task: missing", "[task]", "qlab list"]),
    "no model": (TASK, ["model: missing", "[model]", "qlab list"]),
    "task without a type": ("[task]\nlength = 4\n" + MLP, ["task.type", "got nothing", "accepts the name of a task"]),
    "a type that is a list": (
        TASK + '[model]\ntype = ["MLP"]\n',
        ["model.type", 'got ["MLP"]', "accepts the name of a model"],
    ),
    "a type that is a number": ("[task]\ntype = 4\n" + MLP, ["task.type", "got 4", "accepts the name of a task"]),
    "unknown task": (
        '[task]\ntype = "XZZ"\n' + MLP,
        ["task.type", '"XZZ"', 'Did you mean "XXZ"?', "KMNIST, MNIST, Sklearn, Table, TransverseIsing, XXZ"],
    ),
    "model in the wrong case": (
        TASK + '[model]\ntype = "mlp"\n',
        [
            "model.type",
            '"mlp"',
            'Did you mean "MLP"?',
            MODELS,
        ],
    ),
    "a corruption named as a model": (
        TASK + '[model]\ntype = "LabelFlip"\n',
        [
            "model.type",
            '"LabelFlip"',
            MODELS,
            "module:Class",
        ],
    ),
    "unknown field of a task": (
        '[task]\ntype = "XXZ"\nlenght = 4\n' + MLP,
        ["task", '"lenght"', 'Did you mean "length"?', "gapless", "gauge_seed"],
    ),
    "a model's field in the second of two": (
        TASK + '[[model]]\ntype = "MLP"\n[[model]]\ntype = "PennyLaneQNN"\ndeepth = 3\n',
        ["model[2]", '"deepth"', 'Did you mean "depth"?'],
    ),
    "field of the wrong type": (
        '[task]\ntype = "XXZ"\nlength = "four"\n' + MLP,
        ["task.length", 'got "four"', "accepts an integer", "[4, 512]"],
    ),
    "a number for an integer": ('[task]\ntype = "XXZ"\nlength = 4.0\n' + MLP, ["task.length", "got 4.0", "an integer"]),
    "true for an integer": ('[task]\ntype = "XXZ"\nlength = true\n' + MLP, ["task.length", "got true", "an integer"]),
    "odd length": ('[task]\ntype = "XXZ"\nlength = 5\n' + MLP, ["task.length", "got 5", "divisible by 2"]),
    "length out of range": (
        '[task]\ntype = "XXZ"\nlength = 22\n' + MLP,
        ["XXZ: length: got 22", "[4, 20]", 'solver = "dmrg"'],
    ),
    "misspelt choice": (
        '[task]\ntype = "XXZ"\ngauge = "randomphase"\n' + MLP,
        ["task.gauge", 'got "randomphase"', '"random-sign"', 'Did you mean "random-phase"?'],
    ),
    "one bad value among swept ones": (
        MINIMAL + '[corruption]\ntype = "LabelFlip"\nratio = [0.0, 1.1]\n',
        ["corruption.ratio", "got 1.1", "accepts a number in [0, 1]"],
    ),
    "negative ratio": (
        MINIMAL + '[corruption]\ntype = "LabelFlip"\nratio = -0.1\n',
        ["corruption.ratio", "got -0.1", "in [0, 1]"],
    ),
    "ratio that is not a number": (
        MINIMAL + '[corruption]\ntype = "LabelFlip"\nratio = nan\n',
        ["corruption.ratio", "got nan", "in [0, 1]"],
    ),
    "ratio beyond what a float holds": (
        MINIMAL + f'[corruption]\ntype = "LabelFlip"\nratio = {"9" * 400}\n',
        ["corruption.ratio", "got 999", "in [0, 1]"],
    ),
    "empty sweep": (
        MINIMAL + '[corruption]\ntype = "LabelFlip"\nratio = []\n',
        ["corruption.ratio", "empty list", "in [0, 1]"],
    ),
    "ratio without corruption": (
        MINIMAL + '[corruption]\ntype = "NoCorruption"\nratio = 0.3\n',
        ["corruption", "ratio", "got 0.3", "accepts 0", "LabelFlip"],
    ),
    "a grid of two values": (TASK + "gapped = [1.5, 2.0]\n" + MLP, ["task.gapped", "got [1.5, 2.0]", "a list [a"]),
    "a grid with a zero step": (TASK + "gapped = [1.5, 2.0, 0]\n" + MLP, ["task.gapped", "got [1.5, 2.0, 0]"]),
    "a grid without points": (TASK + "gapped = [2.0, 1.5, 0.1]\n" + MLP, ["task", "gapped", "[2.0, 1.5, 0.1]"]),
    "a grid in the other phase": (
        TASK + "gapless = [-0.5, 1.5, 0.4]\n" + MLP,
        ["task", "gapless", "from -0.5 to 1.5", "between -1 and 1"],
    ),
    "a grid on the transition": (TASK + "validation = [0.5, 1.5, 0.5]\n" + MLP, ["task", "validation", "delta = 1"]),
    "a grid beyond what a float holds": (TASK + "gapped = [1.02, 1e308, 1e-5]\n" + MLP, ["task", "gapped", "1e+308"]),
    "hidden layers of no units": (
        TASK + '[model]\ntype = "MLP"\nhidden = [4, 0]\n',
        ["model.hidden", "got [4, 0]", "an integer of at least 1"],
    ),
    "no hidden layers": (TASK + '[model]\ntype = "MLP"\nhidden = []\n', ["model.hidden", "empty list", "a list"]),
    "lists and numbers mixed": (
        TASK + '[model]\ntype = "MLP"\nhidden = [[4], 5]\n',
        ["model.hidden", "got [[4], 5]", "a list"],
    ),
    "a date": (TASK + '[model]\ntype = "MLP"\nhidden = 2024-02-29\n', ["model.hidden", "got 2024-02-29", "a list"]),
    "a table for a value": ('[task]\ntype = "XXZ"\nlength = { is = 4 }\n' + MLP, ["task.length", "accepts an integer"]),
    "a task that is no table": ('task = "XXZ"\n' + MLP, ["task", 'got "XXZ"', "accepts a table"]),
    "models that are no tables": ('model = ["MLP"]\n' + TASK, ["model", 'got "MLP"', "accepts a table"]),
    "an empty list of models": ("model = []\n" + TASK, ["model", "got []", "accepts a table"]),
    "training that is no table": ("training = 3\n" + MINIMAL, ["training", "got 3", "accepts a table"]),
    "a model's training that is no table": (TASK + MLP + "training = 3\n", ["model.training", "got 3", "a table"]),
    "unknown key of training": (
        MINIMAL + "[training]\nepoch = 3\n",
        ["training", '"epoch"', 'Did you mean "epochs"?', "batch_size"],
    ),
    "zero epochs": (MINIMAL + "[training]\nepochs = 0\n", ["training.epochs", "got 0", "of at least 1"]),
    "zero learning rate": (MINIMAL + "[training]\nlearning_rate = 0\n", ["training.learning_rate", "got 0", "above 0"]),
    "infinite learning rate": (
        MINIMAL + "[training]\nlearning_rate = inf\n",
        ["training.learning_rate", "got inf", "a number"],
    ),
    "run that is no table": ("run = 3\n" + TASK + MLP, ["run", "got 3", "accepts a table"]),
    "unknown key of run": (TASK + MLP + "[run]\nsedes = 3\n", ["run", '"sedes"', 'Did you mean "seeds"?', "device"]),
    "no seeds": (TASK + MLP + "[run]\nseeds = 0\n", ["run.seeds", "got 0", "an integer of at least 1"]),
    "an empty list of seeds": (TASK + MLP + "[run]\nseeds = []\n", ["run.seeds", "got []", "an integer of at least 1"]),
    "a negative seed": (TASK + MLP + "[run]\nseeds = [0, -1]\n", ["run.seeds", "got [0, -1]", "of at least 0"]),
    "a seed twice": (TASK + MLP + "[run]\nseeds = [0, 1, 0]\n", ["run.seeds", "got [0, 1, 0]", "each seed only once"]),
    "more seeds than there can be": (TASK + MLP + f"[run]\nseeds = {10**30}\n", ["run.seeds", f"got {10**30}"]),
    "device of another type": (TASK + MLP + "[run]\ndevice = 0\n", ["run.device", "got 0", "accepts a string"]),
    "an integer of five thousand digits": (TASK + MLP + f"[run]\nseeds = {'9' * 5000}\n", ["not valid TOML"]),
    "lists within lists without end": ("x = " + "[" * 5000, ["not valid TOML"]),
}


@pytest.mark.parametrize(("text", "expected"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_file_is_explained(text: str, expected: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(text)
    message = str(raised.value)
    assert message.startswith("given.toml: ")
    for part in expected:
        assert part in message
    assert "\n" not in message.removeprefix("given.toml: ")


def test_a_file_that_is_not_text_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "binary.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.toml: cannot be read: it begins like UTF-16 text"):
        schema.load(file)


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_cannot_be_opened_is_explained(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        schema.load(tmp_path / name)


def outcome(text: str) -> bool:
    """Whether a file loads, or is refused with a message that names it; anything else is raised."""
    try:
        return len(parse(text).trials) > 0
    except ConfigError as error:
        return str(error).startswith("given.toml: ")


BASE = (
    'name = "x"\n[task]\ntype = "XXZ"\nlength = [4, 6]\ngauge = "fixed"\n[corruption]\ntype = "LabelFlip"\n'
    'ratio = [0.0, 0.5]\n[[model]]\ntype = "MLP"\nhidden = [[4], [2, 2]]\n[[model]]\ntype = "PennyLaneQNN"\n'
    "training = { epochs = 2 }\n[run]\nseeds = 1\n"
)

edits = st.lists(
    st.tuples(
        st.integers(0, len(BASE)),
        st.integers(0, 12),
        st.sampled_from(
            ["", "0", "-", ".", '"', "[", "]", "[[", "{", "}", "=", ",", "\n", "#", "é", "true", "inf", ":"]
        ),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edits)
def test_a_file_damaged_anywhere_either_loads_or_is_explained(damage: list[tuple[int, int, str]]) -> None:
    text = BASE
    for place, length, inserted in damage:
        text = text[:place] + inserted + text[place + length :]
    assert outcome(text)


scalars = st.one_of(
    st.integers(-3, 30).map(str),
    st.sampled_from(["true", "false", "inf", "-inf", "nan", "1979-05-27", "07:32:00", "1e400", "-0.0", "0.25", "1.5"]),
    st.sampled_from(
        ["XXZ", "MLP", "PennyLaneQNN", "LabelFlip", "NoCorruption", "Scrub", "nowhere:Class", "fixed", "ring"]
    ).map(json.dumps),
    st.text(max_size=6).map(json.dumps),
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
        st.dictionaries(st.sampled_from(["epochs", "type", "a"]), inner, max_size=2).map(
            lambda table: "{ " + ", ".join(f"{key} = {value}" for key, value in table.items()) + " }"
        ),
    ),
    max_leaves=5,
)
KEYS = [
    "type",
    "length",
    "gapped",
    "gauge",
    "ratio",
    "hidden",
    "dtype",
    "depth",
    "scale",
    "training",
    "epochs",
    "seeds",
    "oracles",
]
tables = st.tuples(
    st.sampled_from(["[task]", "[corruption]", "[model]", "[[model]]", "[training]", "[unlearner]", "[run]"]),
    st.dictionaries(st.sampled_from(KEYS), anything, max_size=3),
).map(lambda table: "\n".join([table[0], *(f"{key} = {value}" for key, value in table[1].items())]))


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["", TASK, TASK + MLP]),
    st.dictionaries(st.sampled_from(["name", "about", "task", "model", "other"]), anything, max_size=2),
    st.lists(tables, max_size=4),
)
def test_a_file_of_anything_either_loads_or_is_explained(start: str, top: dict[str, str], rest: list[str]) -> None:
    text = "\n".join([*(f"{key} = {value}" for key, value in top.items()), start, *rest])
    assert outcome(text)


@pytest.mark.parametrize("depth", [25, 300, 900, 5000])
def test_deep_nesting_is_refused_whatever_reads_it(depth: int) -> None:
    text = f'[task]\ntype = "Digits"\nclasses = {"[" * depth}{"]" * depth}\n'
    with pytest.raises(ConfigError, match=r"nested|recursion"):
        schema.parse(text, source="deep.toml")


FORGETFUL = """
from qlab import MLP


class Forgetful(MLP):
    def __init__(self, *, hidden: tuple[int, ...] = (4,)) -> None:
        self.gain = 2.0
"""


def test_a_model_that_forgets_its_base_is_told_so(tmp_path):
    (tmp_path / "own_models.py").write_text(FORGETFUL)
    text = MINIMAL.replace('"MLP"', '"own_models:Forgetful"')
    assert "own_models" in text
    with pytest.raises(ConfigError, match=r"Forgetful.__init__ does not call super\(\).__init__"):
        schema.parse(text, source="given.toml", folder=tmp_path, default_name="x")
