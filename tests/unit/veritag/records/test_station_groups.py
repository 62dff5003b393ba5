"""Groups of equal findings of one station."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.unit.veritag.records.test_judgements import SeriesTestbed
from veritag.decisions import Decision
from veritag.findings import (
    ExpectedValue,
    Finding,
    FindingCode,
    Judgement,
    SeriesJudgement,
    Severity,
    Verdict,
)
from veritag.records import Records
from veritag.records.review.decisions import decide
from veritag.records.review.station_groups import (
    StationGroup,
    group_members,
    station_groups,
)
from veritag.records.review.study import study_detail
from veritag.records.review.worklist import worklist
from veritag.storage.stored_instance import StoredInstance

SCANNER = {"manufacturer": "ACME", "station_name": "CT1"}
WRONG = Finding(
    FindingCode.TAG_CONTRADICTS_IMAGE,
    Severity.ERROR,
    "BodyPartExamined",
    "HEAD",
    0.99,
    (ExpectedValue("CHEST", 0.97), ExpectedValue("ABDOMEN", 0.02)),
    {"instances": 2},
)


@pytest.fixture
def testbed(
    records: Records,
    reception: Callable[..., StoredInstance],
    verdict: Callable[..., Verdict],
) -> SeriesTestbed:
    """Return a testbed with empty records."""
    return SeriesTestbed(records, reception, verdict)


def chests(testbed: SeriesTestbed, wrong: int, right: int, **station: str) -> None:
    """Settle series that show a chest, called HEAD or rightly CHEST."""
    for number in range(wrong + right):
        observed = "HEAD" if number < wrong else "CHEST"
        judged = Judgement("BodyPartExamined", observed, 0.5, "CHEST", 0.5)
        found = (WRONG,) if number < wrong else ()
        judgement = SeriesJudgement(1, False, found, (judged,))
        testbed.settle(judgement, testbed.arrive(**{**SCANNER, **station}))


def the_group(records: Records) -> StationGroup:
    """Return the only group."""
    [group] = station_groups(records)
    return group


def test_what_a_station_always_writes_is_one_group(testbed: SeriesTestbed) -> None:
    """Six of seven chests called HEAD are one group, with their number."""
    chests(testbed, 6, 1)
    group = the_group(testbed.records)
    assert (group.open_series, group.flagged, group.total) == (6, 6, 7)
    assert (group.key.station_name, group.key.observed) == ("CT1", "HEAD")
    assert group.key.expected == "CHEST"
    members = group_members(testbed.records, group.key)
    assert len({m.study_instance_uid for m in members}) == 6


def test_slips_are_no_group(testbed: SeriesTestbed) -> None:
    """Few findings, a small share, or several stations make no group."""
    chests(testbed, 4, 0)
    chests(testbed, 6, 3, station_name="CT2")
    for number in range(6):
        chests(testbed, 1, 0, station_name=f"CT{10 + number}")
    assert station_groups(testbed.records) == ()


def test_series_without_any_station_are_no_group(testbed: SeriesTestbed) -> None:
    """Series that name no device make no group."""
    judgement = SeriesJudgement(1, False, (WRONG,), ())
    for _ in range(6):
        testbed.settle(judgement, testbed.arrive())
    assert station_groups(testbed.records) == ()


def test_decided_findings_count_and_dismissed_ones_count_against(
    testbed: SeriesTestbed,
) -> None:
    """Confirmed findings still count for the group; dismissed ones do not."""
    chests(testbed, 8, 0)
    first, second, *_ = group_members(testbed.records, the_group(testbed.records).key)
    decide(testbed.records, first.finding_id, Decision.CONFIRMED, "Ada", shown={})
    group = the_group(testbed.records)
    assert (group.open_series, group.flagged, group.total) == (7, 8, 8)
    decide(testbed.records, second.finding_id, Decision.DISMISSED, "Ada", shown={})
    group = the_group(testbed.records)
    assert (group.open_series, group.flagged, group.total) == (6, 7, 8)


def test_a_group_is_as_grave_as_its_open_findings(testbed: SeriesTestbed) -> None:
    """The worst severity of a group is that of its open findings."""
    chests(testbed, 1, 0)
    [only] = worklist(testbed.records).rows
    study = study_detail(testbed.records, only.study_instance_uid)
    assert study is not None
    [decided] = study.series[0].findings
    decide(testbed.records, decided.finding_id, Decision.CONFIRMED, "Ada", shown={})
    mild = replace(WRONG, severity=Severity.WARNING)
    for _ in range(5):
        judgement = SeriesJudgement(1, False, (mild,), ())
        testbed.settle(judgement, testbed.arrive(**SCANNER))
    group = the_group(testbed.records)
    assert (group.worst, group.open_series) == (Severity.WARNING, 5)


def test_the_worklist_shows_a_group_once(testbed: SeriesTestbed) -> None:
    """With `grouped`, studies leave the rows if all their findings are in groups."""
    chests(testbed, 5, 0)
    other = replace(WRONG, observed="KNEE")
    both = SeriesJudgement(1, False, (WRONG, other), ())
    testbed.settle(both, testbed.arrive("1.2.77", **SCANNER))
    whole = worklist(testbed.records)
    assert (whole.total, len(whole.groups)) == (6, 1)
    rest = worklist(testbed.records, grouped=True)
    assert [row.study_instance_uid for row in rest.rows] == ["1.2.77"]
    assert rest.total == 1
    assert rest.groups == whole.groups


@pytest.mark.parametrize(
    ("station", "found"),
    [
        ({}, WRONG),
        ({"manufacturer": "ACME"}, WRONG),
        ({"station_name": "CT1"}, WRONG),
        (SCANNER, replace(WRONG, observed=None)),
        (SCANNER, replace(WRONG, expected=())),
        (SCANNER, replace(WRONG, tag=None)),
    ],
)
def test_what_lacks_a_value_of_a_group_stays_in_the_worklist(
    testbed: SeriesTestbed, station: dict[str, str], found: Finding
) -> None:
    """A series without a station or a finding without a value is not in the group."""
    chests(testbed, 5, 0)
    judgement = SeriesJudgement(1, False, (found,), ())
    testbed.settle(judgement, testbed.arrive("1.2.77", **station))
    rest = worklist(testbed.records, grouped=True)
    assert [row.study_instance_uid for row in rest.rows] == ["1.2.77"]
    assert [group.open_series for group in rest.groups] == [5]


def test_a_missing_tag_is_one_group_whatever_is_suggested(
    testbed: SeriesTestbed,
) -> None:
    """A scanner that never writes a tag makes one group over all body parts."""
    for part in ("HEAD", "CHEST", "HEAD", "KNEE", "FOOT"):
        missing = Finding(
            FindingCode.TAG_MISSING,
            Severity.INFO,
            "BodyPartExamined",
            None,
            0.97,
            (ExpectedValue(part, 0.97),),
        )
        judgement = SeriesJudgement(1, False, (missing,), ())
        testbed.settle(judgement, testbed.arrive(**SCANNER))
    group = the_group(testbed.records)
    assert (group.key.observed, group.key.expected) == (None, None)
    assert (group.flagged, group.total) == (5, 5)


def test_findings_about_no_tag_are_measured_by_all_series(
    testbed: SeriesTestbed,
) -> None:
    """Five series of unknown kind are a group among six series, but not among ten."""
    unknown = Finding(FindingCode.UNKNOWN_KIND, Severity.INFO, None, None, 1.0)
    for number in range(6):
        found = (unknown,) if number < 5 else ()
        testbed.settle(SeriesJudgement(1, True, found, ()), testbed.arrive(**SCANNER))
    assert (the_group(testbed.records).flagged, the_group(testbed.records).total) == (
        5,
        6,
    )
    chests(testbed, 0, 4)
    assert station_groups(testbed.records) == ()
