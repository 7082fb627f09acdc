"""Running experiments for the command line: what goes on around the runner, and what people are told of it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

from qlab import interrupts, making, output
from qlab.errors import JobStopped, QlabError, StoreError, WorkersLostError
from qlab.experiment.asking import schema
from qlab.experiment.asking.devices import training_device
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.engine.graph import Workers
from qlab.experiment.engine.here import Alone
from qlab.experiment.recording.recorder import Recorder
from qlab.experiment.recording.refusal import is_of_own_code, record_refusal, record_unreadable
from qlab.experiment.recording.summary import summarise, tabulate
from qlab.experiment.reporting import Silent
from qlab.experiment.runner import Runner
from qlab.output import say
from qlab.tracking.holding import HeldError
from qlab.tracking.orphans import end_orphans
from qlab.tracking.redaction import redact, shown
from qlab.tracking.spool import default_root, spools
from qlab.tracking.spooling import open_store
from qlab.tracking.store import Store


def load(path: Path, pairs: Sequence[tuple[str, Any]], uri: str | None, *, record: bool) -> Experiment:
    """An experiment from a file; where the user's own code fails, the store keeps that it did."""
    try:
        return schema.load(path, pairs)
    except QlabError as error:
        interrupts.check()
        if record and is_of_own_code(error):
            with suppress(QlabError):
                record_unreadable(open_store(uri, tell=say), path, pairs, error)
        raise


def _record_refusals(experiments: Sequence[Experiment], uri: str | None, error: QlabError) -> None:
    """Keeps in the store that experiments could not begin; as well as it allows, as the error is on its way."""
    interrupts.check()
    with suppress(QlabError):
        store = open_store(uri, tell=say)
        for experiment in experiments:
            record_refusal(Recorder(store, Silent(), experiment), error)


def run_all(
    experiments: Sequence[Experiment],
    uri: str | None,
    jobs: int = 1,
    cluster: str | None = None,
    *,
    figures: bool = True,
    wait: bool = True,
) -> bool:
    """Runs experiments one after the other, by several workers if asked to; whether all trials finished."""
    from qlab.console import print_outcome, printer  # libraries that draw tables: others do without
    from qlab.progress import ConsoleReporter

    for experiment in experiments if cluster is None else ():
        training_device(experiment.device)
    printed = output.Tolerant(sys.stdout)
    console = printer(printed)

    def show(line: str) -> None:
        console.print(redact(line), markup=False, soft_wrap=True)

    try:
        made = workers_of(jobs, cluster, show)
    except QlabError as error:
        _record_refusals(experiments, uri, error)
        raise
    store = open_store(uri, tell=say)
    for spool in spools(default_root()):
        say(f"{spool} holds what an earlier run could not send; `qlab sync` sends it.")
    option = f" --tracking-uri {shlex.quote(shown(uri))}" if uri else ""
    finished = True
    try:
        with made as workers, making.made(jobs, show):
            for number, experiment in enumerate(experiments, 1):
                interrupts.check()
                try:
                    with ConsoleReporter(console) as reporter:
                        summed = summarise if figures else tabulate
                        outcome = Runner(store, reporter, workers, summed, wait=wait).run(experiment)
                except QlabError:
                    interrupts.check()
                    if left := ", ".join(other.name for other in experiments[number:]):
                        say(f"{experiment.name} stopped with an error; not run: {left}")
                    raise
                print_outcome(console, experiment.name, outcome, store.location, option, figures=figures)
                finished = finished and not outcome.failed and not outcome.missing
        interrupts.check()
    except KeyboardInterrupt as interrupt:
        _say_interrupted(store, interrupt.__context__)
        raise
    except (HeldError, JobStopped, WorkersLostError) as error:
        interrupts.check()
        say(f"Error: {redact(str(error))}")
        sys.exit(1)
    except StoreError as error:
        unsent = store.unsent()
        if unsent is None or interrupts.interrupted():
            raise
        said = redact(str(error))
        say(f"Error: {said}" if unsent in said else f"Error: {said} {unsent}")
        sys.exit(1)
    if printed.error is not None:
        say(f"Error: {output.described(printed.error)} The runs are in the store: see `qlab runs`.")
    return finished and printed.error is None


def workers_of(jobs: int, cluster: str | None, tell: Callable[[str], None]) -> AbstractContextManager[Workers]:
    """Who runs the jobs: this process, worker processes, or a cluster."""
    if jobs == 1 and cluster is None:
        return nullcontext(Alone())
    from qlab.experiment.engine.workers import Cluster, Processes  # Dask: others do without

    return Processes(jobs, tell) if cluster is None else Cluster(cluster, tell)


def _say_interrupted(store: Store, error: BaseException | None) -> None:
    """One line: what became of the runs, what waits to be sent, and an error on the way if there was one."""
    interrupts.heed()
    message = "Interrupted: runs in progress are marked as killed, finished ones are kept; run again to go on."
    with suppress(QlabError):  # what was killed has marked nothing
        end_orphans(store, store.experiment_ids())
    also = f"({error})" if isinstance(error, StoreError) else None
    say(" ".join(filter(None, [message, also, store.unsent()])))
    interrupts.tell()
