"""`qlab new`: a file with a class of one's own that runs as it is, and an experiment that names it."""

from __future__ import annotations

import importlib.resources
import re
from pathlib import Path

from qlab.errors import ConfigError, unknown

_TABLES = {
    "task": {"task": 'type = "{name}"'},
    "corruption": {"corruption": 'type = "{name}"\nratio = [0.0, 0.2, 0.4]'},
    "model": {"model": 'type = "{name}"'},
    "estimator": {"model": 'type = "{name}"'},
    "circuit": {"model": 'type = "{name}"\ndepth = 2'},
    "loss": {"training": 'epochs = 20\nlearning_rate = 0.03\nloss = "{name}"'},
    "channel": {"model": 'type = "PennyLaneQNN"\ndepth = 2\nnoise = [{{ channel = "{name}", angle = [0.0, 0.5] }}]'},
    "unlearner": {"corruption": 'type = "LabelFlip"\nratio = 0.3', "unlearner": 'type = "{name}"\nsteps = 10'},
    "update": {"corruption": 'type = "LabelFlip"\nratio = 0.3', "unlearner": 'type = "{name}"'},
    "probe": {"probe": 'type = "{name}"'},
    "metric": {"metric": 'type = "{name}"\non = "validation"'},
}
"""For each kind of class the tables of an experiment with it that are not the usual ones."""

_USUAL = {
    "task": 'type = "XXZ"\nlength = 6',
    "corruption": 'type = "LabelFlip"\nratio = [0.0, 0.2]',
    "model": 'type = "MLP"\nhidden = [16]',
    "training": "epochs = 20\nlearning_rate = 0.03",
    "run": "seeds = 3",
}

_CLASS = re.compile(r"^class (\w+)", re.MULTILINE)


def kinds() -> list[str]:
    """What there are templates of."""
    return list(_TABLES)


def write_template(kind: str, path: Path) -> tuple[str, Path]:
    """Writes a Python file with a class of a kind, and an experiment file beside it.

    Args:
        kind: one of :func:`kinds`.
        path: of the Python file.

    Returns:
        The class as experiment files name it, and the experiment file.

    Raises:
        ConfigError: no such kind, not the name of a module, or there is such a file already.
    """
    if kind not in _TABLES:
        raise ConfigError(unknown("kind", kind, _TABLES))
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise ConfigError(
            f"{path}: accepts the name of a Python file that can be imported: letters, digits and _, then .py, such as "
            f"my_{kind}.py."
        )
    experiment = path.with_suffix(".toml")
    for file in (path, experiment):
        if file.exists():
            raise ConfigError(f"{file}: is there already, and is not replaced; give another name.")
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent}: there is no such folder.")
    text = importlib.resources.files("qlab").joinpath("templates", f"{kind}.py.txt").read_text(encoding="utf-8")
    found = _CLASS.search(text)
    name = f"{path.stem}:{found[1] if found else ''}"
    tables = {**_USUAL, **{key: value.format(name=name) for key, value in _TABLES[kind].items()}}
    order = ("task", "corruption", "model", "training", "unlearner", "probe", "metric", "run")
    written = [f'name = "{path.stem}"', *(f"[{key}]\n{tables[key]}" for key in order if key in tables)]
    path.write_text(text, encoding="utf-8")
    experiment.write_text("\n\n".join(written) + "\n", encoding="utf-8")
    return name, experiment
