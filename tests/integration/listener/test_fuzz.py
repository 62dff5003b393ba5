"""Hostile bytes for a real listener; `benchmarks/fuzz.py` runs a million cases."""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.association import CONTEXTS, plain_items, request
from tests.fuzz.cases import KINDS, Case, uid_of
from tests.fuzz.client import Client, Outcome, store_valid
from tests.fuzz.connection import A_ASSOCIATE_AC, HANG_SECONDS, Connection
from tests.fuzz.data_sets import encode, identity
from tests.fuzz.listener import Target
from tests.fuzz.messages import (
    COMMAND_LAST,
    Message,
    Pdv,
    command,
    fragments,
    store,
    store_elements,
)
from tests.fuzz.mutate import HOSTILE_NAMES
from tests.fuzz.oracle import check_files, check_metrics

SEED = 0
_HEALTHY = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


class Attack:
    """A listener with a record of the cases that were sent."""

    def __init__(self, reception: str, root: Path) -> None:
        self.target = Target(root, reception)
        self.target.start()
        store_valid(self.target.port, 0)
        self.client = Client(self.target.port, SEED)
        self.numbers = itertools.count(1)
        self.valid: set[str] = {store_valid(self.target.port, 1)[0]}
        self.first = {path.name for path in self.target.ready()[:1]}

    def send(self, case: Case) -> Outcome:
        """Send a case and check every answer; return the outcome."""
        outcome = self.client.send(case)
        self.client.ledger.note(outcome)
        return outcome

    def is_harmless(self) -> list[str]:
        """Return the problems of the listener after all cases."""
        self.client.close()
        self.valid.add(store_valid(self.target.port, 2)[0])
        files = [p for p in self.target.ready() if p.name not in self.first]
        acknowledged = self.client.ledger.acknowledged
        problems = check_files(SEED, files, acknowledged, self.valid, once=False)
        self.target.look_for_strays()
        self.target.read_log()
        problems += check_metrics(self.target.metrics())
        self.target.stop()
        return problems + self.target.problems


@pytest.fixture(scope="module", params=["fast", "stock"])
def attack(request: pytest.FixtureRequest) -> Iterator[Attack]:
    """A listener of each reception, which must be unharmed at the end."""
    with tempfile.TemporaryDirectory() as folder:
        attack = Attack(request.param, Path(folder))
        yield attack
        assert attack.is_harmless() == []


@pytest.mark.parametrize("kind", sorted(KINDS))
@settings(max_examples=15, deadline=None, suppress_health_check=_HEALTHY)
@given(seed=st.integers(0, 2**64))
def test_no_bytes_harm_the_listener(attack: Attack, kind: str, seed: int) -> None:
    """Every answer is a valid PDU with a known status, and none is missing."""
    # Numbers go on from case to case, and so what is drawn depends on more than a seed.
    number = next(attack.numbers)
    attack.send(KINDS[kind](Random(seed), number, uid_of(SEED, number)))


NAMES = st.one_of(
    st.sampled_from(HOSTILE_NAMES),
    st.binary(max_size=70),
    st.text(max_size=30).map(str.encode),
)


@settings(max_examples=25, deadline=None, suppress_health_check=_HEALTHY)
@given(calling=NAMES, called=NAMES)
def test_no_ae_title_harms_the_listener(
    attack: Attack, calling: bytes, called: bytes
) -> None:
    """With any AE title the association is accepted, rejected or aborted."""
    connection = Connection(attack.target.port)
    with connection.socket:
        connection.send(request(plain_items(), called[:16], calling[:16]))
        pdu = connection.read(HANG_SECONDS)
        assert pdu is not None
        assert pdu[0] in (A_ASSOCIATE_AC, 3, 7)
        connection.drain()


@settings(max_examples=25, deadline=None, suppress_health_check=_HEALTHY)
@given(uid=NAMES, in_data_set=NAMES, context=st.sampled_from(sorted(CONTEXTS)))
def test_no_uid_harms_the_listener(
    attack: Attack, uid: bytes, in_data_set: bytes, context: int
) -> None:
    """With any SOP Instance UID the instance is stored or refused, or aborted."""
    for inner in (uid, in_data_set):
        number = next(attack.numbers)
        data = encode(identity(inner, b"%d" % number), CONTEXTS[context])
        stream = store(uid, data, context, number).encode()
        attack.send(Case(number, "data set", stream, fenced=True))


def test_the_names_are_data_in_what_is_kept(attack: Attack) -> None:
    """A hostile but valid UID is stored as a value and in no file name."""
    uid = b"A" * 64
    data = encode(identity(uid), CONTEXTS[3])
    attack.client.close()  # its association may have been idle for long
    outcome = attack.send(Case(1, "right", store(uid, data, 3, 1).encode()))
    assert outcome.statuses == [0]
    assert not [p for p in attack.target.root.rglob("*") if "AAAA" in p.name]


def test_one_byte_at_a_time(attack: Attack) -> None:
    """A message with a segment for every byte is accepted."""
    uid = b"2.25.0.0"
    message = Message(
        [
            Pdv(
                3,
                COMMAND_LAST,
                command(store_elements(b"1.2.840.10008.5.1.4.1.1.2", uid, 1)),
            )
        ]
    )
    message.pdvs += fragments(encode(identity(uid), CONTEXTS[3]), 3, 16000)
    stream = message.encode()
    case = Case(1, "right", stream, cuts=tuple(range(1, len(stream))))
    attack.client.close()
    assert attack.send(case).statuses == [0]
