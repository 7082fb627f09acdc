"""The command line. Heavy modules are imported inside the commands that need them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from qlab import interrupts, output
from qlab.errors import ConfigError, QlabError, StoreError
from qlab.tracking.redaction import hush_tracebacks, redact, shown
from qlab.version import __version__
from qlab.words import counted

tracking_uri = click.option(
    "--tracking-uri",
    envvar="MLFLOW_TRACKING_URI",
    metavar="URI",
    help="MLflow store: a server's address, or sqlite:///path. Default: $MLFLOW_TRACKING_URI, or else "
    "mlruns/mlflow.db.",
)


class _Group(click.Group):
    """Prints qlab's errors as one message and exits with 2; with 130 when it was interrupted, whatever came of that."""

    def main(self, *args: Any, **extra: Any) -> Any:
        # A test's output is not that of its process, which goes on.
        process = sys.stdout is sys.__stdout__
        if process:
            output.prepare()
            hush_tracebacks()
        with interrupts.watching(process=process):
            try:
                return super().main(*args, **extra)
            except OSError as error:
                output.say(f"Error: {output.described(error)}")
                sys.exit(1)
            finally:
                if process:
                    output.give_up()
                    interrupts.end()

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            interrupts.check()
            return result
        except QlabError as error:
            if interrupts.interrupted():
                _stopped(ctx, error)
            output.say(f"Error: {error}")
            ctx.exit(2)
        except (Exception, SystemExit) as error:
            if interrupts.interrupted():
                _stopped(ctx)
            from qlab.own_code import described, has_own_frame

            if not has_own_frame(error):
                raise
            output.say(f"Error: {described(error)}")
            ctx.exit(1)
        except KeyboardInterrupt:
            _stopped(ctx)


def _stopped(ctx: click.Context, error: QlabError | None = None) -> NoReturn:
    """Ends a command that was interrupted; an error that came of that is mentioned."""
    if not interrupts.told():
        output.say("Interrupted." if error is None else f"Interrupted; then: {error}")
        interrupts.tell()
    ctx.exit(interrupts.STATUS)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="qlab")
def main() -> None:
    """How do models cope with corrupted training data, and how well do they unlearn it?

    Describe an experiment in a TOML file, run it, compare runs in the MLflow UI, look at curves in the explorer.
    """


no_figures = click.option(
    "--no-figures",
    is_flag=True,
    envvar="QLAB_NO_FIGURES",
    help="Write tables only; the next run without it draws. Also: QLAB_NO_FIGURES=1.",
)


@main.command()
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
    from qlab import running

    experiments = [running.load(path, pairs, tracking_uri, record=not dry_run) for path in paths]
    if dry_run:
        for experiment in experiments:
            running.print_plan(experiment, tracking_uri)
        return
    if not running.run_all(experiments, tracking_uri, jobs or 1, cluster, figures=not no_figures, wait=not no_wait):
        sys.exit(1)


@main.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override a value: --set model.depth=2.")
def check(files: Sequence[str], assignments: Sequence[str]) -> None:
    """Try every class that experiment FILES name: few rows, a few epochs, one seed, twice; nothing is stored.

    Data must load the same each time, corruptions fit their splits, and models train to the same parameters twice, one
    by one and together. Every unlearner takes a step, every probe is taken. What goes wrong is shown with its whole
    traceback, and the exit status is then 1.
    """
    from qlab import checking
    from qlab.experiment.asking import overrides
    from qlab.resources import experiment_file

    pairs = [overrides.parse(assignment) for assignment in assignments]
    failed = [checking.check_file(experiment_file(file), pairs) for file in files]
    if any(failed):
        sys.exit(1)


@main.command()
@click.argument("kind")
@click.argument("file", type=click.Path(path_type=Path))
def new(kind: str, file: Path) -> None:
    """Write FILE with a class of a KIND that runs as it is, and an experiment that uses it beside it.

    KIND is task, corruption, model, circuit, estimator, unlearner or probe; FILE is a Python file, such as my_model.py.
    """
    from qlab.starting import write_template

    name, experiment = write_template(kind, file)
    click.echo(f"{file}: {name}, to be changed; {experiment} uses it.")
    click.echo(f"Try it:  qlab check {shlex.quote(str(experiment))}")
    click.echo(f"Run it:  qlab run {shlex.quote(str(experiment))}")


@main.command()
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


@main.command()
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


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="Port to listen on.")
@tracking_uri
def ui(host: str, port: int, tracking_uri: str | None) -> None:
    """Open the MLflow UI on the store. Runs whose command was killed are first marked as such."""
    from qlab.tracking.servers import serve_ui

    serve_ui(tracking_uri, host, port)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=5006, show_default=True, help="Port to listen on.")
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="ADDRESS",
    help="Address at which others open it: https://name, name or name:port.",
)
@click.option(
    "--basic-auth",
    "users",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="JSON file with an object of user names and passwords.",
)
@tracking_uri
def explore(host: str, port: int, origins: Sequence[str], users: Path | None, tracking_uri: str | None) -> None:
    """Open the explorer: curves, unlearning, landscapes and data of the runs in the store.

    Only this machine can reach it unless --host says otherwise; --allow-origin then names the address that others use.
    """
    from qlab.resources import folder
    from qlab.tracking.servers import serve_explorer

    serve_explorer(folder("apps") / "explorer.py", tracking_uri, host, port, origins, users)


@main.command("list")
@click.argument("kind", required=False)
def list_names(kind: str | None) -> None:
    """List what an experiment file can name: classes from tasks to metrics; and experiments."""
    from qlab.errors import unknown
    from qlab.registry import KINDS, available
    from qlab.resources import experiments
    from qlab.words import plural

    sections = [*KINDS, "experiment"]
    if kind is not None:
        asked = [section for section in sections if kind in (section, plural(section))]
        if not asked:
            raise ConfigError(unknown("kind", kind, map(plural, sections)))
        sections = asked
    for section in sections:
        click.secho(plural(section), bold=True)
        if section == "experiment":
            from qlab.experiment.asking import schema

            for name, file in experiments().items():
                click.echo(f"  {name:22} {schema.load(file).about}")
        else:
            for name, cls in available(section).items():
                click.echo(f"  {name:22} {_first_line(cls)}")
            if section == "model":
                click.echo(f"  {'sklearn.svm:SVC':22} Or any other classifier of scikit-learn by module and class.")


@main.command()
@click.argument("name")
def describe(name: str) -> None:
    """Describe a class that an experiment file can name (fields, formula, source), or print an experiment's file.

    NAME is one that `qlab list` prints, or "module:Class"; or Task, Corruption, Model, Estimator, Loss, Unlearner or
    LandscapeProbe for what a class of one's own has to define.
    """
    from qlab import starting
    from qlab.errors import unknown
    from qlab.fields import REQUIRED, fields_of, show
    from qlab.registry import KINDS, available, base_classes, find_of_any_kind
    from qlab.resources import experiments
    from qlab.training import Trainer

    classes: dict[str, tuple[str, type]] = {"Trainer": ("training", Trainer)}
    for kind in KINDS:
        classes |= {base.__name__: (kind, base) for base in base_classes(kind)}
        classes |= {found: (kind, cls) for found, cls in available(kind).items()}
    shipped = experiments()
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


@main.command()
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
            return
        printer().print(frame_table(rows, store.location))
        click.echo("`qlab retry` runs them again.")
        return
    rows = trial_rows(store, ids, filter_string) if show_trials or filter_string else experiment_rows(store, ids)
    if rows.empty:
        click.echo(f"No runs in {store.location}" + (" match." if filter_string or experiments else "."))
        return
    printer().print(frame_table(rows, store.location))


@main.command()
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


@main.command()
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


@main.command()
@click.argument("experiments", nargs=-1)
@click.option("-o", "--output", "out", default="report", show_default=True, metavar="DIR", help="Folder to write to.")
@click.option("--reference", metavar="DIR", help="Folder with published points as CSV, to overlay and compare with.")
@tracking_uri
def report(experiments: Sequence[str], out: str, reference: str | None, tracking_uri: str | None) -> None:
    """Write a report of EXPERIMENTS (by default all): one HTML page, and its figures and tables as PNG and CSV.

    Every figure says how many of its runs are kept; the settings follow below. With --reference, published points from
    files such as fig2d_xxz.csv are overlaid, and a table says where ours agree. What cannot be drawn (say, data of a
    class from a file beside an experiment) is named in its place, and the exit status is then 1.
    """
    from qlab.report import read_references, section_of, write_report
    from qlab.tracking.store import Store

    references = None if reference is None else read_references(Path(reference))
    store = Store(tracking_uri, create=False)
    store.experiment_ids(experiments)  # an unknown name is an error before anything is read
    names = experiments or sorted(store.experiment_names())
    sections = [section for name in names if (section := section_of(store, name, references)) is not None]
    if not sections:
        raise ConfigError(f"There are no trials to report in {store.location}; `qlab run` makes some.")
    written = write_report(store, sections, Path(out), lambda name: output.say(f"drawing {name}"))
    click.echo(
        f"{written.page}: {counted(len(sections), 'experiment')}; {len(written.files)} PNG and CSV files beside it"
    )
    for name in sorted(set(experiments) - {section.name for section in sections}):
        output.say(f"{name}: no trials to report")
    if written.points:
        click.echo(f"{written.agreeing} of {written.points} published points agree")
    elif references is not None:
        output.say(f"Nothing of {reference} is in the report: {references.described()}")
    for what, why in written.missing.items():
        output.say(f"Error: not drawn: {what}: {why}")
    if written.missing:
        sys.exit(1)


@main.command()
@click.argument("experiments", nargs=-1, required=True)
@click.option("--figure", metavar="FILE", help="Draw a figure for print: .pdf, .svg or .eps, or .png (see --dpi).")
@click.option("--table", metavar="FILE", help="Write a table: .tex (booktabs, siunitx), .md or .csv.")
@click.option("--y", multiple=True, metavar="METRIC", help="Metric, repeatable: test_accuracy. Default: as `qlab run`.")
@click.option("--x", metavar="PARAM", help="Param of numbers: training.learning_rate. Default: corruption.ratio.")
@click.option(
    "--by",
    multiple=True,
    metavar="PARAM",
    help="Param that tells models apart, repeatable: model, model.depth. Default: all that differ.",
)
@click.option(
    "--of", default="trials", show_default=True, metavar="KIND", help="Kind of runs: trials, unlearning or probes."
)
@click.option(
    "--width", default="3.4in", show_default=True, metavar="LENGTH", help="Of the figure: 3.4in, 86mm, 246pt."
)
@click.option(
    "--aspect", type=click.FloatRange(0.2, 10.0), default=1.4, show_default=True, help="Width of a panel by its height."
)
@click.option(
    "--font-size",
    type=click.FloatRange(4.0, 40.0),
    default=8.0,
    show_default=True,
    metavar="POINTS",
    help="Of its text.",
)
@click.option("--log-x", is_flag=True, help="Logarithmic axis.")
@click.option("--log-y", is_flag=True, help="Logarithmic axes of the metrics.")
@click.option("--dpi", type=click.IntRange(20, 2400), default=300, show_default=True, help="Dots per inch of a PNG.")
@tracking_uri
def export(
    experiments: Sequence[str],
    figure: str | None,
    table: str | None,
    y: Sequence[str],
    x: str | None,
    by: Sequence[str],
    of: str,
    width: str,
    aspect: float,
    font_size: float,
    log_x: bool,
    log_y: bool,
    dpi: int,
    tracking_uri: str | None,
) -> None:
    """Write a figure or a table of EXPERIMENTS for a paper: means and sample standard deviations over seeds.

    Both say how many runs are kept of how many, and why others are not. A figure is exactly as wide as asked for.
    """
    if figure is None and table is None:
        raise ConfigError("There is nothing to write; give --figure fig.pdf, --table table.tex, or both.")
    from qlab.reading import results
    from qlab.reading.tidy import kind_of

    kind = kind_of(of, "of")
    found = results(experiments, tracking_uri=tracking_uri)
    chosen = list(y) or None
    if figure is not None:
        size: dict[str, Any] = {"width": width, "aspect": aspect, "font_size": font_size, "dpi": dpi}
        click.echo(found.save_figure(figure, chosen, x, by, kind, log_x=log_x, log_y=log_y, **size))
    if table is not None:
        click.echo(found.save_table(table, chosen, x, by, kind))
    for line in found.lines():
        output.say(line)


@main.command()
@click.argument("run")
@click.argument("rows", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "-o", "--output", "out", type=click.Path(path_type=Path), metavar="FILE", help="CSV file. Default: printed."
)
@click.option("--folder", type=click.Path(path_type=Path), metavar="DIR", help="Where the file of a class of yours is.")
@tracking_uri
def predict(run: str, rows: Path, out: Path | None, folder: Path | None, tracking_uri: str | None) -> None:
    """Predict on the rows of FILE (CSV, Parquet or NPZ) with the trained model of RUN.

    RUN is the id of a trial or unlearning run, or the beginning of it, see `qlab runs --trials`. A table has the
    columns that the task was trained on, in any order; they are scaled and reduced as in training. For other tasks it
    has their features, one to a column. Prints for each row the probability of class 1, the predicted class and the
    logit.
    """
    from qlab.reading.predicting import predict_file
    from qlab.tracking.store import Store

    if out is not None and not out.parent.is_dir():
        raise ConfigError(f"--output: got {out}, and there is no folder {out.parent}.")
    found = predict_file(Store(tracking_uri, create=False), run, rows, folder)
    text = found.to_csv(index=False)
    if out is None:
        click.echo(text, nl=False)
        return
    out.write_text(text, encoding="utf-8")
    click.echo(f"{out}: {counted(len(found), 'row')}")


@main.command()
@click.argument("run")
@click.option("--qasm", is_flag=True, help="As OpenQASM 2.0.")
@click.option("--draw", is_flag=True, help="As text; with -o as a picture. This is what is done by default.")
@click.option("--cone", is_flag=True, help="Only the light cone: what the readout depends on.")
@click.option(
    "--rows",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Features (CSV, Parquet or NPZ), one row of which the OpenQASM program prepares.",
)
@click.option("--row", type=int, default=0, show_default=True, metavar="N", help="Which of the rows, counted from 0.")
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write it there: .qasm, .png, .svg, .pdf.",
)
@click.option("--folder", type=click.Path(path_type=Path), metavar="DIR", help="Where the file of a class of yours is.")
@tracking_uri
def circuit(
    run: str,
    qasm: bool,
    draw: bool,
    cone: bool,
    rows: Path | None,
    row: int,
    out: Path | None,
    folder: Path | None,
    tracking_uri: str | None,
) -> None:
    """Print or draw the trained circuit of RUN, its weights bound, for use outside of qlab.

    RUN is the id of a trial or unlearning run, or the beginning of it, see `qlab runs --trials`. The OpenQASM program
    is the circuit after the preparation of the features; with --rows it prepares one row of them first, scaled and
    reduced as in training. In Python: model.to_qnode("default.qubit").
    """
    if qasm and draw:
        raise ConfigError("--qasm: cannot be combined with --draw; give one of them.")
    if rows is not None and not qasm:
        raise ConfigError("--rows: belongs to --qasm; a drawing has the features as x0, x1, ...")
    if out is not None and not out.parent.is_dir():
        raise ConfigError(f"--output: got {out}, and there is no folder {out.parent}.")
    from qlab.reading import circuits
    from qlab.tracking.store import Store

    model = circuits.stored_circuit(Store(tracking_uri, create=False), run, folder)
    if out is not None and not qasm:
        click.echo(circuits.draw(model, out, cone=cone))
        return
    text = circuits.openqasm(model, cone=cone, rows=rows, row=row) if qasm else model.circuit(cone=cone).text()
    if out is None:
        click.echo(text.rstrip("\n"))
        return
    out.write_text(text, encoding="utf-8")
    click.echo(out)


def _seeds(text: str) -> Any:
    try:
        numbers = [int(part) for part in text.removesuffix(",").split(",")]
    except ValueError:
        raise ConfigError(f'--seeds {text}: accepts a number, or a list such as "0,4,7".') from None
    return numbers[0] if "," not in text else numbers


def _prose(cls: type) -> str:
    """A class's docstring up to its fields, without markup."""
    import inspect

    return _plain(inspect.cleandoc(cls.__doc__ or "").split("\nArgs:")[0].strip())


def _to_define(cls: type) -> list[tuple[str, str]]:
    """The methods that a subclass has to define, with what they are given and return."""
    import inspect

    found = []
    for name in sorted(getattr(cls, "__abstractmethods__", ()), key=list(dir(cls)).index):
        method = getattr(cls, name)
        signature = str(inspect.signature(method)).replace("'", "")
        found.append((f"{name}{signature}", _plain(inspect.cleandoc(method.__doc__ or "").split("\n\n")[0])))
    return found


def _plain(text: str) -> str:
    """Text without reStructuredText's roles and double backquotes."""
    import re

    return re.sub(r":\w+:`~?([^`]*)`|``([^`]*)``", lambda found: found[1] or found[2], text)


def _first_line(cls: type) -> str:
    return _prose(cls).split("\n")[0]


if __name__ == "__main__":
    main()
