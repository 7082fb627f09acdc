"""Experiment files: TOML in, trials out."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import annotated_types as at

from qlab.component import Component, called
from qlab.errors import ConfigError, DataError, unknown
from qlab.experiment.asking import overrides
from qlab.experiment.asking.devices import parse_device
from qlab.experiment.asking.landmarks import Landmarks
from qlab.experiment.asking.measurement import AskedMetric, Measurement, check_asked
from qlab.experiment.asking.memory import parse_size
from qlab.experiment.asking.selection import Selection, SelectTable, check_table, search, selection
from qlab.experiment.asking.space import SearchTable, range_of, split_table
from qlab.experiment.asking.trial import ProbeRun, Trial, Unlearning, content_hash
from qlab.fields import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, fields_of, show
from qlab.models import Estimator, Model
from qlab.models.estimator import NO_GRADIENTS
from qlab.own_code import described, has_own_frame
from qlab.registry import KINDS, find, lies_in
from qlab.tasks import Task
from qlab.tasks.files import placed
from qlab.textfile import read_text
from qlab.training import Trainer
from qlab.unlearning import Retrain, Unlearner
from qlab.words import plural

_TOP_LEVEL = (
    "name",
    "about",
    "task",
    "corruption",
    "model",
    "training",
    "unlearner",
    "probe",
    "metric",
    "select",
    "search",
    "run",
)

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")


_MLFLOWS_OWN = "Default"
"""Every store has an experiment with this name, whose artifacts are kept elsewhere."""

_MODULE = re.compile(r"""["']([\w./]+):\w+["']""")
"""Modules in names of the form ``module:Class``."""

_FILE = re.compile(r"""\bpath\s*=\s*["']([^"'\n]+)["']""")
"""Files of tables."""

LONGEST_NAME = 200
"""Names become those of MLflow experiments and of files."""

MOST_SEEDS = 100_000

DEEPEST = 20
"""Maximum nesting of tables and lists: Python gives up at some depth, and no key needs more than a few levels."""

CHECKPOINT_SECONDS = 30.0
"""The most training, in seconds, that is done again after an interruption."""


class RunTable(Component):
    """The ``[run]`` table: how the trials are run.

    Args:
        seeds: number of seeds (0, 1, ...), or a list of them.
        device: the PyTorch device to train on: "cpu", "cuda" or "cuda:N". Not part of a trial's identity.
        oracles: how many models are retrained on each retain set, for comparison with unlearned ones.
        repeats: how often each unlearning method is applied to each trained model, with fresh parameters and batches.
        evaluate_every: number of epochs from one evaluation of the metrics to the next; every epoch of the last
            fifth is evaluated. Not part of a trial's identity: it does not change what is trained.
        memory: how much models that train together may take, such as "500MB" or "4GiB"; ensembles that need more are
            trained in parts. By default 70 % of what the machine has available. Not part of a trial's identity.
        checkpoint_seconds: how often, in seconds, the state of running trainings is written, so that they can go on
            after an interruption; more rarely if writing takes more than 2 % of the time, after every epoch if 0. Not
            part of a trial's identity.
    """

    seeds: PositiveInt | Annotated[tuple[NonNegativeInt, ...], at.MinLen(1)] = 5
    device: str = "cpu"
    oracles: PositiveInt = 3
    repeats: PositiveInt = 1
    evaluate_every: PositiveInt = 1
    memory: str | None = None
    checkpoint_seconds: NonNegativeFloat = CHECKPOINT_SECONDS

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds


@dataclasses.dataclass(frozen=True, eq=False)
class Experiment:
    """A checked experiment: its trials, in the order of the file.

    Args:
        name: names the MLflow experiment.
        about: what it is for, in the author's words.
        source: where it was read from, for messages.
        text: the file's text.
        device: the PyTorch device to train on.
        evaluate_every: epochs from one evaluation to the next.
        trials: each once; those of the file, then clean twins needed only by probes.
        unlearnings: every method on every trial of the file.
        probe_runs: every probe on every trial of the file that it applies to.
        folder: where files beside the experiment are.
        memory: how much models that train together may take; None for a share of what is available.
        checkpoint_seconds: seconds from one write of the state of trainings to the next.
        assignments: keys and values that replaced those of the text.
        metrics: further metrics that are asked for; no part of the identity of what they are of.
        selection: what is chosen before anything is reported; the trials then have any of the values.
        asked: the experiment that this is a stage of, if it is one.
        left_out: what is asked for and cannot be had of some models, each with its reason: "HessianProbe of
            sklearn.svm:SVC: it has no gradients".
    """

    name: str
    about: str
    source: str
    text: str
    device: str
    evaluate_every: int
    trials: tuple[Trial, ...]
    unlearnings: tuple[Unlearning, ...] = ()
    probe_runs: tuple[ProbeRun, ...] = ()
    folder: Path | None = None
    memory: str | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    assignments: tuple[tuple[str, Any], ...] = ()
    left_out: tuple[str, ...] = ()
    metrics: tuple[AskedMetric, ...] = ()
    selection: Selection | None = None
    asked: Experiment | None = None

    @property
    def items(self) -> tuple[Trial | Unlearning | ProbeRun, ...]:
        """Everything that has a run of its own."""
        return (*self.trials, *self.unlearnings, *self.probe_runs)

    @functools.cached_property
    def content(self) -> str:
        """A hash of name and trials: the identity of the experiment's parent run."""
        if self.asked is not None:
            return self.asked.content
        keys = sorted(item.key for item in self.items)
        metrics = {"metrics": sorted(item.key for item in self.measurements)} if self.metrics else {}
        return content_hash({"name": self.name, "trials": keys, **metrics})

    @functools.cached_property
    def measurements(self) -> tuple[Measurement, ...]:
        """Every further metric of every trained and unlearned model that has such rows."""
        models: tuple[Trial | Unlearning, ...] = (*self.trials, *self.unlearnings)
        found = (asked.measurement(item) for item in models for asked in self.metrics)
        return tuple(item for item in found if item is not None)


def remapped(experiment: Experiment, trials: Mapping[str, Trial]) -> Experiment:
    """A stage of an experiment with other trials in place of its own, by key; what is of no other is left out."""
    unlearnings = {
        item.key: dataclasses.replace(item, teacher=trials[item.teacher.key])
        for item in experiment.unlearnings
        if item.teacher.key in trials
    }
    probe_runs = [
        dataclasses.replace(
            item,
            trial=trials[item.trial.key],
            unlearnings={name: unlearnings[own.key] for name, own in item.unlearnings.items()},
        )
        for item in experiment.probe_runs
        if item.trial.key in trials
    ]
    twins = {item.trial.clean_twin.key: item.trial.clean_twin for item in probe_runs if item.needs_clean_twin}
    found = {trial.key: trial for trial in trials.values()} | twins
    return dataclasses.replace(
        experiment,
        trials=tuple(found.values()),
        unlearnings=tuple(unlearnings.values()),
        probe_runs=tuple(probe_runs),
        asked=experiment.asked or experiment,
    )


def compared(experiment: Experiment, candidates: Sequence[Trial]) -> Experiment:
    """The stage of an experiment that trains what is compared."""
    selection = experiment.selection
    return dataclasses.replace(
        experiment,
        trials=tuple(candidates),
        unlearnings=(),
        probe_runs=(),
        metrics=() if selection is None or selection.asked is None else (selection.asked,),
        asked=experiment,
    )


def load(path: Path, assignments: Sequence[tuple[str, Any]] = ()) -> Experiment:
    """Reads an experiment file.

    Args:
        path: the TOML file.
        assignments: keys and values that replace those of the file, see :mod:`qlab.experiment.asking.overrides`.

    Raises:
        ConfigError: the file cannot be read or contains something that is not accepted; the message names file, key,
            what was given and what is accepted.
    """
    text = read_text(path)
    folder = class_folder(path, text)
    return parse(text, source=str(path), folder=folder, default_name=path.stem, assignments=assignments)


def class_folder(path: Path, text: str) -> Path:
    """Where classes and tables beside an experiment file are: beside its link, if it is one, else beside the file."""
    real = path.resolve().parent
    modules, files = set(_MODULE.findall(text)), set(_FILE.findall(text))

    def has_some(folder: Path) -> bool:
        return any(lies_in(folder, module) for module in modules) or any((folder / file).is_file() for file in files)

    return real if has_some(real) and not has_some(path.parent) else path.parent


def parse(
    text: str,
    *,
    source: str,
    folder: Path | None = None,
    default_name: str | None = None,
    assignments: Sequence[tuple[str, Any]] = (),
) -> Experiment:
    """An experiment from the text of a file; see :func:`load`.

    Args:
        text: TOML.
        source: what to call the file in messages.
        folder: where ``module:Class`` names look for files.
        default_name: the experiment's name if the text gives none.
    """
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # the decoder's own error is a ValueError
        raise ConfigError(f"{source}: not valid TOML: {error}") from None
    if _deeper_than(raw, DEEPEST):
        raise ConfigError(f"{source}: a value is nested more than {DEEPEST} levels deep; no key takes such a value.")
    try:
        for key, value in assignments:
            overrides.apply(raw, key, value, folder)
        experiment = _Reader(folder).experiment(raw, source, text, default_name)
    except (ConfigError, DataError) as error:
        raise ConfigError(f"{source}: {error}") from error
    except (Exception, SystemExit) as error:
        if not has_own_frame(error):
            raise
        raise ConfigError(f"{source}: {described(error)}") from error
    return dataclasses.replace(experiment, assignments=tuple(assignments))


def name_of(raw: Mapping[str, Any], default: str | None) -> str:
    """The experiment's name: the one that the file gives, else the file's own.

    Raises:
        ConfigError: it cannot be one.
    """
    name = raw.get("name", default)
    of_file, hint = "", ""
    if "name" not in raw and default is not None:
        of_file, hint = " from the name of the file", ' Give it another name in its first line: name = "..."'
    if not isinstance(name, str) or not name or not set(name) <= _NAME_CHARACTERS:
        raise ConfigError(f"name: got {show(name)}{of_file}, accepts letters, digits, and the characters _ - .{hint}")
    if name.startswith("."):
        raise ConfigError(f"name: got {show(name)}{of_file}, accepts names that do not begin with a dot.{hint}")
    if name == _MLFLOWS_OWN:
        raise ConfigError(f"name: got {show(name)}{of_file}, accepts any other name: this one is MLflow's own.{hint}")
    if len(name) > LONGEST_NAME:
        raise ConfigError(f"name: got {len(name)} characters{of_file}, accepts at most {LONGEST_NAME}.{hint}")
    return name


def _deeper_than(value: Any, levels: int) -> bool:
    """Whether tables and lists are nested more than ``levels`` deep."""
    layer = [value]
    for _ in range(levels + 1):
        layer = [
            item
            for nest in layer
            if isinstance(nest, (dict, list))
            for item in (nest.values() if isinstance(nest, dict) else nest)
        ]
    return bool(layer)


class _Reader:
    """Turns parsed TOML into checked objects; messages start with the key."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.left_out: dict[str, None] = {}

    def experiment(self, raw: dict[str, Any], source: str, text: str, default_name: str | None) -> Experiment:
        for key in raw:
            if key not in _TOP_LEVEL:
                raise ConfigError(unknown("key", key, _TOP_LEVEL))
        name = name_of(raw, default_name)
        about = raw.get("about", "")
        if not isinstance(about, str):
            raise ConfigError(f"about: got {show(about)}, accepts a string.")
        run = self._make(RunTable, raw.get("run", {}), "run")
        if isinstance(run.seeds, int) and run.seeds > MOST_SEEDS:
            raise ConfigError(f"run.seeds: got {run.seeds}, accepts at most {MOST_SEEDS}.")
        try:
            parse_device(run.device)
            if run.memory is not None:
                parse_size(run.memory)
        except ConfigError as error:
            raise ConfigError(f"run.{error}") from None
        if len(set(run.seed_list)) != len(run.seed_list):
            raise ConfigError(f"run.seeds: got {show(list(run.seed_list))}, accepts each seed only once.")
        every = list(self._trials(raw, run.seed_list))
        metrics = tuple(self._metrics(raw, every))
        chosen = self._selection(raw, run, every, metrics)
        if chosen is not None:
            every = [trial for group in chosen.groups for trial in group.templates]
        trials = {trial.key: trial for trial in every}
        unlearnings = {item.key: item for item in self._unlearnings(raw, trials.values(), run)}
        probe_runs = {item.key: item for item in self._probe_runs(raw, trials.values(), unlearnings.values())}
        for item in probe_runs.values():
            if item.needs_clean_twin:
                twin = item.trial.clean_twin
                trials.setdefault(twin.key, twin)
        return Experiment(
            name,
            about,
            source,
            text,
            run.device,
            run.evaluate_every,
            tuple(trials.values()),
            tuple(unlearnings.values()),
            tuple(probe_runs.values()),
            self.folder,
            memory=run.memory,
            checkpoint_seconds=run.checkpoint_seconds,
            left_out=tuple(self.left_out),
            metrics=metrics,
            selection=chosen,
        )

    def _selection(
        self, raw: dict[str, Any], run: RunTable, trials: Sequence[Trial], metrics: Sequence[AskedMetric]
    ) -> Selection | None:
        if "search" in raw:
            if "select" in raw:
                raise ConfigError("search: the file has a [select] table, too; leave one of them out.")
            fields, ranges = split_table(self._listed(raw["search"], "search"))
            searched = self._make(SearchTable, fields, "search")
            check_table(searched, run.seed_list, "search")
            space = {key: range_of(key, given, list(trials)) for key, given in ranges.items()}
            return search(searched, trials, metrics, space)
        if "select" not in raw:
            return None
        table = self._make(SelectTable, self._listed(raw["select"], "select"), "select")
        check_table(table, run.seed_list, "select")
        return selection(table, trials, metrics)

    def _listed(self, value: Any, where: str) -> dict[str, Any]:
        """A table whose ``over`` and ``per`` may be one string."""
        table = self._table(value, where)
        return {
            key: [item] if key in ("over", "per") and isinstance(item, str) else item for key, item in table.items()
        }

    def _metrics(self, raw: dict[str, Any], trials: Iterable[Trial]) -> Iterator[AskedMetric]:
        seen: dict[str, str] = {}
        for where, table in self._tables(raw["metric"], "metric") if "metric" in raw else ():
            for name, metric in self._variant(table, "metric", where):
                asked = AskedMetric(name, metric)
                check_asked(asked, where, seen, trials)
                seen[metric.logged_as] = where
                yield asked

    def _probe_runs(
        self, raw: dict[str, Any], trials: Iterable[Trial], unlearnings: Iterable[Unlearning]
    ) -> Iterator[ProbeRun]:
        landmarks = Landmarks(tuple(trial for trial in trials if trial.has_gradients), tuple(unlearnings))
        for where, table in self._tables(raw["probe"], "probe") if "probe" in raw else ():
            for name, probe in self._variant(table, "probe", where):
                self._leave_out(name, trials)
                if not landmarks.trials:
                    continue
                try:
                    yield from landmarks.probe_runs(name, probe)
                except ConfigError as error:
                    raise ConfigError(f"{where}: {error}") from None

    def _unlearnings(self, raw: dict[str, Any], trials: Iterable[Trial], run: RunTable) -> Iterator[Unlearning]:
        if "unlearner" not in raw:
            return
        methods = list(self._variants(raw["unlearner"], "unlearner"))
        for name, method in methods:
            if not _is_exact(method):
                self._leave_out(name, trials)
        exact = any(_is_exact(method) for _, method in methods)
        trials = [trial for trial in trials if trial.has_gradients or exact]
        for trial in trials:
            if trial.corruption.ratio == 0.0:
                raise ConfigError(
                    f"unlearner: there is nothing to forget in {trial.label}, whose ratio is 0; give corruption a "
                    "ratio above 0."
                )
            if trial.corruption.ratio == 1.0:
                raise ConfigError(
                    f"unlearner: there is nothing to retain in {trial.label}, whose ratio is 1; give corruption a "
                    "ratio below 1."
                )
        for trial, (name, unlearner), repeat in itertools.product(trials, methods, range(run.repeats)):
            if trial.has_gradients or _is_exact(unlearner):
                yield Unlearning(trial, name, unlearner, run.oracles, repeat)

    def _leave_out(self, name: str, trials: Iterable[Trial]) -> None:
        """Takes down that a method or probe is not applied to estimators."""
        for model in dict.fromkeys(trial.names["model"] for trial in trials if not trial.has_gradients):
            self.left_out[f"{name} of {model}: {NO_GRADIENTS}"] = None

    def _trials(self, raw: dict[str, Any], seeds: Sequence[int]) -> Iterator[Trial]:
        for needed in ("task", "model"):
            if needed not in raw:
                raise ConfigError(
                    f"{needed}: missing; add a [{needed}] table with a type. Run `qlab list` for choices."
                )
        common = self._table(raw.get("training", {}), "training")
        tasks = list(self._variants(raw["task"], "task"))
        corruptions = list(self._variants(raw.get("corruption", {"type": "NoCorruption"}), "corruption"))
        for (_, task), (_, corruption) in itertools.product(tasks, corruptions):
            try:
                corruption.check_task(task)
            except ConfigError as error:
                raise ConfigError(f"corruption: {error}") from error
        models = []
        for where, table in self._tables(raw["model"], "model"):
            training = {**common, **self._table(table.get("training", {}), f"{where}.training")}
            own = {key: value for key, value in table.items() if key != "training"}
            trainers = list(self._sweep(Trainer, training, f"{where}.training"))
            for name, model in self._variant(own, "model", where):
                if isinstance(model, Estimator) and table.get("training"):
                    raise ConfigError(
                        f"{where}.training: {name} is an estimator, which is fitted at once: it has no epochs, batches "
                        "or learning rate. Leave training out of its table; its own settings are fields of the table."
                    )
                models += [
                    (name, model, trainer) for trainer in trainers[: 1 if isinstance(model, Estimator) else None]
                ]
        for (task_name, task), (corruption_name, corruption), (model_name, model, trainer), seed in itertools.product(
            tasks, corruptions, models, seeds
        ):
            names = {"task": task_name, "corruption": corruption_name, "model": model_name}
            yield Trial(task, corruption, model, trainer, seed, names)

    def _variants(self, value: Any, kind: str) -> Iterator[tuple[str, Any]]:
        for where, table in self._tables(value, kind):
            yield from self._variant(table, kind, where)

    def _variant(self, table: dict[str, Any], kind: str, where: str) -> Iterator[tuple[str, Any]]:
        """Objects for every combination of a table's swept values, with the name of their class."""
        name = table.get("type")
        if not isinstance(name, str):
            given = "nothing" if name is None else show(name)
            raise ConfigError(
                f"{where}.type: got {given}, accepts the name of a {kind}. Run `qlab list {plural(kind)}`."
            )
        try:
            cls = find(kind, name, self.folder)
        except ConfigError as error:
            raise ConfigError(f"{where}.type: {error}") from error
        fields = {key: value for key, value in table.items() if key != "type"}
        for made in self._sweep(cls, fields, where):
            yield name, made

    def _sweep(self, cls: type, table: Mapping[str, Any], where: str) -> Iterator[Any]:
        try:
            fields = fields_of(cls)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
        choices: dict[str, list[Any]] = {}
        for key, value in table.items():
            if key not in fields:
                instead = getattr(cls, "refused", {}).get(key)
                raise ConfigError(f"{where}: {instead or unknown(f'{cls.__name__} key', key, fields)}")
            if fields[key].nested is None:
                choices[key] = _choices(fields[key], value, where)
            else:
                choices[key] = self._nested_choices(fields[key], value, f"{where}.{key}")
        for combination in itertools.product(*choices.values()):
            yield self._make(cls, dict(zip(choices, combination, strict=True)), where)

    def _nested_choices(self, field: Field, value: Any, where: str) -> list[Any]:
        """The values of a field that holds components: by name or as tables, each of which may be swept itself."""
        if field.takes_list:
            if not isinstance(value, list):
                raise ConfigError(f"{where}: got {show(value)}, accepts {field.accepts}.")
            swept = value if value and all(isinstance(item, list) for item in value) else [value]
            return [
                combination
                for items in swept
                for combination in itertools.product(
                    *(self._components(field, item, f"{where}[{n}]") for n, item in enumerate(items, start=1))
                )
            ]
        if value == []:
            raise ConfigError(f"{where}: got an empty list, accepts {field.accepts}, or a list of them to sweep.")
        swept = value if isinstance(value, list) else [value]
        return [made for item in swept for made in self._components(field, item, where)]

    def _components(self, field: Field, value: Any, where: str) -> list[Component]:
        """A component, or several if some of its fields are swept."""
        kind = "" if field.nested is None else field.nested.kind
        if kind not in KINDS:
            raise ConfigError(
                f"{where}: holds a {getattr(field.nested, '__name__', '')}, which no experiment file can name; "
                f"accepts {', '.join(KINDS)}."
            )
        if not isinstance(value, str | dict):
            raise ConfigError(f"{where}: got {show(value)}, accepts {field.accepts}.")
        table = {"type": value} if isinstance(value, str) else value
        return [called(made, name) for name, made in self._variant(table, kind, where)]

    def _make(self, cls: type, table: Any, where: str) -> Any:
        values = self._table(table, where)
        fields = fields_of(cls)
        for key, value in values.items():
            if key not in fields:
                raise ConfigError(f"{where}: " + unknown("key", key, fields))
            _check(fields[key], value, where)
        for name, field in fields.items():
            if name not in values and field.default is dataclasses.MISSING:
                raise ConfigError(f"{where}.{name}: missing; accepts {field.accepts}.")
        try:
            made = cls(**values)
            if isinstance(made, Model):
                made.config()  # is not there if the class forgot super().__init__
            if isinstance(made, Task) and self.folder is not None:
                made = placed(made, self.folder)
            return made
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
        except (Exception, SystemExit) as error:  # a user's class may raise anything
            raise ConfigError(f"{where}: {cls.__name__} cannot be created: {described(error)}") from error

    def _tables(self, value: Any, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each table of ``[kind]`` or ``[[kind]]`` with its name in messages."""
        if isinstance(value, list) and value:
            for number, table in enumerate(value, start=1):
                where = f"{kind}[{number}]" if len(value) > 1 else kind
                yield where, self._table(table, where)
        else:
            yield kind, self._table(value, kind)

    def _table(self, value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: got {show(value)}, accepts a table.")
        return value


def _is_exact(unlearner: Unlearner) -> bool:
    """Whether a method means nothing but to begin again without the corrupted rows, which estimators can do."""
    return type(unlearner) is Retrain and unlearner.start_fresh


def _choices(field: Field, value: Any, where: str) -> list[Any]:
    """The values a field takes: one, or each of a list where the field's own type is not that list."""
    try:
        return [field.check(value)]
    except ConfigError as error:
        if not isinstance(value, list) or (field.takes_list and not all(isinstance(item, list) for item in value)):
            raise ConfigError(f"{where}.{error}") from None
    if not value:
        raise ConfigError(
            f"{where}.{field.name}: got an empty list, accepts {field.accepts}, or a list of them to sweep."
        )
    return [_check(field, item, where) for item in value]


def _check(field: Field, value: Any, where: str) -> Any:
    try:
        return field.check(value)
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from None
