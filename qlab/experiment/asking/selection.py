"""ChoiceTable settings on validation rows, to report on others: the ``[select]`` table, and what it makes of trials."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

import annotated_types as at

from qlab.component import Component
from qlab.errors import ConfigError, unknown
from qlab.experiment.asking.criteria import Criterion
from qlab.experiment.asking.measurement import AskedMetric
from qlab.experiment.asking.trial import Trial, Unlearning, content_hash
from qlab.experiment.asking.values import METHOD, TABLES, has, plain, value_at, with_values
from qlab.fields import AbsentMeans, NonNegativeInt, PositiveInt, identity_of, show
from qlab.metrics import Accuracy, LogLoss

FIRST_SEED: Final = 100_000
"""The first of so many seeds that are only counted: none that ``run.seeds`` counts."""

T = TypeVar("T", bound="Trial | Unlearning")

Option = Mapping[str, Any]
"""Values that can be chosen, by dotted key."""


class ChoiceTable(Component):
    """What ``[select]`` and ``[search]`` have in common.

    Args:
        metric: what is chosen by: "validation_accuracy", "validation_loss", or a metric of one's own on validation rows
            that the file asks for. Of polluted rows it is logged as selection_accuracy, and so on.
        per: for each combination of these one choice is made: tables ("model" with its training), or dotted keys.
        seeds: of the trials that are compared: how many, from 100000 on, or a list. No seeds of ``run.seeds``.
        validation: "polluted": the validation split after the corruption of the trial, at the same ratio, by a draw of
            its own, as who chooses has no clean rows (arXiv:2012.04193 shows when that is enough); or "clean".
        oracle: of a choice among settings of unlearning methods: allows a metric that takes clean labels of corrupted
            rows, or which rows are hidden, such as corrective_accuracy. Nobody could choose so; it is a bound.
        report: "test" refuses tasks without a test split; with "validation" the clean validation rows are reported.
    """

    metric: str = "validation_accuracy"
    per: tuple[str, ...] = ("model", "corruption.ratio")
    seeds: PositiveInt | Annotated[tuple[NonNegativeInt, ...], at.MinLen(1)] = 3
    validation: Literal["polluted", "clean"] = "polluted"
    oracle: Annotated[bool, AbsentMeans(False)] = False
    report: Literal["test", "validation"] = "test"

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds."""
        counted = isinstance(self.seeds, int)
        return tuple(range(FIRST_SEED, FIRST_SEED + self.seeds)) if counted else self.seeds  # type: ignore[operator, return-value]


class SelectTable(ChoiceTable):
    """The ``[select]`` table: one of some values is chosen on validation rows, and reported with other seeds.

    Args:
        over: dotted keys whose lists hold the values to choose from: "training.learning_rate"; or keys of unlearning
            methods alone: "unlearner.beta", of which one choice is made for each method, each corruption and what is
            known of it. Settings of methods are also chosen by "given_accuracy_retain", "given_accuracy_forget" (lower
            is better) or "utility_and_forgetting", the mean of validation accuracy and 1 - given_accuracy_forget.
    """

    over: Annotated[tuple[str, ...], at.MinLen(1)]


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Trials for which one choice is made.

    Args:
        label: for people.
        templates: what is reported, with any of the values.
        options: what is chosen from, in the order of the file; of a search none, if there is something to choose.
        space: of a search, ranges by dotted key.
    """

    label: str
    templates: tuple[Trial | Unlearning, ...]
    options: tuple[Option, ...]
    space: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def candidates(self, option: Option, seeds: Sequence[int]) -> list[Trial | Unlearning]:
        """The trials, or unlearning runs, that are compared for one option; none if there is no other."""
        if len(self.options) == 1 and not self.space:
            return []
        first: dict[Any, Trial | Unlearning] = {}
        for item in self.templates:
            key = item.teacher.seedless_key if isinstance(item, Unlearning) else item.seedless_key
            first.setdefault(key, item)
        return [_candidate(with_values(item, option), seed) for item in first.values() for seed in seeds]


def _candidate(item: Trial | Unlearning, seed: int) -> Trial | Unlearning:
    """What is compared, of one seed: a method is applied to a model trained for that, and once."""
    if isinstance(item, Unlearning):
        teacher = dataclasses.replace(item.teacher, seed=seed, select={"candidate": True})
        return dataclasses.replace(item, teacher=teacher, repeat=0, select=None)
    return dataclasses.replace(item, seed=seed, select={"candidate": True})


@dataclasses.dataclass(frozen=True, eq=False)
class Selection:
    """What is chosen, by what.

    Args:
        table: the settings.
        groups: one choice each.
        asked: the metric, if it has to be computed; else it is one that every trial has.
        criterion: what settings of unlearning methods are chosen by.
    """

    table: ChoiceTable
    groups: tuple[Group, ...]
    asked: AskedMetric | None
    criterion: Criterion | None = None

    @property
    def score(self) -> str:
        """The metric's name in the store."""
        if self.criterion is not None:
            return self.criterion.name
        return self.table.metric if self.asked is None else self.asked.name

    @property
    def higher_is_better(self) -> bool:
        """Whether the greatest value is chosen."""
        if self.criterion is not None:
            return self.criterion.higher_is_better
        return self.table.metric == "validation_accuracy" if self.asked is None else self.asked.metric.higher_is_better

    def value(self, row: Mapping[str, Any]) -> Any:
        """What is chosen by, of a run."""
        return row.get(self.score) if self.criterion is None else self.criterion.value(row)

    @functools.cached_property
    def seeds(self) -> tuple[int, ...]:
        """Of the candidates."""
        return self.table.seed_list


def score_metric(table: ChoiceTable, metrics: Iterable[AskedMetric], where: str) -> AskedMetric | None:
    """The metric that is chosen by, if it has to be computed.

    Raises:
        ConfigError: there is no such metric on validation rows.
    """
    polluted = table.validation == "polluted"
    built_in = {"validation_accuracy": Accuracy(), "validation_loss": LogLoss(name="loss")}
    if table.metric in built_in:
        metric = built_in[table.metric]
        return AskedMetric(type(metric).__name__, metric, polluted=True) if polluted else None
    own = {item.metric.logged_as: item for item in metrics if item.metric.on == "validation"}
    if table.metric not in own:
        raise ConfigError(f"{where}.metric: " + unknown("metric on validation rows", table.metric, [*built_in, *own]))
    found = own[table.metric]
    metric = dataclasses.replace(found.metric, when="end")
    return AskedMetric(found.type_name, metric, polluted=polluted)


def check_table(table: ChoiceTable, run_seeds: Sequence[int], where: str) -> None:
    """Looks at the settings for themselves.

    Raises:
        ConfigError: seeds of the comparison are those of the report, or ``per`` names what is not there.
    """
    if len(set(table.seed_list)) != len(table.seed_list):
        raise ConfigError(f"{where}.seeds: got {show(list(table.seed_list))}, accepts each seed only once.")
    if both := sorted(set(table.seed_list) & set(run_seeds)):
        raise ConfigError(
            f"{where}.seeds: {show(both)} are also seeds of [run], with which the choice is reported; accepts others."
        )
    for key in table.per:
        if key.partition(".")[0] not in TABLES:
            raise ConfigError(f"{where}.per: " + unknown("table", key.partition(".")[0], TABLES))


def check_key(key: str, where: str) -> None:
    """Whether a value is one to choose.

    Raises:
        ConfigError: it is of the corruption, which is what models are compared on.
    """
    if key.startswith("corruption."):
        raise ConfigError(
            f'{where}: got "{key}", accepts keys of model, training and task: the corruption is what is done to a '
            "model, not what one chooses for it."
        )


def selection(table: SelectTable, trials: Sequence[Trial], metrics: Iterable[AskedMetric]) -> Selection:
    """What is chosen among the trials of a file.

    Raises:
        ConfigError: nothing to choose from, or not the same for all that one choice is made for.
    """
    for key in table.over:
        check_key(key, "select.over")
        having = [trial for trial in trials if has(trial, key)]
        if not having:
            raise ConfigError(
                f'select.over: no trial has "{key}"; accepts dotted keys, such as "training.learning_rate" or '
                '"model.depth".'
            )
        if len({content_hash(plain(value_at(trial, key))) for trial in having}) == 1:
            raise ConfigError(
                f'select.over: "{key}" has one value, so there is nothing to choose; give it a list of values.'
            )
    if table.oracle:
        raise ConfigError(
            "select.oracle: got true, but settings of models are chosen by validation rows; accepts it with keys of "
            'unlearning methods only: over = ["unlearner.learning_rate"].'
        )
    asked = score_metric(table, metrics, "select")
    return Selection(table, alike_groups(table, trials, table.per, asked), asked)


def alike_groups(
    table: SelectTable, items: Sequence[Trial] | Sequence[Unlearning], per: Sequence[str], asked: AskedMetric | None
) -> tuple[Group, ...]:
    """What one choice each is made for.

    Args:
        table: the ``[select]`` table.
        items: trials, or unlearning runs, with all values.
        per: what tells choices apart.
        asked: the metric that is computed, if there is one.

    Raises:
        ConfigError: there are not the same values for all that one choice is made for.
    """
    found = []
    for label, members in grouped(items, per, table.over).items():
        options: dict[str, Option] = {}
        by_slot: dict[str, dict[str, None]] = {}
        for trial in members:
            option = {key: value_at(trial, key) for key in table.over if has(trial, key)}
            name = content_hash({key: plain(value) for key, value in option.items()})
            slot = _without(trial, table.over)
            options.setdefault(name, option)
            by_slot.setdefault(slot, {})[name] = None
        if any(set(names) != set(options) for names in by_slot.values()):
            raise ConfigError(
                f"select.over: the trials of {label} do not all have the same values to choose from; let per tell them "
                f'apart, such as per = ["model", "corruption.ratio"], or give them the same lists.'
            )
        first = next(iter(options))
        own = tuple(trial for trial in members if _option_name(trial, table.over) == first)
        study = study_of(table, own, asked, [list(map(plain, option.items())) for option in options.values()])
        over = [key for key in table.over if isinstance(members[0], Trial) or has(members[0], key)]
        marked: dict[str, Any] = {"over": over, "metric": table.metric, "validation": table.validation, "study": study}
        marked |= {"oracle": True} if table.oracle else {}
        found.append(
            Group(label, tuple(dataclasses.replace(trial, select=marked) for trial in own), tuple(options.values()))
        )
    return tuple(found)


def search(
    table: ChoiceTable, trials: Sequence[Trial], metrics: Iterable[AskedMetric], space: Mapping[str, Any]
) -> Selection:
    """What is searched for the trials of a file.

    Args:
        table: the ``[search]`` table.
        trials: of the file.
        metrics: that the file asks for.
        space: ranges by dotted key, each with ``example`` and ``said()``.

    Raises:
        ConfigError: nothing to search, or a key is swept as well.
    """
    if not space:
        raise ConfigError(
            'search: has no range; add one: "training.learning_rate" = { low = 1e-4, high = 0.3, log = true }.'
        )
    asked = score_metric(table, metrics, "search")
    found = []
    for label, members in grouped(trials, table.per, tuple(space)).items():
        own = {key: item for key, item in space.items() if any(has(trial, key) for trial in members)}
        for key in own:
            if not all(has(trial, key) for trial in members):
                raise ConfigError(f'search."{key}": not all trials of {label} have it; let per tell them apart.')
            if len({content_hash(plain(value_at(trial, key))) for trial in members}) > 1:
                raise ConfigError(f'search."{key}": it is swept with a list as well; leave the list out.')
        said = {key: item.said() for key, item in own.items()}
        marked = {
            "over": list(own),
            "metric": table.metric,
            "validation": table.validation,
            "study": study_of(table, members, asked, said),
        }
        example = {key: item.example for key, item in own.items()}
        templates = (dataclasses.replace(with_values(trial, example), select=marked) for trial in members)
        found.append(Group(label, tuple(templates), () if own else ({},), own))
    return Selection(table, tuple(found), asked)


def study_of(table: ChoiceTable, templates: Sequence[Trial | Unlearning], asked: AskedMetric | None, space: Any) -> str:
    """A digest of what decides a choice, other than the training of its candidates; equal for groups that differ only
    in what ``per`` names, so that they are points of one curve."""
    over = [*getattr(table, "over", ()), *(space if isinstance(space, Mapping) else ())]
    alike = sorted({_without(trial, over, table.per) for trial in templates})
    by = None if asked is None else {"name": asked.name, "digest": asked.digest}
    stated = identity_of(type(table), table.config())
    settings = {key: value for key, value in stated.items() if key not in ("per", "report", "seeds")}
    return content_hash([settings, list(table.seed_list), by, alike, space])


def grouped(items: Iterable[T], per: Sequence[str], over: Sequence[str]) -> dict[str, list[T]]:
    """Trials, or unlearning runs, by the name of what one choice is made for."""
    keys: dict[str, list[T]] = {}
    for trial in items:
        keys.setdefault(content_hash([_part(trial, key, over) for key in per]), []).append(trial)
    named: dict[str, list[T]] = {}
    for key, members in keys.items():
        label = ", ".join(filter(None, (_named(members[0], entry) for entry in per))) or "all trials"
        named[label if label not in named else f"{label} #{key[:4]}"] = members
    return named


def _part(trial: Trial | Unlearning, entry: str, over: Sequence[str]) -> Any:
    """What of a trial an entry of ``per`` names."""
    if "." in entry:
        return plain(value_at(trial, entry)) if has(trial, entry) else None
    tables = ("model", "training") if entry == "model" else (entry,)
    return {
        table: {name: value for name, value in trial.config.get(table, {}).items() if f"{table}.{name}" not in over}
        for table in tables
    }


def _named(item: Trial | Unlearning, entry: str) -> str:
    trial = item.teacher if isinstance(item, Unlearning) else item
    if entry == METHOD and isinstance(item, Unlearning):
        return item.name
    if entry == "corruption" and isinstance(item, Unlearning):
        return ", ".join(filter(None, (trial.names[entry], item.knowledge.label)))
    if entry == "corruption.ratio":
        return f"ratio {trial.corruption.ratio:g}"
    if "." in entry:
        return f"{entry.partition('.')[2]} {show(plain(value_at(trial, entry)))}" if has(trial, entry) else ""
    return trial.names.get(entry, entry)


def _option_name(trial: Trial | Unlearning, over: Sequence[str]) -> str:
    return content_hash({key: plain(value_at(trial, key)) for key in over if has(trial, key)})


def _without(trial: Trial | Unlearning, over: Sequence[str], per: Sequence[str] = ()) -> str:
    """Equal for trials that differ only in seed, in what is chosen, and in what is named."""
    left = {"model", "training"} if "model" in per else set()
    return content_hash(
        {
            table: {
                name: value
                for name, value in fields.items()
                if f"{table}.{name}" not in over and f"{table}.{name}" not in per
            }
            for table, fields in trial.config.items()
            if isinstance(fields, dict) and table not in left and table not in per and table != "select"
        }
    )
