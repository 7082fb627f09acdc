"""The command line. Heavy modules are imported inside the commands that need them."""

from __future__ import annotations

import click

from qlab.commands import citing, classes, experiments, models, noise, showing, stores
from qlab.commands.group import Commands
from qlab.version import __version__


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="qlab")
def main() -> None:
    """How do models cope with corrupted training data, and how well do they unlearn it?

    Describe an experiment in a TOML file, run it, compare runs in the MLflow UI, look at curves in the explorer.
    """


for command in (
    experiments.run,
    experiments.check,
    experiments.new,
    experiments.retry,
    stores.runs,
    stores.gc,
    stores.sync,
    stores.copy,
    classes.list_names,
    classes.describe,
    showing.ui,
    showing.explore,
    showing.report,
    showing.export,
    models.predict,
    models.circuit,
    noise.noise,
    citing.cite,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
