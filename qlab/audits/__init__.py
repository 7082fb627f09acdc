"""Audits of unlearning: functions of arrays, and of models where gradients are needed. Not of experiments."""

from qlab.audits.epsilon import Epsilon, epsilon_ceiling, epsilon_of_rows
from qlab.audits.gaussian import detected, poison_scores
from qlab.audits.input_gradients import input_gradients
from qlab.audits.klom import klom, klom_excess, klom_floor
from qlab.audits.likelihood_ratio import Attack, attack, log_likelihood_ratio
from qlab.audits.margins import margins
from qlab.audits.overlap import observable_overlap, parameter_distance
from qlab.audits.relearning import relearning_curves
from qlab.audits.tug_of_war import tug_of_war

__all__ = [
    "Attack",
    "Epsilon",
    "attack",
    "detected",
    "epsilon_ceiling",
    "epsilon_of_rows",
    "input_gradients",
    "klom",
    "klom_excess",
    "klom_floor",
    "log_likelihood_ratio",
    "margins",
    "observable_overlap",
    "parameter_distance",
    "poison_scores",
    "relearning_curves",
    "tug_of_war",
]
