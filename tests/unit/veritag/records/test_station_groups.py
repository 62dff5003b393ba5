"""Groups of equal findings of one station."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.unit.veritag.records.test_judgements import Ward
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
def ward(
    records: Records,
    reception: Callable[..., StoredInstance],
    verdict: Callable[..., Verdict],
) -> Ward:
    """Return a ward with empty records."""
    return Ward(records, reception, verdict)


def chests(ward: Ward, wrong: int, right: int, **station: str) -> None:
    """Settle series that show a chest, called HEAD or rightly CHEST."""
    for number in range(wrong + right):
        observed = "HEAD" if number < wrong else "CHEST"
        judged = Judgement("BodyPartExamined", observed, 0.5, "CHEST", 0.5)
        found = (WRONG,) if number < wrong else ()
        judgement = SeriesJudgement(1, False, found, (judged,))
        ward.settle(judgement, ward.arrive(**{**SCANNER, **station}))


def the_group(records: Records) -> StationGroup:
    """Return the only group."""
    [group] = station_groups(records)
    return group


def test_what_a_station_always_writes_is_one_group(ward: Ward) -> None:
    """Six of seven chests called HEAD are one group, with their number."""
    chests(ward, 6, 1)
    group = the_group(ward.records)
    assert (group.open_series, group.flagged, group.total) == (6, 6, 7)
    assert (group.key.station_name, group.key.observed) == ("CT1", "HEAD")
    assert group.key.expected == "CHEST"
    members = group_members(ward.records, group.key)
    assert len({m.study_instance_uid for m in members}) == 6


def test_slips_are_no_group(ward: Ward) -> None:
    """Few findings, a small share, or several stations make no group."""
    chests(ward, 4, 0)
    chests(ward, 6, 3, station_name="CT2")
    for number in range(6):
        chests(ward, 1, 0, station_name=f"CT{10 + number}")
    assert station_groups(ward.records) == ()


def test_series_without_any_station_are_no_group(ward: Ward) -> None:
    """Series that name no device make no group."""
    judgement = SeriesJudgement(1, False, (WRONG,), ())
    for _ in range(6):
        ward.settle(judgement, ward.arrive())
    assert station_groups(ward.records) == ()


def test_decided_findings_count_and_dismissed_ones_count_against(ward: Ward) -> None:
    """Confirmed findings still count for the group; dismissed ones do not."""
    chests(ward, 8, 0)
    first, second, *_ = group_members(ward.records, the_group(ward.records).key)
    decide(ward.records, first.finding_id, Decision.CONFIRMED, "Ada", shown={})
    group = the_group(ward.records)
    assert (group.open_series, group.flagged, group.total) == (7, 8, 8)
    decide(ward.records, second.finding_id, Decision.DISMISSED, "Ada", shown={})
    group = the_group(ward.records)
    assert (group.open_series, group.flagged, group.total) == (6, 7, 8)


def test_a_group_is_as_grave_as_its_open_findings(ward: Ward) -> None:
    """The worst severity of a group is that of its open findings."""
    chests(ward, 1, 0)
    [only] = worklist(ward.records).rows
    study = study_detail(ward.records, only.study_instance_uid)
    assert study is not None
    [decided] = study.series[0].findings
    decide(ward.records, decided.finding_id, Decision.CONFIRMED, "Ada", shown={})
    mild = replace(WRONG, severity=Severity.WARNING)
    for _ in range(5):
        judgement = SeriesJudgement(1, False, (mild,), ())
        ward.settle(judgement, ward.arrive(**SCANNER))
    group = the_group(ward.records)
    assert (group.worst, group.open_series) == (Severity.WARNING, 5)


def test_the_worklist_shows_a_group_once(ward: Ward) -> None:
    """With `grouped`, studies leave the rows if all their findings are in groups."""
    chests(ward, 5, 0)
    other = replace(WRONG, observed="KNEE")
    both = SeriesJudgement(1, False, (WRONG, other), ())
    ward.settle(both, ward.arrive("1.2.77", **SCANNER))
    whole = worklist(ward.records)
    assert (whole.total, len(whole.groups)) == (6, 1)
    rest = worklist(ward.records, grouped=True)
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
    ward: Ward, station: dict[str, str], found: Finding
) -> None:
    """A series without a station or a finding without a value is not in the group."""
    chests(ward, 5, 0)
    judgement = SeriesJudgement(1, False, (found,), ())
    ward.settle(judgement, ward.arrive("1.2.77", **station))
    rest = worklist(ward.records, grouped=True)
    assert [row.study_instance_uid for row in rest.rows] == ["1.2.77"]
    assert [group.open_series for group in rest.groups] == [5]


def test_a_missing_tag_is_one_group_whatever_is_suggested(ward: Ward) -> None:
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
        ward.settle(judgement, ward.arrive(**SCANNER))
    group = the_group(ward.records)
    assert (group.key.observed, group.key.expected) == (None, None)
    assert (group.flagged, group.total) == (5, 5)


def test_findings_about_no_tag_are_measured_by_all_series(ward: Ward) -> None:
    """Five series of unknown kind are a group among six series, but not among ten."""
    unknown = Finding(FindingCode.UNKNOWN_KIND, Severity.INFO, None, None, 1.0)
    for number in range(6):
        found = (unknown,) if number < 5 else ()
        ward.settle(SeriesJudgement(1, True, found, ()), ward.arrive(**SCANNER))
    assert (the_group(ward.records).flagged, the_group(ward.records).total) == (5, 6)
    chests(ward, 0, 4)
    assert station_groups(ward.records) == ()
