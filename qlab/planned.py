"""What a run would do, printed: `qlab run --dry-run`."""

from __future__ import annotations

import click

from qlab.claims.outlook import foreseen
from qlab.claims.wording import sentence
from qlab.experiment.asking.claim_groups import Made
from qlab.experiment.asking.experiment import Experiment, compared
from qlab.experiment.asking.selection import Selection
from qlab.experiment.asking.space import SearchTable
from qlab.experiment.asking.trial import Trial
from qlab.experiment.choosing import check_reportable
from qlab.experiment.jobs.materials import Materials, Setting
from qlab.experiment.planning.audited import costs
from qlab.experiment.planning.foreseen import check_foreseeable
from qlab.experiment.planning.observing import expected
from qlab.experiment.planning.plan import Plan
from qlab.experiment.planning.proposing import tracking_notice
from qlab.experiment.planning.remarks import remarks
from qlab.tracking.store import Store
from qlab.tracking.uri import embedded_file, resolve
from qlab.words import counted


def print_plan(experiment: Experiment, uri: str | None) -> None:
    """What of an experiment is done, and what would run.

    Raises:
        QlabError: the run would refuse it, see :func:`qlab.experiment.planning.foreseen.check_foreseeable`.
    """
    file = embedded_file(resolve(uri))
    store = None if file is not None and not file.exists() else Store(uri, create=False)
    plan, materials = Plan.of(experiment, store), Materials(Setting("cpu"))
    if experiment.selection is not None:
        quick = [trial for trial in experiment.trials if trial.task.quick_to_load]
        check_reportable(experiment.selection, quick, materials)
    check_foreseeable(plan, materials)
    click.echo(f"{experiment.name}: {experiment.about}" if experiment.about else experiment.name)
    if experiment.selection is None:
        _print_trials(plan, materials)
    else:
        _print_choices(experiment, experiment.selection, store)
    for line in experiment.left_out:
        click.echo(f"left out: {line}")
    _print_claims(experiment)
    if experiment.selection is not None:
        return
    if experiment.unlearnings:
        left = len(plan.todo_unlearnings)
        runs = counted(len(experiment.unlearnings), "unlearning run")
        click.echo(f"{runs}: {len(plan.unlearned)} done, {left} would run")
    if (said := tracking_notice(plan)) is not None:
        click.echo(said)
    for line in costs(plan, store):
        click.echo(line)
    if experiment.probe_runs:
        left = len(plan.todo_probe_runs)
        click.echo(f"{counted(len(experiment.probe_runs), 'probe')}: {len(plan.measured)} done, {left} would be taken")


def _print_claims(experiment: Experiment) -> None:
    """What is claimed, and what effects its tests will find."""
    family = sum(claim.table.correction == "holm" for claim in experiment.claims)
    made = Made(experiment.items)
    for claim in experiment.claims:
        click.echo(f"claim: {claim.table.text}")
        click.echo(f"    {sentence(claim.stated)}")
        click.echo(f"    {foreseen(claim, expected(claim, made), family)}")


def _print_trials(plan: Plan, materials: Materials) -> None:
    for item in plan.experiment.items:
        click.echo(f"{plan.state(item.key):11} {item.key}  {item.label}")
    for line in remarks(plan, materials):
        click.echo(line)
    click.echo(
        f"{counted(len(plan.experiment.trials), 'trial')}: {len(plan.done)} done, {len(plan.todo)} would run in "
        f"{counted(len(plan.ensembles), 'ensemble')}"
    )


def _print_choices(experiment: Experiment, chosen: Selection, store: Store | None) -> None:
    """What of a selection is done, or what a search would go through; what is reported then depends on it."""
    candidates = [
        trial for group in chosen.groups for option in group.options for trial in group.candidates(option, chosen.seeds)
    ]
    plan = Plan.of(compared(experiment, candidates), store)
    for item in plan.experiment.items:
        click.echo(f"{plan.state(item.key):11} {item.key}  {item.label}, to choose from")
    if isinstance(chosen.table, SearchTable):
        _print_search(chosen, chosen.table)
    else:
        if plan.experiment.unlearnings:
            own = counted(len(plan.experiment.unlearnings), "unlearning run")
            left = len(plan.todo_unlearnings)
            click.echo(f"{own} to choose from: {len(plan.unlearned)} done, {left} would run")
        own = counted(len(plan.experiment.trials), "trial")
        click.echo(f"{own} to choose from: {len(plan.done)} done, {len(plan.todo)} would run")
    of_methods = chosen.criterion is not None
    what, word = (experiment.unlearnings, "unlearning run") if of_methods else (experiment.trials, "trial")
    reported = counted(len(what), word)
    click.echo(
        f"then, with what is chosen by {chosen.score}: {reported} to report, with "
        f"{counted(len({trial.seed for trial in experiment.trials}), 'other seed')}"
    )


def _print_search(chosen: Selection, table: SearchTable) -> None:
    each, seeds = table.configurations, len(chosen.seeds)
    trials = 0
    for group in chosen.groups:
        ranges = "; ".join(f"{key} {own.text}" for key, own in group.space.items())
        if not ranges:
            click.echo(f"{group.label}: has nothing to search")
            continue
        slots = len({trial.seedless_key for trial in group.templates if isinstance(trial, Trial)})
        trials += each * seeds * slots
        click.echo(f"{group.label}: {counted(each, 'configuration')} of {ranges}")
    click.echo(f"{counted(trials, 'trial')} to search, each configuration with {counted(seeds, 'seed')}")
