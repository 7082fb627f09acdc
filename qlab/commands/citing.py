"""The command that says what to cite."""

from __future__ import annotations

from pathlib import Path

import click

from qlab.commands.options import tracking_uri
from qlab.errors import ConfigError


@click.command()
@click.argument("experiment")
@click.option(
    "-o", "--output", "out", type=click.Path(path_type=Path), metavar="FILE", help="BibTeX file. Default: printed."
)
@tracking_uri
def cite(experiment: str, out: Path | None, tracking_uri: str | None) -> None:
    """Print BibTeX of what EXPERIMENT uses: the paper, the packages, and the sources of its classes.

    EXPERIMENT is the name of one in the store, an experiment file, or the name of a file that comes with qlab. Sources
    of classes of your own are named in a comment. An entry is cited for what the line above it says.
    """
    from qlab.citing import citations

    if out is not None and not out.parent.is_dir():
        raise ConfigError(f"--output: got {out}, and there is no folder {out.parent}.")
    found = citations(experiment, tracking_uri)
    if out is None:
        click.echo(found.text(experiment))
        return
    out.write_text(found.text(experiment) + "\n", encoding="utf-8")
    click.echo(f"{out}: {len(found.entries)} entries")
