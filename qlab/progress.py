"""The progress of `qlab run`: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from qlab.tracking.redaction import redact
from qlab.words import counted

if TYPE_CHECKING:  # commands that only show tables do without PyTorch
    from qlab.experiment.planning.plan import Plan
    from qlab.experiment.reporting import Reporter

_PLAIN_SECONDS = 10.0
"""Without a terminal a line is printed this often."""


class _Display:
    """What the lines of progress share.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        self.live = console.is_terminal
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            disable=not self.live,
        )
        self.begun = self.ended = self.all = 0
        self.ensembles: TaskID | None = None
        self._console = console

    def print(self, line: str) -> None:
        """Prints a line above the display."""
        self._console.print(Text(redact(line)), soft_wrap=True)


class _Line:
    """Shows the progress of one job after the other.

    Args:
        display: where to.
    """

    def __init__(self, display: _Display) -> None:
        self._display = display
        self._number = 0
        self._epochs = 0
        self._what = "epoch"
        self._start = self._printed = 0.0
        self._bar: TaskID | None = None

    def beside(self) -> Reporter:
        """A line of its own."""
        return _Line(self._display)

    def planned(self, plan: Plan) -> None:
        """Says how much is to be done."""
        total = len(plan.experiment.trials)
        reused = len(plan.done)
        display = self._display
        display.begun = display.ended = display.all = 0
        display.print(
            f"{plan.experiment.name}: {counted(total, 'trial')}, {reused} in the store already, {total - reused} to "
            f"train in {counted(len(plan.ensembles), 'ensemble')}"
        )
        if plan.experiment.unlearnings:
            known, left = len(plan.unlearned), len(plan.todo_unlearnings)
            display.print(f"{counted(known + left, 'unlearning run')}, {known} in the store already, {left} to run")
        if plan.experiment.probe_runs:
            known, left = len(plan.measured), len(plan.todo_probe_runs)
            display.print(f"{counted(known + left, 'probe')}, {known} in the store already, {left} to take")
        if plan.experiment.audits:
            known, left = len(plan.experiment.audits) - len(plan.todo_audits), len(plan.todo_audits)
            display.print(f"{counted(known + left, 'audit')}, {known} in the store already, {left} to take")
        for line in plan.experiment.left_out:
            display.print(f"left out: {line}")

    def assembled(self, jobs: int) -> None:
        """How many lines there will be; more jobs may come when some of them have to be made again."""
        display = self._display
        display.all = display.begun + jobs
        if display.live and display.ensembles is None:
            display.ensembles = display.progress.add_task("ensembles", total=display.all, numbers="")

    def ensemble_started(self, label: str, engine: str, trials: int, epochs: int) -> None:
        """See :class:`qlab.experiment.reporting.Reporter`."""
        self._what, self._epochs = ("epoch", epochs) if epochs else ("fit", trials)
        self._start = self._printed = time.monotonic()
        how = counted(epochs, "epoch") if epochs else "fitted one by one"
        said = f"{label}: {counted(trials, 'trial')}, {how}" + (f"; {engine}" if engine else "")
        self._open(said, f"{self._what}s", self._epochs)

    def epoch(self, epoch: int, metrics: dict[str, NDArray[np.float64]]) -> None:
        """See :class:`qlab.experiment.reporting.Reporter`."""
        shown = {"train_loss": "loss", "validation_accuracy": "validation accuracy"}
        numbers = ", ".join(f"{text} {_mean(metrics[name])}" for name, text in shown.items() if name in metrics)
        if self._bar is not None:
            self._display.progress.update(self._bar, completed=epoch, numbers=numbers)
        elif time.monotonic() - self._printed > _PLAIN_SECONDS and 0 < epoch < self._epochs:
            self._printed = time.monotonic()
            left = (self._printed - self._start) / epoch * (self._epochs - epoch)
            self._print(f"{self._what} {epoch}/{self._epochs}, {numbers}, {left:.0f} s left")

    def ensemble_finished(self, seconds: float, health: Sequence[str]) -> None:
        """See :class:`qlab.experiment.reporting.Reporter`."""
        counts = {state: list(health).count(state) for state in dict.fromkeys(sorted(health))}
        states = ", ".join(f"{count} {state}" for state, count in counts.items())
        self._close(f"done in {seconds:.1f} s: {states}")

    def ensemble_failed(self, error: str) -> None:
        """See :class:`qlab.experiment.reporting.Reporter`."""
        self._close(f"FAILED: {error}")

    def measuring_started(self, label: str, models: int, probes: int) -> None:
        """See :class:`qlab.experiment.reporting.Reporter`."""
        self._open(f"{label}: {counted(models, 'model')}, {counted(probes, 'probe')}", "probes", probes)

    def auditing_started(self, label: str, oracles: int, methods: int) -> None:
        """See :class:`qlab.experiment.reporting.Reporter`."""
        self._open(f"{label}: {counted(methods, 'method')} against {counted(oracles, 'oracle')}", "methods", methods)

    def measured(self) -> None:
        """See :class:`qlab.experiment.reporting.Reporter`."""
        if self._bar is not None:
            self._display.progress.advance(self._bar)

    def measuring_finished(self, seconds: float, failed: int, remark: str = "") -> None:
        """See :class:`qlab.experiment.reporting.Reporter`."""
        said = "; ".join(filter(None, (f"{failed} failed" if failed else "", remark)))
        self._close(f"done in {seconds:.1f} s" + (f": {said}" if said else ""))

    def notice(self, message: str) -> None:
        """See :class:`qlab.experiment.reporting.Reporter`."""
        self._display.print(message)

    def _open(self, line: str, what: str, total: int) -> None:
        """The next ensemble."""
        display = self._display
        display.begun += 1
        display.all = max(display.all, display.begun)
        self._number = display.begun
        self._print(line)
        if display.live:
            self._bar = display.progress.add_task(what, total=total, numbers="")

    def _close(self, line: str) -> None:
        display = self._display
        display.ended += 1
        if not self._number:  # it has failed before it began
            display.begun += 1
            self._number = display.begun
        if self._bar is not None:
            display.progress.refresh()
            display.progress.remove_task(self._bar)
            self._bar = None
        if display.ensembles is not None:
            display.progress.update(display.ensembles, completed=display.ended, total=display.all)
        self._print(line)

    def _print(self, line: str) -> None:
        self._display.print(f"[{self._number}/{self._display.all}] {line}")


class ConsoleReporter(_Line):
    """Shows the progress of an experiment.

    Use as a context manager, so that the display is taken down whatever happens.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(_Display(console))

    def __enter__(self) -> ConsoleReporter:
        self._display.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._display.progress.stop()


def _mean(values: NDArray[np.float64]) -> str:
    finite = values[np.isfinite(values)]
    return f"{finite.mean():.3f}" if len(finite) else "nan"
