"""Running jobs on a Dask cluster. Dask schedules them, and runs again what a worker had that died."""

from __future__ import annotations

import contextlib
import queue
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import cloudpickle
import numpy as np
from distributed import Client, Future
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from qlab import beside
from qlab.errors import WorkersLostError
from qlab.experiment.engine import worker
from qlab.experiment.engine.graph import Node, Wanted, inputs_of, record, why
from qlab.experiment.jobs.base import Inputs, Result
from qlab.experiment.jobs.materials import Materials
from qlab.own_code import described
from qlab.training.state import TrainingState

LONELY_SECONDS = 60.0
"""If there is no worker for so long, the command gives up."""

_LOOK_SECONDS = 0.5

_STATE_SECONDS = 10.0

_AHEAD = 1
"""So many jobs for each worker wait for it at the scheduler, which may have chosen the wrong one."""

_READING = 3
"""So many jobs for each worker take along what they read from the store."""

_PARDONS = 2

_LOSSES = 20


class Distributed:
    """The engine of a command that has workers.

    Args:
        client: of the cluster.
        materials: the data of the jobs.
        threads: how many PyTorch may use in a worker; None for as many as Dask has it run.
        lonely: seconds, see :data:`LONELY_SECONDS`.
    """

    def __init__(
        self, client: Client, materials: Materials, threads: int | None = None, lonely: float = LONELY_SECONDS
    ) -> None:
        self._client = client
        self._materials = materials
        self._threads = threads
        self._lonely = lonely
        self._topic = f"qlab-{uuid.uuid4().hex}"
        self._inbox: queue.SimpleQueue[tuple[int, str, Any]] = queue.SimpleQueue()
        self._futures: dict[Node, Future[Any]] = {}
        self._shared: dict[str, Future[Any]] = {}
        self._recorded: dict[Node, Result] = {}
        self._starts: Counter[Node] = Counter()
        self._excused: Counter[Node] = Counter()
        self._blamed: Counter[Node] = Counter()
        self._reached: dict[Node, TrainingState] = {}
        self._waiting: dict[int, Node] = {}
        self._reading: set[Node] = set()
        self._lost = 0
        self._wanted = Wanted(())

    def run(self, graph: Sequence[Node]) -> None:
        """See :class:`qlab.experiment.engine.graph.Engine`.

        Raises:
            WorkersLostError: the scheduler is gone, or all workers are.
        """
        if not graph:
            return
        self._wanted = Wanted(graph)
        inbox = self._inbox  # and nothing else: the client keeps what it was given
        self._client.subscribe_topic(self._topic, lambda event: inbox.put(tuple(event[1])))
        try:
            self._waiting = dict(sorted(enumerate(graph), key=lambda item: -item[1].cost))
            self._submit_more()
            self._record(graph)
        except BaseException as stopped:
            self._stop(graph, why(stopped))
            raise
        finally:
            with contextlib.suppress(Exception):  # of a scheduler that is gone
                self._client.unsubscribe_topic(self._topic)
            self._shared.clear()

    def _submit_more(self) -> None:
        """Submits what can be: jobs that wait for others, and of those that could begin as many as keep workers busy.

        Dask gives a job to a worker when it could begin, before it knows how long others take. And what jobs read from
        the store is in the memory of command and scheduler until they are done.
        """
        workers = max(1, len(self._workers()))
        ahead = sum(self._could_begin(node) for node in self._futures if not self._starts[node])
        for number, node in list(self._waiting.items()):
            if any(need not in self._futures and need not in self._recorded for need in node.needs):
                continue
            begins = self._could_begin(node)
            if (begins and ahead >= _AHEAD * workers) or (node.reads and len(self._reading) >= _READING * workers):
                continue
            ahead += begins
            if node.reads:
                self._reading.add(node)
            del self._waiting[number]
            self._submit(number, node)

    def _could_begin(self, node: Node) -> bool:
        return node not in self._recorded and all(need in self._recorded for need in node.needs)

    def _submit(self, number: int, node: Node) -> None:
        job = node.job
        inputs = inputs_of(node.recording, Inputs())
        binding = [need.job.binding for need in node.needs]
        if isinstance(inputs, str):
            self._give_up(number, node, inputs)
            return
        try:
            payload = cloudpickle.dumps((job, self._materials.setting, inputs, binding, self._threads))
        except Exception as error:  # a class may hold what cannot be sent
            self._give_up(number, node, f"It cannot be sent to a worker: {described(error)}")
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large graphs: data go with them so that they survive workers
            future = self._client.submit(
                worker.perform,
                number,
                self._topic,
                self._given("modules", beside.packed),
                payload,
                self._data_of(job.task),
                [self._futures[need] for need in node.needs],
                key=f"{job.label}-{uuid.uuid4().hex}",
                resources={"GPU": 1} if self._materials.device.type == "cuda" else None,
                pure=False,
            )
        self._follow(number, node, future)

    def _give_up(self, number: int, node: Node, error: str) -> None:
        """A job that fails without having been sent, or is not sent any more; what needs it is told so."""
        self._follow(
            number, node, self._client.submit(worker.given, Result(error=error), key=f"failed-{uuid.uuid4().hex}")
        )

    def _follow(self, number: int, node: Node, future: Future[Any]) -> None:
        self._futures[node] = future
        future.add_done_callback(lambda done: self._inbox.put((number, "done", done)))

    def _data_of(self, task: Any) -> Future[Any]:
        dataset = self._materials.dataset(task)
        return self._given(f"data-{id(dataset)}", lambda: cloudpickle.dumps(dataset))

    def _given(self, name: str, make: Callable[[], Any]) -> Future[Any]:
        """What many jobs take, sent once; once more if it went down with workers."""
        if name not in self._shared or self._shared[name].status not in ("pending", "finished"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._shared[name] = self._client.submit(worker.given, make(), key=f"{name}-{uuid.uuid4().hex}")
        return self._shared[name]

    def _record(self, graph: Sequence[Node]) -> None:
        """Records what is heard, until all jobs have ended."""
        early: list[tuple[int, str, Any]] = []

        def ready(message: tuple[int, str, Any]) -> bool:
            return all(need in self._recorded for need in graph[message[0]].needs)

        seen = time.monotonic()
        while len(self._recorded) < len(graph):
            message = next(filter(ready, early), None)
            if message is not None:
                early.remove(message)
            else:
                try:
                    message = self._inbox.get(timeout=_LOOK_SECONDS)
                except queue.Empty:
                    seen = self._look(seen)
                    self._submit_more()  # there may be more workers
                    continue
                seen = time.monotonic()
                if not ready(message):  # what it needs has ended, and that has not been heard yet
                    early.append(message)
                    continue
            node = graph[message[0]]
            if node not in self._recorded:
                self._take(node, *message)

    def _take(self, node: Node, number: int, what: str, value: Any) -> None:
        recording = node.recording
        if what == "done":
            self._end(node, number, value)
            return
        if what == "started":
            self._starts[node] += 1
            recording.start()
            self._submit_more()
        if not self._starts[node]:
            return
        if what == "epochs":
            for epoch, metrics in value:
                recording.epoch(epoch, _arrays(metrics))
        if what == "state":
            state = self._state_of(number, value)
            known = self._reached.get(node)
            if state is not None and (known is None or state.epoch > known.epoch):  # not of one that was run again
                self._reached[node] = state
                recording.state(state)
            self._in_worker(worker.state_got, number, value)

    def _state_of(self, number: int, address: str) -> TrainingState | None:
        """The state of a training in a worker; None if the worker is gone: then the job is run again."""
        found: TrainingState | None = self._in_worker(worker.state_of, number, address)
        return found

    def _in_worker(self, function: Callable[[str], Any], number: int, address: str) -> Any:
        """What a function says of a job in a worker; None if the worker is gone."""

        async def ask() -> Any:
            return await self._client.run(function, f"{self._topic} {number}", workers=[address])

        with contextlib.suppress(Exception):
            if address not in self._workers():
                return None  # the scheduler would try for long to reach it
            return self._client.sync(ask, callback_timeout=_STATE_SECONDS).get(address)
        return None

    def _end(self, node: Node, number: int, future: Future[Any]) -> None:
        try:
            result = self._result(future)
        except KilledWorker as killed:
            # Dask blames all jobs that a worker had when it died; who has not begun as often has not killed it. What
            # needs a job that was blamed has failed with it, and is sent anew as well.
            self._blamed[node] += 1
            if (state := self._reached.pop(node, None)) is not None:  # it got on: the next workers go on from there
                node.job = node.job.resumed(state)
                self._blamed[node], self._excused[node] = 0, self._starts[node]
            begun = self._starts[node] - self._excused[node]
            if self._blamed[node] <= _PARDONS and begun <= killed.allowed_failures:
                self._submit(number, node)
            else:
                self._give_up(number, node, f"{killed.allowed_failures + 1} workers died while they ran it")
            return
        if result is None:
            self._lost += 1
            self._submit(number, node)
            return
        if result.error is not None:
            node.recording.fail(result.error)
        elif (error := node.inherited(self._recorded)) is not None:
            node.recording.fail(error)
        elif node.recording.start():
            record(node.recording, result)
        self._recorded[node] = Result(error=result.error)
        self._reached.pop(node, None)
        self._reading.discard(node)
        for done in self._wanted.done(node):
            self._futures.pop(done, None)
        self._submit_more()

    def _result(self, future: Future[Any]) -> Result | None:
        """What a job has returned; None if that was lost.

        Raises:
            KilledWorker: workers died that had it.
            WorkersLostError: it was cancelled, since the scheduler is gone.
        """
        try:
            found: Result = future.result()
            return found
        except KilledWorker:
            raise
        except (FutureCancelledError, OSError, TimeoutError) as error:
            if future.status == "error":  # of the job itself
                return Result(error=f"{type(error).__name__}: {error}")
            if self._client.status == "running" and self._lost < _LOSSES:
                return None  # it went down with a worker before it was here
            raise WorkersLostError(f"The cluster's scheduler does not answer any more. {_NEXT}") from None
        except Exception as error:
            return Result(error=f"{type(error).__name__}: {error}")

    def _look(self, seen: float) -> float:
        """When there was a worker last.

        Raises:
            WorkersLostError: that is long ago.
        """
        cuda = self._materials.device.type == "cuda"
        if any(not cuda or found["resources"].get("GPU") for found in self._workers().values()):
            return time.monotonic()
        if time.monotonic() - seen > self._lonely:
            raise WorkersLostError(f"There has been no worker for {self._lonely:.0f} s. {_NEXT}")
        return seen

    def _workers(self) -> dict[str, Any]:
        """What the scheduler says of its workers, by address; none if it does not answer."""
        with contextlib.suppress(Exception):
            if self._client.status == "running":
                return dict(self._client.scheduler_info(n_workers=-1)["workers"])
        return {}

    def _stop(self, graph: Sequence[Node], reason: str) -> None:
        """Cancels what still runs, and marks it."""
        for node in graph:
            if self._starts[node] and node not in self._recorded:
                node.recording.abandon(reason)
        with contextlib.suppress(Exception):  # of a scheduler that is gone
            self._client.cancel(list(self._futures.values()), force=True)


_NEXT = "What was running is marked as killed; run again to go on from there."


def _arrays(metrics: dict[str, list[float]]) -> dict[str, Any]:
    return {name: np.asarray(values, dtype=np.float64) for name, values in metrics.items()}
