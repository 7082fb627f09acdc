"""Unlearning methods: one file for each family."""

from qlab.unlearning.base import Unlearner, UnlearningData
from qlab.unlearning.divergences import cross_entropy, kl_divergence
from qlab.unlearning.finetune import Finetune
from qlab.unlearning.gradient_ascent import NPO, GradientAscent, PureAscent
from qlab.unlearning.learner import Learner
from qlab.unlearning.retrain import Retrain
from qlab.unlearning.samples import Samples
from qlab.unlearning.scrub import AlternatingScrub, Scrub

__all__ = [
    "NPO",
    "AlternatingScrub",
    "Finetune",
    "GradientAscent",
    "Learner",
    "PureAscent",
    "Retrain",
    "Samples",
    "Scrub",
    "Unlearner",
    "UnlearningData",
    "cross_entropy",
    "kl_divergence",
]
