"""Calling a method for all members at once, or one after the other, and looking at what it returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.func import vmap

from qlab import own_code
from qlab.errors import QlabError
from qlab.training import ensemble
from qlab.unlearning.base import Unlearner, UnlearningData
from qlab.unlearning.batch import Batch
from qlab.unlearning.draws import Draws
from qlab.unlearning.learner import Learner, Setting
from qlab.unlearning.samples import Samples
from qlab.unlearning.teacher import Teacher
from qlab.untransformed import untransformed

_BYTES = 128 * 2**20
"""So many members are updated together that gradients of all rows, and small Hessians, fit in this."""

_SMALL = 2_000
"""Hessians of so many parameters may be written down for several members at once."""

T = TypeVar("T")


class LossError(QlabError):
    """A method whose loss is not a scalar, or does not depend on the student; or whose update is no parameters."""


@dataclasses.dataclass(frozen=True, eq=False)
class Caller:
    """Calls one method.

    Args:
        unlearner: the method.
        setting: of its learners.
        generators: of the members.
        untrained: makes newly drawn parameters of all members, by name; called outside of ``vmap``.
        weight_decay: that the teachers were trained with.
        training: the student's mode in losses.
    """

    unlearner: Unlearner
    setting: Setting
    generators: Sequence[torch.Generator]
    untrained: Callable[[], ensemble.Parameters]
    weight_decay: float
    training: bool

    def losses(self, batch: Batch, step: int) -> Tensor:
        """The loss of every member, ``[members]``.

        What teachers say of rows that the next step takes again is noted with the batch.

        Raises:
            LossError: one is no scalar, or not of the student's dtype.
        """

        def loss(student: Learner, teacher: Teacher, data: UnlearningData) -> dict[str, Any]:
            found = self.unlearner.loss(student, teacher, data)
            self._check_loss(found, step)
            return {"loss": found, "said": teacher.said}

        self.setting.cost.add_evaluation()
        found = self._each(loss, batch, step, self.training, differentiated=True)
        batch.said.update(found["said"])
        losses: Tensor = found["loss"]
        return losses

    @torch.no_grad()
    def updates(self, batch: Batch, step: int) -> ensemble.Parameters:
        """New parameters of every member.

        Raises:
            LossError: the method returns none.
        """

        def update(student: Learner, teacher: Learner, data: UnlearningData) -> dict[str, Tensor]:
            found: Any = self.unlearner.update(student, teacher, data)
            named = self._checked_update(found, student, step)
            return {**student.parameters, **named}

        found: ensemble.Parameters = self._chunks(update, batch, step)
        return found

    @torch.no_grad()
    def measure(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """What the method says of its result, ``[members]`` by name."""

        def measure(student: Learner, teacher: Learner, data: UnlearningData) -> dict[str, Tensor]:
            found = self._checked_names(self.unlearner.measure(student, teacher, data), "measure")
            for name, value in found.items():
                if value.shape != ():
                    where = own_code.bracketed(type(self.unlearner), "measure")
                    raise LossError(
                        f"{type(self.unlearner).__name__}.measure must return scalars, got shape {list(value.shape)} "
                        f"for {name!r}{where}."
                    )
            return found

        if type(self.unlearner).measure is Unlearner.measure:
            return {}
        cost = self.setting.cost
        was, cost.counts = cost.counts, False
        try:
            return self._chunks(measure, batch, step)
        finally:
            cost.counts = was

    @torch.no_grad()
    def begin(self, batch: Batch) -> dict[str, Tensor]:
        """What the method computes before the first step, for every member."""

        def begin(student: Learner, teacher: Learner, data: UnlearningData) -> dict[str, Tensor]:
            return self._checked_names(self.unlearner.begin(teacher, data), "begin")

        if type(self.unlearner).begin is Unlearner.begin:
            return {}
        found: dict[str, Tensor] = self._chunks(begin, batch, 0)
        return found

    def _chunks(self, call: Callable[..., dict[str, Tensor]], batch: Batch, step: int) -> dict[str, Tensor]:
        """A call for some members at a time: what it holds of each may be large."""
        size = self.setting.n_parameters
        rows = batch.retain[1].shape[1] + batch.forget[1].shape[1]
        widest = max(rows, self.setting.model.elements() // max(1, size), size if size <= _SMALL else 1)
        at_once = max(1, _BYTES // (batch.retain[1].dtype.itemsize * size * widest))
        parts: list[dict[str, Tensor]] = []
        for start in range(0, len(batch), at_once):
            chosen = slice(start, start + at_once)
            parts.append(self._each(call, batch.some(chosen), step, training=False, first=start))
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _each(
        self,
        call: Callable[[Learner, Teacher, UnlearningData], T],
        batch: Batch,
        step: int,
        training: bool,
        first: int = 0,
        *,
        differentiated: bool = False,
    ) -> T:
        """A call for each member of a batch.

        Args:
            call: what is called.
            batch: of some members.
            step: the number of the step.
            training: the student's mode.
            first: the position among all members of the first of the batch.
            differentiated: whether the student's logits are.
        """
        cost = self.setting.cost

        def of_member(parts: dict[str, Any], index: Tensor, position: Tensor, together: Sequence[torch.Generator]) -> T:
            own = dataclasses.replace(self.setting, members=len(together))
            x, polluted, clean = parts["forget"]
            rows = {"retain": parts["retain"][0], "forget": x}
            teacher = Teacher(own, parts["teacher"], rows, parts["said"])

            def fresh() -> Learner:
                drawn = untransformed(self.untrained)
                return Learner(own, {name: value[position] for name, value in drawn.items()})

            data = UnlearningData(
                Samples(*parts["retain"]),
                Samples(x, polluted),
                Samples(x, clean),
                step,
                self.weight_decay,
                parts["kept"],
                Draws(together, index),
                fresh,
            )
            trained = dataclasses.replace(own, training=training)
            return call(Learner(trained, parts["student"], differentiated=differentiated), teacher, data)

        was, cost.counts = cost.counts, cost.counts and first == 0  # the others cost the same
        try:
            if self.setting.model.supports_vmap:
                index = torch.arange(len(batch), device=batch.retain[1].device)
                own = self.generators[first : first + len(batch)]
                try:
                    found: T = vmap(
                        lambda parts, index: of_member(parts, index, index + first, own), in_dims=(batch.axes(), 0)
                    )(batch.parts(), index)
                except RuntimeError as error:
                    if "random operation" not in str(error):
                        raise
                    raise self._draws_itself(error) from error
                return found
            each = []
            for member in range(len(batch)):
                parts = batch.some(member).parts()
                own = self.generators[first + member : first + member + 1]
                each.append(of_member(parts, torch.tensor(0), torch.tensor(first + member), own))
                cost.counts = False
            return _stacked(each)
        finally:
            cost.counts = was

    def _draws_itself(self, error: RuntimeError) -> LossError:
        """PyTorch's refusal of random numbers under ``vmap``, and where they come from instead."""
        where = own_code.place(error)
        return LossError(
            f"{type(self.unlearner).__name__} draws random numbers by itself, which nobody could repeat; take those of "
            "data.randn(shape), from N(0, 1), or data.rand(shape), from [0, 1), which are by each model's own seed"
            + (f" [{where}]." if where else ".")
        )

    def _checked_names(self, found: object, method: str) -> dict[str, Tensor]:
        if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
            raise LossError(
                f"{type(self.unlearner).__name__}.{method} must return tensors by name, got {type(found).__name__}"
                f'{own_code.bracketed(type(self.unlearner), method)}: return {{"name": tensor}}.'
            )
        return dict(found)

    def _check_loss(self, loss: object, step: int) -> None:
        dtype, cls = self.setting.model.dtype, type(self.unlearner)
        name = f"step {step}: the loss of {cls.__name__}"
        if not isinstance(loss, Tensor) or loss.shape != ():
            shape = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            way = ": loss.mean()" if isinstance(loss, Tensor) else ""
            if isinstance(loss, (int, float)):
                way = ": leave out .item() and float(), which cut it off from the student"
            raise LossError(f"{name} must be a scalar tensor, got {shape}{own_code.bracketed(cls, 'loss')}{way}.")
        if not loss.is_floating_point() or loss.dtype.itemsize < dtype.itemsize:
            raise LossError(
                f"{name} must be of the student's {dtype}, got {loss.dtype}{own_code.bracketed(cls, 'loss')}: compute "
                "it from the logits as they are."
            )

    def _checked_update(self, found: object, student: Learner, step: int) -> Mapping[str, Tensor]:
        size, dtype = self.setting.n_parameters, self.setting.model.dtype

        def error(said: str) -> LossError:
            cls = type(self.unlearner)
            return LossError(f"step {step}: the update of {cls.__name__} {said}{own_code.bracketed(cls, 'update')}.")

        accepts = f"must return a flat vector [{size}], as student.theta, or parameters by name, as student.parameters"
        if isinstance(found, Mapping):
            shapes = self.setting.shapes
            if not found:
                raise error(f"{accepts}; got {{}}, which changes nothing")
            for key, value in found.items():
                if key not in shapes or not isinstance(value, Tensor) or value.shape != shapes[key]:
                    got = f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                    wanted = f"shape {list(shapes[key])}" if key in shapes else f"only {', '.join(shapes)}"
                    raise error(f"{accepts}; got for {key!r} {got}, accepts {wanted}")
            values = list(found.values())
            # Through the flat vector, so that what the method must not change stays.
            result = student.named(student.flat(dict(found)))
        elif isinstance(found, Tensor):
            if found.shape != (size,):
                raise error(f"{accepts}; got shape {list(found.shape)}")
            values = [found]
            result = student.named(found)
        else:
            raise error(f"{accepts}; got {type(found).__name__}")
        for value in values:
            if not value.is_floating_point() or value.dtype.itemsize < dtype.itemsize:
                raise error(f"must be of the student's {dtype}, got {value.dtype}")
        return {key: value.to(dtype) for key, value in result.items()}


def not_finite(values: Tensor) -> list[int]:
    """The members some of whose values ``[members, n]`` are not finite."""
    return torch.nonzero(~values.isfinite().all(1)).flatten().tolist()


def _stacked(each: Sequence[Any]) -> Any:
    """The results of members, tensors or nested mappings of them, along a new first axis."""
    if isinstance(each[0], Mapping):
        return {name: _stacked([one[name] for one in each]) for name in each[0]}
    return torch.stack(list(each))
