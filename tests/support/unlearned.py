"""Small models trained on polluted data, and methods applied to them: by qlab, and by ordinary loops."""

from __future__ import annotations

import copy
import math

import torch
from torch.func import functional_call

from qlab import seeding
from qlab.corruptions import LabelFlip
from qlab.training import Member, Trainer
from qlab.training.data import prepare
from qlab.unlearning import Samples
from qlab.unlearning.engine import unlearn

SEEDS = (3, 0, 7)


class Polluted:
    """Models of three seeds, half of whose labels are wrong, or that were corrupted in another way."""

    def __init__(self, model, task, dataset, ratio=0.5, *, corruption=None, **training):
        corruption = corruption or LabelFlip(ratio=ratio)
        self.dataset = dataset
        trainer = Trainer(**{"epochs": 4, "batch_size": 5, "learning_rate": 0.05} | training)
        self.trained = trainer.train(model, task, corruption, seeds=SEEDS)
        self.members = [Member.of(task, dataset, corruption, seed) for seed in SEEDS]
        self.data = prepare(self.trained.model, self.members, dataset.validation, torch.device("cpu"))
        x, y = self.data.validation_x, self.data.validation_y
        # As many rows for each member as it likes.
        self.unseen = [Samples(x[row:], 1.0 - y[row:]) for row in range(len(SEEDS))]

    def unlearn(self, unlearner, *rows, **more):
        """A method applied to all members, or to some."""
        chosen = list(rows or range(3))
        return unlearn(
            unlearner,
            copy.deepcopy(self.trained.model),
            {name: value[chosen] for name, value in self.trained.parameters.items()},
            self.data.members(torch.tensor(chosen)),
            [SEEDS[row] for row in chosen],
            unseen=[self.unseen[row] for row in chosen],
            **more,
        )

    def alone(self, row):
        """One member, for loops."""
        return Alone(self, row)


class Alone:
    """One trained model as a function of a flat vector, and its rows."""

    def __init__(self, polluted, row):
        self.model, data = copy.deepcopy(polluted.trained.model), polluted.data
        self.shapes = {name: own.shape for name, own in self.model.named_parameters()}
        parameters = {name: polluted.trained.parameters[name][row] for name in self.shapes}
        self.teacher = torch.cat([parameters[name].flatten() for name in self.shapes]).double()
        self.draw = seeding.generator(SEEDS[row], "unlearning-draws")
        self.seed = SEEDS[row]
        x = data.train_x if data.shared else data.train_x[row]
        mask = data.forget[row]
        self.retain, self.forget = (x[~mask], data.train_y[row][~mask]), (x[mask], data.train_y[row][mask])
        self.clean = (x[mask], data.clean_y[row][mask])

    def logits(self, theta, x):
        """Of the model at a flat vector."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        parts = dict(zip(self.shapes, theta.split(sizes), strict=True))
        named = {name: parts[name].reshape(shape) for name, shape in self.shapes.items()}
        return functional_call(self.model, named, (x,))

    def losses(self, theta, rows):
        """Cross-entropy of each row, written out."""
        z = self.logits(theta, rows[0])
        return -(rows[1] * z.sigmoid().log() + (1 - rows[1]) * (-z).sigmoid().log())

    def mean(self, theta, rows):
        """Their mean."""
        return self.losses(theta, rows).mean()

    def gradient(self, theta, rows):
        """Of the mean, by autograd."""
        theta = theta.detach().requires_grad_()
        return torch.autograd.grad(self.mean(theta, rows), theta)[0]

    def fisher(self, theta, rows):
        """Mean squared gradient of each row."""
        each = [self.gradient(theta, (rows[0][i : i + 1], rows[1][i : i + 1])) for i in range(len(rows[1]))]
        return torch.stack(each).square().mean(0)

    def randn(self):
        """The next numbers of the member's stream, one for each parameter."""
        return torch.randn(len(self.teacher), generator=self.draw, dtype=torch.float64)

    def descend(self, loss, steps, learning_rate, optimizer="Adam", start=None, mask=None):
        """An ordinary loop with an optimizer of PyTorch."""
        theta = (self.teacher if start is None else start).clone().requires_grad_()
        stepper = getattr(torch.optim, optimizer)([theta], lr=learning_rate)
        for step in range(1, steps + 1):
            stepper.zero_grad()
            loss(theta, step).backward()
            if mask is not None:
                theta.grad *= mask
            stepper.step()
        return theta.detach()


def flat(unlearned, row):
    """A member's final parameters as a flat vector."""
    return torch.cat([value[row].flatten() for value in unlearned.parameters.values()])
