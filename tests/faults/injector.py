"""The faults: killed and stopped processes, full disks, shifted clocks, and their duration."""

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import redis

from tests.faults.failing_parts import Postgres
from tests.faults.testbed import RESERVE_MB, UP, SystemUnderTest

_RECOVERY_SECONDS = 150.0
_LOOK_SECONDS = 0.2


@dataclass
class Incident:
    """One fault as it happened.

    Attributes
    ----------
    recovered
        Seconds from the kill, or from the end of the trouble, until the parts concerned
        were ready again; None if they never were.
    """

    fault: str
    at: float
    processes_killed: int = 0
    recovered: float | None = None


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Attributes
    ----------
    weight
        How often it comes, compared with others that kill, or others that do not.
    seconds
        How long it lasts; None for what is over at once.
    strike
        Makes it happen; returns how many processes it killed, None if it could not.
    relieve
        Ends it.
    concerned
        The parts that are to be ready afterwards; all by default.
    """

    name: str
    weight: int
    strike: Callable[[SystemUnderTest], int | None]
    kills: bool = False
    seconds: tuple[float, float] | None = None
    relieve: Callable[[SystemUnderTest], None] = lambda _: None
    concerned: tuple[str, ...] = ()
    possible: Callable[[SystemUnderTest], bool] = lambda _: True


def _kill(role: str) -> Callable[[SystemUnderTest], int | None]:
    return lambda testbed: testbed.signal(role, signal.SIGKILL) and 1


def _kill_database(testbed: SystemUnderTest) -> int:
    assert isinstance(testbed.database, Postgres)
    testbed.database.kill()
    return 1


def _resume_broker(testbed: SystemUnderTest) -> None:
    testbed.signal("broker", signal.SIGCONT)


def _flush(testbed: SystemUnderTest) -> None:
    with suppress(redis.RedisError), testbed.broker() as client:
        client.flushall()


def _jump(testbed: SystemUnderTest) -> None:
    """Move the clock two hours ahead, the next time half an hour back."""
    # Each jump is followed by one back to the true time.
    testbed.clock.jump(-1800 if testbed.clock.jumps // 2 % 2 else 7200)


def _clock_back(testbed: SystemUnderTest) -> None:
    testbed.clock.jump(0)


def _fill(leave_mb: int) -> Callable[[SystemUnderTest], None]:
    return lambda testbed: testbed.disk.fill(leave_mb)


def _own_disk(testbed: SystemUnderTest) -> bool:
    return testbed.disk.is_own


def _forwards(testbed: SystemUnderTest) -> bool:
    return testbed.destination.is_there


FAULTS = (
    *(
        Fault(f"{role} killed", weight, _kill(role), kills=True, concerned=(role,))
        for role, weight in (
            ("listener", 6),
            ("indexer", 5),
            ("worker", 4),
            ("scheduler", 3),
            ("broker", 3),
        )
    ),
    Fault(
        "delivery killed",
        3,
        _kill("delivery"),
        kills=True,
        concerned=("delivery",),
        possible=_forwards,
    ),
    Fault(
        "destination stopped",
        1,
        lambda testbed: testbed.destination.signal(signal.SIGSTOP),
        seconds=(3, 15),
        relieve=lambda testbed: testbed.destination.signal(signal.SIGCONT),
        possible=_forwards,
    ),
    Fault("everything killed", 1, lambda testbed: testbed.kill_all(), kills=True),
    Fault("`veritag up` killed", 1, _kill(UP), kills=True),
    Fault(
        "database killed",
        2,
        _kill_database,
        kills=True,
        possible=lambda testbed: isinstance(testbed.database, Postgres),
    ),
    Fault("broker flushed", 2, _flush),
    Fault(
        "broker stopped",
        2,
        lambda testbed: testbed.signal("broker", signal.SIGSTOP) and 0,
        seconds=(2, 12),
        relieve=_resume_broker,
    ),
    Fault(
        "database stopped",
        2,
        lambda testbed: testbed.database.stop(),
        seconds=(2, 15),
        relieve=lambda testbed: testbed.database.go_on(),
    ),
    Fault(
        "disk down to the reserve",
        2,
        _fill(RESERVE_MB // 2),
        seconds=(3, 8),
        relieve=lambda testbed: testbed.disk.relieve(),
        possible=_own_disk,
    ),
    Fault(
        "disk full to the last byte",
        2,
        _fill(0),
        seconds=(2, 6),
        relieve=lambda testbed: testbed.disk.relieve(),
        possible=_own_disk,
    ),
    Fault(
        "clock jumps ahead or back",
        2,
        _jump,
        seconds=(2, 15),
        relieve=_clock_back,
        possible=lambda testbed: bool(testbed.clock.environment),
    ),
)


def possible_faults(
    testbed: SystemUnderTest, wanted: Sequence[str] = ()
) -> list[Fault]:
    """Return the faults whose names begin with one of the prefixes; default: all."""
    names = tuple(wanted) or ("",)
    return [f for f in FAULTS if f.name.startswith(names) and f.possible(testbed)]


def schedule(
    faults: Sequence[Fault], seed: int, seconds: float, kills: int
) -> list[tuple[float, Fault]]:
    """Draw when what happens, each fault at least once.

    Parameters
    ----------
    kills
        How many of them kill.
    """
    rng = random.Random(seed)
    deadly = [f for f in faults if f.kills]
    others = [f for f in faults if not f.kills]
    drawn = list(_draw(rng, deadly, kills))
    drawn += _draw(rng, others, max(len(others), int(seconds / 25)))
    rng.shuffle(drawn)
    step = seconds / max(1, len(drawn))
    return [(step * (place + rng.random()), fault) for place, fault in enumerate(drawn)]


def _draw(rng: random.Random, faults: Sequence[Fault], count: int) -> Iterator[Fault]:
    if not faults or not count:
        return
    yield from faults[:count]
    weights = [fault.weight for fault in faults]
    yield from rng.choices(faults, weights, k=max(0, count - len(faults)))


class Injector:
    """Injects faults and watches until the system has recovered."""

    def __init__(self, testbed: SystemUnderTest, seed: int) -> None:
        self.testbed = testbed
        self.incidents: list[Incident] = []
        self.failures: list[str] = []
        self._random = random.Random(seed)
        self._begun = time.monotonic()
        self._under_way: set[str] = set()
        self._threads: list[threading.Thread] = []

    def inject(self, fault: Fault) -> None:
        """Inject a fault, one of a kind at a time; a lasting fault ends by itself."""
        if fault.name in self._under_way:
            return
        self._under_way.add(fault.name)
        thread = threading.Thread(target=self._happen, args=(fault,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def _happen(self, fault: Fault) -> None:
        incident = Incident(fault.name, time.monotonic() - self._begun)
        concerned = fault.concerned or self.testbed.parts
        before = {role: self.testbed.pid(role) for role in concerned}
        try:
            incident.processes_killed = fault.strike(self.testbed) or 0
            if fault.seconds is not None:
                time.sleep(self._random.uniform(*fault.seconds))
        except Exception as error:  # noqa: BLE001 - the run tells of it
            self.failures.append(f"{fault.name}: {error!r}")
        finally:
            fault.relieve(self.testbed)
            self._under_way.discard(fault.name)
        self.incidents.append(incident)
        anew = before if fault.kills and fault.concerned else {}
        incident.recovered = self._watch(concerned, anew)

    def _watch(
        self, roles: Sequence[str], before: dict[str, int | None]
    ) -> float | None:
        """Return the seconds until all of these roles were ready as new processes."""
        begun = time.monotonic()
        left = list(roles)
        while time.monotonic() - begun < _RECOVERY_SECONDS:
            left = [role for role in left if not self._is_back(role, before)]
            if not left:
                return time.monotonic() - begun
            time.sleep(_LOOK_SECONDS)
        return None

    def _is_back(self, role: str, before: dict[str, int | None]) -> bool:
        if before.get(role) == self.testbed.pid(role) and role in before:
            return False
        return self.testbed.problem(role) is None

    def wait(self) -> None:
        """Wait until every fault has ended and the system has recovered, or time is up."""
        for thread in self._threads:
            thread.join(_RECOVERY_SECONDS + 30)
