"""Known and hidden rows through the runner: what is trained once, what methods see, what is measured and refused."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from support.commands import words
from support.experiments import TASK
from support.runs import Unheard, refused_alone, run_text

from qlab.cli import main
from qlab.corruptions import Knowledge
from qlab.errors import ConfigError, DataError
from qlab.experiment.asking import schema
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.asking.trial import Unlearning
from qlab.experiment.jobs.base import Inputs
from qlab.experiment.jobs.materials import Materials, Setting
from qlab.experiment.jobs.oracles import TrainOracles
from qlab.experiment.jobs.unlearn import Forgotten, Unlearn
from qlab.explorer.loaded import checkpoints, related
from qlab.tasks import XXZ
from qlab.tracking import frames, names
from qlab.tracking.store import Store
from qlab.unlearning import oracle

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

MODEL = """
[[model]]
type = "MLP"
hidden = [4]
training = { epochs = 3, batch_size = 8, learning_rate = 0.05 }
"""

FLIPS = '[corruption]\ntype = "LabelFlip"\nratio = 0.5\n'
FINETUNE = '[[unlearner]]\ntype = "Finetune"\nsteps = 2\n'
SHORT = "[run]\nseeds = 2\noracles = 2\n"
NAME = 'name = "known"\n'

PLUGIN = '''
from __future__ import annotations

import torch

from qlab import Corruption, Unlearner
from qlab.corruptions import Corrupted
from qlab.tasks import Split
from qlab.unlearning import cross_entropy


class Sees(Unlearner):
    """Ends with a loss that says how many rows it was given."""

    def loss(self, student, teacher, data):
        assert data.forget_polluted.y.shape == data.forget_clean.y.shape == (3,), data.forget_polluted.y.shape
        assert data.retain.y.shape == (13,), data.retain.y.shape
        return cross_entropy(student(data.retain.x), data.retain.y)


class Ones(Corruption):
    """Labels rows of class 0 as 1."""

    def apply(self, split, task, generator):
        mask = self.choose_rows(split, generator) & (split.y == 0)
        return Corrupted(Split(split.x, torch.where(mask, 1, split.y), split.about), mask, split.y)
'''


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_empty_store: Callable[[Path], str]) -> Store:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(PLUGIN)
    return Store(write_empty_store(tmp_path / "mlruns" / "mlflow.db"))


def parse(*parts: str, folder: Path | None = None) -> Experiment:
    return schema.parse("".join((NAME, TASK, *parts)), source="given.toml", folder=folder)


def counts(store: Store) -> dict[str, int]:
    return dict(Counter(run.data.tags[names.KIND] for run in store.search(store.experiment_ids())))


def runs(store: Store, kind: str) -> list[Any]:
    return list(store.search(store.experiment_ids(), f"tags.`{names.KIND}` = '{kind}'"))


def test_a_sweep_trains_each_teacher_once_and_applies_methods_to_each_fraction() -> None:
    swept = parse(FLIPS, "known = [0.25, 0.5, 1.0]\nknown_rows = 'near'\nfalse_alarms = [0.0, 0.5]\n", MODEL, FINETUNE)
    plain = parse(FLIPS, MODEL, FINETUNE)
    assert [trial.key for trial in swept.trials] == [trial.key for trial in plain.trials]
    assert [trial.params for trial in swept.trials] == [trial.params for trial in plain.trials]
    assert len(swept.unlearnings) == 6 * len(plain.unlearnings)
    known = {item.key for item in plain.unlearnings}
    complete = [item for item in swept.unlearnings if item.knowledge.is_complete]
    assert {item.key for item in complete} == known  # found again in old stores
    part = next(item for item in swept.unlearnings if item.knowledge == Knowledge(0.25, "near", 0.5))
    stated = {name: part.params.get(f"corruption.{name}") for name in ("known", "known_rows", "false_alarms")}
    assert stated == {"known": "0.25", "known_rows": "near", "false_alarms": "0.5"}
    assert part.label.endswith("known 0.25 near, false alarms 0.5")
    groups = {item.group_tags[names.GROUP] for item in swept.unlearnings}
    assert len(groups) == 6


def test_fields_that_decide_nothing_make_no_further_run() -> None:
    both = parse(FLIPS, 'known = 1.0\nknown_rows = ["random", "near"]\n', MODEL, FINETUNE)
    assert len(both.unlearnings) == len(both.trials)


def test_without_methods_it_is_said_that_nothing_depends_on_it() -> None:
    found = parse(FLIPS, "known = 0.5\n", MODEL)
    assert [trial.key for trial in found.trials] == [trial.key for trial in parse(FLIPS, MODEL).trials]
    assert found.left_out == ("what is known of corrupted rows: it matters to unlearning only; add an [[unlearner]]",)
    assert parse(FLIPS, MODEL).left_out == ()


def test_methods_get_the_known_rows_and_the_rest(store: Store, tmp_path: Path) -> None:
    text = "".join((NAME, TASK, FLIPS, "known = 0.25\nfalse_alarms = 0.5\n", MODEL, SHORT))
    outcome = run_text(store, tmp_path, text + '[[unlearner]]\ntype = "own:Sees"\nsteps = 1\n')
    assert outcome.failed == {}
    assert outcome.unlearned == 2


def applied(item: Unlearning, teacher: dict[str, Any], materials: Materials) -> Forgotten:
    """A method, after both kinds of oracles."""
    wanted = tuple((item.teacher, number) for number in range(item.oracles))
    states = {item.teacher.key: teacher}
    for knowledge in (Knowledge(), item.knowledge):
        states |= TrainOracles(wanted, knowledge).run(materials, Inputs(states), Unheard()).states  # type: ignore[arg-type]
    return Unlearn((item,), (item.teacher,)).run(materials, Inputs(states), Unheard())  # type: ignore[arg-type]


@pytest.mark.parametrize("alarms", [0.0, 0.5])
def test_metrics_are_of_the_rows_that_they_say(alarms: float) -> None:
    experiment = parse(FLIPS, f"known = 0.25\nfalse_alarms = {alarms}\n", MODEL, FINETUNE, SHORT)
    materials, item = Materials(Setting("cpu")), experiment.unlearnings[0]
    model = materials.build(item.teacher)
    generator = torch.Generator().manual_seed(1)
    state = {name: torch.randn(value.shape, generator=generator) for name, value in model.state_dict().items()}
    found = applied(item, state, materials)
    corrupted = materials.member(item.teacher).corrupted
    mask, told = corrupted.mask, materials.told(item.teacher, item.knowledge)
    for step, parameters in ((0, state), (-1, found.states[item.key])):
        made = model.with_state(parameters)
        with torch.no_grad():
            guess = (made(made.prepare(corrupted.split.x)) > 0).long()
        right = {"polluted": guess == corrupted.split.y, "clean": guess == corrupted.clean_y}
        rows = {"known": told & mask, "hidden": mask & ~told, "forget": mask}
        assert [int(own.sum()) for own in rows.values()] == [2, 6, 8]
        for name, own in rows.items():
            for kind, correct in right.items():
                expected = float(correct[own].double().mean())
                assert found.history[f"{name}_accuracy_{kind}"][0, step] == expected
        retained = float(right["clean"][~mask].double().mean())
        assert found.history["retain_accuracy"][0, step] == retained
        if alarms:
            expected = float(right["clean"][told & ~mask].double().mean())
            assert found.history["false_alarm_accuracy"][0, step] == expected
    assert ("false_alarm_accuracy" in found.history) == (alarms > 0.0)
    ended = found.ended[item.key].metrics
    assert ended["corrective_accuracy"] == found.history["forget_accuracy_clean"][0, -1]
    assert ended["corrective_accuracy_teacher"] == found.history["forget_accuracy_clean"][0, 0]


def test_reachable_oracles_are_trained_without_the_known_rows_only() -> None:
    experiment = parse(FLIPS, "known = 0.25\nfalse_alarms = 0.5\n", MODEL, FINETUNE, SHORT)
    materials, item = Materials(Setting("cpu")), experiment.unlearnings[0]
    corrupted, told = (
        materials.member(item.teacher).corrupted,
        materials.told(item.teacher, item.knowledge),
    )
    own = oracle.retain_only(corrupted, 0, told).corrupted
    assert torch.equal(own.split.x, corrupted.split.x[~told])
    assert torch.equal(own.split.y, corrupted.split.y[~told])
    assert int((own.split.y != own.clean_y).sum()) == 6  # the hidden rows, with the labels they were given
    trainer, dataset = item.teacher.trainer, materials.dataset(item.teacher.task)
    job = TrainOracles(((item.teacher, 1),), item.knowledge)
    trained = job.run(materials, Inputs({item.teacher.key: {}}), Unheard())  # type: ignore[arg-type]
    member = oracle.retain_only(corrupted, oracle.seed_of(item.teacher.seed, 1), told)
    expected = trainer.fit(materials.build(item.teacher), [member], dataset.validation).state_of(0)
    [key] = job.keys
    assert key == item.teacher.oracle_key(1, item.knowledge) != item.teacher.oracle_key(1)
    assert all(torch.equal(trained.states[key][name], value) for name, value in expected.items())


def test_a_run_has_both_kinds_of_oracles_shared_by_all_methods_and_none_twice(store: Store, tmp_path: Path) -> None:
    methods = FINETUNE + '[[unlearner]]\ntype = "Retrain"\nsteps = 2\n'
    text = "".join((NAME, TASK, FLIPS, "known = [0.5, 1.0]\n", MODEL, methods, SHORT))
    outcome = run_text(store, tmp_path, text)
    assert outcome.failed == {}
    # 2 seeds, each with 2 oracles without any corrupted row and 2 without the known ones; 2 methods at 2 fractions.
    assert counts(store) == {"experiment": 1, "trial": 2, "oracle": 8, "unlearning": 8}
    found = {run.data.params.get("corruption.known") for run in runs(store, names.ORACLE)}
    assert found == {None, "0.5"}
    frame = frames.runs_of_kind(store, store.experiment_ids(), names.UNLEARNING)
    assert frame["corruption.known"].value_counts().to_dict() == {0.5: 4, 1.0: 4}
    part = frame["corruption.known"] == 0.5
    for name in ("reachable_accuracy", "reachable_gap", "reachable_kl", "hidden_accuracy_polluted"):
        assert frame.loc[part, name].notna().all()
        assert frame.loc[~part, name].isna().all()
    gap = frame["validation_accuracy"] - frame["reachable_accuracy"]
    assert torch.allclose(torch.tensor(gap[part].to_list()), torch.tensor(frame.loc[part, "reachable_gap"].to_list()))
    again = run_text(store, tmp_path, text)
    assert (again.trained, again.unlearned) == (0, 0)
    more = run_text(store, tmp_path, text.replace("[0.5, 1.0]", "[0.25, 0.5, 1.0]"))
    assert (more.trained, more.unlearned) == (0, 4)
    assert counts(store)["oracle"] == 12


def test_estimators_are_fitted_again_without_the_known_rows(store: Store, tmp_path: Path) -> None:
    model = '[[model]]\ntype = "DensityKernelSVC"\n'
    text = "".join((NAME, TASK, FLIPS.replace("0.5", "0.25"), "known = [0.5, 1.0]\n", model, SHORT))
    outcome = run_text(store, tmp_path, text + '[[unlearner]]\ntype = "Retrain"\n')
    assert outcome.failed == {}
    frame = frames.runs_of_kind(store, store.experiment_ids(), names.UNLEARNING)
    part = frame[frame["corruption.known"] == 0.5]
    assert len(part) == 2
    assert (part["reachable_gap"] == 0.0).all()  # nothing random: fitting again is what can be reached
    assert part["hidden_accuracy_polluted"].notna().all()
    assert part["corrective_accuracy"].between(0.0, 1.0).all()
    assert (part["corrective_accuracy"] == part["corrective_accuracy_reachable"]).all()


def test_with_a_trigger_corrective_accuracy_is_of_triggered_validation_rows() -> None:
    backdoor = '[corruption]\ntype = "Backdoor"\nratio = 0.25\nknown = 0.5\n'
    experiment = parse(backdoor, MODEL, FINETUNE, SHORT)
    materials, item = Materials(Setting("cpu")), experiment.unlearnings[0]
    model = materials.build(item.teacher)
    generator = torch.Generator().manual_seed(2)
    state = {name: torch.randn(value.shape, generator=generator) for name, value in model.state_dict().items()}
    found = applied(item, state, materials)
    validation = materials.dataset(item.teacher.task).validation
    corruption: Any = item.teacher.corruption
    x = corruption.trigger(validation.x[validation.y != corruption.target], item.teacher.task)
    made = model.with_state(found.states[item.key])
    with torch.no_grad():
        right = (made(made.prepare(x)) <= 0).double().mean()  # the target is class 1
    assert math.isclose(found.ended[item.key].metrics["corrective_accuracy"], float(right))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            "known = 0.01",
            r"corruption\.known: got 0\.01, which names none of the 8 corrupted rows.*LabelFlip 0\.5",
        ),
        ("known = 0.5\nfalse_alarms = 3.0", r"corruption\.false_alarms: got 3, which is 12 clean rows"),
    ],
)
def test_what_names_no_rows_is_refused_before_anything_is_trained(
    store: Store, tmp_path: Path, fields: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        run_text(store, tmp_path, "".join((NAME, TASK, FLIPS, fields + "\n", MODEL, FINETUNE)))
    refused_alone(store)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("known = 0.0", r"corruption\.known: got 0\.0, accepts a number in \(0, 1\]"),
        ("known = [0.5, 2.0]", r"corruption\.known: got 2\.0, accepts a number in \(0, 1\]"),
        ('known_rows = "nearest"', r'corruption\.known_rows: got "nearest", accepts one of "random", "near", "far"'),
        ("false_alarms = -0.1", r"corruption\.false_alarms: got -0\.1"),
    ],
)
def test_values_that_are_not_accepted_are_refused_by_key(fields: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(FLIPS, fields + "\n", MODEL, FINETUNE)


def test_near_rows_of_a_task_without_distances_are_refused_by_name() -> None:
    digits = NAME + '[task]\ntype = "Digits"\n' + FLIPS + 'known = 0.5\nknown_rows = "near"\n' + MODEL + FINETUNE
    with pytest.raises(ConfigError, match=r'corruption: known_rows: got "near", but Digits knows no distance'):
        schema.parse(digits, source="given.toml")


def test_a_dry_run_counts_where_data_are_quick_to_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    digits = NAME + '[task]\ntype = "Digits"\n[corruption]\ntype = "LabelFlip"\nratio = 0.1\nknown = 0.001\n'
    (tmp_path / "known.toml").write_text(digits + MODEL + FINETUNE)
    result = CliRunner().invoke(main, ["run", "known.toml", "--dry-run"])
    assert result.exit_code == 2
    assert "which names none of the" in result.output


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("known = [0.5, 0.001]", "corruption.known: got 0.001, which names none of the 8 corrupted rows"),
        ("false_alarms = 3.0", "corruption.false_alarms: got 3, which is 24 clean rows"),
    ],
)
def test_a_dry_run_counts_rows_of_states_without_finding_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: str, message: str
) -> None:
    """Of XXZ the fields say how many rows there are of each class; the run then says the same."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "known.toml").write_text("".join((NAME, TASK, FLIPS, fields + "\n", MODEL, FINETUNE)))
    done = CliRunner().invoke(main, ["run", "known.toml"])
    monkeypatch.setattr(XXZ, "load", None)
    planned = CliRunner().invoke(main, ["run", "known.toml", "--dry-run"])
    assert (planned.exit_code, done.exit_code) == (2, 2)
    assert message in planned.stderr
    assert planned.stderr.partition("Error: ")[2] == done.stderr.partition("Error: ")[2]


def test_a_user_s_corruption_has_known_rows_too(store: Store, tmp_path: Path) -> None:
    own = '[corruption]\ntype = "own:Ones"\nratio = 0.5\nknown = 0.5\n'
    outcome = run_text(store, tmp_path, "".join((NAME, TASK, own, MODEL, FINETUNE, SHORT)))
    assert outcome.failed == {}
    for run in runs(store, names.UNLEARNING):
        metrics = run.data.metrics
        mixed = (metrics["known_accuracy_clean"] + metrics["hidden_accuracy_clean"]) / 2  # 2 known, 2 hidden rows
        assert math.isclose(mixed, metrics["forget_accuracy_clean"])


SWEPT = "".join((NAME, TASK, FLIPS, "known = [0.5, 1.0]\n", MODEL, FINETUNE, SHORT))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]) -> Path:
    """A folder in which a sweep was run."""
    folder = tmp_path_factory.mktemp("swept")
    write_empty_store(folder / "mlruns" / "mlflow.db")
    (folder / "swept.toml").write_text(SWEPT)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(main, ["run", "swept.toml", "--no-figures"])
    assert result.exit_code == 0, result.output
    (folder / "output.txt").write_text(result.output)
    return folder


def test_the_table_and_the_files_tell_fractions_apart(swept: Path) -> None:
    said = words((swept / "output.txt").read_text())
    for part in ("known=0.5", "known=1", "corrective", "reachable", "unlearning.csv, known.csv"):
        assert part in said
    [csv] = (swept / "mlruns").glob("**/summary/known.csv")
    table = pd.read_csv(csv)
    assert set(table["method"]) == {"Finetune", "oracle", "reachable oracle", "teacher"}
    assert set(table["corruption.known"]) == {0.5, 1.0}


def test_a_report_shows_methods_by_fraction(swept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(swept)
    result = CliRunner().invoke(main, ["report", "-o", "page"])
    assert result.exit_code == 0, result.output
    assert "fraction of corrupted rows that they are told" in (swept / "page" / "index.html").read_text()
    assert list((swept / "page").glob("**/*known*.png"))


def test_the_explorer_names_what_oracles_are(swept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(swept)
    store = Store("sqlite:///mlruns/mlflow.db")
    frame = frames.runs(store, store.experiment_ids())
    every = checkpoints(frame)
    trained = next(item for item in every if item.kind == names.TRIAL)
    found = related(trained, every, frame)
    assert {"oracle", "oracle 2", "reachable oracle", "reachable oracle 2", "Finetune", "Finetune 2"} <= found.keys()


def test_claims_may_be_about_known_rows(store: Store, tmp_path: Path) -> None:
    claim = (
        '[[claim]]\ntext = "more are put right"\nmetric = "corrective_accuracy"\n'
        'statement = "not below"\nmargin = 0.9\n'
        'of = { "corruption.known" = 1.0, "unlearner.type" = "Finetune" }\n'
        'than = { "corruption.known" = 0.5, "unlearner.type" = "Finetune" }\n'
    )
    outcome = run_text(store, tmp_path, SWEPT + claim, run__seeds=3)
    assert outcome.claims["n"].tolist() == [3]
