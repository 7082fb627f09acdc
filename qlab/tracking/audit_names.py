"""Names of what audits log on unlearning runs, and what each is to be compared with."""

from __future__ import annotations

from typing import Final

KLOM, EPSILON, MEMBERSHIP, GAUSSIAN = "klom", "epsilon", "membership", "gaussian_unlearning_score"
TUG_OF_WAR, DISTANCE, RELEARNING, CORRECTIVE = "tug_of_war", "distance", "relearning", "corrective_accuracy"

_ROWS = ("forget", "hidden", "retain", "validation")

LOGGED: Final = {
    KLOM: (
        *(f"klom_{rows}{part}" for rows in _ROWS for part in ("", "_floor", "_excess", "_teacher", "_median", "_q95")),
        "klom_models",
        "klom_oracles",
    ),
    EPSILON: tuple(f"epsilon_{part}" for part in ("low", "low_max", "median", "unbounded", "low_floor", "ceiling")),
    MEMBERSHIP: ("lira_auc", "lira_tpr", "lira_auc_teacher", "lira_tpr_teacher", "u_lira_auc", "u_lira_tpr"),
    GAUSSIAN: (GAUSSIAN, *(f"{GAUSSIAN}_{part}" for part in ("error", "teacher", "oracle")), "gaussian_poison_tpr"),
    TUG_OF_WAR: (TUG_OF_WAR, f"{TUG_OF_WAR}_floor", f"{TUG_OF_WAR}_teacher"),
    DISTANCE: tuple(
        f"{what}{part}"
        for what in ("parameter_distance", "logit_distance", "observable_overlap")
        for part in ("", "_floor", "_teacher")
    ),
    RELEARNING: tuple(
        f"relearned_{rows}{part}" for rows in ("known", "hidden") for part in ("", "_oracle", "_teacher")
    ),
    CORRECTIVE: tuple(f"audited_{CORRECTIVE}{part}" for part in ("", "_std", "_oracle", "_teacher")),
}
"""The metrics of a run that each metric of an audit logs, as far as there are such rows and circuits."""

SHOWN: Final = {
    "klom_forget": "KLoM, forget rows",
    "klom_hidden": "KLoM, hidden rows",
    "klom_validation": "KLoM, validation rows",
    "epsilon_low": "epsilon at least",
    "lira_auc": "LiRA, area",
    "u_lira_auc": "U-LiRA, area",
    GAUSSIAN: "Gaussian unlearning score",
    TUG_OF_WAR: "tug of war",
    "logit_distance": "distance of logits",
    "observable_overlap": "overlap of observables",
    "relearned_known": "relearned, known rows",
    "relearned_hidden": "relearned, hidden rows",
    f"audited_{CORRECTIVE}": "corrective accuracy",
}
"""The numbers that tables and figures show, and their headings."""

FLOORS: Final = ("_floor", "_oracle")
"""How the name of the same number ends of oracles: it cannot be told from such a one."""

TEACHER: Final = "_teacher"
"""How it ends of the model before it was unlearned."""
