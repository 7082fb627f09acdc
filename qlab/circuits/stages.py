"""Which gates of a circuit act as one: few wide stages instead of many narrow gates."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from qlab.circuits.recording import Gate

_WIDTH = 5
"""Most target wires of a stage, unless one gate has more. A matrix of 32 x 32 costs about as much to multiply with as
the state costs to read, rearrange and write; one of 64 x 64 joins too few more gates for twice the work."""

_CONTROLS = 4
"""Most control wires of a stage: its matrices grow with the power of targets and controls together."""

_PASS = 24
"""The cost of reading and writing the state once, in multiplications for each amplitude."""

_AHEAD = 400
"""How many of the remaining gates are looked at for a stage: bounds the time to plan deep circuits."""

Masks = tuple[int, int]
"""Of a gate, the wires on which it is not diagonal and those on which it is, as bits."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """Gates that act as one: a matrix on the targets for each basis state of the controls.

    Args:
        targets: wires on which the gates may do anything, ascending.
        controls: further wires, on which all gates are diagonal, ascending.
        gates: positions of the gates, in circuit order.
    """

    targets: tuple[int, ...]
    controls: tuple[int, ...]
    gates: tuple[int, ...]


def plan(gates: Sequence[Gate]) -> tuple[Stage, ...]:
    """Cuts a circuit into stages, to be applied in order.

    Gates change places only where they commute: on every wire that two of them share, both are diagonal.
    """
    return _plan(tuple(masks(gate) for gate in gates))


def masks(gate: Gate) -> Masks:
    """The wires on which a gate is not diagonal, and those on which it is."""
    diagonal = sum(1 << wire for wire in gate.diagonal_on)
    return sum(1 << wire for wire in gate.wires) & ~diagonal, diagonal


def commute(first: Masks, second: Masks) -> bool:
    """Whether two gates, or groups of gates, surely commute: both are diagonal on the wires they share."""
    return not (first[0] & (second[0] | second[1]) or first[1] & second[0])


@functools.lru_cache(maxsize=64)
def _plan(circuit: tuple[Masks, ...]) -> tuple[Stage, ...]:
    """The cheaper of two plans: greedy from the front, and from the back, where the light cone is narrow."""
    forward = _greedy(list(enumerate(circuit)))
    backward = [
        dataclasses.replace(stage, gates=stage.gates[::-1])
        for stage in reversed(_greedy(list(reversed(list(enumerate(circuit))))))
    ]
    return tuple(backward if _cost(backward) <= _cost(forward) else forward)


def _cost(stages: Sequence[Stage]) -> int:
    return sum(_PASS + 2 ** len(stage.targets) for stage in stages)


def _greedy(remaining: list[tuple[int, Masks]]) -> list[Stage]:
    """Stage after stage the one that takes most gates for its cost."""
    stages: list[Stage] = []
    while remaining:
        window = remaining[:_AHEAD]
        width = max(_WIDTH, window[0][1][0].bit_count())
        extensions = sorted({_targets(gate) for _, gate in window})
        best, best_value = 0, -1.0
        for targets in _starts(window):
            taken = len(_take(window, targets)[0])
            while True:
                value = taken / (_PASS + 2 ** targets.bit_count())
                if value > best_value:
                    best, best_value = targets, value
                wider = {targets | more for more in extensions if more & ~targets}
                options = [(len(_take(window, new)[0]), -new) for new in wider if new.bit_count() <= width]
                more_taken, negative = max(options, default=(0, 0))
                if more_taken <= taken:
                    break
                taken, targets = more_taken, -negative
        positions, controls = _take(window, best)
        taken_positions = set(positions)
        remaining = [item for item in remaining if item[0] not in taken_positions]
        stages.append(Stage(_wires(best), _wires(controls), tuple(positions)))
    return stages


def _starts(window: Sequence[tuple[int, Masks]]) -> list[int]:
    """Targets of the gates that nothing before them holds back."""
    found: dict[int, None] = {}
    before: Masks = (0, 0)
    for _, gate in window:
        if commute(gate, before):
            found[_targets(gate)] = None
        before = (before[0] | gate[0], before[1] | gate[1])
    return list(found)


def _targets(gate: Masks) -> int:
    """The least targets of a stage that takes the gate: diagonal gates need one wire, any of theirs."""
    return gate[0] or gate[1] & -gate[1]


def _take(window: Sequence[tuple[int, Masks]], targets: int) -> tuple[list[int], int]:
    """Positions of the gates that a stage with these targets can take, and the controls it needs for that."""
    positions: list[int] = []
    controls = 0
    left: Masks = (0, 0)
    for position, gate in window:
        both = gate[0] | gate[1]
        wanted = controls | (gate[1] & ~targets)
        fits = not gate[0] & ~targets and both & targets and wanted.bit_count() <= _CONTROLS
        if fits and commute(gate, left):
            positions.append(position)
            controls = wanted
        else:
            left = (left[0] | gate[0], left[1] | gate[1])
            if not targets & ~left[0]:
                break  # nothing gets through to the targets any more
    return positions, controls


def _wires(mask: int) -> tuple[int, ...]:
    return tuple(wire for wire in range(mask.bit_length()) if mask >> wire & 1)
