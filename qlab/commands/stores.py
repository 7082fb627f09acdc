"""Commands that look after stores."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from qlab import interrupts, output
from qlab.commands.options import end_with_flaws, tracking_uri
from qlab.errors import ConfigError, StoreError
from qlab.tracking.redaction import redact, shown


@click.command()
@click.argument("experiments", nargs=-1)
@click.option("--filter", "filter_string", default="", metavar="FILTER", help='An MLflow filter: "metrics.x > 0.9".')
@click.option("--trials", "show_trials", is_flag=True, help="One row per trial instead of one per experiment run.")
@click.option(
    "--failed", "show_failed", is_flag=True, help="What failed or was killed and has not been done since, and why."
)
@tracking_uri
def runs(
    experiments: Sequence[str], filter_string: str, show_trials: bool, show_failed: bool, tracking_uri: str | None
) -> None:
    """List what is in the store: runs of EXPERIMENTS (by default all)."""
    from qlab.console import frame_table, printer
    from qlab.tracking.listing import experiment_rows, failed_rows, trial_rows
    from qlab.tracking.store import Store

    if show_failed and (show_trials or filter_string):
        raise ConfigError("--failed: cannot be combined with --trials or --filter; leave them out.")
    store = Store(tracking_uri, create=False)
    ids = store.experiment_ids(experiments)
    if show_failed:
        rows = failed_rows(store, ids)
        if rows.empty:
            click.echo(f"Nothing failed in {store.location}.")
            end_with_flaws(store)
            return
        printer().print(frame_table(rows, store.location))
        click.echo("`qlab retry` runs them again.")
        end_with_flaws(store)
        return
    rows = trial_rows(store, ids, filter_string) if show_trials or filter_string else experiment_rows(store, ids)
    if rows.empty:
        click.echo(f"No runs in {store.location}" + (" match." if filter_string or experiments else "."))
    else:
        printer().print(frame_table(rows, store.location))
    end_with_flaws(store)


@click.command()
@click.argument("experiments", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Print what would be deleted; delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@tracking_uri
def gc(experiments: Sequence[str], dry_run: bool, yes: bool, tracking_uri: str | None) -> None:
    """Delete runs of EXPERIMENTS (by default all) that are no longer needed.

    These are failed and killed runs of what has since finished, all but the last run of what finished several times,
    and runs whose experiment run no longer exists. MLflow keeps deleted runs until `mlflow gc`.
    """
    from qlab.tracking import garbage
    from qlab.tracking.store import Store

    store = Store(tracking_uri, create=False)
    found = garbage.find_garbage(store, store.experiment_ids(experiments))
    if not found:
        click.echo(f"Nothing to delete in {store.location}.")
        return
    for item in found:
        click.echo(f"{item.run_id}  {item.kind:10} {item.name}: {item.reason}")
    size = sum(item.size or 0 for item in found)
    click.echo(f"{len(found)} runs with {size:,} bytes of artifacts{'' if not dry_run else '; nothing was deleted'}")
    if dry_run:
        return
    if not yes:
        click.confirm("Delete them?", abort=True)
    garbage.delete(store, found)
    place = shlex.quote(shown(store.uri))
    click.echo(f"Deleted. To free the space: mlflow gc --backend-store-uri {place} --tracking-uri {place}")


@click.command()
@click.argument("spools", nargs=-1, metavar="[SPOOL]...", type=click.Path(path_type=Path))
@tracking_uri
def sync(spools: Sequence[Path], tracking_uri: str | None) -> None:
    """Send what was kept on this machine while a tracking server was away.

    A SPOOL is a folder that `qlab run` has named; by default all under mlruns/spool (or $QLAB_SPOOL) are sent, each to
    the server it was made for.
    """
    from qlab.tracking import spool as folders
    from qlab.tracking.sync import sync as send

    left = spools or folders.spools(folders.default_root())
    failed = False
    for spool in left:
        try:
            done = send(spool, tracking_uri)
        except StoreError as error:
            if len(left) == 1:
                raise
            output.say(f"Error: {spool}: {error}")
            failed = True
            continue
        torn = "; its last line was cut short and is lost" if done.torn else ""
        click.echo(f"{spool}: {done.writes} writes sent to {done.store}, {done.runs} new runs{torn}")
    if not left:
        click.echo(f"Nothing is left to send in {folders.default_root()}.")
    if failed:
        sys.exit(1)


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@click.argument("experiments", nargs=-1)
@click.option(
    "--all", "every", is_flag=True, help="Also copy what failed or was interrupted and has finished in neither store."
)
def copy(source: str, destination: str, experiments: Sequence[str], every: bool) -> None:
    """Copy runs of EXPERIMENTS (by default all) from the store SRC into the store DST, with checkpoints and figures.

    A store is what --tracking-uri takes, or the path of an mlflow.db or of the mlruns folder it is in. SRC is only
    read. What has finished is copied: the last finished run of each trial, unlearning run, oracle and probe, unless DST
    has one. Failed and interrupted runs (unless --all is given), runs that are still running, and runs that are not
    qlab's are left out and counted. Deleted runs are not copied. To continue a copy that was stopped, give the same
    command again. The exit status is 1 if something could not be copied.
    """
    from qlab.tracking.copying import copy as copy_runs
    from qlab.tracking.uri import of_path

    bar = output.Bar()
    try:
        copied = copy_runs(
            of_path(source), of_path(destination), experiments, every=every, progress=bar.show, tell=output.say
        )
    except KeyboardInterrupt:
        bar.end()
        interrupts.heed()
        output.say("Interrupted: what was copied is kept; give the same command again to copy the rest.")
        interrupts.tell()
        raise
    finally:
        bar.end()
    for line in copied.lines():
        click.echo(redact(line))
    for what, why in copied.failed.items():
        output.say(f"Error: not copied: {what}: {why}")
    if copied.failed:
        sys.exit(1)
