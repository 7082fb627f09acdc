"""Unlearning methods: one file for each family."""

from qlab.unlearning.bad_teacher import BadTeacher
from qlab.unlearning.base import Unlearner, UnlearningData
from qlab.unlearning.divergences import cross_entropy, kl_divergence
from qlab.unlearning.finetune import Finetune, L1Sparse, NoisyFinetune
from qlab.unlearning.fisher import SSD, FisherForgetting
from qlab.unlearning.gradient_ascent import NPO, GradientAscent, PureAscent
from qlab.unlearning.labels import RandomLabels, Relabel
from qlab.unlearning.last_layers import CFk, EUk
from qlab.unlearning.learner import Learner
from qlab.unlearning.newton import NewtonStep
from qlab.unlearning.retrain import Retrain
from qlab.unlearning.saliency import SalUn
from qlab.unlearning.samples import Samples
from qlab.unlearning.scrub import AlternatingScrub, RewindScrub, Scrub

__all__ = [
    "NPO",
    "SSD",
    "AlternatingScrub",
    "BadTeacher",
    "CFk",
    "EUk",
    "Finetune",
    "FisherForgetting",
    "GradientAscent",
    "L1Sparse",
    "Learner",
    "NewtonStep",
    "NoisyFinetune",
    "PureAscent",
    "RandomLabels",
    "Relabel",
    "Retrain",
    "RewindScrub",
    "SalUn",
    "Samples",
    "Scrub",
    "Unlearner",
    "UnlearningData",
    "cross_entropy",
    "kl_divergence",
]
