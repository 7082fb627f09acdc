"""Fields whose value is a component: a loss, by its name or as a table, swept, of a user's own class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from qlab.component import Component
from qlab.errors import ConfigError
from qlab.experiment.asking import schema
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.asking.tables import Tables
from qlab.fields import Field
from qlab.losses import CrossEntropy, GeneralizedCrossEntropy, Loss
from qlab.registry import restored
from qlab.training import Trainer

TRAINING = (Path(__file__).parents[2] / "docs/training.md").read_text(encoding="utf-8")

BASE = """
[task]
type = "XXZ"
length = 4
[[model]]
type = "MLP"
[run]
seeds = 1
[training]
epochs = 2
"""

OWN = """
import torch
from qlab.losses import Loss
{imports}

class Focal(Loss):
    gamma: float = 2.0

    def __call__(self, logits, y):
        z = torch.where(y > 0.5, logits, -logits)
        return {factor} * -torch.sigmoid(-z) ** self.gamma * torch.nn.functional.logsigmoid(z)
"""


def parse(training: str, folder: Path | None = None, assignments: Any = ()) -> Experiment:
    text = BASE + training
    return schema.parse(text, source="given.toml", folder=folder, default_name="given", assignments=assignments)


def losses(training: str, **options: Any) -> list[Loss]:
    return [trial.trainer.loss for trial in parse(training, **options).trials]


def test_a_name_is_a_table_with_defaults() -> None:
    named, written = (parse(f"loss = {value}\n") for value in ('"CrossEntropy"', '{ type = "CrossEntropy" }'))
    assert [trial.key for trial in named.trials] == [trial.key for trial in written.trials]
    assert [trial.key for trial in named.trials] == [trial.key for trial in parse("").trials]
    assert losses('loss = "GeneralizedCrossEntropy"\n') == [GeneralizedCrossEntropy(q=0.7)]


def test_losses_of_qlab_by_their_long_names_are_the_same(tmp_path: Path) -> None:
    for short in ("CrossEntropy", "GeneralizedCrossEntropy"):
        one, other = parse(f'loss = "{short}"\n'), parse(f'loss = "qlab.losses:{short}"\n', folder=tmp_path)
        assert [trial.key for trial in one.trials] == [trial.key for trial in other.trials]
        assert one.trials[0].params == other.trials[0].params
        assert one.trials[0].ensemble_key == other.trials[0].ensemble_key


def test_schedules_of_which_one_has_settings_are_compared_in_a_table_each() -> None:
    with pytest.raises(ConfigError, match=r"give each a \[\[model\]\] table with its training"):
        parse('schedule = ["constant", "step"]\nstep_epochs = 3\n')
    step = 'training = { schedule = "step", step_epochs = 30 }'
    constant = 'training = { schedule = "constant" }'
    assert step in TRAINING
    assert constant in TRAINING
    text = BASE.replace('type = "MLP"\n', f'type = "MLP"\n{step}\n[[model]]\ntype = "MLP"\n{constant}\n')
    first, second = schema.parse(text, source="given.toml", default_name="given").trials
    assert (first.trainer, second.trainer) == (Trainer(epochs=2, schedule="step", step_epochs=30), Trainer(epochs=2))


def test_sweeps_go_over_fields_of_the_loss_and_over_losses() -> None:
    assert losses('loss = { type = "GeneralizedCrossEntropy", q = [0.3, 0.7] }\n') == [
        GeneralizedCrossEntropy(q=0.3),
        GeneralizedCrossEntropy(q=0.7),
    ]
    swept = 'loss = ["CrossEntropy", { type = "GeneralizedCrossEntropy", q = [0.3, 0.7] }]\nlearning_rate = [0.1, 0.2]'
    experiment = parse(swept)
    assert len({trial.key for trial in experiment.trials}) == 6
    assert len({trial.ensemble_key for trial in experiment.trials}) == 6


def test_configuration_and_params_hold_its_fields() -> None:
    [trial] = parse('loss = { type = "GeneralizedCrossEntropy", q = 0.3 }\n').trials
    assert trial.config["training"]["loss"] == {"type": "GeneralizedCrossEntropy", "q": 0.3}
    assert trial.params["training.loss.type"] == "GeneralizedCrossEntropy"
    assert trial.params["training.loss.q"] == "0.3"
    assert "loss" not in parse("").trials[0].config["training"]
    assert restored(Trainer, trial.config["training"])["loss"] == trial.trainer.loss


def test_a_class_of_ones_own_counts_with_its_code(tmp_path: Path) -> None:
    def key(factor: str, imports: str = "") -> str:
        (tmp_path / "my.py").write_text(OWN.format(factor=factor, imports=imports))
        [trial] = parse('loss = { type = "my:Focal", gamma = 1.0 }\n', folder=tmp_path).trials
        table = trial.config["training"]["loss"]
        assert (table["type"], table["gamma"], len(table["code"])) == ("my:Focal", 1.0, 12)
        assert trial.params["training.loss.type"] == "my:Focal"
        assert float(trial.trainer.loss(torch.zeros(1), torch.ones(1))[0]) > 0.0
        return trial.key

    first = key("1.0")
    assert key("2.0") != first
    assert key("1.0", imports="# a comment\n") == first
    [by_name] = parse('loss = "my:Focal"\n', folder=tmp_path).trials
    assert by_name.trainer.loss.config() == {"gamma": 2.0}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('loss = "CrossEntrpy"', r'training\.loss\.type: unknown loss "CrossEntrpy"\. Did you mean "CrossEntropy"\?'),
        (
            "loss = { q = 0.3 }",
            r"training\.loss\.type: got nothing, accepts the name of a loss\. Run `qlab list losses`",
        ),
        ("loss = 3", r"training\.loss: got 3, accepts a loss: its name, or a table with its type and fields"),
        ("loss = []", r"training\.loss: got an empty list, accepts a loss"),
        ('loss = "MLP"', r'unknown loss "MLP"'),
        (
            'loss = { type = "GeneralizedCrossEntropy", p = 1 }',
            r'training\.loss: unknown GeneralizedCrossEntropy key "p"',
        ),
        ('loss = { type = "GeneralizedCrossEntropy", q = 0.0 }', r"training\.loss\.q: got 0\.0, accepts a number in"),
        ('loss = { type = "GeneralizedCrossEntropy", q = [] }', r"training\.loss\.q: got an empty list"),
        ('loss = "ForwardCorrection"', r"training\.loss\.flip_rates: missing; accepts a list \[a number in \[0, 1\]"),
        (
            'loss = { type = "ForwardCorrection", flip_rates = [0.5, 0.6] }',
            r"training\.loss: flip_rates: got \[0\.5, 0\.6\], accepts two rates whose sum is below 1",
        ),
        ('loss = "nowhere:Focal"', r'training\.loss\.type: There is no module "nowhere"'),
        ('loss = ["CrossEntropy", 1]', r"training\.loss: got 1, accepts a loss"),
    ],
)
def test_what_is_no_loss_is_refused_with_its_key(written: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(written + "\n")


@pytest.mark.parametrize(
    ("written", "key", "value", "expected"),
    [
        ("", "training.loss", "MeanAbsoluteError", {"type": "MeanAbsoluteError"}),
        ("", "training.loss.label_smoothing", 0.1, {"type": "CrossEntropy", "label_smoothing": 0.1}),
        ("", "training.loss.type", "MeanAbsoluteError", {"type": "MeanAbsoluteError"}),
        ('loss = "GeneralizedCrossEntropy"', "training.loss.q", 0.2, {"type": "GeneralizedCrossEntropy", "q": 0.2}),
        (
            'loss = { type = "GeneralizedCrossEntropy", q = 0.5 }',
            "model.training.loss",
            {"type": "GeneralizedCrossEntropy", "q": 0.2},
            {"type": "GeneralizedCrossEntropy", "q": 0.2},
        ),
    ],
)
def test_values_from_the_command_line(written: str, key: str, value: Any, expected: dict[str, Any]) -> None:
    [trial] = parse(written + "\n", assignments=[(key, value)]).trials
    assert trial.config["training"]["loss"] == expected


@pytest.mark.parametrize(
    ("written", "key", "message"),
    [
        ("", "training.loss.q", r'--set training\.loss\.q: unknown loss field "q"'),
        ("", "training.epochs.q", r"--set training\.epochs\.q: epochs has no fields of its own"),
        ('loss = ["CrossEntropy"]', "training.loss.q", r"loss is \[\"CrossEntropy\"\] in this file; set it as a whole"),
        ("", "loss.q", r'--set loss\.q: unknown key "loss\.q"'),
    ],
)
def test_assignments_that_fit_nothing_are_refused(written: str, key: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(written + "\n", assignments=[(key, 0.5)])


def test_a_list_of_components_is_one_value() -> None:
    """As a class with several in a row will have it: of lists of lists each is one value."""
    tables = Tables(None)
    field = Field("parts", tuple[Loss, ...], ())
    one = ["CrossEntropy", {"type": "GeneralizedCrossEntropy", "q": [0.2, 0.4]}]
    made = [(CrossEntropy(), GeneralizedCrossEntropy(q=q)) for q in (0.2, 0.4)]
    assert tables._nested_choices(field, one, "here") == made
    assert tables._nested_choices(field, [one, ["CrossEntropy"]], "here") == [*made, (CrossEntropy(),)]
    assert tables._nested_choices(field, [], "here") == [()]
    with pytest.raises(ConfigError, match=r"here\[2\]\.type: unknown loss"):
        tables._nested_choices(field, ["CrossEntropy", "Nothing"], "here")
    with pytest.raises(ConfigError, match=r"here: got .*, accepts a list, each value a loss"):
        tables._nested_choices(field, "CrossEntropy", "here")


class Holder(Component):
    """A component with others in it.

    Args:
        parts: some losses.
    """

    parts: tuple[Loss, ...] = (CrossEntropy(),)


def test_lists_of_components_come_back_from_their_configuration() -> None:
    holder = Holder(parts=(CrossEntropy(label_smoothing=0.1), GeneralizedCrossEntropy()))
    config = holder.config()
    assert config == {
        "parts": [
            {"type": "CrossEntropy", "label_smoothing": 0.1},
            {"type": "GeneralizedCrossEntropy", "q": 0.7},
        ]
    }
    assert Holder(**restored(Holder, config)) == holder
