"""Findings of a series from defects and facts of its instances."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.unit.veritag.judging.checks.builders import ARRIVAL, CT, MR, build
from veritag.dicom.tags import read_tags
from veritag.findings import (
    Defect,
    Finding,
    FindingCode,
    Severity,
    Verdict,
    VerdictStatus,
)
from veritag.judging.checks import check_instance, series_facts
from veritag.judging.observed_tags import observe
from veritag.judging.rules import rule_findings

XA = "1.2.840.10008.5.1.4.1.1.12.1"


def verdict(**changes: Any) -> Verdict:
    """Return the verdict of a CT slice with elements changed."""
    ds = build(**changes)
    return Verdict(
        "vb-1",
        VerdictStatus.INSPECTED,
        CT,
        read_tags(ds),
        defects=check_instance(ds, received_at=ARRIVAL),
        facts=series_facts(ds),
    )


def findings(verdicts: Iterable[Verdict], **options: Any) -> dict[Any, Finding]:
    """Return the findings of a series, (code, tag) to finding."""
    series = list(verdicts)
    found = rule_findings(series, observe(series), 0, **options)
    by_key = {(f.code, f.tag): f for f in found}
    assert len(by_key) == len(found)
    return by_key


def test_a_series_of_nothing_has_no_findings() -> None:
    """An empty series causes no division by zero."""
    assert findings([]) == {}


def test_one_odd_slice_is_no_finding() -> None:
    """One of twenty is ignored, one of nineteen is not."""
    right, wrong = verdict(), verdict(PixelSpacing=None)
    key = (FindingCode.ATTRIBUTE_MISSING, "PixelSpacing")
    assert findings([wrong, *[right] * 19]) == {}
    [(found, finding)] = findings([wrong, *[right] * 18]).items()
    assert found == key
    assert (finding.evidence["instances"], finding.evidence["of"]) == (1, 19)


def test_a_localizer_beside_slices_is_no_contradiction() -> None:
    """Image Type may differ within a series; only LOCALIZER is kept of it."""
    scout = verdict(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER", "SECRET^PERSON"])
    other = verdict(ImageType=["DERIVED", "SECONDARY", "MPR"])
    assert scout.facts["ImageType"] == "LOCALIZER"
    assert "ImageType" not in verdict().facts.keys() | other.facts.keys()
    assert findings([*[scout] * 3, *[verdict()] * 3, *[other] * 3]) == {}


def test_a_finding_counts_and_cites() -> None:
    """A finding holds the most frequent value, the counts and the rule."""
    bent = [verdict(ImageOrientationPatient=[n, 0, 0, 0, 1, 0]) for n in (2, 2, 3)]
    [finding] = findings([*bent, verdict()]).values()
    assert finding.code is FindingCode.ORIENTATION_INVALID
    assert finding.severity is Severity.ERROR
    assert finding.observed == "vectors of length 2 and 1"
    assert (finding.evidence["instances"], finding.evidence["of"]) == (3, 4)
    [rule] = finding.evidence["rules"]
    assert rule["instances"] == 3
    assert "PS3.3 C.7.6.2.1.1" in rule["rule"]


def test_an_instance_counts_once_for_a_tag() -> None:
    """Two defects of one element count as one instance."""
    twice = verdict(StudyInstanceUID="1.02", SeriesInstanceUID="1.02")
    [finding] = findings([twice]).values()
    assert (finding.evidence["instances"], finding.evidence["of"]) == (1, 1)
    assert len(finding.evidence["rules"]) == 2


def test_the_order_of_arrival_changes_nothing() -> None:
    """Ties are broken by the values, so that a finding keeps its identity."""
    bent = [verdict(ImageOrientationPatient=[n, 0, 0, 0, 1, 0]) for n in (3, 2)]
    assert findings(bent) == findings(bent[::-1])


@pytest.mark.parametrize(
    ("changes", "tag", "severity", "odd"),
    [
        ({"PatientID": "SECRET-78"}, "PatientID", Severity.ERROR, True),
        (
            {"FrameOfReferenceUID": "1.2.9"},
            "FrameOfReferenceUID",
            Severity.WARNING,
            False,
        ),
        ({"PatientPosition": "HFP"}, "PatientPosition", Severity.WARNING, False),
        (
            {"BodyPartExamined": "KNEE", "Laterality": "R"},
            "BodyPartExamined",
            Severity.WARNING,
            False,
        ),
    ],
)
def test_what_belongs_to_the_series_is_the_same_in_all(
    changes: dict[str, Any], tag: str, severity: Severity, odd: bool
) -> None:
    """One slice of another patient is a finding; other facts allow odd slices."""
    key = (FindingCode.MIXED_SERIES, tag)
    half = findings([verdict()] * 2 + [verdict(**changes)] * 2)
    assert half[key].severity is severity
    assert (key in findings([verdict()] * 30 + [verdict(**changes)])) is odd


@pytest.mark.parametrize("tag", ["PatientID", "FrameOfReferenceUID", "Laterality"])
def test_a_further_value_makes_no_other_finding(tag: str) -> None:
    """A further value changes the evidence, not the identity, of the finding."""

    def mixed(*values: str) -> Finding:
        status = VerdictStatus.INSPECTED
        series = [Verdict("vb-1", status, CT, facts={tag: v}) for v in values]
        return findings(series)[FindingCode.MIXED_SERIES, tag]

    two, three = mixed("a", "a", "b"), mixed("a", "a", "b", "c")
    assert two.observed == three.observed
    assert (two.evidence["different"], three.evidence["different"]) == (2, 3)


def test_sides_change_within_a_series() -> None:
    """Different sides in one series are a finding."""
    knees = [verdict(BodyPartExamined="KNEE", Laterality=side) for side in "RL"]
    assert list(findings(knees)) == [(FindingCode.MIXED_SERIES, "Laterality")]


def test_what_is_absent_does_not_differ() -> None:
    """Absent identifiers are not compared."""
    bare = verdict(PatientID=None, PatientPosition=None)
    assert findings([verdict(), bare]) == {}


def test_a_series_in_two_studies_is_a_finding() -> None:
    """Studies are counted in the instances and in the records."""
    key = (FindingCode.SERIES_IN_SEVERAL_STUDIES, "SeriesInstanceUID")
    mixed = findings([verdict(), verdict(StudyInstanceUID="1.2.77")])
    assert mixed[key].evidence == {"studies": 2, "of": 2}
    assert findings([verdict()], studies=3)[key].evidence["studies"] == 3
    assert findings([verdict()], studies=1) == {}


def test_facts_hide_what_they_compare() -> None:
    """Hashes are equal within a series and different between two."""
    facts = series_facts(build())
    assert set(facts) == {"StudyInstanceUID", "PatientID", "FrameOfReferenceUID"}
    assert not any("SECRET" in value or "." in value for value in facts.values())
    assert facts == series_facts(build())
    elsewhere = series_facts(build(SeriesInstanceUID="1.2.8"))
    assert set(facts.values()).isdisjoint(elsewhere.values())


@pytest.mark.parametrize("series", [None, "", " "])
def test_without_a_key_nothing_is_hashed(series: str | None) -> None:
    """Without a Series Instance UID no identifier is hashed."""
    facts = series_facts(build(SeriesInstanceUID=series, Laterality="R"))
    assert facts == {"Laterality": "R"}


def test_a_series_of_several_modalities_is_mixed() -> None:
    """CT and SR in one series are a finding."""
    report = verdict(Modality="SR")
    found = findings([verdict(), report, report])
    assert (FindingCode.MIXED_SERIES, "Modality") in found


def test_a_modality_that_several_classes_exclude_is_one_finding() -> None:
    """Expected values are weighted by the number of instances of each class."""
    series = [
        Verdict("vb-1", VerdictStatus.INSPECTED, uid, {"Modality": "US"})
        for uid in (MR, CT, CT, XA)
    ]
    found = findings(series)
    finding = found[FindingCode.MODALITY_CONTRADICTS_SOP_CLASS, "Modality"]
    assert finding.observed == "US"
    expected = [(e.value, e.probability) for e in finding.expected]
    assert expected == [("CT", 0.5), ("MR", 0.25), ("RF", 0.125), ("XA", 0.125)]
    assert finding.evidence == {
        "sop_classes": [
            {"sop_class_uid": CT, "instances": 2},
            {"sop_class_uid": XA, "instances": 1},
            {"sop_class_uid": MR, "instances": 1},
        ],
        "instances": 4,
        "of": 4,
    }
    assert findings(series[::-1]) == found


def test_each_modality_that_the_class_excludes_is_a_finding() -> None:
    """Each excluded value gives one finding, except in odd slices."""
    series = [
        Verdict("vb-1", VerdictStatus.INSPECTED, CT, {"Modality": modality})
        for modality in (*["US"] * 20, *["PT"] * 20, "MR")
    ]
    code = FindingCode.MODALITY_CONTRADICTS_SOP_CLASS
    found = [f for f in rule_findings(series, {}, 0) if f.code is code]
    one_class = {"sop_class_uid": CT, "instances": 20, "of": 41}
    assert [(f.observed, f.evidence) for f in found] == [
        ("US", one_class),
        ("PT", one_class),
    ]


def _everything_wrong(number: int) -> Verdict:
    defects = tuple(
        Defect(code, "StudyDate", f"{number} apart", (str(number),), f"rule {number}")
        for code in (FindingCode.DATE_INVALID, FindingCode.UID_INVALID)
    )
    facts = {"PatientID": str(number), "FrameOfReferenceUID": str(number)}
    return Verdict("vb-1", VerdictStatus.INSPECTED, CT, defects=defects, facts=facts)


def _calls(work: Callable[[], object]) -> int:
    """Return the number of function calls of `work`."""
    calls = Counter[str]()
    before = sys.getprofile()
    sys.setprofile(lambda _frame, event, _arg: calls.update([event]))
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls["call"] + calls["c_call"]


def test_long_series_take_time_in_proportion() -> None:
    """5,000 different instances take about ten times as many calls as 500."""

    def cost(instances: int) -> int:
        series = [_everything_wrong(n) for n in range(instances)]
        found = rule_findings(series, {}, 0)
        assert len(found) == 4
        assert all(len(str(f.evidence)) < 1000 for f in found)
        return _calls(lambda: rule_findings(series, {}, 0))

    assert cost(5000) < 11 * cost(500)
