"""Commands that run experiments, or try what they name."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from qlab import output
from qlab.commands.options import no_figures, tracking_uri
from qlab.errors import ConfigError


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override a value: --set model.depth=2.")
@click.option("--seeds", metavar="N", help="Number of seeds, or a list of them: --seeds 3, --seeds 0,4,7.")
@click.option("--device", help="PyTorch device: cpu, cuda, cuda:N.")
@click.option(
    "--memory",
    metavar="SIZE",
    help="Memory for models that train together, shared by all --jobs: 500MB, 4GiB. Default: 70 % of what is "
    "available.",
)
@click.option(
    "--jobs", type=click.IntRange(1), metavar="N", help="Number of worker processes. Default: none but this one."
)
@click.option("--cluster", metavar="ADDRESS", help="Run on the Dask cluster with this scheduler: tcp://host:8786.")
@click.option(
    "--track",
    metavar="FORM",
    help="How runs are written: runs (an MLflow run for each trial) or groups (one for all that differ in seed only). "
    "Default: runs, or what the file says.",
)
@no_figures
@click.option(
    "--no-wait",
    is_flag=True,
    help="If another command is running the experiment, exit with status 1 instead of waiting.",
)
@click.option("--dry-run", is_flag=True, help="Print which trials are done and which would run; run nothing.")
@tracking_uri
def run(
    files: Sequence[str],
    assignments: Sequence[str],
    seeds: str | None,
    device: str | None,
    memory: str | None,
    jobs: int | None,
    cluster: str | None,
    track: str | None,
    no_figures: bool,
    no_wait: bool,
    dry_run: bool,
    tracking_uri: str | None,
) -> None:
    """Run experiment FILES. What is already in the store is not run again.

    A FILE is a path, or the name of an experiment that comes with qlab, such as xxz_flip.
    """
    from qlab.resources import experiment_file

    if jobs is not None and cluster is not None:
        raise ConfigError("--cluster: cannot be combined with --jobs: a cluster has its own workers.")
    paths = [experiment_file(file) for file in files]

    from qlab.experiment.asking import overrides

    pairs = [overrides.parse(assignment) for assignment in assignments]
    if seeds is not None:
        pairs.append(("run.seeds", _seeds(seeds)))
    if device is not None:
        pairs.append(("run.device", device))
    if memory is not None:
        pairs.append(("run.memory", memory))
    if track is not None:
        pairs.append(("run.track", track))
    from qlab import running

    experiments = [running.load(path, pairs, tracking_uri, record=not dry_run) for path in paths]
    if dry_run:
        from qlab.planned import print_plan

        for experiment in experiments:
            print_plan(experiment, tracking_uri)
        return
    if not running.run_all(experiments, tracking_uri, jobs or 1, cluster, figures=not no_figures, wait=not no_wait):
        sys.exit(1)


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override a value: --set model.depth=2.")
def check(files: Sequence[str], assignments: Sequence[str]) -> None:
    """Try every class that experiment FILES name: few rows, a few epochs, one seed, twice; nothing is stored.

    Data must load the same each time, corruptions fit their splits, and models train to the same parameters twice, one
    by one and together. Every metric is computed, every unlearner takes a step, every probe is
    taken. What goes wrong is shown with its whole
    traceback, and the exit status is then 1.
    """
    from qlab import checking
    from qlab.experiment.asking import overrides
    from qlab.resources import experiment_file

    pairs = [overrides.parse(assignment) for assignment in assignments]
    failed = [checking.check_file(experiment_file(file), pairs) for file in files]
    if any(failed):
        sys.exit(1)


@click.command()
@click.argument("kind")
@click.argument("file", type=click.Path(path_type=Path))
def new(kind: str, file: Path) -> None:
    """Write FILE with a class of a KIND that runs as it is, and an experiment that uses it beside it.

    KIND is task, corruption, model, circuit, estimator, loss, channel, unlearner, update, probe or metric; FILE is a
    Python file, such as my_model.py.
    """
    from qlab.starting import write_template

    name, experiment = write_template(kind, file)
    click.echo(f"{file}: {name}, to be changed; {experiment} uses it.")
    click.echo(f"Try it:  qlab check {shlex.quote(str(experiment))}")
    click.echo(f"Run it:  qlab run {shlex.quote(str(experiment))}")


@click.command()
@click.argument("experiments", nargs=-1)
@no_figures
@tracking_uri
def retry(experiments: Sequence[str], no_figures: bool, tracking_uri: str | None) -> None:
    """Run what failed, was interrupted or is missing in EXPERIMENTS (by default all), from the files kept in the store.

    Classes beside an experiment's file are read from the folder that it was in.
    """
    from qlab.experiment.planning.retry import Unfinished
    from qlab.running import run_all
    from qlab.tracking.store import Store

    unfinished = Unfinished.of(Store(tracking_uri, create=False), experiments)
    if not unfinished.experiments and not unfinished.refused:
        click.echo("Nothing to retry: everything is done.")
        return
    if not unfinished.experiments:
        raise ConfigError("\n".join(map(str, unfinished.refused)))
    finished = run_all(unfinished.experiments, tracking_uri, figures=not no_figures)
    for error in unfinished.refused:
        output.say(f"Error: {error}")
    if not finished or unfinished.refused:
        sys.exit(1)


def _seeds(text: str) -> Any:
    try:
        numbers = [int(part) for part in text.removesuffix(",").split(",")]
    except ValueError:
        raise ConfigError(f'--seeds {text}: accepts a number, or a list such as "0,4,7".') from None
    return numbers[0] if "," not in text else numbers
