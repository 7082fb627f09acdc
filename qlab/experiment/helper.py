"""A helper: a process that another `qlab run` has started, and that claims work of the same experiments.

It is told jobs, a line of JSON each, on its standard input, and says how they went, a line of JSON each, on its
standard output; what user code prints goes to its standard error. When its input closes, the command that started it
has ended, in whatever way: then it marks its runs in progress as killed, gives its claims back, and ends as well.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

GRACE_SECONDS = 20.0
"""So long a helper may take to mark its runs; after that it just ends. What is left looks like a killed worker's."""


def main() -> None:
    """Works until the input closes."""
    from qlab.tracking.redaction import hush_tracebacks

    hush_tracebacks()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the command closes the input then
    say = _voice()
    jobs: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    finished = threading.Event()
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_listen, args=(sys.stdin, jobs, finished), name="qlab helper", daemon=True).start()
    try:
        from qlab.experiment.job import Job

        say(state="ready")
        while (line := jobs.get()) is not None:
            _work(Job.parse(line), say)
    except KeyboardInterrupt:
        say(state="interrupted")
    finally:
        finished.set()


def _work(job: Any, say: Callable[..., None]) -> None:
    from qlab.errors import QlabError, StoreError
    from qlab.experiment.runner import Runner
    from qlab.tracking.spooling import open_store
    from qlab.tracking.uri import embedded_file

    store = None
    outcome = {"state": "done"}
    try:
        experiment = job.experiment()
        file = embedded_file(job.uri)
        if file is not None and not file.exists():
            raise StoreError(f"There is no store at {file} here; all workers must see its folder.")
        store = open_store(job.uri, tell=lambda line: None)
        Runner(store).help(experiment, job.share, job.old_failures)
    except QlabError as error:
        outcome = {"state": "refused" if store is None else "failed", "reason": str(error)}
    finally:
        if store is not None and (unsent := store.unsent()):
            say(state="unsent", reason=unsent)
    say(**outcome)


def _voice() -> Callable[..., None]:
    """Says something to the command; from now on what is printed goes to standard error."""
    sys.stdout.flush()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(**what: str) -> None:
        try:
            out.write(json.dumps(what) + "\n")
            out.flush()
        except OSError:
            pass  # the command is gone

    return say


def _listen(source: TextIO, jobs: queue.SimpleQueue[str | None], finished: threading.Event) -> None:
    """Passes jobs on; ends the process when there can be no more."""
    for line in source:
        jobs.put(line)
    jobs.put(None)
    if finished.wait(0.2):
        return
    os.kill(os.getpid(), signal.SIGTERM)
    if not finished.wait(GRACE_SECONDS):
        os._exit(1)


def _interrupt(number: int, frame: object) -> None:
    """Interrupts the work, once: what marks the runs is not to be interrupted itself."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
