"""Constraints hold what their thresholds say, are balanced, and come out the same."""

import json

import numpy as np
import pytest

from model_training.constraints.closure import contradictions, must_link_components
from model_training.constraints.constraint_rules import tag_tuples
from model_training.constraints.gower import Indices, gower_distance
from model_training.constraints.sample_constraints import (
    PAPER_CONSTRAINTS,
    ConstraintConfig,
    Constraints,
    purity,
    sample_constraints,
)
from model_training.constraints.tag_encoding import fit_tags
from model_training.snapshots.samples import Sample
from veritag.errors import ConfigurationError

DEFAULT = ConstraintConfig()
REGIONS = {
    "CT": ("HEAD", "CHEST", "ABDOMEN"),
    "MR": ("BRAIN", "KNEE"),
    "CR": ("CHEST", "HAND", "FOOT"),
    "US": ("LIVER",),
}
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def image(
    modality: str = "",
    region: str = "",
    *,
    verified: tuple[str, ...] = (),
    vendor: str = "GE",
    **numbers: tuple[float, ...],
) -> Sample:
    """Return a sample with these tags, without empty ones."""
    stated = {
        "Modality": modality,
        "BodyPartExamined": region,
        "Manufacturer": vendor,
    }
    tags = {k: v for k, v in stated.items() if v}
    return Sample(tags, "p", "s", numbers=numbers, verified=frozenset(verified))


def hospital(n: int, *, seed: int = 0, known: float = 0.4) -> list[Sample]:
    """Return samples as of a hospital: mostly CT, many without body part."""
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(n):
        modality = str(rng.choice(list(REGIONS), p=[0.85, 0.08, 0.05, 0.02]))
        region = str(rng.choice(REGIONS[modality])) if rng.random() < known else ""
        vendor = str(rng.choice(["GE", "SIEMENS", "PHILIPS"]))
        exposure = (float(rng.integers(1, 4) * 20),)
        samples.append(image(modality, region, vendor=vendor, Exposure=exposure))
    return samples


def made(
    samples: list[Sample], n: int, config: ConstraintConfig = DEFAULT, seed: int = 3
) -> Constraints:
    """Return constraints of samples."""
    return sample_constraints(samples, n, config=config, seed=seed)


def distances(samples: list[Sample], config: ConstraintConfig) -> np.ndarray:
    """Return the matrix of all distances of samples."""
    encoding = fit_tags(
        samples,
        ranges=config.ranges,
        concepts=config.concepts,
        weights=dict(config.weights),
    )
    columns = encoding.columns
    return gower_distance(
        encoding.transform(samples),
        categorical=columns.categorical,
        ranges=columns.ranges,
        groups=columns.groups,
        weights=columns.weights,
        similarities=columns.similarities,
        least_comparable=config.least_comparable,
    )


def as_set(pairs: Indices) -> set[tuple[int, int]]:
    """Return pairs as a set."""
    return {(int(i), int(j)) for i, j in pairs}


@pytest.mark.parametrize("config", [DEFAULT, PAPER_CONSTRAINTS])
def test_every_pair_keeps_its_threshold(config: ConstraintConfig) -> None:
    """Must-links lie under epsilon, cannot-links over phi; pairs are i < j and distinct."""
    samples = hospital(600)
    found = made(samples, 400, config)
    whole = distances(samples, config)
    assert len(found.must_link) == len(found.cannot_link) == 200
    assert (whole[tuple(found.must_link.T)] < config.epsilon).all()
    assert (whole[tuple(found.cannot_link.T)] > config.phi).all()
    for pairs in (found.must_link, found.cannot_link):
        assert (pairs[:, 0] < pairs[:, 1]).all()
        assert len(as_set(pairs)) == 200


def test_a_small_set_yields_all_that_there_is() -> None:
    """All pairs of four images are found, as listed by hand."""
    samples = [
        image("CR", "HAND"),
        image("DX", "HAND"),
        image("CR", "HAND"),
        image("CT", "CHEST", vendor="SIEMENS"),
    ]
    found = made(samples, 100)
    # CR and DX are alike: three images of a hand. All three tags of the last differ.
    assert as_set(found.must_link) == {(0, 1), (0, 2), (1, 2)}
    assert as_set(found.cannot_link) == {(0, 3), (1, 3), (2, 3)}
    assert found.report["components"] == 1
    assert found.report["largest_components"] == [3]
    assert found.report["shortfall"].startswith("47 must-links and 47 cannot-links")


def test_the_paper_setting_yields_all_that_there_is() -> None:
    """In the paper's setting, equal other tags suffice without BodyPartExamined."""
    samples = [image("CR"), image("CR", "HAND"), image("CR", "FOOT", vendor="SIEMENS")]
    found = made(samples, 100, PAPER_CONSTRAINTS)
    # 0-1 agree in both tags that they share; 1-2 differ in two of three: sqrt(2/3);
    # 0-2 in one of two: sqrt(1/2).
    assert as_set(found.must_link) == {(0, 1)}
    assert as_set(found.cannot_link) == {(0, 2), (1, 2)}


def test_must_links_carry_the_required_tags() -> None:
    """Radiographs without BodyPartExamined have no must-links."""
    samples = hospital(300)
    found = made(samples, 400)
    for row in np.unique(found.must_link):
        assert {"Modality", "BodyPartExamined"} <= samples[row].tags.keys()


def test_a_required_number_has_to_be_there() -> None:
    """Images with any orientation link; one without has no must-link."""
    config = ConstraintConfig(required=("ImageOrientationPatient",))
    turned = (1.0, 0.01, 0.0, 0.0, 1.0, 0.0)
    samples = [
        image("CT", ImageOrientationPatient=AXIAL),
        image("CT", ImageOrientationPatient=turned),
        image("CT"),
    ]
    assert as_set(made(samples, 20, config).must_link) == {(0, 1)}


def test_must_links_of_required_tags_are_pure() -> None:
    """Without required tags, must-links join different true regions."""
    everything = hospital(600, known=1.0)
    truth = np.array([s.kind for s in everything])
    rng = np.random.default_rng(1)
    seen = [
        s if rng.random() < 0.3 else image(s.tags["Modality"], vendor="GE")
        for s in everything
    ]
    careful, naive = made(seen, 400), made(seen, 400, PAPER_CONSTRAINTS)
    assert purity(careful, truth) == (1.0, 1.0)
    assert purity(naive, truth).must_link < 0.7


def test_compatible_body_parts_are_no_cannot_link() -> None:
    """HEAD and BRAIN, HAND and WRIST are no cannot-links, whatever other tags are."""
    samples = [
        image("CT", "HEAD", Exposure=(10.0,)),
        image("CT", "BRAIN", vendor="SIEMENS", Exposure=(90.0,)),
        image("CT", "WRIST", vendor="PHILIPS", Exposure=(10.0,)),
        image("CT", "HAND", vendor="AGFA", Exposure=(90.0,)),
    ]
    found = made(samples, 100)
    assert as_set(found.cannot_link) == {(0, 2), (0, 3), (1, 2), (1, 3)}
    assert len(found.must_link) == 0


def test_other_devices_are_no_cannot_link() -> None:
    """One modality and region from two manufacturers is no cannot-link."""
    samples = [
        image("CT", "HEAD", Exposure=(10.0,)),
        image("CT", "HEAD", vendor="SIEMENS", Exposure=(90.0,)),
    ]
    # Two of four tags differ: sqrt(1/2) > 0.5.
    assert as_set(made(samples, 10, PAPER_CONSTRAINTS).cannot_link) == {(0, 1)}
    assert len(made(samples, 10).cannot_link) == 0


def test_too_few_comparable_tags_make_no_constraint() -> None:
    """Images that share no tag but the modality are in no pair."""
    samples = [image("CT", vendor=""), image("US")]
    assert len(made(samples, 10).cannot_link) == 0
    one = ConstraintConfig(least_comparable=1)
    assert as_set(made(samples, 10, one).cannot_link) == {(0, 1)}


def test_settled_instances_are_always_in() -> None:
    """Each reviewed instance that can be in a pair is in one, even of few pairs."""
    samples = hospital(3000)
    settled = [
        image("MR", "KNEE", verified=("BodyPartExamined",)),
        image("CT", "HEAD", verified=("Modality", "BodyPartExamined")),
        image("US", "LIVER", verified=("Modality",)),
    ] * 4
    found = made([*samples, *settled], 60)
    assert set(range(3000, 3012)) <= set(found.must_link.ravel().tolist())
    assert set(range(3000, 3012)) <= set(found.cannot_link.ravel().tolist())
    assert found.report["verified"] == found.report["verified_in"] == 12


def test_a_settled_absence_is_not_drawn_first() -> None:
    """An instance whose value a reviewer removed is not drawn first."""
    samples = [*hospital(50), image("CT", verified=("BodyPartExamined",))]
    assert made(samples, 10).report["verified"] == 0


def test_modalities_are_balanced() -> None:
    """Seventeen in twenty images are CT; four modalities share the pairs."""
    samples = hospital(4000)
    even = made(samples, 400).report["modalities"]
    naive = made(samples, 400, PAPER_CONSTRAINTS).report["modalities"]
    assert max(even["must_link"].values()) < 0.35
    assert max(even["cannot_link"].values()) < 0.45
    assert naive["must_link"]["CT"] > 0.8


def test_a_frequent_tuple_does_not_fill_the_set() -> None:
    """Where nine in ten images have equal tags, their pairs are a small share."""
    samples = [image("CT", "HEAD")] * 2700 + hospital(300, known=1.0)
    even = made(samples, 200).report["top_tuple_pair"]["must_link"]
    unbalanced = ConstraintConfig(balanced=False)
    naive = made(samples, 200, unbalanced).report["top_tuple_pair"]["must_link"]
    assert even < 0.15
    assert naive > 0.8


def test_some_cannot_links_lie_within_a_modality() -> None:
    """Half of them by default; none where the share is 0 and modality decides."""
    samples = hospital(1000)
    half = made(samples, 400).report["within_modality"]
    only = ConstraintConfig(deciding=("Modality",), within_modality=0.0)
    assert half == pytest.approx(0.5, abs=0.1)
    assert made(samples, 400, only).report["within_modality"] == 0


def test_the_report_counts_what_there_is() -> None:
    """The figures of the report equal those of the pairs."""
    samples = hospital(500)
    found = made(samples, 300)
    report = found.report
    tuples = tag_tuples(samples, DEFAULT).tuples
    pairs = [
        frozenset((int(tuples.of_instance[i]), int(tuples.of_instance[j])))
        for i, j in found.must_link
    ]
    top = max(pairs.count(p) for p in pairs) / len(pairs)
    modality = [samples[i].tags["Modality"] for i in found.cannot_link.ravel()]
    assert report["instances"] == 500
    assert report["distinct"] == len(tuples.counts)
    assert (report["must_link"], report["cannot_link"]) == (150, 150)
    assert report["shortfall"] == ""
    assert json.loads(json.dumps(report)) == report
    assert report["top_tuple_pair"]["must_link"] == pytest.approx(top)
    share = report["modalities"]["cannot_link"]["US"]
    assert share == pytest.approx(modality.count("US") / 300)


def test_components_are_the_transitive_closure() -> None:
    """Components are 0-1-2, 3-4 and 5; a cannot-link 0-2 contradicts, 0-3 does not."""
    must = np.array([[0, 1], [1, 2], [3, 4]])
    components = must_link_components(must, 6)
    assert components[0] == components[1] == components[2]
    assert components[3] == components[4]
    assert len(set(components.tolist())) == 3
    found = contradictions(must, np.array([[0, 2], [0, 3]]), 6)
    assert found.tolist() == [True, False]


def test_contradictions_are_told_and_left_out() -> None:
    """A must-link by an image without region contradicts a cannot-link of two regions."""
    samples = [
        image("CR", "HAND", vendor="", Exposure=(10.0,)),
        image("CR", "", Exposure=(10.0,)),
        image("CR", "FOOT", vendor="", Exposure=(10.0,)),
    ]
    # 0-1 and 1-2 agree in two tags; 0-2 differ in 3 of 7 by weight: sqrt(3/7) > 0.5.
    loose = ConstraintConfig(required=())
    found = made(samples, 20, loose)
    assert as_set(found.must_link) == {(0, 1), (1, 2)}
    assert len(found.cannot_link) == 0
    assert found.report["contradictions"] == found.report["left_out"] == 1
    assert "1 cannot-links contradicted" in found.report["shortfall"]
    kept = made(samples, 20, ConstraintConfig(required=(), keep_contradictions=True))
    assert as_set(kept.cannot_link) == {(0, 2)}
    assert (kept.report["contradictions"], kept.report["left_out"]) == (1, 0)


@pytest.mark.parametrize("config", [DEFAULT, PAPER_CONSTRAINTS])
def test_the_seed_settles_all(config: ConstraintConfig) -> None:
    """Equal seeds give equal pairs, other seeds give other pairs."""
    samples = hospital(400)
    one, again, other = (made(samples, 100, config, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.must_link, again.must_link)
    np.testing.assert_array_equal(one.cannot_link, again.cannot_link)
    assert one.report == again.report
    assert as_set(one.must_link) != as_set(other.must_link)


@pytest.mark.parametrize("config", [DEFAULT, PAPER_CONSTRAINTS])
@pytest.mark.parametrize(
    "samples",
    [
        [],
        [image("CT", "HEAD")],
        [image(vendor="")] * 5,
        [image("CT", "HEAD", vendor="GE"), image(vendor="")],
    ],
)
def test_tags_that_allow_nothing_give_nothing(
    samples: list[Sample], config: ConstraintConfig
) -> None:
    """No image, one image or no tags give no constraints, and a shortfall."""
    found = made(samples, 10, config)
    assert found.must_link.shape == found.cannot_link.shape == (0, 2)
    assert len(found) == 0
    assert found.report["shortfall"].startswith("5 must-links and 5 cannot-links")


def test_one_modality_and_region_has_no_cannot_links() -> None:
    """Images of one modality and region have must-links only."""
    found = made([image("CT", "HEAD")] * 6, 20)
    assert len(found.must_link) == 10
    assert len(found.cannot_link) == 0
    assert found.report["shortfall"].startswith("10 cannot-links fewer")


def test_no_constraints_asked_for_are_none() -> None:
    """Zero requested constraints give none, without a shortfall."""
    found = made(hospital(50), 0)
    assert len(found) == 0
    assert found.report["shortfall"] == ""


def test_purity_leaves_out_what_is_not_known() -> None:
    """One of two known must-links has equal labels; no cannot-link is known."""
    pairs = Constraints(np.array([[0, 1], [0, 2], [0, 3]]), np.array([[0, 3]]))
    found = purity(pairs, np.array(["a", "a", "b", ""]))
    assert found.must_link == 0.5
    assert np.isnan(found.cannot_link)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epsilon": 0.6},
        {"epsilon": 0.0},
        {"phi": 1.0},
        {"within_modality": 1.5},
        {"required": ("PatientName",)},
        {"weights": (("BodyPart", 2.0),)},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, object]) -> None:
    """Thresholds in the wrong order, shares over 1 and unknown tags are refused."""
    with pytest.raises(ConfigurationError):
        ConstraintConfig(**wrong)  # type: ignore[arg-type]


def test_another_region_of_one_scanner_is_a_cannot_link() -> None:
    """With weights 3 of 9 differ, sqrt(1/3) > 0.5; with equal weights only 1 of 5."""
    samples = [
        image("CT", "HEAD", ImageOrientationPatient=AXIAL, Exposure=(9.0,)),
        image("CT", "FOOT", ImageOrientationPatient=AXIAL, Exposure=(9.0,)),
    ]
    assert as_set(made(samples, 10).cannot_link) == {(0, 1)}
    assert len(made(samples, 10, ConstraintConfig(weights=())).cannot_link) == 0
