"""Injected errors have the requested number, contradictions and groups."""

import numpy as np
import pytest

from benchmarks.flagging.errors import ERROR_KINDS, Truth, contradicting, inject
from veritag.terms.concepts import Relation, relation

REGIONS = ("ABDOMEN", "CHEST", "HAND", "HEAD", "KNEE", "WRIST")


def truth(n: int = 600) -> Truth:
    """Return images of six regions, four to a series, twenty to a station."""
    rng = np.random.default_rng(5)
    series = np.repeat(np.arange(n // 4), 4)
    values = rng.choice(REGIONS, n // 4)[series].astype("U16")
    values[::50] = ""
    return Truth(
        "BodyPartExamined",
        values,
        like=np.full(n, "CR"),
        series=series.astype(str),
        station=(np.arange(n) // 20).astype(str),
        vocabulary=REGIONS,
    )


@pytest.mark.parametrize("kind", ERROR_KINDS)
@pytest.mark.parametrize("rate", [0.05, 0.1])
def test_errors_are_about_as_many_as_asked_for(kind: str, rate: float) -> None:
    """Errors are close to the rate; images without a value get none."""
    right = truth()
    received, wrong = inject(kind, right, rate, np.random.default_rng(1))
    count = rate * (right.values != "").sum()
    assert 0.7 * count <= wrong.sum() <= 2 * count
    assert (received[right.values == ""] == "").all()
    assert (received[~wrong] == right.values[~wrong]).all()


@pytest.mark.parametrize("kind", ["uniform", "realistic", "stations"])
def test_an_error_contradicts_the_right_value(kind: str) -> None:
    """The wrong and the right value exclude each other."""
    right = truth()
    received, wrong = inject(kind, right, 0.2, np.random.default_rng(2))
    relations = {
        relation("BodyPartExamined", a, b)
        for a, b in zip(received[wrong], right.values[wrong], strict=True)
    }
    assert relations == {Relation.DISJOINT}


def test_overlapping_values_are_wrong_only_in_that_kind() -> None:
    """HAND for WRIST is an error of the kind `overlapping` only."""
    assert "HAND" not in contradicting("BodyPartExamined", "WRIST", REGIONS)
    assert "HAND" in contradicting(
        "BodyPartExamined", "WRIST", REGIONS, or_overlapping=True
    )
    right = truth()
    received, wrong = inject("overlapping", right, 0.5, np.random.default_rng(3))
    pairs = set(zip(right.values[wrong], received[wrong], strict=True))
    assert ("WRIST", "HAND") in pairs
    assert all(a != b for a, b in pairs)


def test_a_reused_protocol_stays_for_a_whole_series() -> None:
    """Realistic errors include series with one wrong value on all images."""
    right = truth()
    received, wrong = inject("realistic", right, 0.2, np.random.default_rng(4))
    count = 0
    for key in np.unique(right.series):
        rows = (right.series == key) & (right.values != "")
        count += bool(wrong[rows].all() and len(set(received[rows].tolist())) == 1)
    assert count >= 10


def test_a_station_writes_one_value() -> None:
    """All wrong values of a station are the same."""
    right = truth()
    received, wrong = inject("stations", right, 0.1, np.random.default_rng(6))
    stations = set(right.station[wrong].tolist())
    assert 1 < len(stations) < 10
    for station in stations:
        values = set(received[wrong & (right.station == station)].tolist())
        assert len(values) == 1


def test_long_values_are_not_cut_off() -> None:
    """A wrong value longer than all right ones is received unchanged."""
    right = Truth(
        "BodyPartExamined",
        np.array(["HEAD"] * 20),
        like=np.full(20, "MR"),
        series=np.arange(20).astype(str),
        station=np.arange(20).astype(str),
        vocabulary=("HEAD", "LOWERLEG"),
    )
    received, wrong = inject("uniform", right, 0.5, np.random.default_rng(7))
    assert set(received[wrong].tolist()) == {"LOWERLEG"}


def test_nothing_else_to_write_means_no_error() -> None:
    """A site with only one value gets no errors."""
    right = Truth(
        "Modality",
        np.array(["CT"] * 10),
        like=np.full(10, "HEAD"),
        series=np.arange(10).astype(str),
        station=np.full(10, "a"),
        vocabulary=("CT",),
    )
    for kind in ("uniform", "stations", "overlapping"):
        _, wrong = inject(kind, right, 0.5, np.random.default_rng(8))
        assert not wrong.any()
