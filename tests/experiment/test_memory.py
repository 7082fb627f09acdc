"""Sizes, what a machine has left, and experiments cut into parts that fit."""

from __future__ import annotations

import psutil
import pytest
import torch
from support.runs import runner

from qlab.errors import ConfigError, DataError
from qlab.experiment.asking import schema
from qlab.experiment.asking.memory import SHARE, available, budget, parse_size
from qlab.experiment.reporting import Silent
from qlab.tracking import frames
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500MB", 500 * 10**6),
        ("4GiB", 4 * 2**30),
        ("4 gib", 4 * 2**30),
        (" 1.5 GB ", 15 * 10**8),
        ("7B", 7),
        ("2kB", 2000),
        ("1TiB", 2**40),
    ],
)
def test_sizes(text, expected):
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "4", "GB", "4G", "-1GB", "0MB", "1e3MB", "4 GiB more", "4,5GB", f"{'9' * 320}GB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ConfigError, match=r'memory: got ".*", accepts a number above 0 .* such as "500MB" or "4GiB"'):
        parse_size(text)


@pytest.mark.parametrize(
    ("value", "words"), [('"4G"', 'run.memory: got "4G", accepts'), ("4", "run.memory: got 4, accepts a string")]
)
def test_a_bad_size_in_a_file_names_its_key(tiny, value, words):
    with pytest.raises(ConfigError, match=words):
        schema.parse(tiny + f"memory = {value}\n", source="tiny.toml")


def test_memory_is_no_part_of_a_trials_identity(tiny):
    plain, stated = (schema.parse(tiny + text, source="tiny.toml") for text in ("", 'memory = "4GiB"\n'))
    assert (plain.memory, stated.memory) == (None, "4GiB")
    assert [trial.key for trial in plain.trials] == [trial.key for trial in stated.trials]
    assert plain.content == stated.content


def machine(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


V2 = "sys/fs/cgroup/"
V1 = "sys/fs/cgroup/memory/"
GROUPS = {
    "none": ({}, None),
    "version 2": (
        {"proc/self/cgroup": "0::/a/b\n", V2 + "a/b/memory.max": "600000\n", V2 + "a/b/memory.current": "100000\n"},
        500000,
    ),
    "version 2, files in memory": (
        {
            "proc/self/cgroup": "0::/a\n",
            V2 + "a/memory.max": "600000\n",
            V2 + "a/memory.current": "100000\n",
            V2 + "a/memory.stat": "anon 5\ninactive_file 40000\n",
        },
        540000,
    ),
    "version 2, no limit": (
        {"proc/self/cgroup": "0::/a\n", V2 + "a/memory.max": "max\n", V2 + "a/memory.current": "100000\n"},
        None,
    ),
    "version 2, the parent's limit": (
        {
            "proc/self/cgroup": "0::/a/b\n",
            V2 + "a/memory.max": "300000\n",
            V2 + "a/memory.current": "100000\n",
            V2 + "a/b/memory.max": "max\n",
            V2 + "a/b/memory.current": "5\n",
        },
        200000,
    ),
    "version 2, a container's own mount": (
        {"proc/self/cgroup": "0::/not/here\n", V2 + "memory.max": "300000\n", V2 + "memory.current": "1\n"},
        299999,
    ),
    "version 2, more than allowed": (
        {"proc/self/cgroup": "0::/\n", V2 + "memory.max": "300\n", V2 + "memory.current": "400\n"},
        0,
    ),
    "version 1": (
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/a\n",
            V1 + "a/memory.limit_in_bytes": "400000\n",
            V1 + "a/memory.usage_in_bytes": "100000\n",
            V1 + "a/memory.stat": "inactive_file 7\ntotal_inactive_file 50000\n",
        },
        350000,
    ),
    "version 1, no limit": (
        {
            "proc/self/cgroup": "4:memory:/\n",
            V1 + "memory.limit_in_bytes": "9223372036854771712\n",
            V1 + "memory.usage_in_bytes": "100000\n",
        },
        None,
    ),
}


@pytest.mark.parametrize("name", GROUPS)
def test_what_a_machine_and_its_control_groups_leave(tmp_path, name):
    files, expected = GROUPS[name]
    left = available(machine(tmp_path, files))
    if expected is None:  # what the machine has
        assert 2**27 < left <= psutil.virtual_memory().total
    else:
        assert left == expected


def test_a_share_of_what_is_available_is_taken_by_default():
    assert budget("3MB", CPU) == 3 * 10**6
    assert 0 < budget(None, CPU) <= SHARE * 1.2 * available()


class Listening(Silent):
    """Remembers the sizes of ensembles."""

    def __init__(self):
        self.sizes = []

    def ensemble_started(self, label, engine, trials, epochs):
        self.sizes.append((label.split()[0], trials))


UNLEARNED = """
[[unlearner]]
type = "Finetune"
steps = 2
"""


def run(text, folder, write_empty_store):
    store = Store(write_empty_store(folder / "mlflow.db"))
    reporter = Listening()
    outcome = runner(store, reporter).run(schema.parse(text, source="tiny.toml"))
    assert not outcome.failed
    found = frames.runs(store, store.experiment_ids(["tiny"]))
    return reporter.sizes, found[found["kind"].isin(["trial", "unlearning"])].set_index("trial")


@pytest.mark.parametrize(("corruption", "memory"), [("LabelFlip", "18.1kB"), ("FeatureRandomization", "35kB")])
def test_an_experiment_in_parts_gives_the_same(tiny, tmp_path, write_empty_store, corruption, memory):
    text = tiny.replace("[0.0, 0.5]", "0.5").replace("LabelFlip", corruption)
    text = text.replace("seeds = 2", "seeds = 2\noracles = 1\n{}") + UNLEARNED
    sizes, whole = run(text.format(""), tmp_path / "whole", write_empty_store)
    cut_sizes, cut = run(text.format(f'memory = "{memory}"'), tmp_path / "cut", write_empty_store)
    # Each time models, oracles, unlearning: of the MLP and of the circuit.
    assert [count for _, count in sizes] == [2] * 6
    assert [count for _, count in cut_sizes].count(1) >= 4
    assert sum(count for _, count in cut_sizes) == sum(count for _, count in sizes)
    assert sorted(whole.index) == sorted(cut.index)
    columns = [name for name in whole.columns if whole[name].dtype.kind == "f" and "seconds" not in name]
    assert {"train_loss", "validation_accuracy", "oracle_gap"} <= set(columns)
    for name in columns:
        for key in whole.index:
            assert cut[name][key] == pytest.approx(whole[name][key], abs=1e-5, nan_ok=True), (name, key)


def test_one_model_that_does_not_fit_is_refused_before_there_are_runs(tiny, tmp_path, write_empty_store):
    store = Store(write_empty_store(tmp_path / "mlflow.db"))
    with pytest.raises(DataError, match=r"MLP on XXZ, LabelFlip needs about .*B .* single model, and may take 1 kB"):
        runner(store).run(schema.parse(tiny + 'memory = "1kB"\n', source="tiny.toml"))
    assert frames.runs(store, store.experiment_ids(["tiny"]))["kind"].tolist() == ["experiment"]


def test_a_perceptron_on_random_features_of_long_chains_is_refused(tmp_path, write_empty_store):
    text = """
[task]
type = "XXZ"
length = 18
gapless = [-0.5, 0.5, 0.5]
gapped = [1.5, 2.5, 0.5]
validation = [0.0, 1.5, 1.5]
[corruption]
type = "FeatureRandomization"
ratio = 0.5
[[model]]
type = "MLP"
[run]
seeds = 1
memory = "500MB"
"""
    store = Store(write_empty_store(tmp_path / "mlflow.db"))
    with pytest.raises(DataError, match=r"MLP on XXZ, FeatureRandomization needs about .* MB .* may take 500 MB"):
        runner(store).run(schema.parse(text, source="long.toml", default_name="long"))
    assert frames.runs(store, store.experiment_ids(["long"]))["kind"].tolist() == ["experiment"]
