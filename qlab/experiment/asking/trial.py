"""A trial: one model trained once."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

from qlab.component import Component, name_of
from qlab.corruptions import Corruption, Knowledge
from qlab.errors import ConfigError
from qlab.fields import identity_of
from qlab.landscape import LandscapeProbe
from qlab.models import Estimator, Model
from qlab.registry import code_digest
from qlab.tasks import Task
from qlab.tracking.groups import keys_of
from qlab.tracking.names import CURVE, GROUP, SELECTION, TRIAL, UNLEARNING
from qlab.tracking.params import shown, write
from qlab.training import Trainer
from qlab.unlearning import Unlearner
from qlab.unlearning.oracle import seed_of, shadow_seed_of

IDENTITY_VERSION = 1
"""Part of every trial's identity; incremented when the same configuration comes to mean a different computation."""


REPEAT_SEEDS = 10_000_000
"""The distance between the seeds of an unlearning's repeats."""

ALL_KNOWN: Final = Knowledge()
"""Methods are told every corrupted row, and no other."""

INITIAL, CLEAN, ORACLE = "initial", "clean", "oracle"
"""Points that every trial's landscape has, besides those of its unlearners."""


def content_hash(content: Any) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a JSON value, keys sorted."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class _Recorded(ABC):
    """What has a run of its own, which its configuration identifies."""

    @functools.cached_property
    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The resolved configuration."""

    @functools.cached_property
    def key(self) -> str:
        """The identity of the run: a hash of :attr:`config`."""
        return content_hash({"version": IDENTITY_VERSION, **self.config})

    @property
    def params(self) -> dict[str, str]:
        """The configuration flat, with dotted names, as MLflow params."""
        return _texts(self.config)

    @property
    def group_tags(self) -> dict[str, str]:
        """Tags that are equal for what differs in seed only, and in seed and ratio only."""
        return _group_tags(flattened(self.config))


@dataclasses.dataclass(frozen=True, eq=False)
class Trial(_Recorded):
    """One model trained once.

    Args:
        task: supplies the data.
        corruption: pollutes the training split.
        model: the model, not built; or an estimator, not fitted.
        trainer: trains it. Does not count for an estimator, which is fitted at once.
        seed: seeds everything random.
        names: how the experiment file names the classes, by kind.
        select: of a trial that ``[select]`` compares or reports: how; part of its identity.
        called: what its model and corruption are called beside others of the experiment, see
            :mod:`qlab.experiment.asking.naming`; by default their classes.
        told: what methods are told of its corrupted rows, each time another; no part of its identity.
    """

    task: Task
    corruption: Corruption
    model: Model | Estimator
    trainer: Trainer
    seed: int
    names: dict[str, str]
    select: Mapping[str, Any] | None = None
    called: Mapping[str, str] = dataclasses.field(default_factory=dict)
    told: tuple[Knowledge, ...] = (ALL_KNOWN,)

    @property
    def kind(self) -> str:
        """The kind of its run, see :mod:`qlab.tracking.names`."""
        return SELECTION if self.select is not None and "candidate" in self.select else TRIAL

    @property
    def has_gradients(self) -> bool:
        """Whether the model is trained by gradients: it has epochs, landscapes, and methods that unlearn it."""
        return isinstance(self.model, Model)

    @property
    def network(self) -> Model:
        """The model, if it has gradients.

        Raises:
            ConfigError: it has none.
        """
        if not isinstance(self.model, Model):
            raise ConfigError(f"{self.label}: {self.names['model']} is an estimator; it has no parameters to train.")
        return self.model

    @property
    def estimator(self) -> Estimator:
        """The model, if it has no gradients.

        Raises:
            ConfigError: it has some.
        """
        if not isinstance(self.model, Estimator):
            raise ConfigError(f"{self.label}: {self.names['model']} is trained; it is not an estimator.")
        return self.model

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """The resolved configuration: every field of every class, defaults included but for :class:`AbsentMeans` ones.

        For a class from a file beside the experiment, ``code`` holds the digest of its code and of what it imports from
        there; for a task that names files, ``files`` holds theirs: edits make new trials. Estimators have no
        ``training``, and of scikit-learn's the arguments that were given count. What methods are told of the corruption
        does not.
        """
        tables: dict[str, Any] = {}
        corruption = self.corruption.fully_known
        for kind, part in (("task", self.task), ("corruption", corruption), ("model", self.model)):
            tables[kind] = table_of(self.names[kind], part)
        if self.has_gradients:
            tables["training"] = _fields(self.trainer)
        selected = {} if self.select is None else {"select": dict(self.select)}
        return {**tables, **selected, "seed": self.seed}

    def config_with(self, knowledge: Knowledge) -> dict[str, Any]:
        """The configuration, and what methods are told of its corrupted rows where that is not all."""
        if knowledge.is_complete:
            return self.config
        return {**self.config, "corruption": {**self.config["corruption"], **knowledge.stated()}}

    def params_with(self, knowledge: Knowledge) -> dict[str, str]:
        """The same flat, as MLflow params."""
        return _texts(self.config_with(knowledge))

    def groups_with(self, knowledge: Knowledge) -> dict[str, str]:
        """See :attr:`group_tags`."""
        return _group_tags(flattened(self.config_with(knowledge)))

    def oracle_key(self, number: int, knowledge: Knowledge = ALL_KNOWN) -> str:
        """The identity of one of the models retrained without the rows that a method is told to forget.

        If it is told all that are corrupted these are the oracles, else what retraining can reach. They are trained to
        the end, so that teachers which stop at different fractions have the same ones.
        """
        oracle = {"version": IDENTITY_VERSION, "oracle": seed_of(self.seed, number)}
        whole = dataclasses.replace(self, trainer=self.trainer.to_the_end) if self.trainer.stop_at else self
        return content_hash({**oracle, **whole.config_with(knowledge)})

    def shadow_key(self, number: int) -> str:
        """The identity of one of the models trained like this one, on the same rows: a shadow model of an audit."""
        shadow = {"version": IDENTITY_VERSION, "shadow": shadow_seed_of(self.seed, number)}
        return content_hash({**shadow, **self.config})

    @functools.cached_property
    def clean_twin(self) -> Trial:
        """The same trial with nothing corrupted; not one that is chosen, which may have other settings."""
        return dataclasses.replace(self, corruption=dataclasses.replace(self.corruption, ratio=0.0), select=None)

    @functools.cached_property
    def ensemble_key(self) -> str:
        """Equal for trials that can be trained together: they differ only in seed or in fields of the corruption."""
        shared = {kind: self.config[kind] for kind in ("task", "model", "training") if kind in self.config}
        return content_hash({**shared, "corruption": self.names["corruption"]})

    @functools.cached_property
    def seedless_key(self) -> str:
        """Equal for trials that differ only in seed."""
        return content_hash({**self.config, "seed": None})

    @property
    def setting(self) -> str:
        """What trials that train together have in common, for people: "PennyLaneQNN depth=4 on XXZ, LabelFlip"."""
        return f"{self.model_and_task}, {self.names['corruption']}"

    @property
    def model_name(self) -> str:
        """The model for people: "PennyLaneQNN depth=4"."""
        return self.called.get("model") or self.names["model"]

    @property
    def model_and_task(self) -> str:
        """Model and task for people: "PennyLaneQNN depth=4 on XXZ"."""
        on = f" on {self.names['task']}"
        return self.model_name + ("" if self.model_name.endswith(on) else on)

    @property
    def label(self) -> str:
        """A short name for people: "MLP hidden=[8, 2] LabelFlip 0.2 seed 0"."""
        corruption = self.called.get("corruption") or self.names["corruption"]
        return f"{self.model_name} {corruption} {shown(self.corruption.ratio)} seed {self.seed}"


@dataclasses.dataclass(frozen=True, eq=False)
class Unlearning(_Recorded):
    """One method applied to one trained model.

    Args:
        teacher: the trial whose model is unlearned.
        name: how the experiment file names the method.
        unlearner: the method.
        oracles: number of oracles that the result is compared with.
        repeat: index of the repeat; each draws its own fresh parameters and batches.
        called: what the method is called beside others of the experiment; by default its class.
        knowledge: what the method is told of the corrupted rows.
        select: of a method whose settings ``[select]`` has chosen: how; part of its identity.
    """

    teacher: Trial
    name: str
    unlearner: Unlearner
    oracles: int
    repeat: int = 0
    called: str = ""
    knowledge: Knowledge = ALL_KNOWN
    select: Mapping[str, Any] | None = None

    @property
    def kind(self) -> str:
        """The kind of its run: what is compared with others, to choose among them, is no result."""
        return SELECTION if self.teacher.kind == SELECTION else UNLEARNING

    @property
    def seed(self) -> int:
        """Seeds fresh parameters and mini-batches: the teacher's seed, moved on for repeats."""
        return self.teacher.seed + self.repeat * REPEAT_SEEDS

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """The teacher's configuration, what is told of its corrupted rows, and the method's."""
        table = table_of(self.name, self.unlearner)
        if self.unlearner.budget and self.unlearner.fills_budget:
            del table["steps"]  # which the budget decides
        repeat = {"repeat": self.repeat} if self.repeat else {}
        told = self.teacher.config_with(self.knowledge)
        selected = {} if self.select is None else {"select": dict(self.select)}
        return {**told, **selected, "unlearner": table, "oracles": self.oracles, **repeat}

    @property
    def oracle_keys(self) -> list[str]:
        """The oracles that the result is compared with; then, unless every corrupted row is known, the reachable ones.

        Those are retrained without the rows that the method is told to forget.
        """
        kinds = [ALL_KNOWN] if self.knowledge.is_complete else [ALL_KNOWN, self.knowledge]
        return [self.teacher.oracle_key(number, kind) for kind in kinds for number in range(self.oracles)]

    @property
    def method_key(self) -> str:
        """Equal for the same method with the same settings."""
        return content_hash(self.config["unlearner"])

    @property
    def method(self) -> str:
        """The method for people: "Relabel weight=0.5"."""
        return self.called or self.name

    @property
    def label(self) -> str:
        """A short name for people."""
        parts = (f"{self.method} of {self.teacher.label}", self.knowledge.label)
        return ", ".join(filter(None, (*parts, f"repeat {self.repeat}" if self.repeat else "")))


@dataclasses.dataclass(frozen=True, eq=False)
class ProbeRun(_Recorded):
    """One probe on the landscape around one trained model.

    Args:
        trial: whose model it is.
        name: how the experiment file names the probe.
        probe: the probe.
        unlearnings: those whose results are points of the landscape, by the names of the points.
        called: what the probe is called beside others of the experiment; by default its class and label.
    """

    trial: Trial
    name: str
    probe: LandscapeProbe
    unlearnings: dict[str, Unlearning]
    called: str = ""

    @functools.cached_property
    def points(self) -> dict[str, str]:
        """The identity of every point, other than the trained one, that the probe needs."""
        known = {INITIAL: INITIAL, CLEAN: self.trial.clean_twin.key, ORACLE: self.trial.oracle_key(0)}
        known |= {name: unlearning.key for name, unlearning in self.unlearnings.items()}
        return {name: known[name] for name in self.probe.needed_points}

    @property
    def needs_clean_twin(self) -> bool:
        """Whether the same trial with nothing corrupted must be trained first."""
        return CLEAN in self.points or self.probe.needs().reference

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """The trial's configuration and the probe's, and the identities of the points."""
        table = table_of(self.name, self.probe)
        points = {"points": self.points} if self.points else {}
        return {**self.trial.config, "probe": table, **points}

    @property
    def params(self) -> dict[str, str]:
        """The configuration flat, with dotted names, as MLflow params; and the probe's label."""
        # MLflow takes no brackets: the numbered method Scrub[1] becomes Scrub.1.
        flat = {name.replace("[", ".").replace("]", ""): value for name, value in _texts(self.config).items()}
        return flat | ({"probe.label": write(self.probe.label)} if self.probe.label else {})

    @property
    def group_tags(self) -> dict[str, str]:
        """Tags that are equal for what differs in seed only, and in seed and ratio only."""
        # The identities of points differ from seed to seed; how the methods came to them does not.
        ways = {name: self.unlearnings[name].group_tags for name in self._methods}
        flat = flattened(self.config)
        return {
            tag: _group_tags(flat | {f"through.{name}": tags[tag] for name, tags in ways.items()})[tag]
            for tag in (GROUP, CURVE)
        }

    @property
    def _methods(self) -> list[str]:
        """The names of the points that are results of unlearnings."""
        return [name for name in self.points if name in self.unlearnings]

    @property
    def label(self) -> str:
        """A short name for people."""
        called = self.called or " ".join(filter(None, (self.name, self.probe.label)))
        return f"{called} of {self.trial.label}"


def table_of(name: str, part: Model | Component) -> dict[str, Any]:
    """What an experiment file says of a part, and digests of its class's code beside it and of its data files."""
    digests = {"code": code_digest(type(part), name), "files": part.files_digest if isinstance(part, Task) else None}
    tag = part.tag if isinstance(part, Component) else "type"
    return {tag: name, **_fields(part)} | {key: digest for key, digest in digests.items() if digest is not None}


def _fields(part: Model | Component) -> dict[str, Any]:
    """The fields that are part of an identity; components among their values with their code, too."""
    nested = {name: _stated(value) for name, value in part.field_values().items() if _holds_component(value)}
    return identity_of(type(part), {**part.config(), **nested})


def _holds_component(value: Any) -> bool:
    return isinstance(value, Component) or (isinstance(value, tuple) and any(map(_holds_component, value)))


def _stated(value: Any) -> Any:
    if isinstance(value, Component):
        return table_of(name_of(value), value)
    return [_stated(item) for item in value] if isinstance(value, tuple) else value


def flattened(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration by dotted names; tables in a list by their number, from 1."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        tables = value
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            tables = {str(number): item for number, item in enumerate(value, start=1)}
        if isinstance(tables, dict):
            flat |= {f"{name}.{key}": item for key, item in flattened(tables).items()}
        else:
            flat[name] = value
    return flat


def _texts(config: dict[str, Any]) -> dict[str, str]:
    return {name: write(value) for name, value in flattened(config).items()}


def _group_tags(settings: dict[str, Any]) -> dict[str, str]:
    keys = keys_of(settings)
    return {GROUP: keys.group, CURVE: keys.curve}
