"""The state as the query of an address, whole: a link restores the view."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, urlencode

from qlab.explorer.state import State


def encode(state: State) -> str:
    """The query, from its question mark on, with every field of the state.

    Text stands as it is, everything else as JSON.
    """
    values = {name: getattr(state, name) for name in _fields(state)}
    return "?" + urlencode(
        {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    )


def same(state: State, query: str) -> bool:
    """Whether a query says what the state says, however it is spelled."""
    one, other = (parse_qsl(text.removeprefix("?"), keep_blank_values=True) for text in (encode(state), query))
    return sorted(one) == sorted(other)


def decode(state: State, query: str, *, whole: bool = False) -> list[str]:
    """Sets the fields of the state that a query names.

    Args:
        state: to be set.
        query: of an address.
        whole: sets those that it does not name to their defaults.

    Returns:
        What was not understood, in words: unknown names, and values that a field does not take.
    """
    refused = []
    known: dict[str, object] = {name: state.param[name].default for name in _fields(state)} if whole else {}
    for name, text in parse_qsl(query.removeprefix("?"), keep_blank_values=True):
        if name not in _fields(state):
            refused.append(name)
            continue
        try:
            value = text if isinstance(getattr(state, name), str) else json.loads(text)
            state.param[name]._validate(value)
        except (ValueError, TypeError):
            refused.append(f"{name} = {text}")
        else:
            known[name] = value
    state.param.update(**known)
    return refused


def _fields(state: State) -> list[str]:
    return [name for name in state.param if name != "name"]
