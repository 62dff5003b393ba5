"""Parts of the benchmarks that can be tested alone."""

import pytest
from pynetdicom.pdu import A_ASSOCIATE_RQ

from benchmarks.association import RELEASE, request
from benchmarks.running import quantile
from benchmarks.soak import ResourceSample, summary


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.5, 51.0), (0.95, 96.0), (1.0, 100.0)]
)
def test_quantile_is_one_of_the_values(share: float, expected: float) -> None:
    """The quantile of a share is the value with that share of values below it."""
    values = [float(n) for n in range(100, 0, -1)]
    assert quantile(values, share) == expected


@pytest.mark.parametrize("contexts", [1, 128])
def test_the_minimal_client_speaks_dicom(contexts: int) -> None:
    """The request proposes the given number of contexts, one transfer syntax each."""
    pdu = A_ASSOCIATE_RQ()
    pdu.decode(request(contexts))
    assert len(pdu.presentation_context) == contexts
    assert all(len(c.transfer_syntax) == 1 for c in pdu.presentation_context)
    assert RELEASE[0] == 0x05  # PS3.8 Table 9-24


def test_a_leak_shows_as_a_slope() -> None:
    """Memory that grows by 1 MB per 1,000 instances is reported as 10 per 10,000."""
    samples = [ResourceSample(n * 1000, (100 + n) << 20, 4, 7) for n in range(1, 21)]
    report = summary(samples)
    assert report["rss MB per 10,000 instances"] == pytest.approx(10)
    assert report["threads"] == {"first": 4, "last": 4, "most": 4}
    flat = summary([ResourceSample(s.instances, 1 << 20, 4, 7) for s in samples])
    assert flat["rss MB per 10,000 instances"] == pytest.approx(0)
