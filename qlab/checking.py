"""`qlab check`: trying the classes of experiment files, and showing where they fail."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from qlab import interrupts, output
from qlab.errors import QlabError
from qlab.experiment.asking import schema
from qlab.experiment.check import Checker
from qlab.own_code import described, has_own_frame
from qlab.words import counted


def check_file(path: Path, pairs: Sequence[tuple[str, Any]]) -> int:
    """Tries the classes of one file, prints what came of each, and returns how many failed.

    Raises:
        QlabError: the file cannot be used.
    """
    try:
        experiment = schema.load(path, pairs)
    except QlabError as error:
        _show(error)
        raise
    checks = 0
    failed = 0
    for check in Checker(experiment).run():
        interrupts.check()
        checks += 1
        if check.error is None:
            click.echo(f"{click.style('ok', fg='green')}      {check.what}: {check.said}")
            continue
        failed += 1
        _show(check.error)
        click.echo(f"{click.style('FAILED', fg='red')}  {check.what}: {described(check.error)}")
    click.echo(f"{experiment.name}: {counted(checks, 'check')}, {failed} failed")
    return failed


def _show(error: BaseException) -> None:
    """The traceback of what a user's code raised, which qlab's own errors shorten to a line."""
    first = error
    while (cause := first.__cause__) is not None:
        first = cause
    if has_own_frame(first):
        for line in "".join(traceback.format_exception(type(first), first, first.__traceback__)).splitlines():
            output.say(line)
