"""Audits through the runner: what is trained for them once, what ends up in the store, and what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import entropy
from support.experiments import TASK
from support.runs import Unheard, refused_alone, run_text

from qlab.audits import epsilon_ceiling
from qlab.errors import ConfigError
from qlab.experiment.asking import schema
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.asking.trial import Trial
from qlab.experiment.jobs.audit import TakeAudits
from qlab.experiment.jobs.base import Inputs
from qlab.experiment.jobs.materials import Materials, Setting
from qlab.experiment.jobs.unlearn import Unlearn
from qlab.models import checkpoint
from qlab.tracking import frames, garbage, names
from qlab.tracking.store import Store
from qlab.training import Member, ensemble
from qlab.training.data import prepare
from qlab.unlearning.engine import unlearn

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

EVERY = '["klom", "epsilon", "membership", "tug_of_war", "distance", "relearning", "corrective_accuracy"]'

MLP = """
[[model]]
type = "MLP"
hidden = [4]
dtype = "float64"
"""

QNN = """
[[model]]
type = "PennyLaneQNN"
depth = 2
dtype = "float64"
"""

SVC = '[[model]]\ntype = "sklearn.svm:SVC"\n'

FINETUNE = """
[[unlearner]]
type = "Finetune"
steps = 2
"""

CLAIM = """
[[claim]]
text = "it is forgotten"
metric = "epsilon_low"
of = { "unlearner.type" = "Finetune" }
than = 0.5
statement = "below"
"""

AUDIT = """
[audit]
oracles = 5
models = 6
bins = 4
"""


def text(*parts: str, corruption: str = 'type = "LabelFlip"\nratio = 0.5', audit: str = "", seeds: int = 1) -> str:
    """An experiment file; the further keys of its audit come last."""
    head = f'name = "audited"\n{TASK}\n[corruption]\n{corruption}\n[training]\nepochs = 3\nbatch_size = 8\n'
    return head + "".join(parts) + f"[run]\nseeds = {seeds}\noracles = 2\n" + AUDIT + audit


def runs(store: Store, kind: str = names.UNLEARNING) -> pd.DataFrame:
    return frames.runs_of_kind(store, store.experiment_ids(), kind)


def arrays(store: Store, run_id: str, metric: str, folder: Path) -> dict[str, np.ndarray]:
    with np.load(store.fetch_file(run_id, names.AUDIT_FILE.format(metric), folder)) as found:
        return dict(found)


def trials(given: str) -> tuple[Experiment, Sequence[Trial]]:
    experiment = schema.parse(given, source="given.toml")
    return experiment, experiment.trials


def loaded(store: Store, run_id: str, folder: Path) -> torch.nn.Module:
    return checkpoint.load(store.fetch_file(run_id, names.CHECKPOINT, folder))


def test_every_number_follows_from_models_in_the_store(store, tmp_path):
    given = text(MLP, FINETUNE, audit=f"metrics = {EVERY}\n")
    outcome = run_text(store, tmp_path, given)
    assert not outcome.failed
    (row,) = runs(store).to_dict("records")
    found = arrays(store, row["run_id"], "klom", tmp_path)
    (trial,) = trials(given)[1]
    dataset = trial.task.load()
    member = Member.of(trial.task, dataset, trial.corruption, trial.seed)
    x = torch.cat([member.corrupted.split.x, dataset.validation.x])
    y = torch.cat([member.corrupted.split.y, dataset.validation.y])
    assert found["label"].tolist() == y.tolist()
    kinds = np.where(member.corrupted.mask, "forget", "retain")
    assert found["rows"].tolist() == [*kinds, *["validation"] * len(dataset.validation)]

    # Oracles and shadow models, each evaluated by itself.
    for kind, param, name in ((names.ORACLE, "oracle", "oracles"), (names.SHADOW, "shadow", "teachers")):
        models = runs(store, kind).sort_values(param, key=lambda numbers: numbers.astype(int))
        for index, run_id in enumerate(models["run_id"]):
            model = loaded(store, run_id, tmp_path)
            z = model(model.prepare(x)).detach()
            np.testing.assert_allclose(found[f"margins_{name}"][index], torch.where(y == 1, z, -z), rtol=1e-5)

    # Shadow models unlearned one by one, as the teacher would be.
    unlearner = trials(given)[0].unlearnings[0].unlearner
    for index, row_of in enumerate(runs(store, names.SHADOW).to_dict("records")[:3]):
        model = loaded(store, row_of["run_id"], tmp_path)
        stacked = ensemble.stack([model.state_dict()], model)
        data = prepare(model, [member], dataset.validation, torch.device("cpu"))
        z = unlearn(unlearner, model, stacked, data, [int(row_of["seed"]) + 10**9]).logits[0]
        np.testing.assert_allclose(found["margins_unlearned"][index], torch.where(y == 1, z, -z), rtol=1e-5)

    # KLoM of each row, with 4 bins.
    forget = found["rows"] == "forget"
    for column in range(len(y)):
        p, q = found["margins_unlearned"][:, column], found["margins_oracles"][:, column]
        edges = np.linspace(min(p.min(), q.min()), max(p.max(), q.max()), 5)
        p, q = (np.histogram(part, edges)[0] / len(part) for part in (p, q))
        expected = entropy(p, np.where(p > 0, np.maximum(q, 1e-5), q))
        assert found["klom"][column] == pytest.approx(expected, abs=1e-6)
    assert row["klom_forget"] == pytest.approx(found["klom"][forget].mean())
    assert row["klom_validation_q95"] == pytest.approx(np.quantile(found["klom"][found["rows"] == "validation"], 0.95))

    # Tug of war of the run's own model.
    own = loaded(store, row["run_id"], tmp_path)
    right = ((own(own.prepare(x)) > 0).long() == y).double()
    accuracies = [float(right[found["rows"] == rows].mean()) for rows in ("forget", "retain", "validation")]
    correct = found["margins_oracles"] > 0
    oracles = [correct[:, found["rows"] == rows].mean() for rows in ("forget", "retain", "validation")]
    expected = np.prod([1 - abs(a - o) for a, o in zip(accuracies, oracles, strict=True)])
    assert row["tug_of_war"] == pytest.approx(expected)
    assert {"epsilon_low", "epsilon_ceiling", "lira_auc", "u_lira_auc", "parameter_distance"} <= set(row)
    assert "observable_overlap" not in row
    history = store.metric_history(row["run_id"], "relearning_known")
    assert [step for step, _ in history] == list(range(51))
    assert row["relearned_known"] == pytest.approx(np.mean([value for _, value in history]))


def test_what_is_trained_for_audits_is_shared_by_methods_and_found_again(store, tmp_path):
    run_text(store, tmp_path, text(QNN, FINETUNE, seeds=2))
    assert sorted(Counter(runs(store, names.ORACLE)[names.TEACHER]).values()) == [5, 5]  # those of run.oracles included
    assert sorted(Counter(runs(store, names.SHADOW)[names.TEACHER]).values()) == [6, 6]
    first = runs(store).set_index("trial")
    again = run_text(store, tmp_path, text(QNN, FINETUNE, seeds=2))
    assert again.trained == again.unlearned == 0
    # Another method and another metric: no model is trained beside the method's own.
    scrub = '[[unlearner]]\ntype = "Scrub"\nsteps = 2\n'
    more = text(QNN, FINETUNE, scrub, seeds=2, audit='metrics = ["klom", "distance"]\n')
    assert run_text(store, tmp_path, more).unlearned == 2
    assert len(runs(store, names.ORACLE)) == 10
    assert len(runs(store, names.SHADOW)) == 12
    after = runs(store).set_index("trial")
    assert after["klom_forget"].notna().all()
    assert after["observable_overlap"].between(-1.0, 1.0).all()
    pd.testing.assert_series_equal(after.loc[first.index, "klom_forget"], first["klom_forget"])
    # With other settings the same runs are audited again.
    run_text(store, tmp_path, text(QNN, FINETUNE, seeds=2), audit__oracles=6)
    assert len(runs(store, names.ORACLE)) == 12
    assert len(runs(store)) == 4
    assert not garbage.find_garbage(store, store.experiment_ids())  # shadow models belong to their teachers


def states_of(store: Store, folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    """Every model of a store."""
    found = {}
    for kind in (names.TRIAL, names.UNLEARNING, names.ORACLE, names.SHADOW):
        for own in runs(store, kind).to_dict("records"):
            found[own["trial"]] = loaded(store, own["run_id"], folder).state_dict()
    return found


def test_parts_that_fit_into_memory_give_the_same(store, tmp_path):
    given = text(MLP, FINETUNE)
    run_text(store, tmp_path, given)
    (row,) = runs(store).to_dict("records")
    experiment, (trial,) = trials(given)
    states = states_of(store, tmp_path)
    found = TakeAudits(experiment.audits, 3).run(Materials(Setting("cpu")), Inputs(states), Unheard())
    values = found.found[experiment.audits[0].key].values
    assert values == pytest.approx({name: row[name] for name in values}, rel=1e-6)
    assert trial.key in states


def test_methods_that_are_audited_together_come_to_what_each_comes_to_alone(store, tmp_path):
    """Together, what is found of the trained model and of its oracles is found once."""
    given = text(
        QNN,
        FINETUNE,
        '[[unlearner]]\ntype = "PureAscent"\nsteps = 2\nlearning_rate = 0.3\n',
        corruption='type = "GaussianPoison"\nratio = 0.5',
        audit='relearn_steps = 3\nmetrics = ["gaussian_unlearning_score", "distance", "relearning"]\n',
    )
    run_text(store, tmp_path, given)
    experiment, inputs = trials(given)[0], Inputs(states_of(store, tmp_path))
    together = TakeAudits(experiment.audits, 3).run(Materials(Setting("cpu")), inputs, Unheard())
    assert not together.failed
    values: dict[str, list[float]] = {}
    for audit in experiment.audits:
        alone = TakeAudits((audit,), 3).run(Materials(Setting("cpu")), inputs, Unheard()).found[audit.key]
        assert together.found[audit.key].values == alone.values
        for name, value in alone.values.items():
            values.setdefault(name, []).append(value)
    for name in ("gaussian_unlearning_score", "observable_overlap"):
        (first, second), (teacher, same) = values[name], values[f"{name}_teacher"]
        assert first != second
        assert teacher == same


def test_the_gaussian_score_is_along_the_loss_of_clean_rows(store, tmp_path):
    poison = 'type = "GaussianPoison"\nratio = 0.5\nstrength = 0.4'
    given = text(QNN, MLP, FINETUNE, corruption=poison, audit='metrics = "gaussian_unlearning_score"\n')
    assert not run_text(store, tmp_path, given).failed
    assert runs(store, names.SHADOW).empty  # it takes the model itself
    for trial in trials(given)[1]:
        (row,) = [own for own in runs(store).to_dict("records") if own[names.TEACHER] == trial.key]
        dataset = trial.task.load()
        corrupted = Member.of(trial.task, dataset, trial.corruption, trial.seed).corrupted
        x, y = dataset.train.x[corrupted.mask], corrupted.split.y[corrupted.mask].double()
        xi = corrupted.split.x[corrupted.mask] - x
        model = loaded(store, row["run_id"], tmp_path)

        def loss(rows, model=model, y=y):
            z = model(model.prepare(rows).double())
            return torch.nn.functional.softplus(torch.where(y == 1, -z, z)).detach()

        step = 1e-5
        along = (loss(x + step * xi) - loss(x - step * xi)) / (2 * step)
        squares = torch.zeros(len(x), dtype=torch.float64)
        for column in range(x.shape[1]):
            for unit in (1.0, 1.0j) if x.is_complex() else (1.0,):
                moved = torch.zeros_like(x)
                moved[:, column] = unit * step
                squares += ((loss(x + moved) - loss(x - moved)) / (2 * step)) ** 2
        std = 0.4 * float(torch.view_as_real(dataset.train.x).square().mean().sqrt())
        # Rows for which no unit of the MLP is active have no gradient, and a score of 0.
        expected = float((-along / (std * squares.sqrt())).nan_to_num().mean())
        assert row["gaussian_unlearning_score"] == pytest.approx(expected, abs=1e-3)
        assert row["gaussian_unlearning_score_error"] == pytest.approx(len(x) ** -0.5)


def test_what_is_logged_of_an_infinite_epsilon_is_finite(store, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from qlab import Unlearner\n\nclass Lift(Unlearner):\n"
        "    def update(self, student, teacher, data):\n"
        "        return {'biases.1': student.parameters['biases.1'] + 1000.0}\n"
    )
    given = text(MLP, '[[unlearner]]\ntype = "mine:Lift"\nsteps = 1\n', audit='metrics = ["epsilon"]\n')
    assert not run_text(store, tmp_path, given, audit__oracles=20, audit__models=20).failed
    (row,) = runs(store).to_dict("records")
    found = arrays(store, row["run_id"], "epsilon", tmp_path)
    assert row["epsilon_unbounded"] == np.mean(np.isinf(found["estimate"])) > 0.5
    assert row["epsilon_median"] == pytest.approx(row["epsilon_ceiling"])
    assert row["epsilon_ceiling"] == epsilon_ceiling(20, 20)
    assert 0 < row["epsilon_ceiling"] < 10


def test_methods_and_audits_are_named_with_what_methods_were_told(tmp_path):
    experiment, _ = trials(text(MLP, FINETUNE, corruption='type = "LabelFlip"\nratio = 0.5\nknown = [0.25, 0.5, 1.0]'))
    methods = [Unlearn((item,), (item.teacher,)).label for item in experiment.unlearnings]
    assert methods == ["Finetune of MLP, known 0.25", "Finetune of MLP, known 0.5", "Finetune of MLP"]
    labels = [TakeAudits((audit,), 1).label for audit in experiment.audits]
    plain = "audits of MLP LabelFlip 0.5 seed 0"
    assert labels == [f"{plain}, known 0.25", f"{plain}, known 0.5", plain]


@pytest.mark.parametrize("against", ["clean", "reachable"])
def test_oracles_are_those_without_corrupted_or_without_known_rows(store, tmp_path, against):
    corruption = 'type = "LabelFlip"\nratio = 0.5\nknown = 0.5'
    audit = f'against = "{against}"\nmetrics = ["klom", "relearning"]\n'
    given = text(MLP, FINETUNE, corruption=corruption, audit=audit)
    assert not run_text(store, tmp_path, given).failed
    experiment, _ = trials(given)
    made = set(runs(store, names.ORACLE)["trial"])
    assert set(experiment.audits[0].oracle_keys) <= made
    assert len(made) == 5 + 2  # and those of run.oracles of the other kind
    (row,) = runs(store).to_dict("records")
    rows = Counter(arrays(store, row["run_id"], "klom", tmp_path)["rows"].tolist())
    assert rows == {"forget": 4, "hidden": 4, "retain": 8, "validation": 12}
    assert {"klom_hidden", "relearned_hidden"} <= set(row)


def test_a_method_that_fails_on_shadow_models_fails_its_audits_and_no_others(store, tmp_path):
    """It takes the one teacher of the run, and refuses the six models of the audit."""
    (tmp_path / "mine.py").write_text(
        "from qlab import Finetune\n\ncalls = []\n\nclass Tired(Finetune):\n"
        "    def loss(self, student, teacher, data):\n"
        "        calls.append(data.step)\n"
        "        if calls.count(1) > 1:\n"
        "            raise ValueError('too much')\n"
        "        return super().loss(student, teacher, data)\n"
    )
    outcome = run_text(store, tmp_path, text(MLP, FINETUNE, '[[unlearner]]\ntype = "mine:Tired"\nsteps = 2\n'))
    ((label, why),) = outcome.failed.values()
    assert label.startswith("klom of mine:Tired of MLP")
    assert "too much" in why
    table = runs(store).set_index("unlearner.type")
    assert np.isfinite(table.loc["Finetune", "klom_forget"])
    assert np.isnan(table.loc["mine:Tired", "klom_forget"])
    assert dict(table.loc["mine:Tired", names.AUDITED])["klom"].startswith(names.METRIC_FAILED)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            text(MLP, FINETUNE, audit="oracles = 3\n").replace("oracles = 5\n", ""),
            r"audit: oracles: got 3.*4 bins.*or fewer bins: bins = 3\.",
        ),
        (text(MLP, FINETUNE).replace("models = 6", "models = 2"), "audit: models: got 2.*4 bins"),
        (text(MLP, FINETUNE, audit='metrics = ["klim"]\n'), 'unknown audit "klim".*klom'),
        (text(MLP, FINETUNE, audit='metrics = ["klom", "klom"]\n'), "only once"),
        (text(MLP, FINETUNE, audit="metrics = []\n"), "audit.metrics"),
        (text(MLP), r"no \[\[unlearner\]\]"),
        (text(MLP, FINETUNE, audit='metrics = "gaussian_unlearning_score"\n'), "cannot be measured with LabelFlip"),
        (text(MLP, FINETUNE, CLAIM, seeds=3), r"claim.metric: epsilon_low.*metrics = ..epsilon"),
        (text(MLP, FINETUNE, CLAIM, seeds=3).replace('"unlearner.type" = "Finetune"', ""), "metric of unlearning runs"),
        (text(MLP, FINETUNE, audit="oracle = 5\n"), 'unknown key "oracle".*oracles'),
        (
            text(SVC, '[[unlearner]]\ntype = "Retrain"\n'),
            "nothing is unlearned by grad",
        ),
    ],
)
def test_what_cannot_be_audited_is_refused_before_anything_runs(store, tmp_path, given, said):
    with pytest.raises(ConfigError, match=said):
        run_text(store, tmp_path, given)
    refused_alone(store)


def test_a_claim_about_an_audit_is_tested(store, tmp_path):
    outcome = run_text(store, tmp_path, text(MLP, FINETUNE, CLAIM, seeds=3, audit='metrics = ["epsilon"]\n'))
    assert not outcome.failed
    (claim,) = outcome.claims.to_dict("records")
    values = runs(store)["epsilon_low"]
    assert (claim["metric"], claim["n"]) == ("epsilon_low", 3)
    (row,) = outcome.audits.to_dict("records")
    assert row["epsilon_low_mean"] == pytest.approx(values.mean())
    assert (row["epsilon_low_n"], row["audited"], row["runs"]) == (3, 3, 3)


def test_the_file_means_the_same_runs_with_and_without_an_audit():
    with_audit, without = text(MLP, FINETUNE), text(MLP, FINETUNE).partition("[audit]")[0]
    (one, _), (other, _) = trials(with_audit), trials(without)
    assert [item.key for item in one.items] == [item.key for item in other.items]
    assert one.content != other.content
