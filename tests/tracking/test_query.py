"""A query means the same to MLflow, which searches, and to this process, which may have to answer for a server."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qlab.tracking import frames, names
from qlab.tracking.query import Query
from qlab.tracking.store import Store

KINDS = ["trial", "oracle", "it's"]
NOTES = [None, "", "said"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]) -> Store:
    """Nine runs, of every kind with every note, one after the other, every third of which is running."""
    made = Store(write_empty_store(tmp_path_factory.mktemp("asked") / "mlflow.db"))
    place = made.experiment_id("asked")
    for number, (kind, note) in enumerate((kind, note) for kind in KINDS for note in NOTES):
        tags = {names.KIND: kind} | ({} if note is None else {"said": note})
        run = made.create_run(place, f"{kind} {note}", tags=tags, params={"own": str(number)}, start=1000 + number // 2)
        values = [math.nan, math.inf, 0.1 + 0.2]
        made.log(run, metrics=[("loss", value, step, 5 + step) for step, value in enumerate(values[: number % 4])])
        if number % 3:
            made.finish(run, "FINISHED" if number % 2 else "KILLED")
    made.delete_run(made.create_run(place, "deleted", tags={names.KIND: "trial"}))
    return made


QUERIES = st.builds(
    Query,
    tags=st.dictionaries(st.just(names.KIND), st.sampled_from(KINDS[:2])),
    having=st.sampled_from([None, "said", names.KIND, "missing"]),
    status=st.sampled_from([None, "RUNNING", "FINISHED", "KILLED"]),
    since=st.sampled_from([None, 1000, 1004, 2000]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=QUERIES, chosen=st.sets(st.integers(0, 8), max_size=4))
def test_mlflow_finds_what_matches(store: Store, query: Query, chosen: set[int]) -> None:
    ids = store.experiment_ids(["asked"])
    every = list(store.search(ids))
    query = dataclasses.replace(query, run_ids=tuple(every[number].info.run_id for number in sorted(chosen)))
    found = [run.info.run_id for run in store.search(ids, query)]
    assert found == [run.info.run_id for run in every if query.matches(run)]
    briefly = list(store.search(ids, query, brief=True))
    assert [said(run) for run in briefly] == [said(run) for run in every if query.matches(run)]


def said(run: Any) -> tuple[Any, ...]:
    """All of a run but its data sets; what is no number is equal to itself."""
    signs = sorted((metric.step, metric.timestamp) for metric in run.data._metric_objs)
    return (
        *(dict(run.info), run.data.params, run.data.tags),
        {name: str(value) for name, value in run.data.metrics.items()},
        signs if run.info.status == "RUNNING" else [],
    )


def test_a_brief_search_asks_in_a_few_queries_however_many_runs_there_are(store: Store) -> None:
    ids = store.experiment_ids(["asked"])
    asked = []
    engine = store.client._tracking_client.store.engine
    sqlalchemy.event.listen(engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert len(list(store.search(ids, brief=True))) == 9
    assert len([text for text in asked if text.startswith("SELECT")]) == 4  # the runs, then three tables


def test_words_of_mlflow_are_taken_as_they_are(store: Store) -> None:
    ids = store.experiment_ids(["asked"])
    assert len(list(store.search(ids, "attributes.status = 'RUNNING'"))) == 3
    assert len(frames.runs_of_kind(store, ids, "trial", "attributes.status = 'RUNNING'")) == 1
    for brief in (False, True):
        with pytest.raises(Exception, match="does not accept the filter 'nonsense'"):
            list(store.search(ids, "nonsense", brief=brief))


@pytest.mark.parametrize(
    "text",
    [
        "metrics.loss > -1",
        "metrics.loss > 0.2 and params.own != '3'",
        "tags.said = 'said' and attributes.status = 'RUNNING'",
        "attributes.run_name LIKE 'oracle%'",
        "tags.said LIKE '%a%' and params.own != '2'",
        "attributes.start_time > 1002",
        "datasets.name = 'none'",
    ],
)
def test_a_brief_search_finds_in_words_what_mlflow_finds(store: Store, text: str) -> None:
    ids = store.experiment_ids(["asked"])
    for query in (Query(text=text), Query({names.KIND: "trial"}, text=text)):
        found = [said(run) for run in store.search(ids, query, brief=True)]
        assert found == [said(run) for run in store.search(ids, query)]
