"""Commands that show what came of experiments: servers, pages, figures, tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from qlab import output
from qlab.commands.options import end_with_flaws, tracking_uri
from qlab.errors import ConfigError
from qlab.words import counted


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="Port to listen on.")
@tracking_uri
def ui(host: str, port: int, tracking_uri: str | None) -> None:
    """Open the MLflow UI on the store. Runs whose command was killed are first marked as such."""
    from qlab.tracking.servers import serve_ui

    serve_ui(tracking_uri, host, port)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on. Default: 5006, or the next that is free."
)
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
@click.option(
    "--prefix", default="", metavar="PATH", help="What a proxy puts before its addresses: /user/ada/proxy/5006."
)
@click.option("--open/--no-open", "browse", default=True, help="Open a browser, where there is a display.")
@tracking_uri
def explore(
    host: str,
    port: int | None,
    origins: Sequence[str],
    users: Path | None,
    prefix: str,
    browse: bool,
    tracking_uri: str | None,
) -> None:
    """Open the explorer: curves, unlearning, landscapes and data of the runs in the store.

    Only this machine can reach it unless --host says otherwise; --allow-origin then names the address that others use.
    """
    from qlab.resources import folder
    from qlab.tracking.servers import serve_explorer

    serve_explorer(folder("apps") / "explorer.py", tracking_uri, host, port, origins, users, prefix, browse)


@click.command()
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
    end_with_flaws(store)


@click.command()
@click.argument("experiments", nargs=-1, required=True)
@click.option("--figure", metavar="FILE", help="Draw a figure for print: .pdf, .svg or .eps, or .png (see --dpi).")
@click.option("--table", metavar="FILE", help="Write a table: .tex (booktabs, siunitx), .md or .csv.")
@click.option("--claims", metavar="FILE", help="Write the claims and verdicts: .tex, .md, or .csv with all columns.")
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
    claims: str | None,
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
    if figure is None and table is None and claims is None:
        raise ConfigError(
            "There is nothing to write; give --figure fig.pdf, --table table.tex, or --claims claims.tex."
        )
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
    if claims is not None:
        click.echo(found.save_claims(claims))
    for line in found.lines():
        output.say(line)
    if found.unread:
        sys.exit(1)
