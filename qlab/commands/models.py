"""Commands that use trained models."""

from __future__ import annotations

from pathlib import Path

import click

from qlab.commands.options import tracking_uri
from qlab.errors import ConfigError
from qlab.words import counted


@click.command()
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


@click.command()
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
