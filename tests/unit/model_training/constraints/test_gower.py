"""Gower's distance by hand-worked numbers, against a package, and by its properties."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model_training.constraints import gower
from model_training.constraints.gower import distinct_rows, gower_distance, value_ranges
from model_training.constraints.tag_encoding import concept_similarities, fit_tags
from model_training.snapshots.samples import Sample

NAN = float("nan")
MIXED = [True, False, False]

codes = st.sampled_from([0.0, 1.0, 2.0, NAN])
numbers = st.one_of(st.just(NAN), st.floats(-1e6, 1e6))
rows = st.tuples(codes, numbers, numbers)
tables = st.lists(rows, min_size=1, max_size=7).map(np.array)


def sample(
    *, verified: tuple[str, ...] = (), **tags: str | tuple[float, ...]
) -> Sample:
    """Return a sample with these tags, as texts and numbers."""
    texts = {k: v for k, v in tags.items() if isinstance(v, str)}
    values = {k: v for k, v in tags.items() if isinstance(v, tuple)}
    return Sample(texts, "p", "s", numbers=values, verified=frozenset(verified))


def test_mixed_rows_by_hand() -> None:
    """Other code, half and a quarter of the range: 1 - S = (1 + 1/2 + 1/4) / 3."""
    x = [[0, 1.0, 10.0], [1, 3.0, 15.0]]
    found = gower_distance(x, categorical=MIXED, ranges=[1, 4, 20])
    assert found[0, 1] == pytest.approx(np.sqrt(7 / 12))
    assert found[0, 0] == 0


def test_missing_values_leave_both_sums() -> None:
    """With the code missing in one row, 1 - S = (1/2 + 1/4) / 2."""
    x = [[0, 1.0, 10.0], [NAN, 3.0, 15.0]]
    found = gower_distance(x, categorical=MIXED, ranges=[1, 4, 20])
    assert found[0, 1] == pytest.approx(np.sqrt(3 / 8))


def test_too_few_comparable_tags_are_unknown() -> None:
    """With two tags in common a distance is known if two are needed, not if three."""
    x = [[0, 1.0, 10.0], [NAN, 3.0, 15.0]]
    known = gower_distance(x, categorical=MIXED, least_comparable=2)
    unknown = gower_distance(x, categorical=MIXED, least_comparable=3)
    assert np.isfinite(known[0, 1])
    assert np.isnan(unknown[0, 1])
    assert unknown[0, 0] == 0


def test_a_tag_of_several_columns_counts_once() -> None:
    """Axial against sagittal differs by 1 of 2 in four of six cosines: 1/3, once.

    With an equal modality beside it, 1 - S = (0 + 1/3) / 2.
    """
    axial, sagittal = [0, 1, 0, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0, -1]
    found = gower_distance(
        [axial],
        [sagittal],
        categorical=[True] + [False] * 6,
        ranges=[2] * 7,
        groups=[0] + [1] * 6,
    )
    assert found[0, 0] == pytest.approx(np.sqrt(1 / 6))


def test_a_partly_missing_tag_is_compared_by_what_is_there() -> None:
    """A tag with one of two columns missing is compared by the other one."""
    found = gower_distance(
        [[0.0, NAN]],
        [[1.0, 5.0]],
        categorical=[False, False],
        ranges=[2, 2],
        groups=[0, 0],
    )
    assert found[0, 0] == pytest.approx(np.sqrt(1 / 2))


def test_weights_by_hand() -> None:
    """A differing tag of weight 3 and an equal one of weight 1 give 1 - S = 3/4."""
    row, other = [[0.0, 0.0]], [[1.0, 0.0]]
    found = gower_distance(row, other, categorical=[True, True], weights=[3, 1])
    assert found[0, 0] == pytest.approx(np.sqrt(3 / 4))
    ignored = gower_distance(row, other, categorical=[True, True], weights=[0, 1])
    assert ignored[0, 0] == 0


def test_a_tag_without_weight_makes_nothing_comparable() -> None:
    """Where all tags in common have weight 0, the distance is unknown."""
    found = gower_distance(
        [[0, NAN]], [[0, 1]], categorical=[True, True], weights=[0, 1]
    )
    assert np.isnan(found[0, 0])


def test_similarities_of_codes_are_looked_up() -> None:
    """Codes 0 and 1 have similarity 1/2; 0 and 2 are not comparable."""
    table = np.array([[1, 0.5, NAN], [0.5, 1, 0], [NAN, 0, 1]])
    found = gower_distance(
        [[0.0, 0.0]],
        np.array([[1, 0], [2, 0], [NAN, 0]]),
        categorical=[True, True],
        similarities={0: table},
    )
    np.testing.assert_allclose(found, [[np.sqrt(0.25), 0, 0]])
    alone = gower_distance(
        [[0.0]], [[2.0]], categorical=[True], similarities={0: table}
    )
    assert np.isnan(alone[0, 0])


def test_values_beyond_the_range_are_wholly_unlike() -> None:
    """A difference of ten ranges is a dissimilarity of 1, not of 10."""
    found = gower_distance([[0.0]], [[10.0]], categorical=[False], ranges=[1])
    assert found[0, 0] == 1


def test_a_column_without_range_is_equality() -> None:
    """Where R is 0, only equal numbers are similar."""
    found = gower_distance([[4.0], [4.0]], [[4.0], [5.0]], categorical=[0], ranges=[0])
    np.testing.assert_array_equal(found, [[0, 1], [0, 1]])


def test_one_outlier_does_not_flatten_a_robust_range() -> None:
    """Exposure times of 10 to 400 ms keep their range beside one of 51100 ms."""
    times = np.array([*range(10, 410, 10), 51100.0])[:, None]
    none = np.zeros(1, np.bool_)
    assert value_ranges(times, none, "minmax") == [51090]
    # 41 distinct values: those at 0.05 x 40 = 2 and 0.95 x 40 = 38, 30 and 390.
    assert value_ranges(times, none, "robust") == [360]


def test_a_robust_range_of_nothing_falls_back() -> None:
    """Two values have a range; one or none have 0."""
    none = np.zeros(3, np.bool_)
    values = np.array([[1, 7, NAN], [3, 7, NAN], [NAN, 7, NAN]])
    np.testing.assert_array_equal(value_ranges(values, none, "robust"), [2, 0, 0])


def test_equals_the_package_on_complete_mixed_rows() -> None:
    """Distances equal those of the gower package for complete, positive numbers."""
    package = pytest.importorskip("gower")
    rng = np.random.default_rng(7)
    x = np.column_stack([rng.integers(0, 3, (40, 2)), rng.uniform(1, 90, (40, 3))])
    categorical = np.array([True, True, False, False, False])
    expected = package.gower_matrix(x, cat_features=categorical)
    found = gower_distance(x, categorical=categorical)
    np.testing.assert_allclose(found**2, expected, atol=1e-6)


def test_equals_the_package_between_two_sets_with_weights() -> None:
    """Ranges are those of both sets together, as in the package; weights are equal."""
    package = pytest.importorskip("gower")
    rng = np.random.default_rng(8)
    x = np.column_stack([rng.integers(0, 3, (12, 1)), rng.uniform(1, 90, (12, 2))])
    y = np.column_stack([rng.integers(0, 3, (5, 1)), rng.uniform(1, 200, (5, 2))])
    categorical, weights = np.array(MIXED), np.array([2.0, 1.0, 0.5])
    expected = package.gower_matrix(x, y, weight=weights, cat_features=categorical)
    found = gower_distance(x, y, categorical=categorical, weights=weights)
    np.testing.assert_allclose(found**2, expected, atol=1e-6)


@given(tables)
def test_distances_are_symmetric_and_in_range(x: np.ndarray) -> None:
    """With any missing values, d(i, j) = d(j, i), in [0, 1] or unknown."""
    found = gower_distance(x, categorical=MIXED)
    np.testing.assert_array_equal(found, found.T)
    known = found[~np.isnan(found)]
    assert ((known >= 0) & (known <= 1)).all()


@given(tables)
def test_rows_are_at_no_distance_from_themselves(x: np.ndarray) -> None:
    """The diagonal is 0, and unknown only in rows without any value."""
    own = np.diag(gower_distance(x, categorical=MIXED))
    empty = np.isnan(x).all(axis=1)
    np.testing.assert_array_equal(np.isnan(own), empty)
    assert (own[~empty] == 0).all()


@given(tables, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(x: np.ndarray, random: Random) -> None:
    """Distances of permuted rows are the permuted distances."""
    order = list(range(len(x)))
    random.shuffle(order)
    found = gower_distance(x, categorical=MIXED)
    permuted = gower_distance(x[order], categorical=MIXED)
    np.testing.assert_array_equal(permuted, found[np.ix_(order, order)])


@given(tables, tables, st.integers(1, 20))
def test_the_size_of_blocks_does_not_matter(
    x: np.ndarray, y: np.ndarray, block: int
) -> None:
    """Distances do not depend on the size of blocks."""
    expected = gower_distance(x, y, categorical=MIXED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gower, "BLOCK", block)
        found = gower_distance(x, y, categorical=MIXED)
    np.testing.assert_array_equal(found, expected)


@given(arrays(np.float64, st.tuples(st.integers(0, 9), st.just(2)), elements=codes))
def test_distinct_rows_give_every_row_back(x: np.ndarray) -> None:
    """Distinct rows, indices and counts give back all rows."""
    found, inverse, counts = distinct_rows(x)
    np.testing.assert_array_equal(found[inverse], x)
    np.testing.assert_array_equal(np.bincount(inverse, minlength=len(found)), counts)
    assert len({tuple(map(str, row)) for row in found}) == len(found)


def test_nan_and_zero_are_one_value_each() -> None:
    """NaN equals NaN, and minus zero equals zero."""
    other_nan = np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)[0]
    found, _, counts = distinct_rows(np.array([[0.0, NAN], [-0.0, other_nan]]))
    assert len(found) == 1
    assert counts.tolist() == [2]


def test_samples_become_rows() -> None:
    """Rows hold codes, cosines and exposures, with NaN for missing values."""
    samples = [
        sample(
            Modality="CT", Exposure=(80.0,), ImageOrientationPatient=(1, 0, 0, 0, 1, 0)
        ),
        sample(Modality="MR", BodyPartExamined="BRAIN", Manufacturer="GE"),
    ]
    x = fit_tags(samples).transform(samples)
    expected = [
        [0, NAN, NAN, NAN, NAN, 1, 0, 0, 0, 1, 0, NAN, 80],
        [1, 0, NAN, NAN, 0, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN],
    ]
    np.testing.assert_array_equal(x, expected)


def test_hostile_numbers_are_missing() -> None:
    """Infinite, incomplete and zero vectors count as missing."""
    samples = [
        sample(ExposureTime=(float("inf"),), Exposure=()),
        sample(ImageOrientationPatient=(1.0, 0.0, 0.0)),
        sample(ImageOrientationPatient=(0.0,) * 6),
        sample(ImageOrientationPatient=(NAN, 0, 0, 0, 1, 0)),
    ]
    assert np.isnan(fit_tags(samples).transform(samples)).all()


def test_a_settled_plane_stands_over_the_numbers() -> None:
    """Numbers are kept where they show the plane settled by a reviewer, else replaced."""
    tilted = (1.0, 0.0, 0.0, 0.0, 0.98, 0.2)
    plane, settled = "ImageOrientationPatient", ("ImageOrientationPatient",)
    tagged = sample(ImageOrientationPatient="SAGITTAL", verified=settled)
    samples = [
        Sample({plane: "AXIAL"}, "p", "s", numbers={plane: tilted}),
        Sample(
            tagged.tags, "p", "s", numbers={plane: tilted}, verified=tagged.verified
        ),
        Sample({}, "p", "s", numbers={plane: tilted}, verified=frozenset(settled)),
        tagged,
    ]
    found = fit_tags(samples).transform(samples)[:, 5:11]
    np.testing.assert_array_equal(found[0], tilted)
    np.testing.assert_array_equal(found[1], [0, 1, 0, 0, 0, -1])
    assert np.isnan(found[2]).all()
    np.testing.assert_array_equal(found[3], found[1])


def test_values_not_fitted_count_as_missing() -> None:
    """An unknown manufacturer is missing, not equal to the first known one."""
    encoding = fit_tags([sample(Modality="CT", Manufacturer="GE")])
    x = encoding.transform([sample(Modality="CT", Manufacturer="PHILIPS")])
    assert x[0, 0] == 0
    assert np.isnan(x[0, 4])


def test_slices_of_a_series_have_one_tuple() -> None:
    """Cosines that differ in the third decimal share a tuple."""
    tilts = [(1.0, 0.001 * n, 0.0, 0.0, 1.0, 0.0) for n in range(5)]
    samples = [sample(Modality="CT", ImageOrientationPatient=t) for t in tilts]
    assert len(distinct_rows(fit_tags(samples).transform(samples))[0]) == 1


@pytest.mark.parametrize(
    ("tag", "a", "b", "similarity"),
    [
        ("Modality", "CR", "DX", 1.0),
        ("Modality", "CR", "CT", 0.0),
        ("Modality", "OT", "CT", NAN),
        ("BodyPartExamined", "CHEST", "CHEST", 1.0),
        ("BodyPartExamined", "CHEST", "FOOT", 0.0),
        ("BodyPartExamined", "HEAD", "BRAIN", NAN),
        ("BodyPartExamined", "BRAIN", "HEAD", NAN),
        ("BodyPartExamined", "HAND", "WRIST", NAN),
    ],
)
def test_concepts_are_compared_by_meaning(
    tag: str, a: str, b: str, similarity: float
) -> None:
    """Names that one image can have are similar or not comparable."""
    table = concept_similarities(tag, (a, b))
    np.testing.assert_equal(table[0, 1], similarity)
    assert table[0, 0] == 1


def test_the_paper_compares_strings() -> None:
    """Without concepts, CR and DX differ like CR and CT."""
    samples = [sample(Modality="CR"), sample(Modality="DX")]
    encoding = fit_tags(samples, ranges="minmax", concepts=False)
    x = encoding.transform(samples)
    assert gower.paired_distance(x[0], x[1], encoding.columns) == 1
