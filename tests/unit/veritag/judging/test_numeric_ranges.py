"""Numeric tags against the ranges of clusters."""

import numpy as np
import pytest

from tests.builders.manifests import calibration, manifest
from tests.builders.verdicts import tags, verdict
from veritag.bundles.manifest import ClusterProfile
from veritag.findings import FindingCode, TagValue
from veritag.judging.judge import judge_series
from veritag.judging.numeric_ranges import range_scores

LOW, HIGH = np.array([10.0, np.nan]), np.array([1000.0, np.nan])
FIRST, SECOND = [1.0, 0.0], [0.0, 1.0]


@pytest.mark.parametrize(
    ("value", "weights", "score"),
    [
        (10.0, FIRST, 0.0),
        (1000.0, FIRST, 0.0),
        (1.0, FIRST, 0.5),
        (1e5, FIRST, 1.0),
        (1e300, FIRST, 1.0),
        (0.0, FIRST, 1.0),
        (-5.0, FIRST, 1.0),
        (1.0, [0.6, 0.4], 0.5),
        (1.0, SECOND, np.nan),
        (np.nan, FIRST, np.nan),
        (np.inf, FIRST, np.nan),
    ],
)
def test_distance_is_a_ratio_to_the_width_of_the_range(
    value: float, weights: list[float], score: float
) -> None:
    """Ten times less than a range of two decades is half a width away."""
    found = range_scores(np.array([value]), np.array([weights]), LOW, HIGH)
    np.testing.assert_allclose(found, [score], atol=1e-9)


def judged(value: TagValue, threshold: float | None) -> tuple[list[str], float | None]:
    """Return codes and probability of an ExposureTime."""
    cluster = ClusterProfile(10, {}, {}, "CT", (), {"ExposureTime": (100.0, 1000.0)})
    bundle = manifest(
        clusters=(cluster,) * 2, calibration={"ExposureTime": calibration(threshold)}
    )
    series = [verdict(tags=tags(ExposureTime=value))] * 3
    judgement = judge_series(bundle, series)
    probabilities = {j.tag: j.probability_wrong for j in judgement.judgements}
    for finding in judgement.findings:
        assert finding.evidence["range"] == [100.0, 1000.0]
    return [f.code for f in judgement.findings], probabilities["ExposureTime"]


def test_a_number_far_from_the_usual_is_flagged_where_that_was_shown() -> None:
    """Microseconds in place of milliseconds are flagged if there is a threshold."""
    assert judged(500_000.0, 0.9) == ([FindingCode.TAG_CONTRADICTS_IMAGE], 1.0)
    assert judged(500.0, 0.9) == ([], 0.0)
    assert judged(500_000.0, None) == ([], None)


def test_what_is_no_number_is_not_judged() -> None:
    """A text in place of a number is not judged."""
    assert judged("many", 0.9) == ([], None)
