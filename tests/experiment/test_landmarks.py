"""What [[probe]] tables expand to: trials, clean twins, points, identities; and what is said of those that cannot."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from qlab.errors import ConfigError
from qlab.experiment.asking import schema
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.asking.trial import ProbeRun, Trial

TASK = """
[task]
type = "XXZ"
length = 4
"""

MLP = """
[[model]]
type = "MLP"
hidden = [4]
"""

QNN = """
[[model]]
type = "PennyLaneQNN"
depth = 1
"""

TWO_SEEDS = "[run]\nseeds = 2\n"
SCRUB = '[[unlearner]]\ntype = "Scrub"\n'
NPO = '[[unlearner]]\ntype = "NPO"\n'

PROBES = '''
from qlab import LandscapeProbe, ProbeResult


class Height(LandscapeProbe):
    """The loss at the centre.

    Args:
        factor: of it.
    """

    factor: float = 1.0

    def compute(self, landscape):
        return ProbeResult({"height": self.factor * float(landscape.loss(landscape.theta))})


class Halfway(LandscapeProbe):
    """Measures nothing."""
'''


def flips(*ratios: float) -> str:
    return f'[corruption]\ntype = "LabelFlip"\nratio = {list(ratios)}\n'


def probe(kind: str, *lines: str) -> str:
    return "\n".join(["[[probe]]", f'type = "{kind}"', *lines, ""])


HESSIAN = probe("HessianProbe")
LRR = probe("RougheningProbe")


def parse(*parts: str, folder: Path | None = None) -> Experiment:
    return schema.parse("".join(parts), source="given.toml", folder=folder, default_name="given")


def small(*parts: str, ratios: tuple[float, ...] = (0.5,), folder: Path | None = None) -> Experiment:
    return parse(TASK, flips(*ratios), MLP, TWO_SEEDS, *parts, folder=folder)


def refused(*parts: str, folder: Path | None = None) -> str:
    """The message that an experiment's file gets."""
    with pytest.raises(ConfigError) as caught:
        parse(*parts, folder=folder)
    message = str(caught.value)
    assert message.startswith("given.toml: ")
    assert "\n" not in message
    return message


def measured(experiment: Experiment) -> Counter[tuple[float, int]]:
    """For how many probes each ratio and seed is."""
    return Counter((item.trial.corruption.ratio, item.trial.seed) for item in experiment.probe_runs)


def one(experiment: Experiment, seed: int = 0) -> ProbeRun:
    [found] = [item for item in experiment.probe_runs if item.trial.seed == seed]
    return found


# Which trials a probe is for

FOR_ALL = {
    "a Hessian": HESSIAN,
    "a Hessian where training began": probe("HessianProbe", 'at = "initial"'),
    "a slice": probe("SliceProbe"),
    "a slice along the trajectory": probe("SliceProbe", 'directions = "pca"'),
    "a line from the start": probe("InterpolationProbe"),
    "on the retain set": probe("HessianProbe", 'samples = "retain"'),
    "on the validation split": probe("HessianProbe", 'samples = "validation"'),
}

FOR_POLLUTED = {
    "the roughening ratio": LRR,
    "at the clean model": probe("HessianProbe", 'at = "clean"'),
    "at the oracle": probe("HessianProbe", 'at = "oracle"'),
    "a slice through the clean model": probe(
        "SliceProbe", 'directions = "points"', "dimensions = 1", 'points = ["clean"]'
    ),
    "a line to the oracle": probe("InterpolationProbe", 'path = ["trained", "oracle"]'),
    "on the forget set": probe("HessianProbe", 'samples = "forget_polluted"'),
    "on the forget set with clean labels": probe("HessianProbe", 'samples = "forget_clean"'),
}


@pytest.mark.parametrize("text", FOR_ALL.values(), ids=FOR_ALL.keys())
def test_a_probe_of_the_model_itself_is_for_every_trial_of_the_file(text: str) -> None:
    experiment = small(text, ratios=(0.0, 0.25, 0.5))
    assert measured(experiment) == dict.fromkeys(((ratio, seed) for ratio in (0.0, 0.25, 0.5) for seed in (0, 1)), 1)
    assert len(experiment.trials) == 6


@pytest.mark.parametrize("text", FOR_POLLUTED.values(), ids=FOR_POLLUTED.keys())
def test_a_probe_that_compares_is_for_trials_with_corrupted_rows_only(text: str) -> None:
    experiment = small(text, ratios=(0.0, 0.25, 0.5))
    assert measured(experiment) == dict.fromkeys(((ratio, seed) for ratio in (0.25, 0.5) for seed in (0, 1)), 1)


def test_without_probes_there_are_no_measurements_and_no_twins() -> None:
    experiment = small()
    assert experiment.probe_runs == ()
    assert {trial.corruption.ratio for trial in experiment.trials} == {0.5}


def test_every_probe_is_for_every_model_task_and_corruption() -> None:
    corruptions = "".join(
        f'[[corruption]]\ntype = "{kind}"\nratio = [0.25, 0.5]\n' for kind in ("LabelFlip", "FeatureRandomization")
    )
    experiment = parse(TASK, corruptions, MLP, QNN, TWO_SEEDS, HESSIAN, LRR)
    found = Counter(
        (item.name, item.trial.names["model"], item.trial.names["corruption"]) for item in experiment.probe_runs
    )
    assert len(found) == 8
    assert set(found.values()) == {4}


def test_values_of_a_probe_can_be_swept() -> None:
    swept = small(
        probe("HessianProbe", 'at = ["trained", "initial"]', "n_samples = [3, 5]"),
        probe("SliceProbe", 'directions = "hessian"', "dimensions = 1", "eigenvectors = [[0], [-1]]"),
    )
    fields = [item.probe.config() for item in swept.probe_runs if item.trial.seed == 0]
    assert [(config["at"], config["n_samples"]) for config in fields[:4]] == [
        ("trained", 3),
        ("trained", 5),
        ("initial", 3),
        ("initial", 5),
    ]
    assert [config["eigenvectors"] for config in fields[4:]] == [[0], [-1]]


def test_a_single_table_is_a_probe_too() -> None:
    assert len(small('[probe]\ntype = "HessianProbe"\n').probe_runs) == 2


def test_the_same_probe_twice_is_measured_once() -> None:
    assert len(small(HESSIAN, HESSIAN).probe_runs) == 2


# Clean twins


def twin_pairs(experiment: Experiment) -> list[tuple[Trial, Trial]]:
    by_key = {trial.key: trial for trial in experiment.trials}
    return [(item.trial, by_key[item.trial.clean_twin.key]) for item in experiment.probe_runs]


@pytest.mark.parametrize("text", [LRR, FOR_POLLUTED["at the clean model"]], ids=["LRR", "clean"])
def test_clean_twins_that_the_file_does_not_list_are_trials_too(text: str) -> None:
    experiment = small(text, ratios=(0.25, 0.5))
    assert [(trial.corruption.ratio, trial.seed) for trial in experiment.trials] == [
        (0.25, 0),
        (0.25, 1),
        (0.5, 0),
        (0.5, 1),
        (0.0, 0),
        (0.0, 1),
    ]


@pytest.mark.parametrize("ratios", [(0.0, 0.5), (0, 0.5), (0.5, 0.0)], ids=str)
def test_clean_twins_that_the_file_lists_are_not_trained_twice(ratios: tuple[float, ...]) -> None:
    experiment = small(LRR, HESSIAN, ratios=ratios)
    assert len(experiment.trials) == 4
    assert {trial.key for trial in experiment.trials} == {trial.key for trial in small(ratios=ratios).trials}


def test_probes_that_need_the_same_twin_share_it() -> None:
    assert len(small(LRR, probe("RougheningProbe", "n_samples = 5"), FOR_POLLUTED["at the clean model"]).trials) == 4


@pytest.mark.parametrize(
    "text",
    [HESSIAN, FOR_POLLUTED["a line to the oracle"], FOR_POLLUTED["on the forget set"]],
    ids=["Hessian", "oracle", "forget set"],
)
def test_probes_that_do_not_need_twins_train_none(text: str) -> None:
    assert {trial.corruption.ratio for trial in small(text).trials} == {0.5}


@pytest.mark.parametrize("kind", ["LabelFlip", "FeatureRandomization"])
def test_a_twin_differs_in_the_ratio_only_and_trains_in_the_same_ensemble(kind: str) -> None:
    corruption = f'[corruption]\ntype = "{kind}"\nratio = 0.5\n'
    pairs = twin_pairs(parse(TASK, corruption, MLP, QNN, TWO_SEEDS, LRR))
    assert len(pairs) == 4
    for trial, twin in pairs:
        expected = {**trial.config, "corruption": {**trial.config["corruption"], "ratio": 0.0}}
        assert twin.config == expected
        assert twin.ensemble_key == trial.ensemble_key


def test_twins_are_neither_measured_nor_unlearned() -> None:
    experiment = small(SCRUB, LRR, HESSIAN)
    assert measured(experiment) == {(0.5, 0): 2, (0.5, 1): 2}
    assert {item.teacher.corruption.ratio for item in experiment.unlearnings} == {0.5}


def test_probes_leave_trials_and_unlearnings_as_they_are() -> None:
    plain = small(SCRUB, ratios=(0.25, 0.5))
    probed = small(SCRUB, LRR, HESSIAN, FOR_POLLUTED["a line to the oracle"], ratios=(0.25, 0.5))
    assert [trial.key for trial in probed.trials][:4] == [trial.key for trial in plain.trials]
    assert [trial.params for trial in probed.trials][:4] == [trial.params for trial in plain.trials]
    assert [item.key for item in probed.unlearnings] == [item.key for item in plain.unlearnings]


def test_another_set_of_probes_is_another_content() -> None:
    contents = [small(*parts).content for parts in ((), (HESSIAN,), (probe("HessianProbe", "n_samples = 5"),))]
    assert len(set(contents)) == 3
    assert small(LRR, HESSIAN).content == small(HESSIAN, LRR).content


# Points

NAMED = ("initial", "clean", "oracle", "Scrub", "NPO")


def test_every_name_is_the_identity_of_what_it_stands_for() -> None:
    experiment = small(SCRUB, NPO, *(probe("HessianProbe", f'at = "{name}"') for name in NAMED))
    unlearnings = {(item.name, item.teacher.seed): item for item in experiment.unlearnings}
    for item in experiment.probe_runs:
        trial = item.trial
        expected = {
            "initial": "initial",
            "clean": trial.clean_twin.key,
            "oracle": trial.oracle_key(0),
            "Scrub": unlearnings["Scrub", trial.seed].key,
            "NPO": unlearnings["NPO", trial.seed].key,
        }
        assert item.points == {item.probe.at: expected[item.probe.at]}
    assert len(experiment.probe_runs) == 10


def test_the_trained_model_is_no_further_point() -> None:
    assert one(small(HESSIAN)).points == {}
    assert list(one(small(probe("InterpolationProbe", 'path = ["trained", "initial"]'))).points) == ["initial"]


def test_every_point_of_a_path_and_of_a_plane_is_needed() -> None:
    path = one(small(SCRUB, probe("InterpolationProbe", 'path = ["initial", "trained", "Scrub", "oracle"]')))
    assert list(path.points) == ["initial", "Scrub", "oracle"]
    plane = one(
        small(SCRUB, probe("SliceProbe", 'directions = "points"', 'points = ["Scrub", "clean"]', 'at = "oracle"'))
    )
    assert sorted(plane.points) == ["Scrub", "clean", "oracle"]
    assert plane.needs_clean_twin
    assert set(plane.unlearnings) == {"Scrub"}


def test_points_that_are_only_marked_are_needed_too() -> None:
    item = one(small(SCRUB, probe("SliceProbe", 'marks = ["Scrub", "clean", "initial"]')))
    assert sorted(item.points) == ["Scrub", "clean", "initial"]
    assert item.needs_clean_twin
    assert item.key != one(small(SCRUB, probe("SliceProbe"))).key


def test_methods_of_one_name_are_numbered_in_the_order_of_the_file() -> None:
    names = ("Scrub[1]", "Scrub[2]", "Scrub[3]", "NPO")
    swept = SCRUB + "lambda_fo = [0.5, 0.25]\n"
    experiment = small(swept, NPO, SCRUB + "steps = 7\n", *(probe("HessianProbe", f'at = "{name}"') for name in names))
    found = {item.probe.at: item.unlearnings[item.probe.at] for item in experiment.probe_runs if item.trial.seed == 1}
    assert [found[name].config["unlearner"].get("lambda_fo") for name in names[:2]] == [0.5, 0.25]
    assert found["Scrub[3]"].config["unlearner"]["steps"] == 7
    assert found["NPO"].name == "NPO"
    assert {item.teacher.seed for item in found.values()} == {1}


def test_the_same_method_twice_needs_no_number() -> None:
    assert one(small(SCRUB, SCRUB, probe("HessianProbe", 'at = "Scrub"'))).unlearnings.keys() == {"Scrub"}


def test_of_a_method_that_is_repeated_the_first_is_the_point() -> None:
    item = one(
        parse(TASK, flips(0.5), MLP, "[run]\nseeds = 1\nrepeats = 3\n", SCRUB, probe("HessianProbe", 'at = "Scrub"'))
    )
    assert (item.unlearnings["Scrub"].repeat, item.points["Scrub"]) == (0, item.unlearnings["Scrub"].key)


def test_points_are_those_of_the_trials_own_model_and_ratio() -> None:
    experiment = parse(TASK, flips(0.25, 0.5), MLP, QNN, TWO_SEEDS, SCRUB, probe("HessianProbe", 'at = "Scrub"'))
    assert len(experiment.probe_runs) == 8
    for item in experiment.probe_runs:
        assert item.unlearnings["Scrub"].teacher.key == item.trial.key
    assert len({item.points["Scrub"] for item in experiment.probe_runs}) == 8


# Identity

BASE = (SCRUB, NPO, probe("HessianProbe", 'at = "Scrub"'))

SAME = {
    "another probe": (*BASE, LRR, HESSIAN),
    "another probe before it": (SCRUB, NPO, LRR, BASE[2]),
    "another method": (*BASE[:2], '[[unlearner]]\ntype = "Finetune"\n', BASE[2]),
    "settings of a method it does not name": (SCRUB, NPO + "steps = 9\n", BASE[2]),
    "defaults written out": (SCRUB, NPO, BASE[2] + 'samples = "train"\nn_samples = 0\n'),
}

OTHER = {
    "a field": (SCRUB, NPO, BASE[2] + "n_samples = 5\n"),
    "samples": (SCRUB, NPO, BASE[2] + 'samples = "retain"\n'),
    "another point": (SCRUB, NPO, probe("HessianProbe", 'at = "NPO"')),
    "another probe in its place": (SCRUB, NPO, probe("SliceProbe", 'at = "Scrub"')),
    "settings of the method it names": (SCRUB + "steps = 9\n", NPO, BASE[2]),
}


@pytest.mark.parametrize("parts", SAME.values(), ids=SAME.keys())
def test_what_a_probe_does_not_depend_on_leaves_its_identity(parts: tuple[str, ...]) -> None:
    assert one(small(*BASE)).key in {item.key for item in small(*parts).probe_runs}


@pytest.mark.parametrize("parts", OTHER.values(), ids=OTHER.keys())
def test_what_a_probe_depends_on_changes_its_identity(parts: tuple[str, ...]) -> None:
    assert not {item.key for item in small(*BASE).probe_runs} & {item.key for item in small(*parts).probe_runs}


def test_other_trials_are_other_measurements() -> None:
    keys = [
        {item.key for item in parse(TASK, corruption, model, seeds, HESSIAN).probe_runs}
        for corruption, model, seeds in (
            (flips(0.5), MLP, TWO_SEEDS),
            (flips(0.25), MLP, TWO_SEEDS),
            (flips(0.5), QNN, TWO_SEEDS),
            (flips(0.5), MLP, "[run]\nseeds = [2, 3]\n"),
            (flips(0.5), MLP, TWO_SEEDS + "[training]\nepochs = 3\n"),
        )
    ]
    assert len(set.union(*keys)) == sum(len(part) for part in keys) == 10


def test_measurements_are_no_trials_and_no_unlearnings() -> None:
    experiment = small(*BASE, LRR)
    keys = [item.key for item in experiment.items]
    assert len(set(keys)) == len(keys)


def test_device_and_name_do_not_change_what_is_measured() -> None:
    other = parse(TASK, flips(0.5), MLP, "[run]\nseeds = 2\noracles = 1\n", HESSIAN)
    assert [item.key for item in other.probe_runs] == [item.key for item in small(HESSIAN).probe_runs]


def test_an_edited_file_makes_new_measurements_and_leaves_the_trials(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(PROBES)
    text = probe("own:Height") + HESSIAN
    before = small(text, folder=tmp_path)
    (tmp_path / "own.py").write_text(PROBES + "\nEDITED = 1\n")
    after = small(text, folder=tmp_path)
    assert [trial.key for trial in after.trials] == [trial.key for trial in before.trials]
    same = [item.key for item in before.probe_runs if item.name == "HessianProbe"]
    assert {item.key for item in before.probe_runs} & {item.key for item in after.probe_runs} == set(same)
    (tmp_path / "own.py").write_text(PROBES)
    assert [item.key for item in small(text, folder=tmp_path).probe_runs] == [item.key for item in before.probe_runs]


def test_a_users_probe_has_its_fields_and_its_code_in_its_params(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(PROBES)
    params = one(small(probe("own:Height", "factor = 2.0"), folder=tmp_path)).params
    assert params["probe.type"] == "own:Height"
    assert params["probe.factor"] == "2.0"
    assert len(params["probe.code"]) == 12
    assert one(small(HESSIAN)).params.keys() & {"probe.code", "probe.label"} == set()


def test_params_say_probe_trial_and_points() -> None:
    item = one(small(SCRUB, probe("InterpolationProbe", 'path = ["trained", "Scrub", "oracle"]')))
    assert item.trial.params.items() <= item.params.items()
    assert item.params["probe.path"] == '["trained", "Scrub", "oracle"]'
    assert item.params["probe.label"] == "trained to Scrub to oracle"
    assert item.params["points.Scrub"] == item.unlearnings["Scrub"].key
    assert item.params["points.oracle"] == item.trial.oracle_key(0)


def test_labels_say_probe_model_ratio_and_seed() -> None:
    for item in small(HESSIAN, probe("SliceProbe", 'directions = "hessian"', "dimensions = 1")).probe_runs:
        for part in (item.name, "MLP", "LabelFlip", "0.5", f"seed {item.trial.seed}"):
            assert part in item.label
    assert "1-D hessian 0" in item.label


# What is not accepted


def points(*names: str, dimensions: int = 2, **fields: Any) -> str:
    given = ", ".join(f'"{name}"' for name in names)
    more = [f'{key} = "{value}"' for key, value in fields.items()]
    return probe("SliceProbe", 'directions = "points"', f"dimensions = {dimensions}", f"points = [{given}]", *more)


FIELDS = {
    "no type": ('[[probe]]\nat = "initial"\n', ["probe.type: got nothing", "qlab list probes"]),
    "an unknown probe": (probe("HesianProbe"), ["probe.type", '"HesianProbe"', 'Did you mean "HessianProbe"?']),
    "an abstract probe": (probe("qlab:LandscapeProbe"), ["probe.type", "does not define compute"]),
    "a model": (probe("MLP"), ["probe.type", 'unknown probe "MLP"']),
    "an unknown key": (probe("HessianProbe", "n_sample = 5"), ['"n_sample"', 'Did you mean "n_samples"?']),
    "unknown samples": (probe("HessianProbe", 'samples = "retian"'), ["probe.samples", 'Did you mean "retain"?']),
    "less than no samples": (probe("HessianProbe", "n_samples = -1"), ["probe.n_samples: got -1"]),
    "an unknown estimator": (probe("HessianProbe", 'estimator = "hutch"'), ["probe.estimator", '"hutch++"']),
    "an estimate from nothing": (probe("HessianProbe", "matvecs = 0"), ["probe.matvecs: got 0"]),
    "one grid point": (probe("SliceProbe", "resolution = 1"), ["probe.resolution: got 1"]),
    "too many grid points": (probe("SliceProbe", "resolution = 100000"), ["probe.resolution: got 100000", "1001"]),
    "half a grid point": (probe("SliceProbe", "resolution = 5.5"), ["probe.resolution: got 5.5"]),
    "no span": (probe("SliceProbe", "span = 0"), ["probe.span: got 0", "above 0"]),
    "a negative span": (probe("SliceProbe", "span = -1.0"), ["probe.span: got -1.0"]),
    "an infinite span": (probe("SliceProbe", "span = inf"), ["probe.span: got inf"]),
    "a span that is no number": (probe("SliceProbe", "span = nan"), ["probe.span: got nan"]),
    "three dimensions": (probe("SliceProbe", "dimensions = 3"), ["probe.dimensions: got 3", "1", "2"]),
    "unknown directions": (probe("SliceProbe", 'directions = "filters"'), ["directions", 'Did you mean "filter"?']),
    "points without names": (probe("SliceProbe", 'directions = "points"'), ["points: got 0, accepts 2"]),
    "one name for a plane": (points("clean"), ["points: got 1, accepts 2"]),
    "two names for a line": (points("clean", "initial", dimensions=1), ["points: got 2, accepts 1"]),
    "names for other directions": (probe("SliceProbe", 'points = ["clean"]'), ["points: only for", '"filter"']),
    "a name that is no list": (probe("SliceProbe", 'points = "clean"'), ["probe.points", '"clean"']),
    "no eigenvector": (probe("SliceProbe", 'directions = "hessian"', "eigenvectors = []"), ["eigenvectors"]),
    "one eigenvector for a plane": (
        probe("SliceProbe", 'directions = "hessian"', "eigenvectors = [[0], [1]]"),
        ["eigenvectors: got [0], accepts 2 different ones"],
    ),
    "the same eigenvector twice": (
        probe("SliceProbe", 'directions = "hessian"', "eigenvectors = [1, 1]"),
        ["eigenvectors: got [1, 1]"],
    ),
    "a path of one point": (probe("InterpolationProbe", 'path = ["trained"]'), ["probe.path"]),
    "a path of one grid point": (probe("InterpolationProbe", "resolution = 1"), ["probe.resolution: got 1"]),
    "not a table": ("probe = 3\n", ["probe: got 3, accepts a table"]),
}


@pytest.mark.parametrize(("text", "expected"), FIELDS.values(), ids=FIELDS.keys())
def test_values_that_make_no_sense_are_one_message(text: str, expected: list[str]) -> None:
    # Keys at the top of a file come before its tables.
    message = refused(text, TASK, flips(0.5), MLP) if "[[" not in text else refused(TASK, flips(0.5), MLP, text)
    for part in expected:
        assert part in message


UNKNOWN = {
    "nearly clean": (probe("HessianProbe", 'at = "cleen"'), ['unknown point "cleen"', 'Did you mean "clean"?']),
    "nearly a method": (probe("HessianProbe", 'at = "Scrb"'), ['"Scrb"', 'Did you mean "Scrub"?']),
    "a method that the file does not have": (probe("HessianProbe", 'at = "Finetune"'), ['"Finetune"', "Choices: "]),
    "a number that there is not": (probe("HessianProbe", 'at = "Scrub[2]"'), ['"Scrub[2]"', 'Did you mean "Scrub"?']),
    "on a path": (probe("InterpolationProbe", 'path = ["trained", "orcale"]'), ['"orcale"', 'Did you mean "oracle"?']),
    "among the marks": (probe("SliceProbe", 'marks = ["orcale"]'), ['"orcale"', 'Did you mean "oracle"?']),
    "in a plane": (points("Scrub", "cl"), ['unknown point "cl"', "Choices: "]),
}


@pytest.mark.parametrize(("text", "expected"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_an_unknown_point_is_one_message_with_the_nearest_and_all(text: str, expected: list[str]) -> None:
    message = refused(TASK, flips(0.5), MLP, SCRUB, HESSIAN, text)
    assert message.startswith("given.toml: probe[2]: unknown point")
    for part in [*expected, "Scrub, clean, initial, oracle, trained"]:
        assert part in message


def test_a_method_that_is_swept_is_named_with_its_number() -> None:
    message = refused(TASK, flips(0.5), MLP, SCRUB + "steps = [2, 3]\n", probe("HessianProbe", 'at = "Scrub"'))
    for part in ('unknown point "Scrub"', 'Did you mean "Scrub[', "Scrub[1], Scrub[2]"):
        assert part in message


CLEAN_ONLY = {"no corruption": "", "ratio 0": flips(0.0), "ratios 0": flips(0.0, 0)}


@pytest.mark.parametrize("corruption", CLEAN_ONLY.values(), ids=CLEAN_ONLY.keys())
@pytest.mark.parametrize("text", FOR_POLLUTED.values(), ids=FOR_POLLUTED.keys())
def test_where_nothing_is_corrupted_there_is_nothing_to_compare(text: str, corruption: str) -> None:
    message = refused(TASK, corruption, MLP, text)
    for part in ("given.toml: probe: ", "corrupted data", "ratio above 0"):
        assert part in message


@pytest.mark.parametrize("ratios", [(1.0,), (0.5, 1.0)], ids=str)
@pytest.mark.parametrize(
    "text", [FOR_POLLUTED["a line to the oracle"], FOR_POLLUTED["at the oracle"]], ids=["to", "at"]
)
def test_where_every_row_is_corrupted_there_is_no_oracle(text: str, ratios: tuple[float, ...]) -> None:
    message = refused(TASK, flips(*ratios), MLP, text)
    for part in ("given.toml: probe: ", "no oracle", "every row is corrupted"):
        assert part in message


def test_other_probes_take_a_ratio_of_1() -> None:
    assert len(small(LRR, HESSIAN, ratios=(1.0,)).probe_runs) == 4


NOWHERE = {
    "a line from a point to itself": probe("InterpolationProbe", 'path = ["trained", "trained"]'),
    "a path that stops on the way": probe("InterpolationProbe", 'path = ["trained", "oracle", "oracle"]'),
    "a slice through its own centre": points("trained", dimensions=1),
    "a slice through its own centre, elsewhere": points("clean", dimensions=1, at="clean"),
    "a plane through the same point twice": points("clean", "clean"),
}


@pytest.mark.parametrize("text", NOWHERE.values(), ids=NOWHERE.keys())
def test_points_of_one_name_that_coincide_are_refused_before_anything_is_trained(text: str) -> None:
    refused(TASK, flips(0.5), MLP, text)


def test_a_path_may_come_back() -> None:
    assert len(small(probe("InterpolationProbe", 'path = ["trained", "oracle", "trained"]')).probe_runs) == 2


NOT_PROBES = {
    "no such file": ("elsewhere:Probe", 'There is no module "elsewhere"'),
    "no such class": ("own:Heigth", 'Did you mean "Height"?'),
    "a probe that measures nothing": ("own:Halfway", "does not define compute"),
}


@pytest.mark.parametrize(("name", "expected"), NOT_PROBES.values(), ids=NOT_PROBES.keys())
def test_what_is_no_probe_of_a_file_is_one_message(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / "own.py").write_text(PROBES)
    message = refused(TASK, flips(0.5), MLP, probe(name), folder=tmp_path)
    assert message.startswith("given.toml: probe.type: ")
    assert expected in message


def test_keys_of_a_users_probe_are_checked(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(PROBES)
    assert 'Did you mean "factor"?' in refused(TASK, MLP, probe("own:Height", "facto = 1.0"), folder=tmp_path)
    assert "probe.factor: got" in refused(TASK, MLP, probe("own:Height", 'factor = "a"'), folder=tmp_path)
