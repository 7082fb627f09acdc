"""Finds ground states along delta: each starts the next, in chunks, which processes share."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import wait
from typing import Any, Final

import numpy as np

from qlab import interrupts, making
from qlab.errors import ConfigError, DataError
from qlab.tasks.dmrg import kept
from qlab.tasks.dmrg.states import Found, Wanted
from qlab.words import counted

_CHUNK: Final = 12
"""So many states at most are found in a row, of which the first starts cold."""

_WORST_OF_INFINITE: Final = -0.15
"""There the most is cut of an infinite chain; of finite ones at the transition, 1."""

_MOST_NAMED: Final = 5

_TELL_SECONDS: Final = 10.0


def check_extra(every: Sequence[Wanted]) -> None:
    """Refuses states that would have to be found by a package that is not here.

    Raises:
        ConfigError: it is not.
    """
    if importlib.util.find_spec("tenpy") is None and any(kept.read(wanted) is None for wanted in every):
        raise ConfigError(
            'XXZ: solver: got "dmrg", which needs TeNPy: pip install "qlab-unlearning[mps]". Chains of up to 20 '
            'spins do without (solver = "exact").'
        )


def ground_states(every: Sequence[Wanted]) -> list[Found]:
    """The ground states wanted, which differ in delta alone: kept ones, and others that are found and kept.

    Each is kept as soon as it is found, so that what was interrupted goes on where it was.

    Raises:
        DataError: some did not converge, named by delta; or they cannot be kept.
    """
    known = {wanted: kept.read(wanted) for wanted in dict.fromkeys(every)}
    missing = [wanted for wanted, item in known.items() if item is None]
    if missing:
        _find(missing)
        known |= {wanted: kept.read(wanted) for wanted in missing}
    found = [known[wanted] for wanted in every]
    there = [item for item in found if item is not None]
    if len(there) < len(found):
        raise DataError(f"XXZ: files of ground states in {kept.folder()} are gone or damaged; run it again.")
    _check(every, there)
    making.current().tell(
        f"XXZ: {counted(len(there), 'ground state')} of {chain_of(every[0])} by DMRG: bond dimension "
        f"{max(item.bond_dimension for item in there)}, truncation error at most "
        f"{max(item.truncation_error for item in there):.1e}"
    )
    return there


def chain_of(wanted: Wanted) -> str:
    """For people."""
    if wanted.length is None:
        return "an infinite chain"
    return f"{'a ring' if wanted.periodic else 'an open chain'} of {wanted.length} spins"


def _find(missing: Sequence[Wanted]) -> None:
    """Finds states, the likely worst one first: if it does not converge, the others are not tried."""
    how, begun = making.current(), time.monotonic()
    worst = min(missing, key=lambda wanted: abs(wanted.delta - (_WORST_OF_INFINITE if wanted.length is None else 1.0)))
    processes = min(how.processes, len(missing))
    beside = f", {processes} processes" if processes > 1 else ""
    how.tell(
        f"XXZ: {counted(len(missing), 'ground state')} of {chain_of(worst)} by DMRG, kept in {kept.folder()}{beside}"
    )
    _find_chunk([worst])
    _check([worst], [item for item in [kept.read(worst)] if item is not None])
    chunks = _chunks([wanted for wanted in missing if wanted != worst], processes)
    told = [time.monotonic()]

    def tell(done: int) -> None:
        if time.monotonic() - told[0] >= _TELL_SECONDS:
            told[0] = time.monotonic()
            how.tell(f"XXZ: {done} of {counted(len(missing), 'ground state')}, {told[0] - begun:.0f} s")

    if processes > 1 and len(chunks) > 1:
        _find_beside(chunks, processes, tell)
    else:
        done = 1
        for chunk in chunks:
            _find_chunk(chunk, lambda: tell(done))  # noqa: B023  (called before the next one)
            done += len(chunk)


def _chunks(missing: Sequence[Wanted], processes: int) -> list[list[Wanted]]:
    """Neighbours along delta, in chunks of about the same size, at least one for each process."""
    in_order = sorted(missing, key=lambda wanted: wanted.delta)
    count = min(max(processes, -(-len(in_order) // _CHUNK)), len(in_order))
    return [[in_order[place] for place in places] for places in np.array_split(range(len(in_order)), max(count, 1))]


def _find_chunk(chunk: Sequence[Wanted], tell: Any = None) -> None:
    """Finds and keeps states one after the other.

    BLAS has one thread: at every one of the many blocks of a conserved Sz, which are small, others would be waited for.
    """
    from threadpoolctl import threadpool_limits

    from qlab.tasks.dmrg import finite, infinite  # TeNPy: kept states are read without

    state = None
    for wanted in chunk:
        interrupts.check()
        with threadpool_limits(limits=1, user_api="blas"):
            if wanted.length is None:  # cold each time: iterations that start in another state go astray
                found = infinite.ground_state(wanted)
            else:
                found, state = finite.ground_state(wanted, state)
        kept.write(wanted, found)
        if wanted.broken or not found.converged(wanted):
            state = None
        if tell is not None:
            tell()


def _find_beside(chunks: Sequence[Sequence[Wanted]], processes: int, tell: Any) -> None:
    """Finds states by processes of their own, which keep what they find.

    Raises:
        DataError: one could not go on.
    """
    context = multiprocessing.get_context("spawn")
    workers: dict[Any, tuple[Any, Any]] = {}
    everything = [wanted for chunk in chunks for wanted in chunk]
    try:
        for number in range(processes):
            here, there = context.Pipe(duplex=False)
            mine = list(chunks[number::processes])
            worker = context.Process(target=_work, args=(mine, there), daemon=False)
            worker.start()
            there.close()
            workers[worker.sentinel] = (worker, here)
        left = set(workers)
        while left:
            left -= set(wait(list(left), timeout=1.0))
            interrupts.check()
            tell(1 + sum(kept.path_of(wanted).exists() for wanted in everything))
        for worker, here in workers.values():
            worker.join()
            said = here.recv() if here.poll() else f"a process ended with status {worker.exitcode}"
            if said is not None:
                raise DataError(said if said.startswith("XXZ") else f"XXZ: DMRG stopped: {said}. Run it again.")
    finally:
        for worker, here in workers.values():
            if worker.is_alive():
                worker.terminate()
            worker.join()
            here.close()


def _work(chunks: Sequence[Sequence[Wanted]], pipe: Any) -> None:
    """A process that finds states; it ends with the one that started it."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command ends this process
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        for chunk in chunks:
            _find_chunk(chunk)
        pipe.send(None)
    except Exception as error:
        pipe.send(str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}")


def _end_with(parent: Any) -> None:
    """Ends this process when the one that started it has ended, however."""
    parent.join()
    os._exit(1)


def _check(every: Sequence[Wanted], found: Sequence[Found]) -> None:
    """Refuses states that did not converge.

    Raises:
        DataError: some did not.
    """
    pairs = zip(every, found, strict=True)
    bad = {wanted.delta: (wanted, item) for wanted, item in pairs if not item.converged(wanted)}
    if not bad:
        return
    said = [
        f"delta = {delta:g} (truncation error {item.truncation_error:.1e}, the last of {item.sweeps} sweeps changed "
        f"the density matrix by {item.change:.1e})"
        for delta, (_, item) in sorted(bad.items())
    ]
    more = f" and {len(said) - _MOST_NAMED} more" if len(said) > _MOST_NAMED else ""
    worst = next(iter(bad.values()))[0]
    way = (
        "such iterations go astray at large bond dimensions: leave bond_dimension out, or take a long open chain"
        if worst.length is None
        else f"take {2 * worst.bond_dimension}, or an open chain (periodic = false), which needs less"
    )
    raise DataError(
        f"XXZ: DMRG did not converge at {'; '.join(said[:_MOST_NAMED])}{more}; accepts truncation errors up to "
        f"{worst.largest_truncation:g} and changes up to {worst.largest_change:g}. Got bond_dimension = "
        f"{worst.bond_dimension}: {way}."
    )
