"""What audits of one trained model share: its oracles and shadow models, and how a method unlearns all of them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from qlab.errors import DataError
from qlab.experiment.asking.audit import Audit, AuditTable
from qlab.experiment.asking.trial import REPEAT_SEEDS, Trial, Unlearning
from qlab.experiment.jobs.base import Inputs
from qlab.experiment.jobs.corrective import corrective_rows
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.jobs.measured_rows import unseen_validation
from qlab.models import Model
from qlab.models.rows import prepare_features
from qlab.training import ensemble
from qlab.training.data import EnsembleData, prepare
from qlab.training.metrics import evaluate, logits_of
from qlab.training.threads import suited_threads
from qlab.unlearning import Samples, oracle
from qlab.unlearning.engine import unlearn

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Models of one kind on the rows of one trial.

    Args:
        parameters: stacked, on the CPU.
        z: logits on training, then validation rows, ``[models, N + M]``, float64.
        corrective: logits on the rows of corrective accuracy, ``[models, n]``.
        seeds: of the models.
        lost: why others are left out, "diverged" if their logits are not finite or "unreached", and how many.
    """

    parameters: ensemble.Parameters
    z: Tensor
    corrective: Tensor
    seeds: tuple[int, ...]
    lost: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.z)

    @property
    def asked(self) -> int:
        """How many there were."""
        return len(self) + sum(self.lost.values())

    @property
    def reasons(self) -> str:
        """Why models are left out: "2 diverged, 1 unreached"; "" if none is."""
        return ", ".join(f"{number} {reason}" for reason, number in sorted(self.lost.items()) if number)

    def without(self, lost: Mapping[str, int]) -> Group:
        """The same, and further models that are left out."""
        return dataclasses.replace(self, lost=Counter(self.lost) + Counter(lost))


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """A trained model that methods unlearn, as audits see it.

    Args:
        trial: the model's.
        table: how it is audited.
        model: the model, built.
        data: its data, of one member.
        y: labels as trained on, then those of validation rows, ``[N + M]``.
        rows: masks ``[N + M]``: "forget" (what methods are told to), "hidden" (corrupted, and not told), "retain" and
            "validation"; those without rows are left out.
        corrective_x: prepared features of the rows of corrective accuracy.
        corrective_y: their true labels, ``[n]``.
        unseen: validation rows that were corrupted in the same way, for methods that rewind.
        teacher: the trained model alone.
        oracles: models retrained without corrupted (or known) rows.
        shadows: models trained as the teacher was; empty if no audit needs them.
    """

    trial: Trial
    table: AuditTable
    model: Model
    data: EnsembleData
    y: Tensor
    rows: dict[str, Tensor]
    corrective_x: Tensor
    corrective_y: Tensor
    unseen: Samples
    teacher: Group
    oracles: Group
    shadows: Group
    _known: dict[tuple[str, Group], Any] = dataclasses.field(default_factory=dict, init=False, repr=False)

    @property
    def left_out(self) -> str:
        """How many oracles and shadow models no audit takes, and why; "" if they take all.

        A model that diverged, or was to be trained up to a goal and never got there, is not what was asked for: like a
        trial, it is in no mean.
        """
        found = [
            f"{group.asked - len(group)} of {group.asked} {word} left out ({group.reasons})"
            for word, group in (("oracles", self.oracles), ("shadow models", self.shadows))
            if group.lost
        ]
        return " and ".join(found)

    def once(self, what: str, group: Group, compute: Callable[[], T]) -> T:
        """What is computed of a group: of those that every method is compared with only the first time.

        Args:
            what: names it.
            group: of which models it is.
            compute: computes it.
        """
        if group not in (self.teacher, self.oracles, self.shadows):
            return compute()
        if (what, group) not in self._known:
            self._known[what, group] = compute()
        found: T = self._known[what, group]
        return found

    @classmethod
    def of(cls, materials: Materials, audits: Sequence[Audit], inputs: Inputs) -> Subject:
        """Prepares what audits of one trained model need; its states are among the inputs."""
        first = audits[0]
        trial, knowledge = first.of.teacher, first.of.knowledge
        model, member = materials.build(trial), materials.member(trial)
        validation = materials.dataset(trial.task).validation
        data = prepare(model, [member], validation, materials.device)
        told = materials.told(trial, knowledge)
        if not knowledge.is_complete:
            data = dataclasses.replace(data, told=told[None].to(materials.device))
        corrupted, n, m = member.corrupted.mask, len(member.corrupted.split), len(validation)
        none, every = torch.zeros(m, dtype=torch.bool), torch.ones(m, dtype=torch.bool)
        masks = {"forget": told, "hidden": corrupted & ~told, "retain": ~told & ~corrupted}
        rows = {name: torch.cat([mask, none]) for name, mask in masks.items() if mask.any()}
        x, corrective_y = corrective_rows(materials, trial)
        corrective_x = prepare_features(model, x) if len(corrective_y) else torch.empty(0)
        shadows = shadow_keys(audits)
        groups = {}
        for name, own, seeds in (
            ("teacher", [trial.key], [trial.seed]),
            ("oracles", first.oracle_keys, [oracle.seed_of(trial.seed, i) for i in range(first.table.oracles)]),
            ("shadows", shadows, [oracle.shadow_seed_of(trial.seed, i) for i in range(len(shadows))]),
        ):
            states = {key: dict(inputs.state_of(key, name)) for key in own}
            unsound = {} if name == "teacher" else {key: inputs.unsound[key] for key in own if key in inputs.unsound}
            sound = {key: seed for key, seed in zip(own, seeds, strict=True) if key not in unsound}
            stacked = ensemble.stack([states[key] for key in sound], model) if sound else {}
            found = group_of(model, data, stacked, list(sound.values()), corrective_x, materials.device)
            groups[name] = found.without(Counter(unsound.values()))
        if not len(groups["oracles"]):
            raise DataError(
                f"none of the {first.table.oracles} oracles of {trial.label} can be compared with: "
                f"{groups['oracles'].reasons}."
            )
        return cls(
            trial=trial,
            table=first.table,
            model=model,
            data=data,
            y=torch.cat([member.corrupted.split.y, validation.y]),
            rows={**rows, "validation": torch.cat([torch.zeros(n, dtype=torch.bool), every])},
            corrective_x=corrective_x,
            corrective_y=corrective_y,
            unseen=_unseen(materials, trial, model),
            **groups,
        )


def shadow_keys(audits: Sequence[Audit]) -> list[str]:
    """The shadow models that audits of one trained model take, the same for all that need any."""
    return next((audit.model_keys for audit in audits if audit.needs_models), [])


def _unseen(materials: Materials, trial: Trial, model: Model) -> Samples:
    found = unseen_validation(materials, trial)
    x = prepare_features(model, found.split.x[found.mask])
    return Samples(x, found.split.y[found.mask].to(model.dtype))


def unlearned(subject: Subject, item: Unlearning, at_once: int, materials: Materials) -> Group:
    """The shadow models after a method has been applied to them, each as it would be to the teacher.

    Args:
        subject: the model's.
        item: the method.
        at_once: so many are unlearned together at most.
        materials: where.
    """
    trainer = subject.trial.trainer
    parts, seeds = [], [seed + item.repeat * REPEAT_SEEDS for seed in subject.shadows.seeds]
    for start in range(0, len(seeds), at_once):
        own = seeds[start : start + at_once]
        some = {name: value[start : start + at_once] for name, value in subject.shadows.parameters.items()}
        some = {name: value.to(materials.device) for name, value in some.items()}
        result = unlearn(
            item.unlearner,
            subject.model,
            some,
            subject.data.members(torch.zeros(len(own), dtype=torch.long, device=materials.device)),
            own,
            trained_loss=trainer.loss,
            weight_decay=trainer.l2_penalty,
            unseen=[subject.unseen] * len(own),
            curves=False,
            same_rows=True,
        )
        parts.append(result.parameters)
    stacked = {name: torch.cat([part[name] for part in parts]) for name in parts[0]} if parts else {}
    found = group_of(subject.model, subject.data, stacked, seeds, subject.corrective_x, materials.device)
    return found.without(subject.shadows.lost)


def group_of(
    model: Model,
    data: EnsembleData,
    parameters: ensemble.Parameters,
    seeds: Sequence[int],
    corrective_x: Tensor,
    device: torch.device,
) -> Group:
    """Models evaluated on the rows of one trial.

    Args:
        model: built.
        data: of one member.
        parameters: stacked; may be empty.
        seeds: of the models.
        corrective_x: prepared features of the rows of corrective accuracy.
        device: where they are evaluated.
    """
    n, m, rows = data.train_y.shape[1], len(data.validation_y), len(corrective_x)
    if not seeds:
        return Group({}, torch.empty(0, n + m), torch.empty(0, rows), ())
    model.to(device)
    there = {name: value.to(device) for name, value in parameters.items()}
    with suited_threads(model, len(seeds)):
        z = evaluate(model, there, data.members(torch.zeros(len(seeds), dtype=torch.long, device=device)))[1].cpu()
        corrective = logits_of(model, there, corrective_x.to(device)).cpu() if rows else torch.empty(len(seeds), 0)
    model.to("cpu")
    finite = z.isfinite().all(1)
    kept = {name: value[finite].cpu() for name, value in parameters.items()}
    own = tuple(seed for seed, is_kept in zip(seeds, finite.tolist(), strict=True) if is_kept)
    lost = {"diverged": len(seeds) - len(own)} if len(own) < len(seeds) else {}
    return Group(kept, z[finite], corrective[finite], own, lost)
