"""Experiment files: TOML in, trials out."""

from __future__ import annotations

import dataclasses
import itertools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qlab.claims import Claim, ClaimTable
from qlab.corruptions import Corruption, Knowledge
from qlab.errors import ConfigError, DataError, unknown
from qlab.experiment.asking import overrides
from qlab.experiment.asking.audit import AuditTable, check_audit
from qlab.experiment.asking.claim_groups import Item
from qlab.experiment.asking.claim_metrics import check_audited
from qlab.experiment.asking.claims import read_claims
from qlab.experiment.asking.devices import parse_device
from qlab.experiment.asking.experiment import Experiment, RunTable
from qlab.experiment.asking.landmarks import Landmarks
from qlab.experiment.asking.measurement import AskedMetric, check_asked
from qlab.experiment.asking.memory import parse_size
from qlab.experiment.asking.method_selection import is_of_methods, method_selection, templates_of
from qlab.experiment.asking.naming import methods_told_apart, probes_told_apart, told_apart
from qlab.experiment.asking.selection import Selection, SelectTable, check_table, search, selection
from qlab.experiment.asking.space import SearchTable, range_of, split_table
from qlab.experiment.asking.tables import Tables
from qlab.experiment.asking.trial import ALL_KNOWN, ProbeRun, Trial, Unlearning, content_hash, table_of
from qlab.fields import show
from qlab.models import Estimator
from qlab.models.estimator import NO_GRADIENTS
from qlab.own_code import described, has_own_frame
from qlab.registry import lies_in
from qlab.textfile import read_text
from qlab.training import Trainer
from qlab.unlearning import Retrain, Unlearner

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
    "audit",
    "claim",
    "select",
    "search",
    "run",
)

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")


_WITHOUT_PARTITION = {0.0: ("nothing to forget", "above 0"), 1.0: ("nothing to retain", "below 1")}
"""Ratios at which there is no unlearning: why, and what to give instead."""

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
        experiment = _Reader(folder, changed=bool(assignments)).experiment(raw, source, text, default_name)
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
    """Turns parsed TOML into checked objects; messages start with the key.

    Args:
        folder: where classes and files beside the experiment are.
        changed: whether values of the file were replaced, so that it may not make all that it claims something of.
    """

    def __init__(self, folder: Path | None, *, changed: bool = False) -> None:
        self.folder = folder
        self._changed = changed
        self._tables = Tables(folder)
        self.left_out: dict[str, None] = {}
        self._unmade: list[ClaimTable] = []

    def experiment(self, raw: dict[str, Any], source: str, text: str, default_name: str | None) -> Experiment:
        for key in raw:
            if key not in _TOP_LEVEL:
                raise ConfigError(unknown("key", key, _TOP_LEVEL))
        name = name_of(raw, default_name)
        about = raw.get("about", "")
        if not isinstance(about, str):
            raise ConfigError(f"about: got {show(about)}, accepts a string.")
        run = self._tables.make(RunTable, raw.get("run", {}), "run")
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
            every = [trial for group in chosen.groups for trial in group.templates if isinstance(trial, Trial)]
        trials = {trial.key: trial for trial in told_apart(every)}
        made = list(self._unlearnings(raw, trials.values(), run))
        if (of_methods := self._method_selection(raw, run, made, metrics)) is not None:
            chosen, made = of_methods, templates_of(of_methods)
        methods = methods_told_apart(made)
        unlearnings = {item.key: item for item in methods}
        audit = self._audit(raw, unlearnings.values())
        probes = probes_told_apart(self._probe_runs(raw, trials.values(), unlearnings.values()))
        probe_runs = {item.key: item for item in probes}
        for item in probe_runs.values():
            if item.needs_clean_twin:
                twin = item.trial.clean_twin
                trials.setdefault(twin.key, twin)
        items: tuple[Item, ...] = (*trials.values(), *unlearnings.values(), *probe_runs.values())
        claims = self._claims(raw, items, metrics, chosen)
        check_audited(claims, () if audit is None else audit.metrics)
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
            track=run.track,
            left_out=tuple(self.left_out),
            metrics=metrics,
            selection=chosen,
            claims=claims,
            unmade=tuple(self._unmade),
            audit=audit,
        )

    def _claims(
        self, raw: dict[str, Any], items: Sequence[Item], metrics: Sequence[AskedMetric], chosen: Selection | None
    ) -> tuple[Claim, ...]:
        """The claims; where values of the file were replaced, without those about runs that it then does not make."""
        if "claim" not in raw:
            return ()
        keys = (
            [] if chosen is None else [*getattr(chosen.table, "over", ()), *(k for g in chosen.groups for k in g.space)]
        )
        claims, unmade = read_claims(self._tables, raw["claim"], items, metrics, keys)
        for where, (table, error) in unmade.items():
            if not self._changed:
                raise error
            self.left_out[f"{where}: {str(error).partition(': ')[2]}"] = None
            self._unmade.append(table)
        return tuple(claims)

    def _selection(
        self, raw: dict[str, Any], run: RunTable, trials: Sequence[Trial], metrics: Sequence[AskedMetric]
    ) -> Selection | None:
        if "search" in raw:
            if "select" in raw:
                raise ConfigError("search: the file has a [select] table, too; leave one of them out.")
            fields, ranges = split_table(self._listed(raw["search"], "search", "over", "per"))
            searched = self._tables.make(SearchTable, fields, "search")
            check_table(searched, run.seed_list, "search")
            space = {key: range_of(key, given, list(trials)) for key, given in ranges.items()}
            return search(searched, trials, metrics, space)
        if "select" not in raw:
            return None
        table = self._tables.make(SelectTable, self._listed(raw["select"], "select", "over", "per"), "select")
        check_table(table, run.seed_list, "select")
        return None if is_of_methods(table) else selection(table, trials, metrics)

    def _method_selection(
        self, raw: dict[str, Any], run: RunTable, unlearnings: Sequence[Unlearning], metrics: Sequence[AskedMetric]
    ) -> Selection | None:
        if "select" not in raw:
            return None
        table = self._tables.make(SelectTable, self._listed(raw["select"], "select", "over", "per"), "select")
        if not is_of_methods(table):
            return None
        if not unlearnings:
            raise ConfigError(
                f'select.over: got "{table.over[0]}", but the file has no [[unlearner]] with settings to choose.'
            )
        return method_selection(table, unlearnings, metrics)

    def _listed(self, value: Any, where: str, *lists: str) -> dict[str, Any]:
        """A table in which some lists of strings may be one string."""
        table = self._tables.table(value, where)
        return {key: [item] if key in lists and isinstance(item, str) else item for key, item in table.items()}

    def _audit(self, raw: dict[str, Any], unlearnings: Iterable[Unlearning]) -> AuditTable | None:
        if "audit" not in raw:
            return None
        table = self._listed(raw["audit"], "audit", "metrics")
        if "unlearner" not in raw:
            raise ConfigError("audit: the file has no [[unlearner]], so there is nothing to audit; add one.")
        made = self._tables.make(AuditTable, table, "audit")
        try:
            for line in check_audit(made, unlearnings):
                self.left_out[line] = None
        except ConfigError as error:
            raise ConfigError(f"audit: {error}") from None
        return made

    def _metrics(self, raw: dict[str, Any], trials: Iterable[Trial]) -> Iterator[AskedMetric]:
        seen: dict[str, str] = {}
        for where, table in self._tables.tables(raw["metric"], "metric") if "metric" in raw else ():
            for name, metric in self._tables.variant(table, "metric", where):
                asked = AskedMetric(name, metric)
                check_asked(asked, where, seen, trials)
                seen[metric.logged_as] = where
                yield asked

    def _probe_runs(
        self, raw: dict[str, Any], trials: Iterable[Trial], unlearnings: Iterable[Unlearning]
    ) -> Iterator[ProbeRun]:
        landmarks = Landmarks(tuple(trial for trial in trials if trial.has_gradients), tuple(unlearnings))
        for where, table in self._tables.tables(raw["probe"], "probe") if "probe" in raw else ():
            for name, probe in self._tables.variant(table, "probe", where):
                self._leave_out(name, trials)
                if not landmarks.trials:
                    continue
                for why in dict.fromkeys(probe.unsuited(trial.network) for trial in landmarks.trials):
                    self.left_out |= {f"{name}: {why}": None} if why else {}
                if landmarks.methods_of(probe):
                    self._leave_out_ratios(name, (trial for trial in landmarks.trials if trial.corruption.ratio == 1.0))
                try:
                    yield from landmarks.probe_runs(name, probe)
                except ConfigError as error:
                    raise ConfigError(f"{where}: {error}") from None

    def _unlearnings(self, raw: dict[str, Any], trials: Iterable[Trial], run: RunTable) -> Iterator[Unlearning]:
        if "unlearner" not in raw:
            return
        methods = list(self._methods(raw["unlearner"], run))
        for name, method in methods:
            if not _is_exact(method):
                self._leave_out(name, trials)
        exact = any(_is_exact(method) for _, method in methods)
        trials = [trial for trial in trials if trial.has_gradients or exact]
        able = [trial for trial in trials if trial.corruption.ratio not in _WITHOUT_PARTITION]
        if trials and not able:
            ratio, (lacks, remedy) = trials[0].corruption.ratio, _WITHOUT_PARTITION[trials[0].corruption.ratio]
            raise ConfigError(
                f"unlearner: there is {lacks} in {trials[0].label}, whose ratio is {ratio:g}; give corruption a "
                f"ratio {remedy}."
            )
        for name, unlearner in methods:
            self._leave_out_ratios(name, [trial for trial in trials if trial.has_gradients or _is_exact(unlearner)])
        for trial, (name, unlearner), repeat in itertools.product(able, methods, range(run.repeats)):
            if trial.has_gradients or _is_exact(unlearner):
                if not trial.has_gradients:  # there is nothing to count
                    unlearner = dataclasses.replace(unlearner, budget=0)
                for knowledge in trial.told:
                    yield Unlearning(trial, name, unlearner, run.oracles, repeat, knowledge=knowledge)

    def _methods(self, value: Any, run: RunTable) -> Iterator[tuple[str, Unlearner]]:
        """The methods, with the budget of all where they have none of their own.

        Raises:
            ConfigError: a budget and a number of steps both say how long a method goes on.
        """
        for where, table in self._tables.tables(value, "unlearner"):
            for name, method in self._tables.variant(table, "unlearner", where):
                if run.budget is not None and not method.budget:
                    method = dataclasses.replace(method, budget=run.budget)
                if method.budget and method.fills_budget and "steps" in table:
                    whose = "run.budget" if "budget" not in table else "budget"
                    raise ConfigError(
                        f"{where}: has steps = {show(table['steps'])}, but {whose} decides how many steps {name} "
                        "takes; leave one of the two out."
                    )
                yield name, method

    def _leave_out(self, name: str, trials: Iterable[Trial]) -> None:
        """Takes down that a method or probe is not applied to estimators."""
        for model in dict.fromkeys(trial.names["model"] for trial in trials if not trial.has_gradients):
            self.left_out[f"{name} of {model}: {NO_GRADIENTS}"] = None

    def _leave_out_ratios(self, name: str, trials: Iterable[Trial]) -> None:
        """Takes down that a method, or a probe that goes through one, is not applied where it would have no rows."""
        for ratio in dict.fromkeys(trial.corruption.ratio for trial in trials):
            if ratio in _WITHOUT_PARTITION:
                self.left_out[f"{name} at ratio {ratio:g}: {_WITHOUT_PARTITION[ratio][0]}"] = None

    def _trials(self, raw: dict[str, Any], seeds: Sequence[int]) -> Iterator[Trial]:
        for needed in ("task", "model"):
            if needed not in raw:
                raise ConfigError(
                    f"{needed}: missing; add a [{needed}] table with a type. Run `qlab list` for choices."
                )
        common = self._tables.table(raw.get("training", {}), "training")
        tasks = list(self._tables.variants(raw["task"], "task"))
        corruptions = list(self._tables.variants(raw.get("corruption", {"type": "NoCorruption"}), "corruption"))
        for (_, task), (_, corruption) in itertools.product(tasks, corruptions):
            try:
                corruption.check_task(task)
                corruption.knowledge.check_task(task)
            except ConfigError as error:
                raise ConfigError(f"corruption: {error}") from error
        known = _told_apart(corruptions)
        if "unlearner" not in raw and any(told != (ALL_KNOWN,) for _, _, told in known):
            self.left_out["what is known of corrupted rows: it matters to unlearning only; add an [[unlearner]]"] = None
        models = []
        for where, table in self._tables.tables(raw["model"], "model"):
            training = {**common, **self._tables.table(table.get("training", {}), f"{where}.training")}
            own = {key: value for key, value in table.items() if key != "training"}
            trainers = list(self._tables.sweep(Trainer, training, f"{where}.training"))
            for name, model in self._tables.variant(own, "model", where):
                if isinstance(model, Estimator) and table.get("training"):
                    raise ConfigError(
                        f"{where}.training: {name} is an estimator, which is fitted at once: it has no epochs, batches "
                        "or learning rate. Leave training out of its table; its own settings are fields of the table."
                    )
                models += [
                    (name, model, trainer) for trainer in trainers[: 1 if isinstance(model, Estimator) else None]
                ]
        for (task_name, task), (corruption_name, corruption, told), own, seed in itertools.product(
            tasks, known, models, seeds
        ):
            model_name, model, trainer = own
            names = {"task": task_name, "corruption": corruption_name, "model": model_name}
            yield Trial(task, corruption, model, trainer, seed, names, told=told)


def _told_apart(corruptions: Sequence[tuple[str, Corruption]]) -> list[tuple[str, Corruption, tuple[Knowledge, ...]]]:
    """Corruptions, each once, with what methods are told of them: models are trained once for all of that."""
    first: dict[str, tuple[str, Corruption]] = {}
    told: dict[str, dict[str, Knowledge]] = {}
    for name, corruption in corruptions:
        complete = corruption.fully_known
        key = content_hash(table_of(name, complete))
        first.setdefault(key, (name, complete))
        told.setdefault(key, {}).setdefault(content_hash(corruption.knowledge.stated()), corruption.knowledge)
    return [(*first[key], tuple(known.values())) for key, known in told.items()]


def _is_exact(unlearner: Unlearner) -> bool:
    """Whether a method means nothing but to begin again without the corrupted rows, which estimators can do."""
    return type(unlearner) is Retrain and unlearner.start_fresh
