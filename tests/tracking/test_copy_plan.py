"""What a copy would do, from what both stores have."""

from __future__ import annotations

from typing import Any

import pandas as pd

from qlab.tracking import names
from qlab.tracking.copy_plan import FOREIGN, ORPHANED, SUPERSEDED, TAGS, CopyPlan, plan_copy

COLUMNS = ["run_id", "parent_id", "kind", "trial", "name", "status", "start", *TAGS]


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    default = {"kind": names.TRIAL, "status": "FINISHED", "name": "x"}
    full = [default | {"start": number} | row for number, row in enumerate(rows)]
    return pd.DataFrame(full, columns=COLUMNS)


def parent(run_id: str, **more: Any) -> dict[str, Any]:
    return {"run_id": run_id, "kind": names.EXPERIMENT, names.CONTENT: "c"} | more


def copied(plan: CopyPlan) -> list[str]:
    return [item.run_id for item in plan.items]


def test_everything_comes_after_what_it_belongs_to() -> None:
    source = frame(
        {"run_id": "u", "kind": names.UNLEARNING, "trial": "ku", "parent_id": "t"},
        {"run_id": "t", "trial": "kt", "parent_id": "p"},
        parent("p"),
    )
    plan = plan_copy(source, frame())
    assert copied(plan) == ["p", "t", "u"]
    assert plan.items[2].below == {"t", "p"}


def test_the_last_finished_run_of_a_trial_counts_and_what_is_below_the_others_is_put_below_it() -> None:
    source = frame(
        {"run_id": "old", "trial": "k"},
        {"run_id": "new", "trial": "k"},
        {"run_id": "later", "trial": "k", "status": "FAILED"},
        {"run_id": "u", "kind": names.UNLEARNING, "trial": "ku", "parent_id": "old"},
    )
    plan = plan_copy(source, frame(), every=True)
    assert copied(plan) == ["new", "u"]
    assert plan.items[1].above == "new"
    assert plan.left_out == {SUPERSEDED: 2}


def test_what_is_there_is_known_by_its_key_its_kind_and_its_end() -> None:
    source = frame({"run_id": "a", "trial": "k"}, {"run_id": "b", "trial": "k", "kind": names.PROBE}, parent("p"))
    theirs = frame(
        {"run_id": "x", "trial": "k"}, {"run_id": "y", "trial": "k", "kind": names.PROBE, "status": "FAILED"}
    )
    plan = plan_copy(source, theirs)
    assert copied(plan) == ["b", "p"]
    assert (plan.there, plan.done) == ({"a": "x"}, 1)


def test_runs_without_a_key_and_failed_ones_are_known_by_the_run_that_they_were_first() -> None:
    source = frame({"run_id": "a"}, {"run_id": "b", "trial": "k", "status": "KILLED"}, {"run_id": "c"})
    once = frame({"run_id": "x", names.COPIED: "a"}, {"run_id": "y", names.COPIED: "b", "status": "KILLED"})
    assert copied(plan_copy(source, once, every=True)) == ["c"]
    back = plan_copy(once, source, every=True)  # a copy of a copy is where it came from already
    assert (back.items, back.done) == ((), 2)


def test_half_made_copies_of_this_store_are_deleted_unless_a_command_is_at_them() -> None:
    source = frame({"run_id": "a", "trial": "k"}, {"run_id": "b", "trial": "l"})
    theirs = frame(
        {"run_id": "x", "trial": "k", "status": "INTERRUPTED", names.COPIED: f"{names.COPYING}a"},
        {"run_id": "y", "trial": "l", "status": "RUNNING", names.COPIED: f"{names.COPYING}b"},
        {"run_id": "z", "trial": "m", "status": "INTERRUPTED", names.COPIED: f"{names.COPYING}of another store"},
    )
    plan = plan_copy(source, theirs)
    assert plan.half_made == ("x",)
    assert copied(plan) == ["a", "b"]


def test_an_experiment_of_the_same_content_is_reused_and_completed_only_if_a_copy_made_it() -> None:
    source = frame(parent("p"), {"run_id": "t", "trial": "k", "parent_id": "p"})
    own = plan_copy(source, frame(parent("q", status="KILLED")))
    assert (copied(own), own.there) == (["t"], {"p": "q"})
    for tag in (f"{names.COPYING}p", "p"):
        plan = plan_copy(source, frame(parent("q", status="KILLED", **{names.COPIED: tag})))
        assert [(item.run_id, item.into) for item in plan.items] == [("p", "q"), ("t", None)]


def test_an_experiment_that_failed_is_copied_if_there_is_something_below_it() -> None:
    source = frame(
        parent("p", status="FAILED"),
        {"run_id": "t", "trial": "k", "parent_id": "p"},
        parent("q", status="FAILED", **{names.CONTENT: "d"}),
        parent("r", status="RUNNING", **{names.CONTENT: "e"}),
    )
    plan = plan_copy(source, frame())
    assert copied(plan) == ["p", "t"]
    assert plan.left_out == {"failed": 1}
    assert plan.running == ("x (run r)",)


def test_stores_may_say_anything() -> None:
    source = frame(
        {"run_id": "a", "kind": None},
        {"run_id": "b", "kind": "of another version"},
        {"run_id": "c", "trial": "k", "parent_id": "c"},
        {"run_id": "d", "trial": "l", "parent_id": "e"},
        {"run_id": "e", "trial": "m", "parent_id": "d"},
        {"run_id": "f", "trial": "n", "parent_id": "deleted"},
    )
    plan = plan_copy(source, frame())
    assert [(item.run_id, item.above) for item in plan.items] == [("f", None)]
    assert plan.left_out == {FOREIGN: 2, ORPHANED: 3}
