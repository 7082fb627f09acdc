"""Claims in experiment files: what they say, and what is refused before anything runs."""

from __future__ import annotations

import pytest
from support.experiments import TASK, TINY

from qlab.errors import ConfigError
from qlab.experiment.asking import schema
from qlab.experiment.asking.claim_groups import settings_of
from qlab.experiment.asking.claim_metrics import UNLEARNED
from qlab.views.unlearning import FINAL

FILE = f"""
name = "claims"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.1, 0.3, 0.5]
[[model]]
type = "MLP"
hidden = [[4], [8, 2]]
[[model]]
type = "PennyLaneQNN"
depth = 2
training = {{ epochs = 3 }}
[training]
epochs = 2
batch_size = 8
[[unlearner]]
type = "Scrub"
[[unlearner]]
type = "Finetune"
[[probe]]
type = "HessianProbe"
[run]
seeds = 2
"""

CLAIM = """
[[claim]]
text = "It keeps its accuracy"
metric = "validation_accuracy"
of = { model = "PennyLaneQNN", ratio = 0.3 }
than = { model = "MLP", ratio = 0.3, hidden = [4] }
statement = "above"
margin = 0.1
"""


def read(claims: str = CLAIM, text: str = FILE, assignments=()):
    return schema.parse(text + claims, source="f.toml", assignments=assignments)


def test_short_and_whole_keys_quoted_or_not_say_the_same():
    whole = CLAIM.replace(
        'of = { model = "PennyLaneQNN", ratio = 0.3 }',
        'of = { "model.type" = "PennyLaneQNN", corruption.ratio = 0.3 }',
    )
    first, second = read().claims[0], read(whole).claims[0]
    assert first.of == second.of == {"model.type": "PennyLaneQNN", "corruption.ratio": 0.3}
    assert first.digest == second.digest
    assert first.than == {"model.type": "MLP", "corruption.ratio": 0.3, "model.hidden": [4]}


def test_what_both_groups_have_in_common_stands_once():
    shorter = (
        CLAIM.replace(", ratio = 0.3, hidden", ", hidden").replace(", ratio = 0.3 }", " }") + "at = { ratio = 0.3 }\n"
    )
    assert {**read(shorter).claims[0].of} == {**read().claims[0].of}
    assert {**read(shorter).claims[0].than} == {**read().claims[0].than}


def test_claims_are_no_part_of_identities():
    with_claims, without = read(), read("")
    assert [item.key for item in with_claims.items] == [item.key for item in without.items]
    assert with_claims.content == without.content


def test_a_default_that_no_configuration_states_can_be_named():
    found = read(CLAIM.replace("ratio = 0.3 }", 'ratio = 0.3, "model.encoding" = "amplitude" }', 1))
    assert found.claims[0].of["model.encoding"] == "amplitude"


def test_metrics_of_unlearning_runs_are_those_of_its_table():
    assert set(FINAL) <= UNLEARNED


def changed(old: str, new: str, claim: str = CLAIM) -> str:
    assert old in claim
    return claim.replace(old, new)


REFUSED = {
    "value that is not made, with the nearest": (
        changed('"PennyLaneQNN", ratio = 0.3', '"PennyLaneQNN", ratio = 0.35'),
        r"claim\.of: corruption\.ratio = 0\.35: the file makes 0\.1, 0\.3, 0\.5\. Nearest: 0\.3, 0\.5\.",
    ),
    "model that is not made": (
        changed('"PennyLaneQNN"', '"PennyLaneQN"'),
        r'claim\.of: model\.type = "PennyLaneQN": the file makes "MLP", "PennyLaneQNN"\. Did you mean "PennyLaneQNN"',
    ),
    "key that no trial has": (
        changed("ratio = 0.3 }", "depht = 2 }"),
        r'claim\.of: no trial has "depht"\. Did you mean',
    ),
    "key that several tables have": (
        changed('model = "PennyLaneQNN", ratio', 'type = "PennyLaneQNN", ratio'),
        r"claim\.of: type could be corruption\.type or model\.type or .*; give the whole key",
    ),
    "seed": (changed("ratio = 0.3 }", "ratio = 0.3, seed = 1 }"), r"claim\.of: seed tells apart what is averaged"),
    "pooled pair": (
        changed(", hidden = [4]", ""),
        r"claim\.than: its runs differ in model\.hidden \(\[4\], \[8, 2\]\): they are not one group.*pool = \[",
    ),
    "pooled ratios": (
        changed(", ratio = 0.3 }", " }"),
        r"claim\.of: its runs differ in corruption\.ratio \(0\.1, 0\.3, 0\.5\)",
    ),
    "both models": (changed('model = "PennyLaneQNN", ', ""), r"differ in model\.type \(\"MLP\", \"PennyLaneQNN\"\)"),
    "margin": (changed("margin = 0.1", "margin = -0.1"), r"claim\.margin: got -0\.1, accepts a number of at least 0"),
    "statement": (changed('"above"', '"abov"'), r'claim\.statement: got "abov", accepts one of .*Did you mean "above"'),
    "no statement": (changed('statement = "above"\n', ""), r"claim\.statement: missing"),
    "nothing to compare with": (changed("than =", "at ="), r"claim\.than: missing"),
    "itself": (
        changed(
            'than = { model = "MLP", ratio = 0.3, hidden = [4] }', 'than = { model = "PennyLaneQNN", ratio = 0.3 }'
        ),
        r"claim\.than: is the same group as of",
    ),
    "metric": (changed("validation_accuracy", "validation_acuracy"), r'claim\.metric: unknown metric "validation_acu'),
    "metric of unlearning": (
        changed("validation_accuracy", "oracle_gap"),
        r'claim\.metric: oracle_gap is a metric of unlearning runs, and a group is .* "unlearner\.type" = "Scrub"',
    ),
    "metric of probes": (
        changed("validation_accuracy", "hessian_trace"),
        r'claim\.metric: hessian_trace is measured by probes, .* name the probe in it: "probe\.type" = "HessianProbe"',
    ),
    "metric that the probe has not": (
        changed("validation_accuracy", "lrr").replace("ratio = 0.3", 'ratio = 0.3, "probe.type" = "HessianProbe"'),
        r"claim\.metric: HessianProbe does not measure lrr",
    ),
    "unlearner that is not asked for": (
        changed("ratio = 0.3", 'ratio = 0.3, unlearner = "Retrain"'),
        r'unlearner\.type = "Retrain": the file makes "Scrub", "Finetune"',
    ),
    "test": (CLAIM + 'test = "anova"\n', r'claim\.test: got "anova", accepts one of "t", "bootstrap"'),
    "level": (CLAIM + "level = 1.5\n", r"claim\.level: got 1\.5, accepts a number of at least 1e-12 below 0\.5"),
    "level that nothing reaches": (CLAIM + "level = 1e-13\n", r"claim\.level: got 1e-13, accepts a number of at least"),
    "control character": (
        changed("It keeps", r"It\u001b[31m keeps"),
        r"claim\.text: has the control character U\+001B",
    ),
    "turned around": (
        changed("It keeps", r"It\u202e keeps"),
        r"claim\.text: has the control character U\+202E",
    ),
    "two lines": (changed("It keeps", r"It\nkeeps"), r"claim\.text: .* U\+000A; accepts a sentence in one line"),
    "name with a control character": (CLAIM + 'name = "a\\u0007"\n', r"claim\.name: got .* accepts letters"),
    "name of a folder": (CLAIM + 'name = ".."\n', r'claim\.name: got "\.\.", accepts a name with a letter'),
    "long name": (
        CLAIM + f'name = "{"n" * 101}"\n',
        r"claim\.name: got 101 characters \(n+\.\.\.\), accepts at most 100",
    ),
    "empty table": (
        changed('model = "PennyLaneQNN", ratio', "model = { type = {} }, ratio"),
        r"claim\.of\.model\.type: got an empty table, accepts a value",
    ),
    "pool of one value": (
        CLAIM + 'pool = ["ratio"]\n',
        r"claim\.pool: corruption\.ratio has one value in each group",
    ),
    "unknown key beside the groups": (CLAIM + "thn = 0\n", r'unknown key "thn"\..*than.*Choices: at, .*of, .*than'),
    "within nothing": (changed('"above"\nmargin = 0.1', '"within"'), r"claim\.margin: got 0, and \"within\" accepts"),
    "slope over nothing": (CLAIM + 'effect = "slope"\n', r"claim\.over: missing; a slope is over a swept field"),
    "slope over one value": (
        CLAIM + 'effect = "slope"\nover = "ratio"\n',
        r"claim\.of: corruption\.ratio has one value, and a slope needs at least two",
    ),
    "slope over words": (
        changed("ratio = 0.3 }", 'ratio = 0.3, model = ["MLP", "PennyLaneQNN"] }').replace(
            'model = "PennyLaneQNN", ', ""
        )
        + 'effect = "slope"\nover = "model"\n',
        r"claim\.of: model\.type has values that are not numbers",
    ),
    "over without a slope": (CLAIM + 'over = "ratio"\n', r"claim\.over: is of slopes"),
    "ratio to zero": (
        changed('{ model = "MLP", ratio = 0.3, hidden = [4] }', "0") + 'effect = "ratio"\n',
        r"claim\.than: got 0, accepts a number above 0 for a ratio",
    ),
    "geometric difference": (CLAIM + 'mean = "geometric"\n', r"claim\.mean: \"geometric\" is of ratios"),
    "group that is no table": (
        changed('{ model = "PennyLaneQNN", ratio = 0.3 }', '"PennyLaneQNN"'),
        r'claim\.of: got "PennyLaneQNN", accepts a table of values by dotted key',
    ),
    "number for a group": (changed('{ model = "PennyLaneQNN", ratio = 0.3 }', "0.5"), r"claim\.of: got a number"),
    "not a number": (changed('{ model = "MLP", ratio = 0.3, hidden = [4] }', "nan"), r"claim\.than: got nan"),
    "no text": (changed("It keeps its accuracy", " "), r"claim\.text: got nothing"),
    "unknown key": (CLAIM + "alpha = 0.05\n", r'claim: unknown key "alpha"'),
    "name": (CLAIM + 'name = "a b"\n', r'claim\.name: got "a b", accepts letters'),
    "name twice": (CLAIM + 'name = "a"\n' + CLAIM + 'name = "a"\n', r'claim\[2\]\.name: got "a", as claim\[1\] has'),
}


@pytest.mark.parametrize(("claims", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_before_anything_runs(claims, message):
    with pytest.raises(ConfigError, match=message):
        read(claims)


def test_one_seed_is_refused():
    with pytest.raises(ConfigError, match=r"claim: has 1 seed, and a test needs at least two; raise run\.seeds\."):
        read(text=FILE.replace("seeds = 2", "seeds = 1"))


UNLEARNING = CLAIM.replace("ratio = 0.3", 'ratio = 0.3, unlearner = "Scrub"')


def test_one_seed_with_repeats_points_at_them_and_takes_them():
    text = FILE.replace("seeds = 2", "seeds = 1\nrepeats = 3")
    with pytest.raises(ConfigError, match=r'are tested with independent = "repeats"'):
        read(UNLEARNING, text)
    assert read(UNLEARNING + 'independent = "repeats"\n', text).claims[0].table.independent == "repeats"


def test_repeats_of_several_seeds_are_no_independent_observations():
    text = FILE.replace("seeds = 2", "seeds = 2\nrepeats = 3")
    with pytest.raises(ConfigError, match=r"claim\.independent: .* repeats of one seed share its model"):
        read(UNLEARNING + 'independent = "repeats"\n', text)


def test_values_given_beside_the_file_leave_out_claims_about_what_is_then_not_made():
    found = read(assignments=[("corruption.ratio", [0.1, 0.5])])
    assert found.claims == ()
    assert found.left_out[-1].startswith(
        "claim (It keeps its accuracy): corruption.ratio = 0.3: the file makes 0.1, 0.5"
    )
    assert "has 1 seed" in read(assignments=[("run.seeds", 1)]).left_out[-1]
    with pytest.raises(ConfigError, match="margin"):  # what is no claim stays an error
        read(changed("margin = 0.1", "margin = -1"), assignments=[("run.seeds", 1)])


def test_list_of_values_is_pooled_only_if_asked_for():
    pooled = changed("ratio = 0.3", "ratio = [0.1, 0.3]")
    with pytest.raises(ConfigError, match=r"differ in corruption\.ratio \(0\.1, 0\.3\)"):
        read(pooled)
    assert read(pooled + 'pool = ["ratio"]\n').claims[0].table.pool == ("corruption.ratio",)


def test_what_is_chosen_says_nothing_before():
    text = TINY.replace("batch_size = 8", "batch_size = 8\nlearning_rate = [0.01, 0.03]").replace(
        "seeds = 2", "seeds = 3"
    )
    select = '[select]\nover = ["training.learning_rate"]\nreport = "validation"\n'
    claim = changed(", hidden = [4]", "").replace("0.3", "0.5")
    assert len(read(claim, text + select).claims) == 1
    with pytest.raises(ConfigError, match=r"training\.learning_rate is chosen, and so says nothing before"):
        read(claim.replace("ratio = 0.5 }", "ratio = 0.5, learning_rate = 0.01 }", 1), text + select)


NOISY = """
[[claim]]
text = "Noise costs accuracy"
metric = "validation_accuracy"
at = { model = "PennyLaneQNN", ratio = 0.3 }
of = { "model.noise.1.p" = 0.1 }
than = { "model.noise.1.p" = 0.01 }
statement = "below"
[[claim]]
text = "and the more the more there is"
metric = "validation_accuracy"
of = { model = "PennyLaneQNN", ratio = 0.3 }
effect = "slope"
over = "model.noise.1.p"
statement = "below"
"""


def test_swept_fields_of_components_are_named_as_params_are():
    noise = '[{ channel = "DepolarizingChannel", p = [0.01, 0.1] }]'
    found = read(NOISY, FILE.replace("depth = 2", f"depth = 2\nnoise = {noise}"))
    assert found.claims[0].of["model.noise.1.p"] == 0.1
    assert found.claims[1].table.over == "model.noise.1.p"
    own = {name for item in found.trials for name in item.params}
    assert {"model.noise.1.p", "model.noise.1.channel"} <= own
    for trial in found.trials:
        assert own & trial.params.keys() - {"seed"} <= settings_of(trial).keys()
