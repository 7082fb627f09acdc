"""What an experiment uses: its classes, the settings that have a source of their own, and the packages under them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from qlab.citations.bibliography import Entry, cited, keyed, qlab_itself
from qlab.errors import QlabError
from qlab.registry import KINDS, find

_SETTINGS: tuple[tuple[str, str, Callable[[Mapping[str, Any]], bool]], ...] = (
    ("Adam", "arXiv:1412.6980", lambda config: _optimizer(config) in ("Adam", "AdamW")),
    ("AdamW", "arXiv:1711.05101", lambda config: _optimizer(config) == "AdamW"),
    ('schedule = "cosine"', "arXiv:1608.03983", lambda config: _of(config, "training", "schedule") == "cosine"),
    ("label_smoothing", "arXiv:1512.00567", lambda config: bool(_smoothing(config))),
    ("dropout", "arXiv:1207.0580", lambda config: bool(_of(config, "model", "dropout"))),
    ("reupload", "arXiv:1907.02085", lambda config: (_of(config, "model", "reupload") or 0) > 1),
)
"""Settings, their sources, and whether a configuration has them."""


@dataclasses.dataclass
class Used:
    """Entries with what they are cited for, and sources that have none.

    Args:
        entries: of each, for what.
        others: lines on what is used and has no entry.
    """

    entries: dict[Entry, list[str]] = dataclasses.field(default_factory=dict)
    others: list[str] = dataclasses.field(default_factory=list)

    def cite(self, entry: Entry, what: str) -> None:
        """Notes that an entry is cited for something."""
        reasons = self.entries.setdefault(entry, [])
        if what not in reasons:
            reasons.append(what)

    def source(self, what: str, source: str, *, own: bool = False) -> None:
        """Notes a source in a class's words; one of a class of one's own is also shown as it is."""
        found, unknown = cited(source)
        for entry in found:
            self.cite(entry, what)
        if unknown or own or not found:
            self.note(f"{what}: {source or 'it names no source'}")

    def note(self, line: str) -> None:
        """Notes what is used and has no entry."""
        if line not in self.others:
            self.others.append(line)

    def text(self, title: str) -> str:
        """BibTeX, each entry after a line that says for what it is cited.

        Args:
            title: of what it is, for the first line.
        """
        lines = [f"% What {_plain(title)} uses. The paper and its preprint are one work: cite the article."]
        for entry, reasons in self.entries.items():
            lines += ["", f"% {_plain(', '.join(reasons))}", entry.text]
        if self.others:
            lines += ["", "% Without an entry here:", *(f"%   {_plain(line)}" for line in self.others)]
        return "\n".join(lines)


def used(configs: Iterable[Mapping[str, Any]], raw: Mapping[str, Any], folder: Path | None, *, imports: bool) -> Used:
    """What some configurations use.

    Args:
        configs: of trials, unlearning runs and probes.
        raw: the experiment file's tables, for what has no configuration: metrics, and how settings are chosen.
        folder: where classes of one's own are.
        imports: whether these may be imported; else they are named only.
    """
    found = Used()
    found.cite(qlab_itself(), "qlab")
    named: dict[tuple[str, str], None] = {}
    kept = list(configs)
    for config in kept:
        named |= dict.fromkeys(_named(config))
    metrics = raw.get("metric", [])
    for table in metrics if isinstance(metrics, list) else [metrics]:
        if isinstance(table, Mapping) and isinstance(table.get("type"), str):
            named["metric", table["type"]] = None
    packages = {"paszke2019pytorch": "PyTorch", "zaharia2018mlflow": "MLflow"}
    for kind, name in named:
        packages |= _cite_class(found, kind, name, folder, imports=imports)
    for setting, source, has in _SETTINGS:
        if any(has(config) for config in kept):
            found.source(setting, source)
    if "search" in raw:
        packages["akiba2019optuna"] = "Optuna"
    for key, package in packages.items():
        found.cite(keyed(key), package)
    return found


def _cite_class(found: Used, kind: str, name: str, folder: Path | None, *, imports: bool) -> dict[str, str]:
    """Cites a class, and returns the packages that it stands on, by key."""
    from qlab.models import PennyLaneQNN

    packages: dict[str, str] = {}
    if name.startswith("sklearn."):
        return {"pedregosa2011scikit": "scikit-learn"}
    try:
        cls = find(kind, name, folder, imports=imports)
    except QlabError:
        found.note(f"{name}: a {kind} of your own, whose file is not looked into here; it may name its source")
        return packages
    source = str(getattr(cls, "source", ""))
    found.source(name, source, own=not cls.__module__.startswith("qlab."))
    if issubclass(cls, PennyLaneQNN):
        packages["bergholm2018pennylane"] = "PennyLane"
    if any(word in source for word in ("sklearn", "scikit-learn")):
        packages["pedregosa2011scikit"] = "scikit-learn"
    return packages


def _named(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Kinds and names of all classes in a configuration, those of nested tables included."""
    for key, value in config.items():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, Mapping):
                if key in KINDS and isinstance(part.get("type"), str):
                    yield key, part["type"]
                yield from _named(part)


def _of(config: Mapping[str, Any], table: str, field: str) -> Any:
    found = config.get(table)
    return found.get(field) if isinstance(found, Mapping) else None


def _optimizer(config: Mapping[str, Any]) -> Any:
    """Of the training; a configuration does not state the default."""
    return (_of(config, "training", "optimizer") or "Adam") if "training" in config else None


def _smoothing(config: Mapping[str, Any]) -> Any:
    loss = _of(config, "training", "loss")
    return loss.get("label_smoothing") if isinstance(loss, Mapping) else None


def _plain(text: str) -> str:
    """Without what would begin an entry: BibTeX knows no comments, only text between entries."""
    return " ".join(text.split()).replace("@", "(at)")
