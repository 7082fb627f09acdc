"""Running experiments from Python: `qlab run` as a function, for notebooks and scripts."""

from __future__ import annotations

import ast
import linecache
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from qlab.errors import ConfigError
from qlab.experiment.recording.summary import summarise, tabulate
from qlab.experiment.reporting import Silent
from qlab.experiment.runner import Runner
from qlab.output import say
from qlab.progress import ConsoleReporter
from qlab.reading import Results
from qlab.resources import experiment_file
from qlab.running import load, workers_of
from qlab.tracking.spooling import open_store


def run(
    file: str | Path,
    *,
    seeds: int | Sequence[int] | None = None,
    set: Mapping[str, Any] | None = None,
    device: str | None = None,
    memory: str | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    track: str | None = None,
    figures: bool | None = None,
    wait: bool = True,
    tracking_uri: str | None = None,
    quiet: bool = False,
) -> Results:
    """Runs an experiment file as `qlab run` does, and returns what the store has of the experiment then.

    What is in the store already is not run again. Trials that fail do not stop the others: ``failures`` of the result
    says which and why, and its frame has them with ``kept`` False.

    Args:
        file: a path, or the name of an experiment that comes with qlab, such as ``"xxz_flip"``.
        seeds: number of seeds, or a list of them, in place of the file's.
        set: values in place of the file's, by dotted key: ``{"model.depth": 2}``.
        device: the PyTorch device.
        memory: for models that train together: ``"4GiB"``.
        jobs: number of worker processes; 1 for none but this one. A script has to call this below
            ``if __name__ == "__main__":`` then, since processes read the script again.
        cluster: the address of a Dask scheduler to run on instead.
        track: ``"runs"`` or ``"groups"``, see docs/running.md.
        figures: whether to draw, which takes seconds; by default unless ``QLAB_NO_FIGURES`` is set.
        wait: whether to wait for another command that runs the same experiment; else that is an error.
        tracking_uri: an MLflow tracking URI; by default ``MLFLOW_TRACKING_URI``, else the store under ``mlruns``.
        quiet: whether to print no progress. What failed is printed to stderr in any case.

    Raises:
        QlabError: the file, the store or the workers cannot be used.
    """
    if not isinstance(jobs, int) or isinstance(jobs, bool) or jobs < 1:
        raise ConfigError(f"jobs: got {jobs!r}, accepts a whole number from 1.")
    if jobs > 1 and cluster is not None:
        raise ConfigError("cluster: cannot be combined with jobs: a cluster has its own workers.")
    if jobs > 1:
        _check_guarded()
    given = {"run.seeds": seeds, "run.device": device, "run.memory": memory, "run.track": track}
    pairs = [*(set or {}).items(), *((key, _plain(value)) for key, value in given.items() if value is not None)]
    experiment = load(experiment_file(str(file)), pairs, tracking_uri, record=True)
    drawn = not os.environ.get("QLAB_NO_FIGURES") if figures is None else figures
    summed = summarise if drawn else tabulate
    with workers_of(jobs, cluster, (lambda line: None) if quiet else say) as workers:
        store = open_store(tracking_uri, tell=say)
        with nullcontext(Silent()) if quiet else _progress() as reporter:
            outcome = Runner(store, reporter, workers, summed, wait=wait).run(experiment)
    missing = [f"not drawn: {what}: {why}" for what, why in outcome.missing.items()]
    for line in (*outcome.failures, *missing):
        say(f"FAILED {line}")
    return Results.of(store, [experiment.name], (*outcome.failures, *missing))


def _progress() -> ConsoleReporter:
    from rich.console import Console

    return ConsoleReporter(Console(highlight=False))


def _plain(value: Any) -> Any:
    """A value as a file says it: lists of whole numbers, not ranges or arrays."""
    if isinstance(value, str | int):
        return value
    return [int(item) for item in value]


def _check_guarded() -> None:
    """Raises ConfigError if a script calls from where each worker process would call again.

    Python starts a process by reading the script; what stands below ``if __name__ == "__main__":`` is not run there.
    """
    frame: Any = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__") == "__main__" and frame.f_code.co_name == "<module>"
        if module and Path(frame.f_code.co_filename).is_file():
            text = "".join(linecache.getlines(frame.f_code.co_filename))
            if not _is_guarded(text, frame.f_lineno):
                raise ConfigError(
                    f"jobs: {frame.f_code.co_filename}, line {frame.f_lineno}: worker processes read the script again, "
                    'and would run this again. Put the call below if __name__ == "__main__": or leave jobs out.'
                )
        frame = frame.f_back


def _is_guarded(text: str, line: int) -> bool:
    """Whether a line of a script is only run where the script is the main program."""
    try:
        tree = ast.parse(text)
    except SyntaxError:  # no script: a notebook's cell
        return True
    for statement in tree.body:
        if statement.lineno <= line <= (statement.end_lineno or statement.lineno):
            if not isinstance(statement, ast.If) or "__name__" not in ast.dump(statement.test):
                return False
            return line <= (statement.body[-1].end_lineno or line)
    return True
