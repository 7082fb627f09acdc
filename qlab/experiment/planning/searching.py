"""Configurations that Optuna proposes, from those that are known: the store is the study."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from qlab.errors import MissingExtraError
from qlab.experiment.asking.selection import Option
from qlab.experiment.asking.space import Range, SearchTable
from qlab.experiment.planning.choosing import Scored
from qlab.version import DISTRIBUTION


def check_installed() -> None:
    """Makes sure that Optuna is there.

    Raises:
        MissingExtraError: it is not.
    """
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            f'[search] needs Optuna, which is not installed: pip install "{DISTRIBUTION}[search]". Without it, '
            "[select] chooses from lists."
        ) from None


def proposals(
    table: SearchTable, space: Mapping[str, Range], group: str, known: Sequence[Scored], *, higher_is_better: bool
) -> list[Option]:
    """The next configurations, the same whenever the same are known.

    The study is made anew of what is known, with a sampler that is seeded by how many there are: nothing is kept of it
    but its trials.

    Args:
        table: says how.
        space: the ranges, by dotted key.
        group: what the configurations are for, which draws by itself.
        known: those that were proposed before, in order; those without a score count as failed.
        higher_is_better: whether the score is to be high.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = hashlib.sha256(f"{table.sampler_seed}/{group}/{len(known)}".encode()).digest()
    number = int.from_bytes(seed[:4], "little")
    samplers = optuna.samplers
    sampler = samplers.TPESampler(seed=number) if table.sampler == "tpe" else samplers.RandomSampler(seed=number)
    study = optuna.create_study(direction="maximize" if higher_is_better else "minimize", sampler=sampler)
    distributions = {key: _distribution(own) for key, own in space.items()}
    for item in known:
        given: dict[str, Any] = {
            "params": {key: _param(space[key], value) for key, value in item.option.items()},
            "distributions": distributions,
        }
        failed = math.isnan(item.mean)
        end = {"state": optuna.trial.TrialState.FAIL} if failed else {"value": item.mean}
        study.add_trial(optuna.trial.create_trial(**given, **end))
    count = min(table.batch, table.configurations - len(known))
    asked = [study.ask(distributions).params for _ in range(count)]
    return [{key: _value(space[key], value) for key, value in params.items()} for params in asked]


def _distribution(own: Range) -> Any:
    from optuna import distributions

    if own.choices:
        return distributions.CategoricalDistribution(tuple(range(len(own.choices))))
    if own.whole:
        return distributions.IntDistribution(int(own.low), int(own.high), log=own.log)
    return distributions.FloatDistribution(own.low, own.high, log=own.log)


def _param(own: Range, value: Any) -> Any:
    return own.choices.index(value) if own.choices else value


def _value(own: Range, param: Any) -> Any:
    return own.choices[param] if own.choices else param
