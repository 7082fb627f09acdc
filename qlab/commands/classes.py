"""Commands that say what an experiment file can name."""

from __future__ import annotations

from pathlib import Path

import click

from qlab.errors import ConfigError


@click.command("list")
@click.argument("kind", required=False)
def list_names(kind: str | None) -> None:
    """List what an experiment file can name: classes from tasks to metrics; devices; and experiments."""
    from qlab.errors import unknown
    from qlab.registry import KINDS, available
    from qlab.resources import about, experiments
    from qlab.words import plural

    sections = [*KINDS, "device", "experiment"]
    if kind is not None:
        asked = [section for section in sections if kind in (section, plural(section))]
        if not asked:
            raise ConfigError(unknown("kind", kind, map(plural, sections)))
        sections = asked
    for section in sections:
        click.secho(plural(section), bold=True)
        if section == "experiment":
            for name, file in experiments().items():
                click.echo(f"  {name:22} {about(file)}")
        elif section == "device":
            from qlab.noise.device_file import read_device, snapshots

            for name, file in snapshots().items():
                device = read_device(file)
                click.echo(f"  {name:22} {len(device.qubits)} qubits of {device.name}, {device.date[:10]}")
        else:
            for name, cls in available(section).items():
                click.echo(f"  {name:22} {_first_line(cls)}")
            if section == "model":
                click.echo(f"  {'sklearn.svm:SVC':22} Or any other classifier of scikit-learn by module and class.")


@click.command()
@click.argument("name")
def describe(name: str) -> None:
    """Describe a class that an experiment file can name (fields, formula, source), or print an experiment's file.

    NAME is one that `qlab list` prints, or "module:Class"; or Task, Corruption, Model, Estimator, Loss, Channel,
    Unlearner, LandscapeProbe or Metric for what a class of one's own has to define; or a table: run, select, search,
    claim, audit. Files of devices are printed, too.
    """
    from qlab import starting
    from qlab.claims import ClaimTable
    from qlab.errors import unknown
    from qlab.experiment.asking.audit import AuditTable
    from qlab.experiment.asking.experiment import RunTable
    from qlab.experiment.asking.selection import SelectTable
    from qlab.experiment.asking.space import SearchTable
    from qlab.fields import REQUIRED, fields_of, show
    from qlab.noise.device_file import snapshots
    from qlab.registry import KINDS, available, base_classes, find_of_any_kind
    from qlab.resources import experiments
    from qlab.training import Trainer

    classes: dict[str, tuple[str, type]] = {"Trainer": ("training", Trainer)}
    tables = {"run": RunTable, "select": SelectTable, "search": SearchTable, "claim": ClaimTable, "audit": AuditTable}
    classes |= {table: ("table", cls) for table, cls in tables.items()}
    for kind in KINDS:
        classes |= {base.__name__: (kind, base) for base in base_classes(kind)}
        classes |= {found: (kind, cls) for found, cls in available(kind).items()}
    shipped = experiments() | snapshots()
    if name not in classes and name in shipped:
        click.echo(shipped[name].read_text(encoding="utf-8"), nl=False)
        return
    if ":" in name:
        classes[name] = find_of_any_kind(name, Path.cwd())
    if name not in classes:
        raise ConfigError(unknown("name", name, [*classes, *shipped]))
    kind, cls = classes[name]
    click.secho(f"{name} ({kind})", bold=True)
    click.echo(_prose(cls))
    for what in ("formula", "source"):
        if getattr(cls, what, ""):
            click.echo(f"\n{what}: {getattr(cls, what)}")
    for method, said in _to_define(cls):
        click.echo(f"\nto define: {method}")
        click.echo(click.wrap_text(said, 100, "      ", "      "))
    if (template := cls.__name__.lower().removeprefix("landscape")) in starting.kinds():
        click.echo(f"\n`qlab new {template} my_{template}.py` writes one to begin with.")
    fields = fields_of(cls).values()
    if fields:
        click.echo("\nfields:")
    for field in fields:
        default = "required" if field.default is REQUIRED else f"default {show(field.default)}"
        accepts = field.accepts
        if field.name in (known := getattr(cls, "defaults", {})):
            accepts, default = accepts.removesuffix(" or left out"), f"default {known[field.name]}"
        click.echo(f"  {field.name}: {accepts}; {default}")
        if field.doc:
            click.echo(click.wrap_text(_plain(field.doc), 100, "      ", "      "))


def _prose(cls: type) -> str:
    """A class's docstring up to its fields, without markup."""
    import inspect

    return _plain(inspect.cleandoc(cls.__doc__ or "").split("\nArgs:")[0].strip())


def _to_define(cls: type) -> list[tuple[str, str]]:
    """The methods that a subclass has to define, with what they are given and return."""
    found = []
    for name in sorted(getattr(cls, "__abstractmethods__", ()), key=list(dir(cls)).index):
        found.append(_signed(cls, name))
        if other := getattr(getattr(cls, name), "alternative", ""):
            signed, said = _signed(cls, other)
            found.append((f"or {signed}", said))
    return found


def _signed(cls: type, name: str) -> tuple[str, str]:
    """A method with its signature, and the first paragraph of its docstring."""
    import inspect

    method = getattr(cls, name)
    signature = str(inspect.signature(method)).replace("'", "")
    return f"{name}{signature}", _plain(inspect.cleandoc(method.__doc__ or "").split("\n\n")[0])


def _plain(text: str) -> str:
    """Text without reStructuredText's roles and double backquotes."""
    import re

    return re.sub(r":\w+:`~?([^`]*)`|``([^`]*)``", lambda found: found[1] or found[2], text)


def _first_line(cls: type) -> str:
    return _prose(cls).split("\n")[0]
