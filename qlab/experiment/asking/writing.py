"""An experiment file that makes given runs, written from their configurations: the inverse of reading one."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from qlab.errors import ConfigError, QlabError
from qlab.experiment.asking import schema, toml_text
from qlab.experiment.asking.boxes import Box, boxes, in_order
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.asking.stating import KNOWLEDGE, is_swept, names_in, one_value, short, whole
from qlab.words import counted

Config = Mapping[str, Any]
"""A resolved configuration, as an experiment's run keeps it."""

_TRAINING: Final = "training."
_TRUSTED: Final = "sklearn."


@dataclasses.dataclass(frozen=True)
class Written:
    """An experiment file, and what is known of the runs that it makes.

    Args:
        text: TOML.
        wanted: keys of the runs that it is to make.
        made: keys of those of them that it makes; None if it was not read again, as it names classes of one's own.
        more: how many runs of which kind it makes besides, such as {"trial": 4}.
        notes: what it cannot say, in sentences.
    """

    text: str
    wanted: frozenset[str]
    made: frozenset[str] | None
    more: Mapping[str, int]
    notes: tuple[str, ...]


def written(name: str, configs: Mapping[str, Config], every: Mapping[str, Config] | None = None) -> Written:
    """One file with lists where values vary, and several tables where classes do.

    It is read again, and its runs compared with those wanted; only if a class in it is not qlab's, a plugin's or
    scikit-learn's this is not done, as such classes would have to be imported.

    Args:
        name: of the experiment.
        configs: of the trials, unlearning runs and probes that it is to make, by key.
        every: of all of the experiment, by key, among them the methods whose results probes go through.

    Raises:
        ConfigError: TOML cannot say a value.
    """
    title = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).lstrip(".")[: schema.LONGEST_NAME] or "copied"
    parts = _Parts.of(configs, every or {})
    body, made, more, notes = _tried(parts, title, frozenset(configs))
    if more and (fewer := _without_twins(configs)):
        # Probes make the clean twins that they need by themselves.
        other = _tried(_Parts.of(fewer, every or {}), title, frozenset(configs))
        if other[1] == made and sum(other[2].values()) < sum(more.values()):
            body, made, more, notes = other
    head = [_made_of(configs), *_said(made, more, len(configs)), *notes]
    text = "\n".join([*(toml_text.comment(line) for line in head), "", body])
    return Written(text, frozenset(configs), made, more, tuple(notes))


def _tried(
    parts: _Parts, title: str, wanted: frozenset[str]
) -> tuple[str, frozenset[str] | None, dict[str, int], list[str]]:
    """The text, which of the wanted runs it makes, how many others, and what it cannot say."""
    notes = list(parts.notes())
    body = parts.text(title)
    own = [found for found in parts.class_names() if ":" in found and not found.startswith(_TRUSTED)]
    if own:
        listed = ", ".join(dict.fromkeys(own))
        notes.append(f"It names {listed}: put it where the files of these are. It was not tried, as they are not read.")
        return body, None, {}, notes
    try:
        experiment = schema.parse(body, source="the file", folder=parts.folder)
    except QlabError as error:
        return body, None, {}, [*notes, f"It cannot be run as it is: {error}"]
    return body, *_compared(experiment, wanted), notes


def _without_twins(configs: Mapping[str, Config]) -> dict[str, Config]:
    """Without trials on clean data, if there are probes of others; nothing if that is all the same."""
    if not any("probe" in config and config["corruption"].get("ratio") for config in configs.values()):
        return {}
    fewer = {
        key: config
        for key, config in configs.items()
        if _kind(config) != "trial" or config["corruption"].get("ratio") != 0.0
    }
    return fewer if len(fewer) < len(configs) else {}


def _made_of(configs: Mapping[str, Config]) -> str:
    kinds = collections.Counter(_kind(config) for config in configs.values())
    return f"Written by qlab from {', '.join(counted(count, kind) for kind, count in kinds.items())} of a store."


def _said(made: frozenset[str] | None, more: Mapping[str, int], wanted: int) -> list[str]:
    if made is None:
        return []
    found = [f"It makes all {wanted} of them." if len(made) == wanted else f"It makes {len(made)} of these {wanted}."]
    if more:
        others = ", ".join(counted(count, kind) for kind, count in more.items())
        found.append(f"They are no full grid: it also makes {others} that they are not among.")
    return found


def _compared(experiment: Experiment, wanted: frozenset[str]) -> tuple[frozenset[str], dict[str, int]]:
    """Which of the wanted runs an experiment makes, and how many others that these do not need."""
    needed: set[str] = set(wanted)
    for probe in experiment.probe_runs:
        if probe.key in wanted:
            needed |= {probe.trial.key, *(own.key for own in probe.unlearnings.values())}
            needed |= {probe.trial.clean_twin.key} if probe.needs_clean_twin else set()
    for unlearning in experiment.unlearnings:
        if unlearning.key in needed:
            needed.add(unlearning.teacher.key)
    items = (
        *(("trial", item.key) for item in experiment.trials),
        *(("unlearning run", item.key) for item in experiment.unlearnings),
        *(("probe", item.key) for item in experiment.probe_runs),
    )
    more = collections.Counter(kind for kind, key in items if key not in needed)
    return wanted & {key for _, key in items}, dict(more)


def _kind(config: Config) -> str:
    return "probe" if "probe" in config else "unlearning run" if "unlearner" in config else "trial"


@dataclasses.dataclass(frozen=True)
class _Parts:
    """What the tables of the file say, each table once.

    Args:
        tables: whole tables by kind; models with their training.
        seeds: of the trials.
        oracles: how often each number of oracles is asked for.
        repeats: how many there are.
        selected: how many of the runs were made with what ``[select]`` or ``[search]`` chose.
        folder: where files beside the experiment were.
    """

    tables: Mapping[str, Sequence[dict[str, Any]]]
    seeds: tuple[int, ...]
    oracles: Mapping[int, int]
    repeats: int
    selected: int
    folder: Path | None

    @classmethod
    def of(cls, configs: Mapping[str, Config], every: Mapping[str, Config]) -> _Parts:
        needed = {key: every[key] for config in configs.values() for key in _points(config) if key in every}
        used = [*configs.values(), *(config for key, config in needed.items() if key not in configs)]
        order = {key: place for place, key in enumerate(every)}
        places = [*(order.get(key, -1) for key in configs), *(order[key] for key in needed if key not in configs)]
        used = [config for _, config in sorted(zip(places, used, strict=True), key=lambda pair: pair[0])]
        tables: dict[str, dict[str, dict[str, Any]]] = collections.defaultdict(dict)
        told = {_untold(config["corruption"]): True for config in used if "unlearner" in config}
        for config in used:
            for kind in ("task", "unlearner", "probe"):
                if kind in config:
                    _add(tables[kind], whole(kind, config[kind]))
            if "unlearner" in config or _untold(config["corruption"]) not in told:
                _add(tables["corruption"], whole("corruption", config["corruption"]))
            training = whole("training", config["training"]) if "training" in config else {}
            model = whole("model", config["model"])
            _add(tables["model"], model | {_TRAINING + name: value for name, value in training.items()})
        return cls(
            {kind: list(found.values()) for kind, found in tables.items()},
            tuple(sorted({int(config["seed"]) for config in used})),
            collections.Counter(int(config["oracles"]) for config in used if "oracles" in config),
            max((int(config.get("repeat", 0)) for config in used), default=0) + 1,
            sum("select" in config for config in configs.values()),
            next((Path(str(found)) for config in used if (found := config.get("qlab.folder"))), None),
        )

    def notes(self) -> Iterable[str]:
        """What the file cannot say."""
        if self.selected:
            yield (
                f"{counted(self.selected, 'run')} were made with values that [select] or [search] chose, which is part "
                "of what they are: the file has the values, and trains them as runs of their own. The experiment's own "
                "file is among the artifacts of its run."
            )
        if len(self.oracles) > 1:
            numbers = ", ".join(map(str, sorted(self.oracles)))
            yield f"They were compared with {numbers} oracles; a file has one number for all."

    def class_names(self) -> list[str]:
        """The names of all classes that the file names."""
        return [name for kind, tables in self.tables.items() for table in tables for name in names_in(kind, table)]

    def text(self, name: str) -> str:
        """The file, without what is said of it."""
        models, common = _models(self.tables["model"])
        found = [toml_text.pair("name", name), ""]
        for kind in ("task", "corruption"):
            found += _stated(kind, _boxes(kind, self.tables[kind]))
        found += _stated("model", models)
        if common:
            found += ["[training]", *(toml_text.pair(*item) for item in common.items()), ""]
        for kind in ("unlearner", "probe"):
            if kind in self.tables:
                found += _stated(kind, _boxes(kind, self.tables[kind]))
        return "\n".join([*found, *self._run(), ""])

    def _run(self) -> list[str]:
        counts = self.seeds == tuple(range(len(self.seeds)))
        found = ["[run]", toml_text.pair("seeds", len(self.seeds) if counts else list(self.seeds))]
        if self.oracles:
            found.append(toml_text.pair("oracles", max(self.oracles, key=lambda number: self.oracles[number])))
        if self.repeats > 1:
            found.append(toml_text.pair("repeats", self.repeats))
        return found


def _add(tables: dict[str, dict[str, Any]], table: dict[str, Any]) -> None:
    tables.setdefault(toml_text.value(_sayable(table)), table)


def _sayable(value: Any) -> Any:
    """A value in which none is text, to tell tables apart by."""
    if isinstance(value, Mapping):
        return {name: _sayable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sayable(item) for item in value]
    return "none" if value is None else value


def _points(config: Config) -> list[str]:
    """The keys of what a probe goes through."""
    points = config.get("points", {})
    return [str(key) for key in points.values()] if isinstance(points, Mapping) else []


def _untold(corruption: Config) -> str:
    """A corruption without what is told of it."""
    own = {name: value for name, value in whole("corruption", corruption).items() if name not in KNOWLEDGE}
    return toml_text.value(_sayable(own))


def _kind_of(kind: str, name: str) -> tuple[str, str]:
    """The hierarchy whose field a key is, and the field: of models also those of their training."""
    return ("training", name.removeprefix(_TRAINING)) if name.startswith(_TRAINING) else (kind, name)


def _boxes(kind: str, tables: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tables as the file states them, values that vary in lists."""
    by_class: dict[str, list[dict[str, Any]]] = {}
    for table in tables:
        by_class.setdefault(str(next(iter(table.values()))), []).append(table)
    found = []
    for own in by_class.values():
        first = own[0]

        def swept(name: str, first: dict[str, Any] = first) -> bool:
            of, field = _kind_of(kind, name)
            return is_swept(of, first if of == kind else {}, field)

        found += [_table(kind, box) for box in boxes(own, swept)]
    return found


def _table(kind: str, box: Box) -> dict[str, Any]:
    """A table of the file: single values as they are, unless the class means them anyway; others in lists."""
    first = {name: values[0] for name, values in box.items()}
    own = {name: value for name, value in first.items() if _kind_of(kind, name)[0] == kind}
    training = {_kind_of(kind, name)[1]: value for name, value in first.items() if name.startswith(_TRAINING)}
    shortened = short(kind, own)
    shortened |= {_TRAINING + name: value for name, value in short("training", training).items()}
    found: dict[str, Any] = {}
    for name, values in box.items():
        of, field = _kind_of(kind, name)
        if len(values) > 1:
            each = [short(of, {**(own if of == kind else {}), field: value}).get(field, value) for value in values]
            found[name] = in_order(each)
        elif name in shortened:
            found[name] = one_value(of, own if of == kind else {}, field, shortened[name])
    return found


def _models(tables: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The models' tables, and the training that all have in common; else each has its own."""
    found = _boxes("model", tables)
    split = [
        (
            {name: value for name, value in table.items() if not name.startswith(_TRAINING)},
            {name.removeprefix(_TRAINING): value for name, value in table.items() if name.startswith(_TRAINING)},
        )
        for table in found
    ]
    trained = [any(name.startswith(_TRAINING) for name in table) for table in tables]
    trainings = [training for _, training in split if training]
    if trainings and all(trained) and len(trainings) == len(split) and all(own == trainings[0] for own in trainings):
        return [model for model, _ in split], trainings[0]
    return [{**model, **({"training": training} if training else {})} for model, training in split], {}


def _stated(kind: str, tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """The lines of tables of a kind."""
    several = len(tables) > 1
    lines: list[str] = []
    for table in tables:
        lines.append(f"[[{kind}]]" if several else f"[{kind}]")
        for name, value in table.items():
            try:
                lines.append(toml_text.pair(name, value))
            except ConfigError as error:
                raise ConfigError(f"{kind}.{name}: {error}") from None
        lines.append("")
    return lines
