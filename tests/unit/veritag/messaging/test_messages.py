"""Payloads of messages."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veritag.messaging.messages import (
    InspectInstances,
    SettleSeries,
    TrainBundle,
    UnknownMessage,
)

IDS = st.lists(st.integers(min_value=1), max_size=40).map(tuple)


@given(ids=IDS)
def test_a_payload_comes_back_equal_through_json(ids: tuple[int, ...]) -> None:
    """Decoding an encoded message returns the same message."""
    for message in (InspectInstances(ids), SettleSeries(ids)):
        payload = json.loads(json.dumps(message.encode()))
        assert type(message).decode(payload) == message


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"schema": 2, "instance_ids": [1]},
        {"schema": 1},
        {"schema": 1, "instance_ids": "1"},
        {"schema": 1, "instance_ids": [True]},
        {"schema": 1, "instance_ids": ["1; DROP TABLE"]},
    ],
)
def test_a_foreign_payload_is_refused(payload: dict[str, object]) -> None:
    """A payload of another schema or shape is rejected."""
    with pytest.raises(UnknownMessage):
        InspectInstances.decode(payload)


@pytest.mark.parametrize(
    "payload",
    [
        {"schema": 1},
        {"schema": 2, "run_ids": [1]},
        {"schema": 1, "run_ids": []},
        {"schema": 1, "run_ids": [1, 2]},
        {"schema": 1, "run_ids": ["1"]},
        {"schema": 1, "run_ids": [True]},
    ],
)
def test_a_request_for_training_names_one_run(payload: dict[str, object]) -> None:
    """A training message holds exactly one run; other shapes are rejected."""
    wanted = TrainBundle(7)
    assert TrainBundle.decode(json.loads(json.dumps(wanted.encode()))) == wanted
    with pytest.raises(UnknownMessage):
        TrainBundle.decode(payload)
