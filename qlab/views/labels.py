"""Names for people: of models, corruptions, methods and probes, told apart by the settings in which they differ.

Groups of runs are told apart by their configurations (see :mod:`qlab.tracking.groups`), never by these names; but no
two groups get the same one.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from qlab.field_types import Nested
from qlab.noise import Channel, DeviceNoise
from qlab.tracking import names
from qlab.tracking.groups import OVER, RATIO, keys_of
from qlab.tracking.missing import is_missing
from qlab.tracking.params import shown
from qlab.views.distinct import distinct, telling

UNKNOWN = "unknown"
"""What runs are of that have no params (yet)."""

_MODEL = ("task.", "model.", "training.")
_TABLES = (*_MODEL, "corruption.")
_CURVE = ("corruption.type", RATIO)
"""Params that a panel and its axis stand for."""

_TYPES = ("task.type", "model.type", "corruption.type", "unlearner.type", "probe.type")

_TAGS = (f".{Nested.tag}", f".{Channel.tag}")
"""How the params end that name the class of what has further fields."""

_SKLEARN = "sklearn."
"""How the names of scikit-learn's classes begin: "sklearn.ensemble:HistGradientBoostingClassifier"."""

_ALWAYS = "model.inputs"
"""What is said of a model wherever it is stated: models on other inputs stand beside some on features as they are."""

_LONGEST = 40
"""Values of more characters are shortened."""

_NUMBER = re.compile(r"((?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)")


def labelled(
    frame: pd.DataFrame, kind: Literal["method", "probe"] | None = None, group_by: Sequence[str] = ()
) -> pd.DataFrame:
    """What each run belongs to: columns ``model``, ``corruption`` and ``ratio`` (NaN if unknown), and ``kind``.

    Runs agree in all of these if and only if they belong together: they differ in seed only, or, with ``group_by``, in
    what is not named there. Names that settings cannot tell apart end with digits of what can.

    Args:
        frame: runs with dotted params as columns, see :mod:`qlab.tracking.frames`.
        kind: what the runs are of beside a model and a corruption.
        group_by: tell models apart by these params instead, whatever else differs.
    """
    first, places = distinct(frame, telling(frame, group_by))
    return _labelled(frame.iloc[first], kind, group_by).iloc[places].set_axis(frame.index)


def _labelled(frame: pd.DataFrame, kind: Literal["method", "probe"] | None, group_by: Sequence[str]) -> pd.DataFrame:
    found = pd.DataFrame({"model": label_models(frame, group_by)}, index=frame.index)
    found["corruption"] = _labels(frame, "corruption", ()) if group_by else label_corruptions(frame)
    found["ratio"] = pd.to_numeric(frame[RATIO]) if RATIO in frame else float("nan")
    if kind is not None:
        found[kind] = label_methods(frame) if kind == "method" else label_probes(frame)
    keys = _chosen(frame, [*group_by, "corruption.type"]) if group_by else _curves(frame)
    return _told_apart(found, keys, kind or "model")


def label_models(frame: pd.DataFrame, group_by: Sequence[str] = ()) -> pd.Series[str]:
    """A name for each run's model: its type, and those settings in which runs of the type differ.

    Settings are params of task, model and training. The seed never is one.

    Args:
        frame: runs with dotted params as columns, see :mod:`qlab.tracking.frames`.
        group_by: name these params instead, whatever else differs.
    """
    if group_by:
        parts = [
            [text if name == "model.type" else f"{name.removeprefix('model.')}={text}" if text else "" for text in own]
            for name in group_by
            if name in frame
            for own in [_texts(_values(frame, name))]
        ]
        joined = [" ".join(filter(None, row)) or "all" for row in zip(*parts, strict=True)]
        return pd.Series(joined if parts else "all", index=frame.index, dtype=str)
    labels = _labels(frame, "model", _MODEL)
    tasks = _names(_values(frame, "task.type"))
    if len(set(tasks) - {""}) > 1:
        labels += [f" on {task}" if task else "" for task in tasks]
    return labels


def label_corruptions(frame: pd.DataFrame) -> pd.Series[str]:
    """A name for each run's corruption: its type, and those fields but the ratio in which runs of the type differ."""
    return _labels(frame, "corruption", ("corruption.",))


def label_methods(frame: pd.DataFrame) -> pd.Series[str]:
    """A name for each run's unlearning method: its type, and those settings in which runs of the type differ."""
    return _labels(frame, "unlearner", ("unlearner.", "oracles"))


def label_probes(frame: pd.DataFrame) -> pd.Series[str]:
    """A name for each run's probe: its type and label, and those settings in which runs with both the same differ."""
    types, labels = _names(_values(frame, "probe.type")), _texts(_values(frame, "probe.label"))
    named = [f"{kind} {label}".strip() or None for kind, label in zip(types, labels, strict=True)]
    own = frame.drop(columns="probe.label", errors="ignore")
    own["probe.type"] = pd.Series(named, index=frame.index, dtype=object)
    return _labels(own, "probe")


def varying(frame: pd.DataFrame) -> list[str]:
    """The params in which trials differ, other than the seed and what a curve runs over: what can tell groups apart."""
    frame = frame.iloc[distinct(frame, telling(frame))[0]]
    columns = [name for name in frame.columns if name.startswith(_TABLES) and name not in _CURVE]
    different = []
    for name in columns:
        values = _unchosen(frame, name)
        holders = _holders(frame, name)
        alike = _alike(range(len(frame)), holders, name)
        alike = [rows for rows in alike if not _is_detail(name, holders and holders[rows[0]])]
        if any(_differ(values[row] for row in rows) for rows in alike):
            different.append(name)
    return ["model.type", *(name for name in different if name != "model.type")] if columns else []


def numbers(values: Iterable[float]) -> dict[float, str]:
    """Numbers as text: six significant digits, or all of them where six do not tell one from another of these."""
    known = [value for value in dict.fromkeys(values) if not is_missing(value)]
    short = collections.Counter(f"{value:g}" for value in known)
    return {value: text if short[text := f"{value:g}"] == 1 else shown(float(value)) for value in known}


def ratio_text(ratio: float, among: Iterable[float]) -> str:
    """A corruption ratio as text that tells it from others, see :func:`numbers`; a dash where there is none."""
    return "-" if is_missing(ratio) else numbers([ratio, *among])[ratio]


def natural(text: str) -> tuple[Any, ...]:
    """A key to sort names by: numbers in them by their value."""
    parts = _NUMBER.split(text)
    return tuple(float(part) if index % 2 else part for index, part in enumerate(parts))


def in_order(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """A table's rows in order of these columns, names as :func:`natural` has them, missing numbers last."""

    def key(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple((is_missing(v), natural(v) if isinstance(v, str) else 0.0 if is_missing(v) else v) for v in values)

    places = {place: key(row) for place, row in enumerate(zip(*(table[name] for name in by), strict=True))}
    return table.iloc[sorted(places, key=places.__getitem__)].reset_index(drop=True)


def _labels(frame: pd.DataFrame, kind: str, tables: tuple[str, ...] | None = None) -> pd.Series[str]:
    """The type of a kind, followed by the settings in these tables that differ among rows of the type."""
    first, places = distinct(frame, telling(frame))
    if len(first) < len(frame):
        return _labels(frame.iloc[first], kind, tables).iloc[places].set_axis(frame.index)
    tables = (f"{kind}.",) if tables is None else tables
    types = _names(_values(frame, f"{kind}.type"))
    labels = [text or UNKNOWN for text in types]
    settings = [name for name in frame.columns if tables and name.startswith(tables) and name not in (*_TYPES, RATIO)]
    columns = {name: _devices_by_name(frame, name, _unchosen(frame, name)) for name in settings}
    for kept in set(types) - {""}:
        every = [row for row, own in enumerate(types) if own == kept]
        parts: dict[int, list[tuple[str, bool]]] = {row: [] for row in every}
        for name, values in columns.items():
            called = name.removeprefix(f"{kind}.")
            called = called.rpartition(".")[0] if called.endswith(_TAGS) else called
            holders = _holders(frame, name)
            for rows in _alike(every, holders, name):
                own = [values[row] for row in rows]
                if _is_detail(name, holders and holders[rows[0]]):
                    continue
                if not _differ(own) and name != _ALWAYS:
                    continue
                for row, text in zip(rows, _texts(own), strict=True):
                    if text:
                        parts[row].append((f"{called}={text}", names.UNSTATED.get(name) == values[row]))
        for row, text in _short(parts).items():
            labels[row] = " ".join(filter(None, (labels[row], text)))
    return pd.Series(labels, index=frame.index, dtype=str)


def _short(parts: Mapping[int, Sequence[tuple[str, bool]]]) -> dict[int, str]:
    """Settings joined; of several only those that a file has to state, unless these do not tell rows apart."""
    whole = {row: " ".join(text for text, _ in own) for row, own in parts.items()}
    short = {
        row: " ".join(text for text, usual in own if not usual) if len(own) > 1 else whole[row]
        for row, own in parts.items()
    }
    meant: dict[str, set[str]] = collections.defaultdict(set)
    for row, text in short.items():
        meant[text].add(whole[row])
    return {row: text if len(meant[text]) == 1 else whole[row] for row, text in short.items()}


def _holders(frame: pd.DataFrame, name: str) -> list[Any] | None:
    """For each row the class of what has a field, such as "training.loss.type"; None if nothing says it."""
    table = name.rpartition(".")[0]
    return next((_values(frame, table + tag) for tag in _TAGS if table + tag in frame), None)


def _devices_by_name(frame: pd.DataFrame, name: str, values: list[Any]) -> list[Any]:
    """The values of a param; of one that says that noise is a device's, the name of the device."""
    if not name.endswith(f".{Channel.tag}") or DeviceNoise.__name__ not in values:
        return values
    devices = _values(frame, f"{name.rpartition('.')[0]}.device")
    return [
        device if own == DeviceNoise.__name__ and device else own for own, device in zip(values, devices, strict=True)
    ]


def _is_detail(name: str, holder: Any) -> bool:
    """Whether a param is one of a device's many numbers, which no name can hold; or its name, which stands already."""
    return holder == DeviceNoise.__name__ and name.rpartition(".")[2] in ("device", *DeviceNoise.details)


def _alike(rows: Sequence[int], types: Sequence[Any] | None, name: str) -> list[list[int]]:
    """Rows whose values of a param are compared: all, or apart those with different classes of what has the field."""
    if types is None or name.endswith(_TAGS):
        return [list(rows)]
    return [[row for row in rows if types[row] == own] for own in dict.fromkeys(types[row] for row in rows)]


def _told_apart(labels: pd.DataFrame, keys: Sequence[str], column: str) -> pd.DataFrame:
    """Labels that differ wherever keys do: those that do not get some digits of theirs."""
    named = list(labels.drop(columns="ratio").itertuples(index=False, name=None))
    own: dict[tuple[str, ...], set[str]] = collections.defaultdict(set)
    for name, key in zip(named, keys, strict=True):
        own[name].add(key)
    texts = list(labels[column])
    for row, (name, key) in enumerate(zip(named, keys, strict=True)):
        if len(own[name]) > 1:
            texts[row] += f" #{key[: _digits(own[name])]}"
    return labels.assign(**{column: pd.Series(texts, index=labels.index, dtype=str)})


def _digits(keys: set[str]) -> int:
    """How many leading digits tell keys apart, four at least."""
    return next((count for count in range(4, 16) if len({key[:count] for key in keys}) == len(keys)), 16)


def _curves(frame: pd.DataFrame) -> list[str]:
    """Equal for runs that differ in seed and ratio only."""
    known = _values(frame, names.CURVE)
    if all(key is not None for key in known):
        return [str(key) for key in known]
    columns = [name for name in frame.columns if "." in name and not name.startswith("qlab.")]
    derived = _settings(frame, [*columns, *(name for name in ("oracles",) if name in frame)])
    return [keys_of(own).curve if key is None else str(key) for key, own in zip(known, derived, strict=True)]


def _chosen(frame: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Equal for runs that agree in these params."""
    return [keys_of(own).curve for own in _settings(frame, [name for name in columns if name in frame])]


def _settings(frame: pd.DataFrame, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    values = {name: _values(frame, name) for name in columns}
    for row in range(len(frame)):
        yield {name: own[row] for name, own in values.items() if own[row] is not None}


def _values(frame: pd.DataFrame, name: str) -> list[Any]:
    """A column's values, missing ones as None."""
    if name not in frame:
        return [None] * len(frame)
    values = frame[name].tolist()
    return [None if is_missing(value) else tuple(value) if isinstance(value, list) else value for value in values]


def _unchosen(frame: pd.DataFrame, name: str) -> list[Any]:
    """A column's values, None where they were chosen: what is chosen for each ratio does not name a curve."""
    values, over = _values(frame, name), _values(frame, OVER)
    return [None if isinstance(own, tuple) and name in own else value for value, own in zip(values, over, strict=True)]


def _differ(values: Iterable[Any]) -> bool:
    return len({(type(value), value) for value in values}) > 1


def _names(values: Sequence[Any]) -> list[str]:
    """Names of classes; missing ones are empty. Those of scikit-learn are without their module where that suffices."""
    whole = ["" if value is None else shown(value) for value in values]
    short = {name: name.rpartition(":")[2] if name.startswith(_SKLEARN) else name for name in set(whole)}
    count = collections.Counter(name.rpartition(":")[2] for name in short)
    return [short[name] if count[short[name]] == 1 else name for name in whole]


def _texts(values: Sequence[Any]) -> list[str]:
    """Values of a setting as text that tells them apart, in short; missing ones are empty."""
    short = numbers(value for value in values if isinstance(value, float))
    texts = ["" if value is None else short[value] if isinstance(value, float) else shown(value) for value in values]
    return [text if len(text) <= _LONGEST else f"{text[: _LONGEST - 12]}…{text[-8:]}" for text in texts]
