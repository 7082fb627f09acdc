"""Metrics that claims are about: whether runs of a group have them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from qlab.claims import Claim
from qlab.errors import ConfigError, unknown
from qlab.experiment.asking.claim_groups import Item, kind_of
from qlab.experiment.asking.measurement import BUILT_IN, AskedMetric
from qlab.experiment.asking.trial import ProbeRun, Unlearning
from qlab.tracking.audit_names import LOGGED

_TRIALS = BUILT_IN | {"holdout_loss", "best_epoch", "trained_epochs"}

UNLEARNED: Final = frozenset(
    {
        *BUILT_IN,
        *("steps_to_oracle", "oracle_accuracy", "oracle_accuracy_std", "oracle_gap", "oracle_kl", "oracle_kl_floor"),
        *("certificate_bound", "certificate_trivial", "certificate_epsilon", "certificate_hessian_norm"),
        *("membership_auc", "membership_auc_oracle", "relearn_steps", "unlearning_seconds"),
        *("loss_evaluations", "gradient_evaluations", "given_accuracy_forget", "given_accuracy_retain"),
        *("corrective_accuracy", "corrective_accuracy_teacher", "corrective_accuracy_oracle"),
        *("known_accuracy_polluted", "known_accuracy_clean", "hidden_accuracy_polluted", "hidden_accuracy_clean"),
        *("false_alarm_accuracy", "reachable_accuracy", "reachable_accuracy_std", "reachable_gap", "reachable_kl"),
        *("reachable_kl_floor", "membership_auc_reachable", "corrective_accuracy_reachable"),
    }
)
"""Metrics that unlearning runs may have, beside those of one's own and of audits."""

AUDITED: Final = {name: metric for metric, names in LOGGED.items() for name in names}
"""Metrics that audits log, and what logs them."""

PROBED: Final = {
    "HessianProbe": r"(hessian_trace(_a|_b|_error)?|hessian_eigenvalue_(max|min)|gradient_norm|landscape_loss)",
    "RougheningProbe": r"(lrr|hessian_trace(_clean)?(_a|_b|_error)?)",
    "SliceProbe": r"(landscape_(loss|accuracy)|direction_length_\d+|direction_cosine)",
    "InterpolationProbe": r"((barrier|distance)(_\d+)?)",
    "GradientVarianceProbe": r"(logit|loss)_gradient_(variance|square)(_error)?",
    "ExpressivityProbe": r"(jacobian_rank(_of_angles)?|(effective_)?pauli_strings)",
    "UnderNoise": r"(landscape_(loss|accuracy)|(loss|accuracy)_change|noise_attenuation)",
}
"""Metrics of qlab's own probes."""


def check_audited(claims: Iterable[Claim], audited: Iterable[str]) -> None:
    """Whether the file's audit measures what claims are about.

    Args:
        claims: of the file.
        audited: the metrics of its audit; none without one.

    Raises:
        ConfigError: it does not.
    """
    for claim in claims:
        name = claim.table.metric
        if (metric := AUDITED.get(name)) is not None and metric not in audited:
            raise ConfigError(
                f'{claim.where}.metric: {name} is measured by audits; add [audit] with metrics = ["{metric}"].'
            )


def check_metric(claim: Claim, group: Mapping[str, Any], items: Sequence[Item], metrics: Sequence[AskedMetric]) -> None:
    """Looks at the metric of a claim.

    Args:
        claim: says which.
        group: one of its groups.
        items: the runs of the file of the group's kind.
        metrics: that the file asks for.

    Raises:
        ConfigError: such runs never have it.
    """
    name, where = claim.table.metric, f"{claim.where}.metric"
    own = {asked.name for asked in metrics}
    kind = kind_of(group)
    if kind is ProbeRun:
        types = {item.name for item in items if isinstance(item, ProbeRun)} & PROBED.keys()
        wanted = [group["probe.type"]] if group.get("probe.type") in types else list(types)
        if (
            wanted
            and all(not re.fullmatch(PROBED[known], name) for known in wanted)
            and len(types) == len({item.name for item in items if isinstance(item, ProbeRun)})
        ):
            raise ConfigError(f"{where}: {' and '.join(sorted(wanted))} does not measure {name}.")
        return
    choices = (UNLEARNED | AUDITED.keys() if kind is Unlearning else _TRIALS) | own
    if name in choices:
        return
    if name in UNLEARNED | AUDITED.keys():
        raise ConfigError(
            f"{where}: {name} is a metric of unlearning runs, and a group is of trials; name the method in it: "
            '"unlearner.type" = "Scrub".'
        )
    probes = [known for known, names in PROBED.items() if re.fullmatch(names, name)]
    if probes:
        raise ConfigError(
            f"{where}: {name} is measured by probes, and a group is of trials; name the probe in it: "
            f'"probe.type" = "{probes[0]}".'
        )
    raise ConfigError(f"{where}: {unknown('metric', name, choices)}")
